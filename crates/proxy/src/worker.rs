//! One worker: a thread with a runtime of its own, that owns listeners, pools and counters and shares nothing.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;
use plan::{Balance, Endpoint, Inbound, Plan, ProxyRef, Target, TargetId};
use telemetry::{Direction, Peer, Recorder};
use tokio::sync::watch;
use tokio::task::LocalSet;

use crate::accept::{InboundRole, Listener, Role};
use crate::balance::Balancer;
use crate::connect::{Cluster, Host, Limits, Load, Pool};
use crate::drain;
use crate::limits::{CONNECT_TIMEOUT, CONNECTIONS_PER_TARGET, PENDING_PER_TARGET, REQUESTS_PER_TARGET};
use crate::record::Records;
use crate::route::OutboundRole;
use crate::sidecar::Phase;
use crate::snapshot::{Instance, Snapshot, SocketKey};

/// How often unused upstream connections are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// What a worker says when it has ended.
pub(crate) const ENDED: u64 = u64::MAX;

/// Runs hyper's tasks on the worker they belong to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// What a worker is given.
pub(crate) struct Context {
    pub index: usize,
    pub workers: usize,
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    pub phase: watch::Sender<Phase>,
    pub recorder: Recorder,
    pub applied: watch::Sender<Vec<u64>>,
    pub drain_timeout: Duration,
}

/// Where workers say which snapshot they run.
pub(crate) fn applied_channel(workers: usize) -> (watch::Sender<Vec<u64>>, watch::Receiver<Vec<u64>>) {
    watch::channel(vec![0; workers])
}

pub(crate) fn run(context: Context) {
    let (index, applied) = (context.index, context.applied.clone());
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let tasks = LocalSet::new();
            tasks.block_on(&runtime, serve(context));
            // Ends what is still open, which records it: before the word that this worker has ended.
            drop(tasks);
        }
        Err(error) => tracing::error!(%error, "a worker has no runtime"),
    }
    applied.send_modify(|all| all[index] = ENDED);
}

async fn serve(mut context: Context) {
    let mut phase = context.phase.subscribe();
    let mut worker = Worker {
        index: context.index,
        workers: context.workers,
        records: Rc::new(Records { recorder: context.recorder.clone(), access_log: None.into() }),
        listeners: HashMap::new(),
        closing: Vec::new(),
        clusters: HashMap::new(),
        applications: HashMap::new(),
    };
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    let mut alone = false;
    loop {
        tokio::select! {
            changed = context.snapshots.changed(), if !alone => {
                // Without a control thread nothing can change any more; what is known is served on.
                if changed.is_err() {
                    tracing::error!("a worker lost its control thread");
                    alone = true;
                    continue;
                }
                let snapshot = context.snapshots.borrow_and_update().clone();
                if let Some(snapshot) = snapshot {
                    worker.apply(&snapshot);
                    context.applied.send_modify(|all| all[context.index] = snapshot.sequence);
                }
            }
            stop = phase.wait_for(|phase| *phase >= Phase::Draining) => {
                drop(stop);
                break;
            }
            _ = housekeeping.tick() => worker.close_idle(),
        }
    }
    let listeners: Vec<Rc<Listener>> = worker.listeners.into_values().chain(worker.closing).collect();
    drain::drain(&listeners, context.drain_timeout, &mut phase).await;
}

struct Worker {
    index: usize,
    workers: usize,
    records: Rc<Records>,
    listeners: HashMap<SocketKey, Rc<Listener>>,
    /// No longer in the plan; kept until their last connection has ended.
    closing: Vec<Rc<Listener>>,
    clusters: HashMap<TargetId, Rc<Cluster>>,
    applications: HashMap<SocketKey, Rc<Cluster>>,
}

