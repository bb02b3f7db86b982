//! From cumulative totals to what is new. All counters of a cell only grow while its proxy lives, so whatever order
//! reports come in, and however often, the larger number is the newer one, field by field.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use telemetry::{CellKey, Direction, Report, Totals};

use crate::series::{End, MAX_POINTS, MAX_SERIES, SeriesKey, Store, Sums};

/// Proxies followed; past it the one that was silent longest is forgotten.
pub const MAX_PROXIES: usize = 5_000;
/// Cells remembered over all proxies, to tell what is new.
pub const MAX_CELLS: usize = 100_000;
/// Lives of proxies that ended, remembered so that a late report of one is not counted again.
pub const MAX_RETIRED_EPOCHS: usize = 10_000;
/// A proxy whose first report here is among its very first has no past to leave out.
const YOUNG_SEQUENCE: u64 = 10;

/// How far back a report may be dated; past it the reader's clock is believed.
const MAX_LATE_MS: u64 = 5_000;

/// How often a limit was met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub series_dropped: u64,
    pub points_dropped: u64,
    pub proxies_dropped: u64,
    pub cells_refused: u64,
}

/// What all proxies said. Shared; locked for the time of one report or one answer.
#[derive(Debug)]
pub struct Insight {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub store: Store,
    pub proxies: HashMap<String, Proxy>,
    retired: VecDeque<(String, u64)>,
    cells: usize,
    expired_at: u64,
    pub first_ms: Option<u64>,
    pub datacenter: String,
    proxies_dropped: u64,
    cells_refused: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Proxy {
    epoch: u64,
    /// The newest of its reports.
    sequence: u64,
    /// Until its proxy has delivered everything once, what is new here may be old there.
    fresh_from_sweep: Option<u64>,
    cells: HashMap<CellKey, Totals>,
    pub seen_ms: u64,
}

impl Default for Insight {
    fn default() -> Self {
        Self::new()
    }
}

impl Insight {
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(MAX_SERIES, MAX_POINTS)
    }

