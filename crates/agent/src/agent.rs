//! The agent: its parts, and the calls the API makes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use client::{Client, Query};
use model::{CheckDefinition, CheckKind, HealthCheck, Service, ServiceDefinition, ServiceKind, SpiffeId, Status};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::central::Central;
use crate::checks::Runner;
use crate::config::Config;
use crate::error::Error;
use crate::follow::follow;
use crate::intentions::Intentions;
use crate::leaf::{Leaf, Leaves};
use crate::local::State;
use crate::plans::{PlanVersion, Plans};
use crate::roots::Roots;
use crate::sync::NodeView;
use crate::syncer::{SERF_HEALTH, Syncer, own_entries};

/// How long a decision, a certificate or the roots wait for the servers' first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// The longest a caller may wait for something new.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A running agent. Registrations go in, the catalog, certificates, decisions and plans come out.
pub struct Agent {
    config: Config,
    client: Client,
    state: Mutex<State>,
    /// Counts changes of the local state or of what is merged into it.
    version: watch::Sender<u64>,
    runner: Mutex<Runner>,
    central: RwLock<Arc<Central>>,
    roots: watch::Sender<Option<Roots>>,
    leaves: Leaves,
    intentions: Intentions,
    plans: Plans,
    replan: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// A decision over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub authorized: bool,
    pub reason: String,
    /// The intentions were held already: nobody had to be asked.
    pub from_cache: bool,
}

/// The health of one local service: the word Consul has for it, and the checks behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceHealth {
    pub service: Service,
    /// `passing`, `warning`, `critical` or `maintenance`.
    pub status: &'static str,
    pub checks: Vec<HealthCheck>,
}

