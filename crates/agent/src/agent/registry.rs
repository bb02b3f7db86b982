//! What is registered here: the calls that change it, and those that read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use client::Client;
use model::{CheckDefinition, CheckKind, HealthCheck, Service, ServiceDefinition, ServiceKind, Status, Token};
use tokio::sync::watch;

use super::{Agent, locked};
use crate::error::Error;
use crate::intentions::Intentions;
use crate::local::State;
use crate::storage::{Storage, TtlState};
use crate::sync::{NodeView, Write};
use crate::syncer::{SERF_HEALTH, own_entries};
use crate::tokens::TokenKind;

/// The health of one local service: the word Consul has for it, and the checks behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceHealth {
    pub service: Service,
    /// `passing`, `warning`, `critical` or `maintenance`.
    pub status: &'static str,
    pub checks: Vec<HealthCheck>,
}

impl Agent {
    /// Registers a service with its checks and sidecar, as `PUT /v1/agent/service/register` does.
    pub fn register_service(self: &Arc<Self>, service: ServiceDefinition, replace_checks: bool) -> Result<(), Error> {
        self.change(|state| state.register(service, replace_checks, false)).and_then(|done| done)
    }

    /// Removes a service, its checks and its sidecar; false when nothing is registered under that id.
    pub fn deregister_service(self: &Arc<Self>, id: &str) -> Result<bool, Error> {
        self.change(|state| state.deregister(id))
    }

    pub fn register_check(self: &Arc<Self>, check: CheckDefinition) -> Result<(), Error> {
        self.change(|state| state.register_check(check, false)).and_then(|done| done)
    }

    /// False when nothing is registered under that id.
    pub fn deregister_check(self: &Arc<Self>, id: &str) -> Result<bool, Error> {
        self.change(|state| state.deregister_check(id))
    }

    /// What the definition files say now, at the start and at each reload. Gives those that were refused.
    pub fn apply_definitions(
        self: &Arc<Self>,
        services: Vec<ServiceDefinition>,
        checks: Vec<CheckDefinition>,
    ) -> Vec<Error> {
        match self.change(|state| state.apply_files(services, checks)) {
            Ok(refused) => refused,
            Err(unsaved) => vec![unsaved],
        }
    }

    /// The first thing in an agent's life: the files, then what was saved and they do not define.
    pub(super) fn restore(
        self: &Arc<Self>,
        services: Vec<ServiceDefinition>,
        checks: Vec<CheckDefinition>,
    ) -> Vec<Error> {
        let saved = locked(&self.storage).as_ref().map(Storage::load).unwrap_or_default();
        let done = self.change(|state| {
            let refused = state.apply_files(services, checks);
            state.restore(saved);
            refused
        });
        done.unwrap_or_else(|unsaved| vec![unsaved])
    }

    /// What an application says of its TTL check.
    pub fn update_ttl(self: &Arc<Self>, check_id: &str, status: Status, output: &str) -> Result<(), Error> {
        let unknown = || Error::Refused(format!("CheckID {check_id:?} does not have associated TTL"));
        let (generation, limit, ttl) = {
            let state = self.state();
            let check = state.checks.get(check_id).ok_or_else(unknown)?;
            let definition = check.definition.as_ref().ok_or_else(unknown)?;
            let CheckKind::Ttl(ttl) = definition.kind else { return Err(unknown()) };
            (check.generation, crate::checks::output_limit(definition, &self.config), ttl)
        };
        locked(&self.runner).touch(check_id);
        let output = capped(output, limit);
        self.keep_ttl(&TtlState::new(check_id, status, &output, ttl));
        self.report_check(check_id, generation, status, output);
        Ok(())
    }

    /// A word that could not be kept is no reason not to take it.
    fn keep_ttl(&self, state: &TtlState) {
        if let Some(storage) = &*locked(&self.storage)
            && let Err(error) = storage.save_state(state)
        {
            tracing::warn!(check = state.check_id, "failed persisting state: {error}");
        }
    }

    /// Maintenance of a service on or off; an unknown service is an error.
    pub fn service_maintenance(self: &Arc<Self>, id: &str, on: bool, reason: &str) -> Result<(), Error> {
        self.change(|state| state.maintain(id, on, reason)).and_then(|done| done)
    }