    /// For small machines and for tests.
    #[must_use]
    pub fn with_limits(max_series: usize, max_points: usize) -> Self {
        let state = State {
            store: Store::new(max_series, max_points),
            proxies: HashMap::new(),
            retired: VecDeque::new(),
            cells: 0,
            expired_at: 0,
            first_ms: None,
            datacenter: String::new(),
            proxies_dropped: 0,
            cells_refused: 0,
        };
        Self { state: Mutex::new(state) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a proxy's report; `now_ms` is the reader's clock.
    pub fn ingest(&self, report: &Report, now_ms: u64) {
        self.lock().ingest(report, now_ms);
    }

    #[must_use]
    pub fn limits(&self) -> Limits {
        let state = self.lock();
        Limits {
            series_dropped: state.store.series_dropped,
            points_dropped: state.store.points_dropped,
            proxies_dropped: state.proxies_dropped,
            cells_refused: state.cells_refused,
        }
    }
}

impl State {
    fn ingest(&mut self, report: &Report, now_ms: u64) {
        if self.retired.iter().any(|(proxy, epoch)| *epoch == report.epoch && *proxy == report.proxy) {
            return;
        }
        self.first_ms.get_or_insert(now_ms);
        if !report.datacenter.is_empty() {
            self.datacenter.clone_from(&report.datacenter);
        }
        if now_ms / 1000 > self.expired_at {
            self.expired_at = now_ms / 1000;
            self.store.expire(now_ms);
        }
        // A report that was held up on its way still belongs where it was made, if the two clocks agree at all.
        let held_up = now_ms.checked_sub(report.at_ms).filter(|late| report.at_ms > 0 && *late <= MAX_LATE_MS);
        let at_ms = held_up.map_or(now_ms, |_| report.at_ms);
        // Taken out while it is worked on, so that the store can be written beside it.
        let mut proxy = self.enter(report, now_ms);
        proxy.seen_ms = proxy.seen_ms.max(now_ms);
        proxy.sequence = proxy.sequence.max(report.sequence);
        if proxy.fresh_from_sweep.is_some_and(|from| report.sweeps >= from) {
            proxy.fresh_from_sweep = None;
        }
        for cell in &report.cells {
            let known = proxy.cells.contains_key(&cell.key);
            if !known && self.cells >= MAX_CELLS {
                self.cells_refused += 1;
                continue;
            }
            self.cells += usize::from(!known);
            let held = proxy.cells.entry(cell.key.clone()).or_default();
            let new = advance(held, &cell.totals);
            if new.requests > 0 {
                let old_news = !known && proxy.fresh_from_sweep.is_some();
                let second = (!old_news).then_some(at_ms / 1000);
                self.store.add(series_key(report, &cell.key), &Sums::of(&new), second, now_ms);
            }
        }
        self.proxies.insert(report.proxy.clone(), proxy);
    }

    /// The proxy's record; a new life of it (another epoch) ends the old one, whose totals stay counted.
    fn enter(&mut self, report: &Report, now_ms: u64) -> Proxy {
        match self.proxies.remove(&report.proxy) {
            Some(proxy) if proxy.epoch == report.epoch => return proxy,
            Some(ended) => self.retire(report.proxy.clone(), &ended),
            None if self.proxies.len() >= MAX_PROXIES => {
                let silent = self.proxies.iter().min_by_key(|(_, proxy)| proxy.seen_ms).map(|(id, _)| id.clone());
                if let Some((id, proxy)) = silent.and_then(|id| self.proxies.remove_entry(&id)) {
                    self.retire(id, &proxy);
                    self.proxies_dropped += 1;
                }
            }
            None => {}
        }
        // Sweeps may be half-way when a reader joins; the one after is whole.
        let late = report.sequence > YOUNG_SEQUENCE;
        Proxy {
            epoch: report.epoch,
            fresh_from_sweep: late.then_some(report.sweeps + 2),
            seen_ms: now_ms,
            ..Proxy::default()
        }
    }

    fn retire(&mut self, id: String, proxy: &Proxy) {
        self.cells -= proxy.cells.len();
        if self.retired.len() >= MAX_RETIRED_EPOCHS {
            self.retired.pop_front();
        }
        self.retired.push_back((id, proxy.epoch));
    }
}

/// Raises `held` to `told` and answers by how much. Both are totals of one life, read at different times.
fn advance(held: &mut Totals, told: &Totals) -> Totals {
    fn one(held: &mut u64, told: u64) -> u64 {
        let new = told.saturating_sub(*held);
        *held += new;
        new
    }
    fn many<K: Ord + Copy>(held: &mut BTreeMap<K, u64>, told: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
        let mut out = BTreeMap::new();
        for (key, told) in told {
            let new = one(held.entry(*key).or_default(), *told);
            if new > 0 {
                out.insert(*key, new);
            }
        }
        out
    }
    Totals {
        requests: one(&mut held.requests, told.requests),
        codes: many(&mut held.codes, &told.codes),
        grpc_statuses: many(&mut held.grpc_statuses, &told.grpc_statuses),
        flags: many(&mut held.flags, &told.flags),
        retries: one(&mut held.retries, told.retries),
        bytes_received: one(&mut held.bytes_received, told.bytes_received),
        bytes_sent: one(&mut held.bytes_sent, told.bytes_sent),
        // The coarse buckets are sums of the fine ones.
        buckets: Vec::new(),
        fine: many(&mut held.fine, &told.fine),
        duration_us_sum: one(&mut held.duration_us_sum, told.duration_us_sum),
        errors: one(&mut held.errors, told.errors),
        refused: one(&mut held.refused, told.refused),
        origin_failures: one(&mut held.origin_failures, told.origin_failures),
    }
}

/// Who called whom, whichever of the two says it.
fn series_key(report: &Report, key: &CellKey) -> SeriesKey {
    let itself = End {
        service: report.service.as_str().into(),
        instance: report.instance.as_str().into(),
        node: report.node.as_str().into(),
    };
    let mut peer =
        End { service: key.peer.service.clone(), instance: key.peer.instance.clone(), node: key.peer.node.clone() };
    if peer.service.is_empty() && key.direction == Direction::Outbound {
        peer.service = target_service(key);
    }
    let (source, destination) = match key.direction {
        Direction::Outbound => (itself, peer),
        Direction::Inbound => (peer, itself),
    };
    SeriesKey {
        view: key.direction,
        source,
        destination,
        protocol: key.protocol,
        grpc_service: key.grpc_service.clone(),
        grpc_method: key.grpc_method.clone(),
    }
}

/// No instance could be chosen, so the target (`[subset.]service.namespace.datacenter`) says which service was meant.
fn target_service(key: &CellKey) -> Arc<str> {
    let parts: Vec<&str> = key.target.split('.').collect();
    match parts[..] {
        [service, _, _] | [_, service, _, _] => service.into(),
        _ => key.listener.split('?').next().unwrap_or_default().into(),
    }
}
