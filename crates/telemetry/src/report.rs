//! What a sidecar tells its agent once a second. Counters are cumulative since the proxy started (`epoch`), so a
//! report that is lost or repeated changes nothing; only cells that changed are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::record::{CellKey, Flag};
use crate::registry::{Registry, Snapshot};

/// Upper bounds, in milliseconds, of the latency buckets of every histogram: Envoy's, as Consul's dashboards know them.
pub const BUCKETS_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The proxy's service id, its service, its service's instance id and node.
    pub proxy: String,
    pub service: String,
    pub instance: String,
    pub node: String,
    pub zone: String,
    pub version: String,
    pub datacenter: String,
    /// Random at start; a new epoch means that the counters began again at zero.
    pub epoch: u64,
    pub sequence: u64,
    /// How often everything has been delivered; to whoever missed the beginning this tells when nothing old is new.
    pub sweeps: u64,
    /// Milliseconds since 1970, by the proxy's clock.
    pub at_ms: u64,
    pub cells: Vec<CellReport>,
    pub targets: Vec<TargetReport>,
}

/// A cell's totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellReport {
    pub key: CellKey,
    /// Not flattened: serde's flattening cannot read back maps with numbers as keys.
    pub totals: Totals,
}

/// Everything a cell counts. Adding two gives the totals of both.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub requests: u64,
    /// By response code; 0 is TCP or no answer.
    pub codes: BTreeMap<u16, u64>,
    pub grpc_statuses: BTreeMap<u8, u64>,
    pub flags: BTreeMap<Flag, u64>,
    pub retries: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Requests per bucket of [`BUCKETS_MS`] (not cumulative over buckets), one more for the rest.
    pub buckets: Vec<u64>,
    /// The same requests per fine bucket ([`crate::histogram`]), empty ones left out.
    pub fine: BTreeMap<u8, u64>,
    pub duration_us_sum: u64,
    /// Requests that failed through no fault of the caller ([`crate::Outcome::is_error`]).
    pub errors: u64,
    /// Requests that an intention refused here.
    pub refused: u64,
    /// Failures that began at the answering application, not further down and not in the mesh.
    pub origin_failures: u64,
}

/// How many instances a target has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetReport {
    pub target: String,
    pub total: u32,
    pub healthy: u32,
}

/// Builds the reports of one proxy.
///
/// What changed is sent until it is [`delivered`](Self::delivered); every [`SWEEP_EVERY`] reports everything is, so
/// that an agent that was restarted learns all totals.
#[derive(Debug)]
pub struct Reporter {
    registry: Arc<Registry>,
    sequence: u64,
    sweeps: u64,
    until_sweep: u32,
    ending: bool,
    /// What the running sweep has still to deliver.
    due: BTreeSet<CellKey>,
    /// Where the last report stopped for want of room.
    cursor: Option<CellKey>,
    acknowledged: BTreeMap<CellKey, Totals>,
    pending: Option<(u64, BTreeMap<CellKey, Totals>)>,
}

/// Reports from one sweep to the next.
pub const SWEEP_EVERY: u32 = 30;
/// About how many bytes of cells one report holds; agents take half a megabyte. The rest follows in the next.
pub const REPORT_BYTES: usize = 256 * 1024;
/// A cell's size in a report besides its labels.
const CELL_BYTES: usize = 900;

/// How long to wait for the first report, so that all of them fall near the middle of a second of the clock: a report
/// then has half a second to be early or late before it is counted to its neighbour. `spread` (`0..=1`) keeps the
/// proxies of a machine from reporting all at once.
#[must_use]
pub fn first_report_in(now: SystemTime, spread: f64) -> Duration {
    let into_second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |d| f64::from(d.subsec_nanos()) / 1e9);
    let at = 0.35 + 0.3 * spread.clamp(0.0, 1.0);
    Duration::from_secs_f64((at - into_second).rem_euclid(1.0))
}

