//! All that one proxy has counted. Each worker writes its own cells through a [`Recorder`]; a reader adds them up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use model::Protocol;

use crate::cell::{Cell, CellValues};
use crate::counters::{ListenerCounters, ListenerValues, TargetCounters, TargetValues};
use crate::record::{CellKey, Direction};

/// Cells per worker; past it requests are counted in their listener's `other` cell.
pub const MAX_CELLS: usize = 4096;
/// gRPC methods told apart per listener and worker; later ones are `other`.
pub const MAX_GRPC_METHODS: usize = 256;
/// Bytes of one label value; a longer one (a caller chooses its own version) is cut.
pub const MAX_LABEL_BYTES: usize = 256;
/// What the dimensions past a limit are called.
pub const OTHER: &str = "other";

/// Who this proxy is; becomes labels of everything it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLabels {
    /// The proxy's own service id.
    pub proxy: String,
    /// The service it stands for and that service's instance id.
    pub service: String,
    pub instance: String,
    pub node: String,
    pub zone: String,
    pub version: String,
    pub namespace: String,
    pub partition: String,
    pub datacenter: String,
    pub trust_domain: String,
    /// `envoy_stats_tags`.
    pub stats_tags: Vec<(String, String)>,
}

impl Default for ProxyLabels {
    fn default() -> Self {
        let empty = String::new;
        Self {
            proxy: empty(),
            service: empty(),
            instance: empty(),
            node: empty(),
            zone: empty(),
            version: empty(),
            namespace: "default".to_owned(),
            partition: "default".to_owned(),
            datacenter: empty(),
            trust_domain: empty(),
            stats_tags: Vec::new(),
        }
    }
}

/// What Envoy's metric names need to know of a listener besides its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerInfo {
    /// `127.0.0.1:8003`
    pub address: String,
    pub protocol: Protocol,
}

/// How many instances a target has, as the last endpoint watch said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Membership {
    pub total: u32,
    pub healthy: u32,
}

type ListenerKey = (Direction, String);
/// gRPC service and method.
type Method = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct Tables {
    cells: HashMap<CellKey, Arc<Cell>>,
    listeners: BTreeMap<ListenerKey, Arc<ListenerCounters>>,
    targets: BTreeMap<String, Arc<TargetCounters>>,
    /// gRPC methods seen, per listener.
    methods: HashMap<(Direction, Arc<str>), HashSet<Method>>,
}

#[derive(Debug, Default)]
struct Worker {
    tables: Mutex<Tables>,
    cell_overflow: AtomicU64,
    method_overflow: AtomicU64,
}

impl Worker {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One per proxy. Counters are kept for listeners and targets that are gone: they are cumulative, and may come back.
#[derive(Debug)]
pub struct Registry {
    labels: ArcSwap<ProxyLabels>,
    epoch: u64,
    started: Instant,
    live: AtomicBool,
    workers: Mutex<Vec<Arc<Worker>>>,
    listeners: Mutex<BTreeMap<ListenerKey, ListenerInfo>>,
    memberships: Mutex<BTreeMap<String, Membership>>,
    sink_drops: AtomicU64,
    log_drops: Arc<AtomicU64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    #[must_use]
    pub fn new(labels: ProxyLabels) -> Arc<Self> {
        Arc::new(Self {
            labels: ArcSwap::from_pointee(labels),
            // Zero is "no report yet" to whoever reads reports.
            epoch: fastrand::u64(1..),
            started: Instant::now(),
            live: AtomicBool::new(true),
            workers: Mutex::default(),
            listeners: Mutex::default(),
            memberships: Mutex::default(),
            sink_drops: AtomicU64::new(0),
            log_drops: Arc::default(),
        })
    }

    /// A new plan may change what the proxy is called or tagged; counters go on.
    pub fn set_labels(&self, labels: ProxyLabels) {
        self.labels.store(Arc::new(labels));
    }

    #[must_use]
    pub fn labels(&self) -> Arc<ProxyLabels> {
        self.labels.load_full()
    }

