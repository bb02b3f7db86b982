//! What is registered on this agent and what its checks know: one value behind one lock, without tasks or I/O.

mod alias;
mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub(crate) use alias::{alias_verdict, unknown_service};
use model::{CheckDefinition, CheckKind, HealthCheck, Service, ServiceAddress, ServiceDefinition, Status, Token};

use crate::config::{Config, Scripts};
use crate::error::Error;
use crate::sidecar;
use crate::validate;

/// Services and checks one agent takes; more are refused with a clear text.
const SERVICE_LIMIT: usize = 20_000;
const CHECK_LIMIT: usize = 60_000;
pub(crate) const NODE_MAINTENANCE: &str = "_node_maintenance";
const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// A registered service.
#[derive(Debug, Clone)]
pub(crate) struct LocalService {
    pub service: Service,
    /// The id of the service this one was made for as a sidecar; only such a one goes with its parent.
    pub sidecar_of: Option<String>,
    /// Written in the removed managed form: the agent's process runs the proxy.
    pub managed: bool,
    /// From a definition file: goes when the file no longer has it.
    pub from_file: bool,
    pub token: Token,
}

/// A registered check.
#[derive(Debug, Clone)]
pub(crate) struct LocalCheck {
    /// `None`: a maintenance check, which nothing runs.
    pub definition: Option<CheckDefinition>,
    pub health: HealthCheck,
    pub critical_since: Option<Instant>,
    /// A report of an older generation is of a check that was replaced.
    pub generation: u64,
    pub from_file: bool,
}

/// What this agent's configuration says of registrations.
#[derive(Debug, Clone)]
struct Rules {
    ports: RangeInclusive<u16>,
    scripts: Scripts,
    shortest_deregister: Duration,
    discard_output: bool,
}

/// Ids of what is kept on disk and has changed or gone since it was last written there.
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    pub services: BTreeSet<String>,
    pub checks: BTreeSet<String>,
}

impl Unsaved {
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.checks.is_empty()
    }
}

#[derive(Debug)]
pub(crate) struct State {
    node: String,
    rules: Rules,
    pub services: BTreeMap<String, LocalService>,
    pub checks: BTreeMap<String, LocalCheck>,
    pub unsaved: Unsaved,
    /// Checks whose tasks are not those of their definitions yet.
    pub changed_checks: BTreeSet<String>,
    /// The checks that the files named when they were last applied.
    file_checks: BTreeSet<String>,
    generations: u64,
}

impl State {
    pub fn new(config: &Config) -> Self {
        let rules = Rules {
            ports: config.sidecar_ports.clone(),
            scripts: config.scripts,
            shortest_deregister: config.shortest_deregister,
            discard_output: config.discard_check_output,
        };
        Self {
            node: config.node.node.clone(),
            rules,
            services: BTreeMap::new(),
            checks: BTreeMap::new(),
            unsaved: Unsaved::default(),
            changed_checks: BTreeSet::new(),
            file_checks: BTreeSet::new(),
            generations: 0,
        }
    }

    /// Registers a service, its checks and its sidecar; refuses all of it or takes all of it.
    pub fn register(
        &mut self,
        mut definition: ServiceDefinition,
        replace_checks: bool,
        from_file: bool,
    ) -> Result<(), Error> {
        if definition.service.id.is_empty() {
            definition.service.id.clone_from(&definition.service.service);
        }
        validate::service(&definition)?;
        for checks in [Some(&definition.checks), definition.sidecar.as_ref().map(|sidecar| &sidecar.checks)] {
            checks.into_iter().flatten().try_for_each(|check| self.rules.admit(check, from_file))?;
        }
        if self.services.len() >= SERVICE_LIMIT && !self.services.contains_key(&definition.service.id) {
            return Err(Error::Refused(format!("this agent takes no more than {SERVICE_LIMIT} services")));
        }
        let managed = definition.managed_proxy;
        let sidecar = match definition.sidecar.take() {
            Some(given) => Some(self.complete_sidecar(&definition.service, &given)?),
            None => None,
        };
        let parent = definition.service.id.clone();
        self.put(definition, None, false, replace_checks, from_file)?;
        if let Some(sidecar) = sidecar {
            self.put(sidecar, Some(parent), managed, replace_checks, from_file)?;
        }
        self.settle_aliases();
        Ok(())
    }