impl Worker {
    /// Makes this worker do what the snapshot says, keeping every socket, connection and pool that stays the same.
    fn apply(&mut self, snapshot: &Snapshot) {
        *self.records.access_log.borrow_mut() = snapshot.access_log.clone();
        let plan = &snapshot.plan;
        let clusters = plan.targets.iter().map(|(id, target)| {
            let instances = snapshot.endpoints.get(id).map_or(&[][..], |all| all.as_slice());
            (id.clone(), Rc::new(self.cluster(target, instances, snapshot)))
        });
        self.clusters = clusters.collect();
        let mut roles: BTreeMap<SocketKey, Role> = BTreeMap::new();
        let mut applications = HashMap::new();
        for inbound in &plan.inbound {
            let key = SocketKey { direction: Direction::Inbound, bind: inbound.bind.clone(), port: inbound.port };
            let application = Rc::new(self.application(inbound, self.applications.get(&key)));
            applications.insert(key.clone(), application.clone());
            let role = InboundRole::new(inbound, &plan.identity, application, snapshot.tls.clone());
            roles.insert(key, Role::Inbound(role));
        }
        self.applications = applications;
        let label = source_label(&plan.proxy);
        for outbound in &plan.outbound {
            let key = SocketKey { direction: Direction::Outbound, bind: outbound.bind.clone(), port: outbound.port };
            let role = OutboundRole::new(outbound, label.clone(), |id| self.clusters.get(id).cloned());
            roles.insert(key, Role::Outbound(role));
        }
        self.set_roles(roles, snapshot);
    }

    fn set_roles(&mut self, roles: BTreeMap<SocketKey, Role>, snapshot: &Snapshot) {
        let gone: Vec<SocketKey> = self.listeners.keys().filter(|key| !roles.contains_key(key)).cloned().collect();
        for key in gone {
            if let Some(listener) = self.listeners.remove(&key) {
                listener.close();
                self.closing.push(listener);
            }
        }
        for (key, role) in roles {
            match self.listeners.get(&key) {
                Some(listener) => listener.set_role(Rc::new(role)),
                None => {
                    if let Some(listener) = self.open(&key, role, snapshot) {
                        self.listeners.insert(key, listener);
                    }
                }
            }
        }
    }

    /// A socket that the control thread could not bind is not here; it says so and tries again.
    fn open(&self, key: &SocketKey, role: Role, snapshot: &Snapshot) -> Option<Rc<Listener>> {
        let sockets = snapshot.sockets.get(key)?;
        let socket = tokio::net::TcpListener::from_std(sockets.take(self.index)?);
        let socket = socket.map_err(|error| tracing::error!(%error, "listener {}", sockets.name)).ok()?;
        let counters = self.records.recorder.listener(key.direction, &sockets.name);
        let records = self.records.clone();
        let role = Rc::new(role);
        let listener = Listener::new(sockets.local, counters, records, role, self.workers);
        tokio::task::spawn_local(listener.clone().run(socket));
        Some(listener)
    }

    fn cluster(&self, target: &Target, instances: &[Instance], snapshot: &Snapshot) -> Cluster {
        let old = self.clusters.get(&target.id);
        let generation = snapshot.tls.generation;
        let hosts: Vec<Rc<Host>> = instances
            .iter()
            .map(|Instance { endpoint, .. }| {
                let pool = kept_pool(old, &endpoint.address, Some(&target.identity), generation).unwrap_or_else(|| {
                    Rc::new(Pool::new(&endpoint.address, Some(target.identity.clone()), Some(snapshot.tls.clone())))
                });
                let peer = Peer {
                    service: target.service.as_str().into(),
                    instance: endpoint.instance.as_str().into(),
                    node: endpoint.node.as_str().into(),
                    zone: endpoint.zone.as_str().into(),
                    version: endpoint.version.as_str().into(),
                    address: endpoint.address.as_str().into(),
                };
                Rc::new(Host { endpoint: endpoint.clone(), peer, pool })
            })
            .collect();
        let wanted = |host: &&Rc<Host>| host.endpoint.healthy && !(target.only_passing && host.endpoint.warning);
        let healthy = hosts.iter().filter(wanted).cloned().collect();
        Cluster {
            id: target.id.0.as_str().into(),
            identity: Some(target.identity.clone()),
            sni: target.sni.clone(),
            service: target.service.as_str().into(),
            balancer: Balancer::new(healthy, &target.balance),
            hosts,
            unwell: unwell(target, instances),
            limits: self.limits(target.max_connections, target.max_pending_requests, target.max_concurrent_requests),
            failover: target.failover.clone(),
            hash: target.hash.clone(),
            ejection: target.ejection.clone(),
            load: kept_load(old),
            connect_timeout: or_default(target.connect_timeout),
            counters: self.records.recorder.target(&target.id.0),
        }
    }