    pub fn node_maintenance(self: &Arc<Self>, on: bool, reason: &str) -> Result<(), Error> {
        self.change(|state| state.maintain("", on, reason)).and_then(|done| done)
    }

    // --- reading

    /// All services of this agent by id, sidecars with central configuration merged in.
    pub fn services(&self) -> BTreeMap<String, Service> {
        let central = self.central();
        self.state().services.iter().map(|(id, known)| (id.clone(), central.merged(&known.service))).collect()
    }

    pub fn service(&self, id: &str) -> Option<Service> {
        let central = self.central();
        self.state().services.get(id).map(|known| central.merged(&known.service))
    }

    pub fn checks(&self) -> BTreeMap<String, HealthCheck> {
        self.state().checks.iter().map(|(id, check)| (id.clone(), check.health.clone())).collect()
    }

    pub fn health_of_id(&self, id: &str) -> Option<ServiceHealth> {
        let state = self.state();
        state.services.get(id).map(|known| health(&state, &known.service))
    }

    pub fn health_of_name(&self, name: &str) -> Vec<ServiceHealth> {
        let state = self.state();
        let named = state.services.values().filter(|known| known.service.service == name);
        named.map(|known| health(&state, &known.service)).collect()
    }

    /// Ids of the sidecars written in the managed form, whose proxies this process must run itself.
    pub fn managed_proxies(&self) -> Vec<String> {
        let state = self.state();
        state.services.iter().filter(|(_, known)| known.managed).map(|(id, _)| id.clone()).collect()
    }

    /// Changes whenever a service, a check or the central configuration does.
    pub fn watch_local(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The number of checks with a TTL, and of those this agent runs itself.
    pub fn check_counts(&self) -> (usize, usize) {
        let state = self.state();
        let ttl = |check: &&crate::local::LocalCheck| {
            matches!(check.definition.as_ref().map(|d| &d.kind), Some(CheckKind::Ttl(_)))
        };
        let ttls = state.checks.values().filter(ttl).count();
        (ttls, state.checks.values().filter(|check| check.definition.is_some()).count() - ttls)
    }

    // --- the local state

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Changes the state, then makes disk, tasks, held intentions, catalog and plans follow. An error is of the disk.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
        let storage = locked(&self.storage);
        let (out, destinations) = {
            let mut state = self.state();
            let out = change(&mut state);
            let mut runner = locked(&self.runner);
            for id in &state.changed_checks {
                let check = state.checks.get(id);
                let wanted = check.and_then(|check| Some((check.generation, check.definition.as_ref()?)));
                runner.reconcile(self, id, wanted);
            }
            state.changed_checks.clear();
            (out, destinations(&state))
        };
        let saved = aside(|| self.save(storage.as_ref()));
        drop(storage);
        self.intentions.reconcile(self, &destinations);
        for destination in &destinations {
            // Asked for now, there when the sidecar comes.
            let _ = self.leaves.watch(self, destination, &Token::default());
        }
        self.changed();
        saved.map(|()| out)
    }

    /// Writes what has changed. What could not be written is tried again with the next change.
    fn save(&self, storage: Option<&Storage>) -> Result<(), Error> {
        let unsaved = std::mem::take(&mut self.state().unsaved);
        let Some(storage) = storage.filter(|_| !unsaved.is_empty()) else { return Ok(()) };
        let mut failed = Ok(());
        for id in unsaved.services {
            let known = self.state().services.get(&id).cloned();
            if let Err(source) = storage.save_service(&id, known.as_ref()) {
                failed = Err(Error::Save { what: "service", id: id.clone(), source });
                self.state().unsaved.services.insert(id);
            }
        }
        for id in unsaved.checks {
            let known = self.state().checks.get(&id).cloned();
            if let Err(source) = storage.save_check(&id, known.as_ref()) {
                failed = Err(Error::Save { what: "check", id: id.clone(), source });
                self.state().unsaved.checks.insert(id);
            }
        }
        failed.and_then(|()| {
            storage.sync().map_err(|source| Error::Save { what: "registrations in", id: "data_dir".into(), source })
        })
    }

    pub(super) fn changed(&self) {
        self.version.send_modify(|version| *version += 1);
        self.replan();
    }