impl Reporter {
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            sequence: 0,
            sweeps: 0,
            until_sweep: SWEEP_EVERY,
            ending: false,
            due: BTreeSet::new(),
            cursor: None,
            acknowledged: BTreeMap::new(),
            pending: None,
        }
    }

    /// The cells that changed since the last report that was [`delivered`](Self::delivered).
    pub fn report(&mut self, at_ms: u64) -> Report {
        let snapshot = self.registry.snapshot();
        self.until_sweep = self.until_sweep.saturating_sub(1);
        if self.until_sweep == 0 && self.due.is_empty() {
            self.until_sweep = SWEEP_EVERY;
            self.due = snapshot.cells.keys().cloned().collect();
        }
        self.build(at_ms, &snapshot)
    }

    /// All cells: the last word of a proxy that drains. While [`has_more`](Self::has_more), ask again.
    pub fn last(&mut self, at_ms: u64) -> Report {
        let snapshot = self.registry.snapshot();
        if !std::mem::replace(&mut self.ending, true) {
            self.due = snapshot.cells.keys().cloned().collect();
        }
        self.build(at_ms, &snapshot)
    }

    /// The agent took the report with this sequence number; what is in it need not be sent again until it changes.
    pub fn delivered(&mut self, sequence: u64) {
        if let Some((_, cells)) = self.pending.take_if(|(pending, _)| *pending == sequence) {
            let sweeping = !self.due.is_empty();
            self.due.retain(|key| !cells.contains_key(key));
            self.sweeps += u64::from(sweeping && self.due.is_empty());
            self.acknowledged.extend(cells);
        }
    }

    /// Whether what is to be delivered did not fit the last report.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.due.is_empty() || self.cursor.is_some()
    }

    fn build(&mut self, at_ms: u64, snapshot: &Snapshot) -> Report {
        self.sequence += 1;
        let cells = self.choose(snapshot);
        let labels = &snapshot.labels;
        let report = Report {
            proxy: labels.proxy.clone(),
            service: labels.service.clone(),
            instance: labels.instance.clone(),
            node: labels.node.clone(),
            zone: labels.zone.clone(),
            version: labels.version.clone(),
            datacenter: labels.datacenter.clone(),
            epoch: self.registry.epoch(),
            sequence: self.sequence,
            sweeps: self.sweeps,
            at_ms,
            cells: cells.iter().map(|(key, totals)| CellReport { key: key.clone(), totals: totals.clone() }).collect(),
            targets: snapshot
                .targets
                .iter()
                .map(|(target, t)| TargetReport {
                    target: target.clone(),
                    total: t.membership.total,
                    healthy: t.membership.healthy,
                })
                .collect(),
        };
        self.pending = Some((self.sequence, cells));
        report
    }

    /// From where the last report stopped and around, so that no cell waits for ever.
    fn choose(&mut self, snapshot: &Snapshot) -> BTreeMap<CellKey, Totals> {
        let from = self.cursor.take();
        let start = from.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let tail = snapshot.cells.range::<CellKey, _>((start, Bound::Unbounded));
        let head = from.as_ref().map(|key| snapshot.cells.range::<CellKey, _>(..=key));
        let mut out = BTreeMap::new();
        let mut bytes = 0;
        let mut last = None;
        for (key, values) in tail.chain(head.into_iter().flatten()) {
            let totals = values.totals();
            if self.acknowledged.get(key) == Some(&totals) && !self.due.contains(key) {
                continue;
            }
            bytes += CELL_BYTES + key.label_bytes();
            if bytes > REPORT_BYTES && last.is_some() {
                self.cursor = last;
                break;
            }
            last = Some(key.clone());
            out.insert(key.clone(), totals);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::Outcome;
    use crate::record::tests::key;
    use crate::registry::ProxyLabels;

    #[test]
    fn only_what_changed_is_sent_and_what_was_lost_is_sent_again() {
        let registry = Registry::new(ProxyLabels::default());
        let recorder = registry.recorder();
        let outcome = Outcome { code: 200, duration: Duration::from_millis(2), ..Outcome::default() };
        recorder.cell(&key("db", "db-1")).record(&outcome);
        let mut reporter = Reporter::new(registry);
        let first = reporter.report(1);
        assert_eq!(first.cells.len(), 1);
        assert_eq!(reporter.report(2).cells.len(), 1, "nobody took the first one");
        let third = reporter.report(3);
        reporter.delivered(third.sequence);
        assert!(reporter.report(4).cells.is_empty());
        recorder.cell(&key("db", "db-2")).record(&outcome);
        let fifth = reporter.report(5);
        assert_eq!(fifth.cells.len(), 1);
        assert_eq!(&*fifth.cells[0].key.peer.instance, "db-2");
        assert_eq!(reporter.last(6).cells.len(), 2);
    }

    #[test]
    fn reports_are_bounded_and_every_cell_has_its_turn() {
        let registry = Registry::new(ProxyLabels::default());
        let recorder = registry.recorder();
        for i in 0..1000 {
            recorder.cell(&key("db", &format!("db-{i}"))).record(&Outcome::default());
        }
        let mut reporter = Reporter::new(registry);
        let mut seen = BTreeSet::new();
        let mut reports = 0;
        loop {
            let report = reporter.last(1);
            assert!(serde_json::to_string(&report).unwrap().len() < 512 * 1024);
            seen.extend(report.cells.iter().map(|cell| cell.key.clone()));
            reporter.delivered(report.sequence);
            reports += 1;
            if !reporter.has_more() {
                break;
            }
        }
        assert_eq!(seen.len(), 1000);
        assert!((3..10).contains(&reports), "{reports}");
    }

    #[test]
    fn everything_is_sent_again_now_and_then() {
        let registry = Registry::new(ProxyLabels::default());
        registry.recorder().cell(&key("db", "db-1")).record(&Outcome::default());
        let mut reporter = Reporter::new(registry);
        let mut sent = Vec::new();
        for at in 1..=u64::from(SWEEP_EVERY) * 2 {
            let report = reporter.report(at);
            reporter.delivered(report.sequence);
            sent.extend((!report.cells.is_empty()).then_some(at));
        }
        assert_eq!(sent, [1, SWEEP_EVERY.into(), u64::from(SWEEP_EVERY) * 2]);
        assert_eq!(reporter.report(99).sweeps, 2);
    }

    #[test]
    fn reports_fall_near_the_middle_of_a_second() {
        for ms in (0..3000).step_by(37) {
            let now = SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
            for spread in [0.0, 0.5, 1.0] {
                let wait = first_report_in(now, spread);
                assert!(wait < Duration::from_secs(1));
                let at = (u128::from(ms) + wait.as_millis()) % 1000;
                assert!((349..=651).contains(&at), "{ms} {spread}: {at}");
            }
        }
    }

    #[test]
    fn a_report_reads_back_as_it_was() {
        let registry = Registry::new(ProxyLabels { service: "web".into(), ..ProxyLabels::default() });
        let outcome = Outcome { code: 200, grpc_status: Some(13), ..Outcome::default() };
        registry.recorder().cell(&key("db", "db-1")).record(&outcome);
        let report = Reporter::new(registry).report(1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