    fn complete_sidecar(&self, parent: &Service, given: &ServiceDefinition) -> Result<ServiceDefinition, Error> {
        let id = sidecar::sidecar_id(&parent.id);
        let kept = self.services.get(&id).filter(|known| known.sidecar_of.is_some()).map(|known| known.service.port);
        let taken = self.services.values().map(|known| &known.service).chain([parent]);
        let done = sidecar::complete(parent, given, || {
            kept.map_or_else(|| sidecar::lowest_free(&self.rules.ports, &taken), Ok)
        })?;
        validate::service(&done)?;
        Ok(done)
    }

    fn put(
        &mut self,
        definition: ServiceDefinition,
        sidecar_of: Option<String>,
        managed: bool,
        replace_checks: bool,
        from_file: bool,
    ) -> Result<(), Error> {
        let ServiceDefinition { mut service, checks, token, .. } = definition;
        tag_addresses(&mut service);
        let id = service.id.clone();
        let checks = number_checks(checks, &service);
        if self.checks.len() + checks.len() > CHECK_LIMIT {
            return Err(Error::Refused(format!("this agent takes no more than {CHECK_LIMIT} checks")));
        }
        if replace_checks {
            let keep: BTreeSet<&str> = checks.iter().map(|check| check.id.as_str()).collect();
            self.remove_checks(|check_id, check| {
                check.health.service_id == id && check.definition.is_some() && !keep.contains(check_id)
            });
        }
        for (check_id, check) in self.checks.iter_mut().filter(|(_, check)| check.health.service_id == id) {
            check.health.service_name.clone_from(&service.service);
            check.health.service_tags.clone_from(&service.tags);
            self.unsaved.checks.insert(check_id.clone());
        }
        for mut check in checks {
            if check.token == Token::default() {
                check.token.clone_from(&token);
            }
            self.put_check(check, Some(&service), from_file);
        }
        self.unsaved.services.insert(id.clone());
        self.services.insert(id, LocalService { service, sidecar_of, managed, from_file, token });
        Ok(())
    }

    /// Registers a check on its own, of the node or of a service that is there.
    pub fn register_check(&mut self, mut check: CheckDefinition, from_file: bool) -> Result<(), Error> {
        if check.id.is_empty() {
            check.id.clone_from(&check.name);
        }
        if check.id.is_empty() {
            return Err(Error::Invalid("Missing check name".to_owned()));
        }
        self.rules.admit(&check, from_file)?;
        if self.checks.len() >= CHECK_LIMIT && !self.checks.contains_key(&check.id) {
            return Err(Error::Refused(format!("this agent takes no more than {CHECK_LIMIT} checks")));
        }
        let service = match check.service_id.as_str() {
            "" => None,
            id => Some(
                self.services
                    .get(id)
                    .map(|known| known.service.clone())
                    .ok_or_else(|| Error::Refused(format!("ServiceID {id:?} does not exist")))?,
            ),
        };
        self.put_check(check, service.as_ref(), from_file);
        self.settle_aliases();
        Ok(())
    }

    /// A check that is there already keeps what it knows, whatever the new definition says its first status is.
    fn put_check(&mut self, mut check: CheckDefinition, service: Option<&Service>, from_file: bool) {
        check.interval = check.interval.max(crate::checks::SHORTEST_INTERVAL);
        if from_file {
            self.file_checks.insert(check.id.clone());
        }
        let before = self.checks.get(&check.id);
        let mut health = HealthCheck {
            node: self.node.clone(),
            check_id: check.id.clone(),
            name: check.name.clone(),
            status: check.initial_status.unwrap_or_default(),
            notes: check.notes.clone(),
            output: String::new(),
            service_id: service.map(|s| s.id.clone()).unwrap_or_default(),
            service_name: service.map(|s| s.service.clone()).unwrap_or_default(),
            service_tags: service.map(|s| s.tags.clone()).unwrap_or_default(),
            kind: check.kind.name().to_owned(),
        };
        let mut critical_since = (health.status == Status::Critical).then(Instant::now);
        let mut generation = None;
        if let Some(before) = before.filter(|before| before.definition.is_some()) {
            health.status = before.health.status;
            health.output.clone_from(&before.health.output);
            critical_since = before.critical_since;
            // The same check again goes on running undisturbed; a TTL starts anew, as the application has just spoken.
            let same = before.definition.as_ref() == Some(&check) && !matches!(check.kind, CheckKind::Ttl(_));
            generation = same.then_some(before.generation);
        }
        let generation = generation.unwrap_or_else(|| self.next_generation());
        self.insert_check(LocalCheck { definition: Some(check), health, critical_since, generation, from_file });
    }