    /// The application as a target: one host, no TLS, always taken for healthy (its checks are the agent's business).
    fn application(&self, inbound: &Inbound, old: Option<&Rc<Cluster>>) -> Cluster {
        let address = &inbound.application;
        let pool = kept_pool(old, address, None, 0).unwrap_or_else(|| Rc::new(Pool::new(address, None, None)));
        let endpoint = Endpoint { address: address.clone(), weight: 1, healthy: true, ..Endpoint::default() };
        let host = Rc::new(Host { endpoint, peer: Peer::default(), pool });
        Cluster {
            id: "local_app".into(),
            identity: None,
            sni: String::new(),
            service: "".into(),
            balancer: Balancer::new(vec![host.clone()], &Balance::default()),
            hosts: vec![host],
            unwell: String::new(),
            limits: self.limits(0, 0, 0),
            failover: Vec::new(),
            hash: Vec::new(),
            ejection: None,
            load: kept_load(old),
            connect_timeout: or_default(inbound.connect_timeout),
            counters: self.records.recorder.target("local_app"),
        }
    }

    /// This worker's share. Zero is "not said".
    fn limits(&self, connections: u32, pending: u32, requests: u32) -> Limits {
        let workers = u32::try_from(self.workers).unwrap_or(1);
        let share = |said: u32, own: u32| (if said == 0 { own } else { said }).div_ceil(workers);
        Limits {
            connections: share(connections, CONNECTIONS_PER_TARGET),
            pending: share(pending, PENDING_PER_TARGET),
            requests: share(requests, REQUESTS_PER_TARGET),
        }
    }

    fn close_idle(&mut self) {
        let now = Instant::now();
        for host in self.clusters.values().chain(self.applications.values()).flat_map(|cluster| &cluster.hosts) {
            host.pool.close_idle(now);
        }
        self.closing.retain(|listener| listener.open() > 0);
    }
}

fn or_default(timeout: Duration) -> Duration {
    if timeout.is_zero() { CONNECT_TIMEOUT } else { timeout }
}

fn kept_load(old: Option<&Rc<Cluster>>) -> Rc<Load> {
    old.map(|cluster| cluster.load.clone()).unwrap_or_default()
}

fn kept_pool(
    old: Option<&Rc<Cluster>>,
    address: &str,
    identity: Option<&model::SpiffeId>,
    generation: u64,
) -> Option<Rc<Pool>> {
    let same = |pool: &&Rc<Pool>| {
        pool.address == address && pool.identity.as_ref() == identity && pool.generation == generation
    };
    old?.hosts.iter().map(|host| &host.pool).find(same).cloned()
}

/// What a caller is told when no instance can be used: every one of them, and why not (the first few).
fn unwell(target: &Target, instances: &[Instance]) -> String {
    const NAMED: usize = 4;
    let service = &target.service;
    if instances.is_empty() {
        return format!("no instance of {service:?} is known in datacenter {:?}", target.datacenter);
    }
    let mut text = format!("none of {} instances of {service:?} is healthy", instances.len());
    for Instance { endpoint, unwell } in instances.iter().take(NAMED) {
        text.push_str(&format!("; {:?} on node {:?}: {unwell}", endpoint.instance, endpoint.node));
    }
    text
}

/// `instance;node;zone;version`, what this proxy tells other sidecars about itself.
fn source_label(proxy: &ProxyRef) -> Option<HeaderValue> {
    let ProxyRef { service_id, node, zone, version, .. } = proxy;
    let clean = |text: &str| text.replace(|c: char| c == ';' || !c.is_ascii_graphic(), "_");
    let parts = [service_id, node, zone, version].map(|part| clean(part));
    HeaderValue::from_str(&parts.join(";")).ok()
}

/// The listeners of a plan, with what binding one needs.
pub(crate) fn socket_keys(plan: &Plan) -> BTreeMap<SocketKey, (String, model::Protocol)> {
    let inbound = plan.inbound.iter().map(|l| (Direction::Inbound, &l.bind, l.port, &l.name, l.protocol));
    let outbound = plan.outbound.iter().map(|l| (Direction::Outbound, &l.bind, l.port, &l.name, l.protocol));
    inbound
        .chain(outbound)
        .map(|(direction, bind, port, name, protocol)| {
            (SocketKey { direction, bind: bind.clone(), port }, (name.clone(), protocol))
        })
        .collect()
}