    /// Random at start: tells readers that the counters began again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// `envoy_server_live`: false while draining.
    pub fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::Relaxed);
    }

    /// One per worker.
    #[must_use]
    pub fn recorder(self: &Arc<Self>) -> Recorder {
        let worker = Arc::new(Worker::default());
        lock(&self.workers).push(worker.clone());
        Recorder { worker }
    }

    /// Tells where a listener listens; call it when one is opened.
    pub fn listener_info(&self, direction: Direction, name: &str, info: ListenerInfo) {
        lock(&self.listeners).insert((direction, name.to_owned()), info);
    }

    /// Tells how many instances a target has; call it when its endpoints change.
    pub fn membership(&self, target: &str, membership: Membership) {
        lock(&self.memberships).insert(target.to_owned(), membership);
    }

    pub(crate) fn count_sink_drops(&self, n: u64) {
        self.sink_drops.fetch_add(n, Ordering::Relaxed);
    }

    /// Where an access log counts the entries it had no room for.
    pub(crate) fn log_drops(&self) -> Arc<AtomicU64> {
        self.log_drops.clone()
    }

    /// Everything, added over workers.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut out = Snapshot {
            labels: self.labels(),
            uptime_seconds: self.started.elapsed().as_secs(),
            live: self.live.load(Ordering::Relaxed),
            workers: lock(&self.workers).len() as u64,
            sink_drops: self.sink_drops.load(Ordering::Relaxed),
            log_drops: self.log_drops.load(Ordering::Relaxed),
            ..Snapshot::default()
        };
        for (key, info) in lock(&self.listeners).iter() {
            out.listeners.entry(key.clone()).or_default().info = info.clone();
        }
        for (id, membership) in lock(&self.memberships).iter() {
            out.targets.entry(id.clone()).or_default().membership = *membership;
        }
        for worker in lock(&self.workers).iter() {
            out.cell_overflow += worker.cell_overflow.load(Ordering::Relaxed);
            out.method_overflow += worker.method_overflow.load(Ordering::Relaxed);
            let tables = worker.tables();
            for (key, cell) in &tables.cells {
                cell.add_to(out.cells.entry(key.clone()).or_default());
            }
            for (key, counters) in &tables.listeners {
                out.listeners.entry(key.clone()).or_default().values.add(counters);
            }
            for (id, counters) in &tables.targets {
                out.targets.entry(id.clone()).or_default().values.add(counters);
            }
        }
        out.listeners.values_mut().for_each(|l| l.values.settle());
        out.targets.values_mut().for_each(|t| t.values.settle());
        out
    }
}

/// A listener, added over workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListenerSnapshot {
    pub info: ListenerInfo,
    pub values: ListenerValues,
}

/// A target, added over workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetSnapshot {
    pub membership: Membership,
    pub values: TargetValues,
}

/// What every sink reads; taking one costs the request path nothing.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub labels: Arc<ProxyLabels>,
    pub uptime_seconds: u64,
    pub live: bool,
    pub workers: u64,
    pub cells: BTreeMap<CellKey, CellValues>,
    pub listeners: BTreeMap<(Direction, String), ListenerSnapshot>,
    pub targets: BTreeMap<String, TargetSnapshot>,
    /// How often a limit was met: cells, gRPC methods, datagrams lost, log entries dropped.
    pub cell_overflow: u64,
    pub method_overflow: u64,
    pub sink_drops: u64,
    pub log_drops: u64,
}

/// A worker's way to its counters. What it hands out is to be kept: looking one up takes a (never contended) lock.
#[derive(Debug, Clone)]
pub struct Recorder {
    worker: Arc<Worker>,
}

impl Recorder {
    /// The cell of these dimensions. Past [`MAX_CELLS`] the listener's `other` cell, past [`MAX_GRPC_METHODS`] the
    /// method `other`.
    #[must_use]
    pub fn cell(&self, key: &CellKey) -> Arc<Cell> {
        let mut tables = self.worker.tables();
        if let Some(cell) = tables.cells.get(key) {
            return cell.clone();
        }
        let mut key = trimmed(key);
        if !key.grpc_service.is_empty() {
            let methods = tables.methods.entry((key.direction, key.listener.clone())).or_default();
            let method = (key.grpc_service.clone(), key.grpc_method.clone());
            if methods.len() < MAX_GRPC_METHODS {
                methods.insert(method);
            } else if !methods.contains(&method) {
                self.worker.method_overflow.fetch_add(1, Ordering::Relaxed);
                key.grpc_service = OTHER.into();
                key.grpc_method = OTHER.into();
            }
        }
        if tables.cells.len() >= MAX_CELLS && !tables.cells.contains_key(&key) {
            self.worker.cell_overflow.fetch_add(1, Ordering::Relaxed);
            key = overflow(&key);
        }
        let fresh = || Arc::new(Cell::new(&key));
        tables.cells.entry(key.clone()).or_insert_with(fresh).clone()
    }

