//! What a sidecar tells its agent once a second. Counters are cumulative since the proxy started (`epoch`), so a
//! report that is lost or repeated changes nothing; only cells that changed are sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{CellKey, Flag};
use crate::registry::Registry;

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
#[derive(Debug)]
pub struct Reporter {
    registry: Arc<Registry>,
    sequence: u64,
    reports_until_full: u32,
    acknowledged: BTreeMap<CellKey, Totals>,
    pending: Option<(u64, BTreeMap<CellKey, Totals>)>,
}

/// Every how many reports all cells are sent, changed or not, so that an agent that was restarted knows all totals.
pub const REPORTS_PER_FULL: u32 = 30;

impl Reporter {
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, sequence: 0, reports_until_full: 0, acknowledged: BTreeMap::new(), pending: None }
    }

    /// The cells that changed since the last report that was [`delivered`](Self::delivered).
    pub fn report(&mut self, at_ms: u64) -> Report {
        let full = self.reports_until_full == 0;
        self.reports_until_full = if full { REPORTS_PER_FULL } else { self.reports_until_full } - 1;
        self.build(at_ms, full)
    }

    /// All cells: the last word of a proxy that drains.
    pub fn last(&mut self, at_ms: u64) -> Report {
        self.build(at_ms, true)
    }

    /// The agent took the report with this sequence number; what is in it need not be sent again until it changes.
    pub fn delivered(&mut self, sequence: u64) {
        if let Some((_, cells)) = self.pending.take_if(|(pending, _)| *pending == sequence) {
            self.acknowledged.extend(cells);
        }
    }

    fn build(&mut self, at_ms: u64, full: bool) -> Report {
        let snapshot = self.registry.snapshot();
        self.sequence += 1;
        let mut cells = BTreeMap::new();
        for (key, values) in &snapshot.cells {
            let totals = values.totals();
            if full || self.acknowledged.get(key) != Some(&totals) {
                cells.insert(key.clone(), totals);
            }
        }
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

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
    fn a_report_reads_back_as_it_was() {
        let registry = Registry::new(ProxyLabels { service: "web".into(), ..ProxyLabels::default() });
        let outcome = Outcome { code: 200, grpc_status: Some(13), ..Outcome::default() };
        registry.recorder().cell(&key("db", "db-1")).record(&outcome);
        let report = Reporter::new(registry).report(1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
