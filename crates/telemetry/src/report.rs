//! What a sidecar tells its agent once a second. Counters are cumulative since the proxy started (`epoch`), so a
//! report that is lost or repeated changes nothing; only cells that changed are sent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{CellKey, Flag};

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
    #[serde(flatten)]
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
    pub duration_us_sum: u64,
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