    /// Takes what a running check found out.
    pub(crate) fn report_check(&self, id: &str, generation: u64, status: Status, output: String) {
        if self.state().report(id, generation, status, output) {
            // Plans are not made of checks.
            self.version.send_modify(|version| *version += 1);
        }
    }

    pub(crate) fn check_output(&self, id: &str) -> String {
        self.state().checks.get(id).map(|check| check.health.output.clone()).unwrap_or_default()
    }

    pub(crate) fn intentions(&self) -> &Intentions {
        &self.intentions
    }

    /// What the catalog should say of this node.
    pub(crate) fn wanted(&self) -> NodeView {
        let (server, alive) = own_entries(self);
        let mut services = self.services();
        if let Some(server) = server {
            // A registration under the same id replaces it.
            services.entry(server.id.clone()).or_insert(server);
        }
        let mut checks = self.checks();
        checks.insert(SERF_HEALTH.to_owned(), alive);
        NodeView { node: Some(self.config.node.clone()), services, checks }
    }

    /// A client that acts as the agent itself.
    pub(crate) fn acting(&self) -> Client {
        self.with(self.config.tokens.of_agent())
    }

    /// A client with the rights of whoever registered the service, or its proxy, here; for one that is not of this
    /// agent with those of `asker`.
    pub(crate) fn speaking_for(&self, service: &str, asker: &Token) -> Client {
        let state = self.state();
        let mut own = state.services.values().filter(|known| known.service.identity_name() == service);
        let own = own.find(|known| !known.token.0.is_empty()).map(|known| known.token.clone());
        drop(state);
        let token = own.unwrap_or_else(|| asker.clone());
        self.with(if token.0.is_empty() { self.config.tokens.get(TokenKind::Default) } else { token })
    }

    fn with(&self, token: Token) -> Client {
        self.client.clone().with_token(Some(token.0).filter(|token| !token.is_empty()))
    }

    /// With which a write goes to the catalog: a registration's own token, else that of files, else the default one;
    /// the agent's for its node and for what it removes.
    pub(crate) fn token_of(&self, write: &Write) -> Option<String> {
        let tokens = &self.config.tokens;
        let state = self.state();
        let of_check = |id: &str| {
            let check = state.checks.get(id)?;
            Some((check.definition.as_ref()?.token.clone(), check.from_file))
        };
        let own = match write {
            Write::Service(service, _) => {
                state.services.get(&service.id).map(|known| (known.token.clone(), known.from_file))
            }
            Write::Check(check) => of_check(&check.check_id),
            Write::Node(_) | Write::RemoveService(_) | Write::RemoveCheck(_) => None,
        };
        let token = match own {
            None => tokens.of_agent(),
            Some((token, _)) if !token.0.is_empty() => token,
            Some((_, true)) => tokens.of_files(),
            Some((_, false)) => tokens.get(TokenKind::Default),
        };
        Some(token.0).filter(|token| !token.is_empty())
    }

    /// `enable_tag_override`: the catalog's tags are taken over, the one thing in which it beats the agent.
    pub(crate) fn adopt_tags(&self, catalog: &BTreeMap<String, Service>) {
        let mut adopted = false;
        for (id, known) in &mut self.state().services {
            if let Some(theirs) = catalog.get(id).filter(|_| known.service.enable_tag_override) {
                adopted |= known.service.tags != theirs.tags;
                known.service.tags.clone_from(&theirs.tags);
            }
        }
        if adopted {
            self.changed();
        }
    }
}

/// Work that waits for the disk; where there are other workers they take over this one's tasks meanwhile.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The services that callers of this agent's proxies want to reach.
fn destinations(state: &State) -> BTreeSet<String> {
    let services = state.services.values().map(|known| &known.service);
    services
        .filter(|service| service.kind == ServiceKind::ConnectProxy || service.connect.native)
        .map(|service| service.identity_name().to_owned())
        .collect()
}

fn health(state: &State, service: &Service) -> ServiceHealth {
    let (status, checks) = state.aggregate(&service.id);
    ServiceHealth { service: service.clone(), status, checks: checks.into_iter().cloned().collect() }
}

fn capped(output: &str, limit: usize) -> String {
    if output.len() <= limit {
        return output.to_owned();
    }
    format!("{} ... (captured {limit} of {} bytes)", crate::checks::cut(output, limit), output.len())
}