    fn insert_check(&mut self, check: LocalCheck) {
        let id = check.health.check_id.clone();
        self.unsaved.checks.insert(id.clone());
        self.changed_checks.insert(id.clone());
        self.checks.insert(id, check);
    }

    fn remove_checks(&mut self, gone: impl Fn(&str, &LocalCheck) -> bool) {
        let Self { checks, unsaved, changed_checks, .. } = self;
        checks.retain(|id, check| {
            let goes = gone(id, check);
            if goes {
                unsaved.checks.insert(id.clone());
                changed_checks.insert(id.clone());
            }
            !goes
        });
    }

    fn next_generation(&mut self) -> u64 {
        self.generations += 1;
        self.generations
    }

    /// Removes a service, its checks and the sidecar made for it; false when there is no such service.
    pub fn deregister(&mut self, id: &str) -> bool {
        let sidecar = sidecar::sidecar_id(id);
        let own = self.services.get(&sidecar).is_some_and(|s| s.sidecar_of.as_deref() == Some(id));
        if self.services.remove(id).is_none() {
            return false;
        }
        self.unsaved.services.insert(id.to_owned());
        if own {
            self.services.remove(&sidecar);
            self.unsaved.services.insert(sidecar.clone());
        }
        self.remove_checks(|_, check| {
            let of = &check.health.service_id;
            of == id || (own && *of == sidecar)
        });
        self.settle_aliases();
        true
    }

    pub fn deregister_check(&mut self, id: &str) -> bool {
        let gone = self.checks.remove(id).is_some();
        if gone {
            self.unsaved.checks.insert(id.to_owned());
            self.changed_checks.insert(id.to_owned());
        }
        self.settle_aliases();
        gone
    }