    #[must_use]
    pub fn listener(&self, direction: Direction, name: &str) -> Arc<ListenerCounters> {
        self.worker.tables().listeners.entry((direction, name.to_owned())).or_default().clone()
    }

    #[must_use]
    pub fn target(&self, id: &str) -> Arc<TargetCounters> {
        self.worker.tables().targets.entry(id.to_owned()).or_default().clone()
    }
}

/// One cell per listener and target takes what no longer fits, so even this is bounded by the plan. Which service was
/// called or calls is kept where it is the plan's own word (the target), and given up where a peer chose it.
fn overflow(key: &CellKey) -> CellKey {
    let service = if key.direction == Direction::Outbound { key.peer.service.clone() } else { OTHER.into() };
    let peer = crate::record::Peer { service, instance: OTHER.into(), ..Default::default() };
    CellKey { peer, route: OTHER.into(), grpc_service: "".into(), grpc_method: "".into(), ..key.clone() }
}

fn trimmed(key: &CellKey) -> CellKey {
    let mut key = key.clone();
    let peer = &mut key.peer;
    for label in [
        &mut peer.service,
        &mut peer.instance,
        &mut peer.node,
        &mut peer.zone,
        &mut peer.version,
        &mut peer.address,
        &mut key.route,
        &mut key.grpc_service,
        &mut key.grpc_method,
    ] {
        if label.len() > MAX_LABEL_BYTES {
            *label = label[..label.floor_char_boundary(MAX_LABEL_BYTES)].into();
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Outcome;
    use crate::record::tests::key;

    fn ok() -> Outcome {
        Outcome { code: 200, duration: Duration::from_millis(1), ..Outcome::default() }
    }

    #[test]
    fn workers_are_added_up() {
        let registry = Registry::new(ProxyLabels::default());
        let (a, b) = (registry.recorder(), registry.recorder());
        for recorder in [&a, &a, &b] {
            recorder.cell(&key("db", "db-1")).record(&ok());
            recorder.target("db.default.dc1").cx_active.inc();
        }
        b.target("db.default.dc1").cx_active.dec();
        b.target("db.default.dc1").cx_active.dec();
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.cells.len(), 1);
        assert_eq!(snapshot.cells[&key("db", "db-1")].totals().requests, 3);
        assert_eq!(snapshot.targets["db.default.dc1"].values.cx_active, 1);
    }

    #[test]
    fn cells_are_capped_and_nothing_is_lost() {
        let registry = Registry::new(ProxyLabels::default());
        let recorder = registry.recorder();
        for i in 0..MAX_CELLS + 50 {
            recorder.cell(&key("db", &format!("db-{i}"))).record(&ok());
        }
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.cell_overflow, 50);
        assert_eq!(snapshot.cells.len(), MAX_CELLS + 1);
        assert_eq!(snapshot.cells.values().map(|c| c.cluster.requests()).sum::<u64>() as usize, MAX_CELLS + 50);
    }

    #[test]
    fn grpc_methods_are_capped_per_listener() {
        let registry = Registry::new(ProxyLabels::default());
        let recorder = registry.recorder();
        for i in 0..MAX_GRPC_METHODS + 5 {
            let method =
                CellKey { grpc_service: "shop.Cart".into(), grpc_method: format!("M{i}").into(), ..key("db", "db-1") };
            recorder.cell(&method).record(&ok());
        }
        let snapshot = registry.snapshot();
        assert_eq!(snapshot.method_overflow, 5);
        let other = snapshot.cells.iter().find(|(k, _)| &*k.grpc_method == OTHER).map(|(_, c)| c.cluster.requests());
        assert_eq!(other, Some(5));
    }

    #[test]
    fn a_label_that_a_caller_chose_is_cut_at_a_character() {
        let registry = Registry::new(ProxyLabels::default());
        let recorder = registry.recorder();
        let mut long = key("db", "db-1");
        long.peer.version = "é".repeat(400).into();
        recorder.cell(&long).record(&ok());
        let snapshot = registry.snapshot();
        assert!(snapshot.cells.keys().all(|k| k.peer.version.len() == MAX_LABEL_BYTES));
    }
}