impl Agent {
    /// Starts an agent and its tasks. They end with [`shutdown`](Self::shutdown) or [`leave`](Self::leave).
    pub fn start(config: Config, client: Client) -> Arc<Self> {
        let state = State::new(&config.node.node, config.sidecar_ports.clone());
        let agent = Arc::new(Self {
            config,
            client,
            state: Mutex::new(state),
            version: watch::Sender::new(0),
            runner: Mutex::default(),
            central: RwLock::default(),
            roots: watch::Sender::new(None),
            leaves: Leaves::default(),
            intentions: Intentions::default(),
            plans: Plans::default(),
            replan: Notify::new(),
            tasks: Mutex::default(),
        });
        let spawn = |task: AbortHandle| locked(&agent.tasks).push(task);
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { Syncer::new(&this).run().await }).abort_handle());
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { this.follow_roots().await }).abort_handle());
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { this.follow_proxy_defaults().await }).abort_handle());
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { this.follow_service_defaults().await }).abort_handle());
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { this.plan_on_change().await }).abort_handle());
        let this = Arc::clone(&agent);
        spawn(tokio::spawn(async move { this.reap().await }).abort_handle());
        agent
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    // --- registering

    /// Registers a service with its checks and sidecar, as `PUT /v1/agent/service/register` does.
    pub fn register_service(self: &Arc<Self>, service: ServiceDefinition, replace_checks: bool) -> Result<(), Error> {
        self.change(|state| state.register(service, replace_checks, false))
    }

    /// Removes a service, its checks and its sidecar. An unknown id is no error.
    pub fn deregister_service(self: &Arc<Self>, id: &str) {
        self.change(|state| state.deregister(id));
    }

    pub fn register_check(self: &Arc<Self>, check: CheckDefinition) -> Result<(), Error> {
        self.change(|state| state.register_check(check, false))
    }

    pub fn deregister_check(self: &Arc<Self>, id: &str) {
        self.change(|state| state.deregister_check(id));
    }

    /// What the definition files say now, at the start and at each reload. Gives those that were refused.
    pub fn apply_definitions(
        self: &Arc<Self>,
        services: Vec<ServiceDefinition>,
        checks: Vec<CheckDefinition>,
    ) -> Vec<Error> {
        self.change(|state| state.apply_files(services, checks))
    }

    /// What an application says of its TTL check.
    pub fn update_ttl(self: &Arc<Self>, check_id: &str, status: Status, output: &str) -> Result<(), Error> {
        let unknown = || Error::Refused(format!("CheckID {check_id:?} does not have associated TTL"));
        let (generation, limit) = {
            let state = self.state();
            let check = state.checks.get(check_id).ok_or_else(unknown)?;
            let definition = check.definition.as_ref().ok_or_else(unknown)?;
            if !matches!(definition.kind, CheckKind::Ttl(_)) {
                return Err(unknown());
            }
            (check.generation, definition.output_max_size)
        };
        locked(&self.runner).touch(check_id);
        let limit = if limit == 0 { crate::checks::OUTPUT_LIMIT_BYTES } else { limit };
        self.report_check(check_id, generation, status, capped(output, limit));
        Ok(())
    }

    /// Maintenance of a service on or off; an unknown service is an error.
    pub fn service_maintenance(self: &Arc<Self>, id: &str, on: bool, reason: &str) -> Result<(), Error> {
        self.change(|state| state.maintain(id, on, reason))
    }

    pub fn node_maintenance(self: &Arc<Self>, on: bool, reason: &str) {
        // Without a service there is nothing that could be unknown.
        let _ = self.change(|state| state.maintain("", on, reason));
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

    // --- identity

    /// The roots, once the servers have answered; blocks while they are those of `index`.
    pub async fn roots(&self, index: u64, wait: Duration) -> Result<Roots, Error> {
        let mut watch = self.roots.subscribe();
        let known = known(&mut watch, FIRST_ANSWER).await.ok_or_else(|| Error::NotReady("CA roots".to_owned()))?;
        if index == 0 || known.index != index {
            return Ok(known);
        }
        let wait = wait.min(LONGEST_WAIT);
        let newer = |roots: &Option<Roots>| roots.as_ref().is_some_and(|roots| roots.index != index);
        let _ = tokio::time::timeout(wait, watch.wait_for(newer)).await;
        Ok(watch.borrow().clone().unwrap_or(known))
    }

    pub(crate) fn watch_roots(&self) -> watch::Receiver<Option<Roots>> {
        self.roots.subscribe()
    }

    /// The certificate for a service name and whether it was there already; blocks while it is that of `index`.
    pub async fn leaf(self: &Arc<Self>, service: &str, index: u64, wait: Duration) -> Result<(Arc<Leaf>, bool), Error> {
        let (mut watch, cached) = self.leaves.watch(self, service)?;
        let first = known(&mut watch, FIRST_ANSWER).await;
        let leaf =
            first.ok_or_else(|| Error::NotReady(format!("certificate for {service}")))?.map_err(Error::Refused)?;
        if index == 0 || leaf.modify_index != index {
            return Ok((leaf, cached));
        }
        let newer = |state: &Option<Result<Arc<Leaf>, String>>| {
            state.as_ref().is_some_and(|state| state.as_ref().is_ok_and(|leaf| leaf.modify_index != index))
        };
        let waited = tokio::time::timeout(wait.min(LONGEST_WAIT), watch.wait_for(newer)).await.is_ok();
        let cached = cached && !waited;
        match watch.borrow().clone() {
            Some(Ok(leaf)) => Ok((leaf, cached)),
            _ => Ok((leaf, cached)),
        }
    }

    /// Whether the holder of a certificate may call a service here. As in Consul only the service in the URI counts.
    pub async fn authorize(self: &Arc<Self>, target: &str, client_uri: &str) -> Result<Decision, Error> {
        if target.is_empty() {
            return Err(Error::Invalid("Target service must be specified".to_owned()));
        }
        let source = source_of(client_uri)?;
        let (mut watch, from_cache) = self.intentions.watch(self, target);
        let held = known(&mut watch, FIRST_ANSWER).await.ok_or_else(|| Error::NotReady("intentions".to_owned()))?;
        Ok(match model::decide(&held, &source, target) {
            Some(intention) => Decision {
                authorized: intention.action == model::Action::Allow,
                reason: format!("Matched intention: {intention}"),
                from_cache,
            },
            None => Decision {
                authorized: self.config.default_policy == model::Action::Allow,
                reason: self.config.default_reason().to_owned(),
                from_cache,
            },
        })
    }

    // --- plans

    /// The plan of a local proxy, always the latest; none when no such proxy is registered here.
    pub fn plan(&self, proxy_id: &str) -> Option<watch::Receiver<Option<PlanVersion>>> {
        let is_proxy = self.state().services.get(proxy_id).is_some_and(|s| s.service.kind == ServiceKind::ConnectProxy);
        is_proxy.then(|| self.plans.watch(proxy_id))
    }

    /// Something that plans are made of has changed.
    pub(crate) fn replan(&self) {
        self.replan.notify_one();
    }

    async fn plan_on_change(self: Arc<Self>) {
        loop {
            let trust_domain = self.roots.borrow().as_ref().map(|roots| Arc::from(&*roots.trust_domain));
            // Without a trust domain nobody has an identity, so there is no plan to make.
            if let Some(trust_domain) = trust_domain {
                self.plans.compile(&self, &trust_domain);
            }
            self.replan.notified().await;
        }
    }

    // --- following the servers

    async fn follow_roots(&self) {
        follow::<Value>(&self.client, "/v1/connect/ca/roots", &[], |answer| {
            self.roots.send_replace(Some(Roots::new(answer.index, answer.value)));
            self.replan();
        })
        .await;
    }

    async fn follow_proxy_defaults(&self) {
        follow::<Vec<Value>>(&self.client, "/v1/config/proxy-defaults", &[], |answer| {
            self.change_central(|central| central.set_proxy_defaults(&answer.value));
        })
        .await;
    }

    async fn follow_service_defaults(&self) {
        follow::<Vec<Value>>(&self.client, "/v1/config/service-defaults", &[], |answer| {
            self.change_central(|central| central.set_service_defaults(&answer.value));
        })
        .await;
    }

    pub(crate) fn central(&self) -> Arc<Central> {
        Arc::clone(&self.central.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_central(&self, change: impl FnOnce(&mut Central)) {
        {
            let mut slot = self.central.write().unwrap_or_else(PoisonError::into_inner);
            let mut next = Central::clone(&slot);
            change(&mut next);
            if next == **slot {
                return;
            }
            *slot = Arc::new(next);
        }
        self.changed();
    }

    // --- the local state

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    /// Changes the state, then makes tasks, held intentions, catalog and plans follow.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> T) -> T {
        let (out, destinations) = {
            let mut state = self.state();
            let out = change(&mut state);
            let wanted = state.checks.iter().filter_map(|(id, check)| {
                check.definition.as_ref().map(|definition| (id, check.generation, definition))
            });
            locked(&self.runner).reconcile(self, wanted);
            (out, destinations(&state))
        };
        self.intentions.reconcile(self, &destinations);
        for destination in &destinations {
            // Asked for now, there when the sidecar comes.
            let _ = self.leaves.watch(self, destination);
        }
        self.changed();
        out
    }

    fn changed(&self) {
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

    async fn reap(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.config.reap_interval).await;
            let overdue = self.state().overdue(Instant::now());
            for id in overdue {
                tracing::info!("service {id:?} has been critical for longer than it allows: deregistering it");
                self.deregister_service(&id);
            }
        }
    }

    // --- ending

    /// Ends all tasks. What is in the catalog stays there.
    pub fn shutdown(&self) {
        locked(&self.runner).stop();
        self.leaves.stop();
        self.intentions.stop();
        for task in locked(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// Ends all tasks and takes this node out of the catalog.
    pub async fn leave(&self) -> Result<(), Error> {
        self.shutdown();
        let node = &self.config.node;
        let body = json!({"Datacenter": node.datacenter, "Node": node.node});
        self.client.put("/v1/catalog/deregister", &body).await?;
        Ok(())
    }

    /// Waits until the catalog has this node and the roots are known: then the agent can serve.
    pub async fn ready(&self) -> Result<(), Error> {
        self.roots(0, Duration::ZERO).await?;
        let path = format!("/v1/catalog/node/{}", crate::follow::segment(&self.config.node.node));
        let deadline = tokio::time::Instant::now() + FIRST_ANSWER;
        let mut index = 0;
        loop {
            let query = Query::blocking(index, Duration::from_secs(1));
            let answer = self.client.get::<Value>(&path, &query).await?;
            if answer.value.get("Node").is_some_and(Value::is_object) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::NotReady("this node in the catalog".to_owned()));
            }
            index = answer.index;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first value of a watch that begins empty.
async fn known<T: Clone>(watch: &mut watch::Receiver<Option<T>>, limit: Duration) -> Option<T> {
    match tokio::time::timeout(limit, watch.wait_for(Option::is_some)).await {
        Ok(Ok(value)) => value.clone(),
        _ => None,
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

/// The service a client certificate names. A trust domain's own URI is an identity, but not a service's.
fn source_of(uri: &str) -> Result<String, Error> {
    let not_connect = || Error::Invalid("ClientCertURI not a valid Connect identifier".to_owned());
    if let Ok(identity) = uri.parse::<SpiffeId>() {
        return Ok(identity.service);
    }
    let rest = uri.strip_prefix("spiffe://").ok_or_else(not_connect)?;
    match rest.split_once('/') {
        None if !rest.is_empty() => Err(Error::Invalid("ClientCertURI not a valid Service identifier".to_owned())),
        Some((domain, "")) if !domain.is_empty() => {
            Err(Error::Invalid("ClientCertURI not a valid Service identifier".to_owned()))
        }
        _ => Err(not_connect()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_service_of_a_service_identity_counts() {
        let service = |uri| source_of(uri).map_err(|e| e.to_string());
        assert_eq!(service("spiffe://x.consul/ns/default/dc/dc9/svc/web").unwrap(), "web");
        assert_eq!(service("spiffe://x.consul").unwrap_err(), "ClientCertURI not a valid Service identifier");
        for bad in ["http://x", "", "spiffe://", "spiffe://x.consul/agent/y"] {
            assert_eq!(service(bad).unwrap_err(), "ClientCertURI not a valid Connect identifier", "{bad}");
        }
    }
}