    /// What the files say now: registers these and removes what only earlier files had. Refused ones are reported.
    pub fn apply_files(&mut self, services: Vec<ServiceDefinition>, checks: Vec<CheckDefinition>) -> Vec<Error> {
        let mut keep: BTreeSet<String> = BTreeSet::new();
        for definition in &services {
            let service = &definition.service;
            let id = if service.id.is_empty() { &service.service } else { &service.id };
            keep.insert(id.clone());
            if definition.sidecar.is_some() {
                keep.insert(sidecar::sidecar_id(id));
            }
        }
        let gone: Vec<String> = self
            .services
            .iter()
            .filter(|(id, s)| s.from_file && !keep.contains(*id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.deregister(&id);
        }
        self.file_checks.clear();
        let mut refused = Vec::new();
        for definition in services {
            refused.extend(self.register(definition, false, true).err());
        }
        for check in checks {
            refused.extend(self.register_check(check, true).err());
        }
        // A definition that was refused has checks nobody knows the ids of: theirs are not to vanish.
        if refused.is_empty() {
            let named = std::mem::take(&mut self.file_checks);
            self.remove_checks(|id, check| check.from_file && !named.contains(id));
            self.settle_aliases();
        }
        refused
    }

    /// Takes what a check found out. False when it changes nothing or the check was replaced meanwhile.
    pub fn report(&mut self, id: &str, generation: u64, status: Status, output: String) -> bool {
        let output = if self.rules.discard_output { String::new() } else { output };
        let Some(check) = self.checks.get_mut(id).filter(|check| check.generation == generation) else {
            return false;
        };
        if !set(check, status, output) {
            return false;
        }
        self.settle_aliases();
        true
    }

    /// Turns maintenance on (with a reason) or off, for a service or, with an empty id, for the node.
    pub fn maintain(&mut self, service_id: &str, on: bool, reason: &str) -> Result<(), Error> {
        let service = match service_id {
            "" => None,
            id => Some(
                self.services
                    .get(id)
                    .map(|known| known.service.clone())
                    .ok_or_else(|| Error::Unknown(format!("No service registered with ID {id:?}")))?,
            ),
        };
        let (id, name, noun) = match &service {
            Some(service) => (format!("{SERVICE_MAINTENANCE}{}", service.id), "Service Maintenance Mode", "service"),
            None => (NODE_MAINTENANCE.to_owned(), "Node Maintenance Mode", "node"),
        };
        if !on {
            self.deregister_check(&id);
            return Ok(());
        }
        if self.checks.contains_key(&id) {
            return Ok(());
        }
        let notes = match reason {
            "" => format!(
                "Maintenance mode is enabled for this {noun}, but no reason was provided. This is a default message."
            ),
            reason => reason.to_owned(),
        };
        let health = HealthCheck {
            node: self.node.clone(),
            check_id: id.clone(),
            name: name.to_owned(),
            status: Status::Critical,
            notes,
            service_id: service.as_ref().map(|s| s.id.clone()).unwrap_or_default(),
            service_name: service.as_ref().map(|s| s.service.clone()).unwrap_or_default(),
            service_tags: service.map(|s| s.tags).unwrap_or_default(),
            kind: "maintenance".to_owned(),
            ..HealthCheck::default()
        };
        let generation = self.next_generation();
        self.insert_check(LocalCheck { definition: None, health, critical_since: None, generation, from_file: false });
        self.settle_aliases();
        Ok(())
    }

    /// The worst of a service's own checks and the node's; maintenance is worse than critical.
    pub fn aggregate(&self, service_id: &str) -> (&'static str, Vec<&HealthCheck>) {
        let own = self.checks.values().map(|check| &check.health);
        let own: Vec<&HealthCheck> = own.filter(|c| c.service_id == service_id || c.service_id.is_empty()).collect();
        let maintained = |check: &&HealthCheck| {
            check.check_id == NODE_MAINTENANCE || check.check_id.starts_with(SERVICE_MAINTENANCE)
        };
        let word = if own.iter().any(maintained) {
            "maintenance"
        } else {
            own.iter().map(|check| check.status).max().unwrap_or(Status::Passing).as_str()
        };
        (word, own)
    }

    /// The services whose checks have been critical for longer than they allow.
    pub fn overdue(&self, now: Instant) -> BTreeSet<String> {
        let late = self.checks.values().filter(|check| {
            let after = check.definition.as_ref().map_or(Duration::ZERO, |d| d.deregister_critical_service_after);
            let since = check.critical_since.filter(|_| !after.is_zero() && !check.health.service_id.is_empty());
            since.is_some_and(|since| now.duration_since(since) > after.max(self.rules.shortest_deregister))
        });
        late.map(|check| check.health.service_id.clone()).collect()
    }
}

impl Rules {
    /// Whoever defines a check that runs programs runs what he likes with the agent's rights.
    fn admit(&self, check: &CheckDefinition, from_file: bool) -> Result<(), Error> {
        let allowed = match self.scripts {
            Scripts::Everybody => true,
            Scripts::Files => from_file,
            Scripts::Nobody => false,
        };
        if allowed || !check.kind.runs_programs() {
            return Ok(());
        }
        Err(Error::Refused(if from_file {
            "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or \
             'enable_local_script_checks' to true"
                .to_owned()
        } else {
            "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true"
                .to_owned()
        }))
    }
}

fn set(check: &mut LocalCheck, status: Status, output: String) -> bool {
    if check.health.status == status && check.health.output == output {
        return false;
    }
    check.critical_since = match status {
        Status::Critical => check.critical_since.or_else(|| Some(Instant::now())),
        _ => None,
    };
    check.health.status = status;
    check.health.output = output;
    true
}

/// `service:<id>` for one check, `service:<id>:<n>` for several; one with an id of its own takes up a number too.
fn number_checks(mut checks: Vec<CheckDefinition>, service: &Service) -> Vec<CheckDefinition> {
    let several = checks.len() > 1;
    for (i, check) in checks.iter_mut().enumerate() {
        if check.id.is_empty() {
            check.id = format!("service:{}", service.id);
            if several {
                check.id += &format!(":{}", i + 1);
            }
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", service.service);
        }
        check.service_id.clone_from(&service.id);
    }
    checks
}

/// Consul answers an address of its own under `lan_ipv4`, `wan_ipv4` (or `…_ipv6`) too.
fn tag_addresses(service: &mut Service) {
    let family = match service.address.parse() {
        Ok(IpAddr::V4(_)) => "ipv4",
        Ok(IpAddr::V6(_)) => "ipv6",
        Err(_) => return,
    };
    for net in ["lan", "wan"] {
        let own = ServiceAddress { address: service.address.clone(), port: service.port };
        service.tagged_addresses.entry(format!("{net}_{family}")).or_insert(own);
    }
}

#[cfg(test)]
mod tests;
