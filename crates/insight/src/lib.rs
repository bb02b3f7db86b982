//! What the mesh is doing, from what its proxies say: who calls whom, how often, how fast, and what fails.
//!
//! On the road: `telemetry → Report → agent → insight → api → page`. Start from [`Insight`]: [`Insight::ingest`] takes
//! a proxy's report, [`Insight::topology`] answers.
//!
//! Invariants: a report that is lost, late or repeated changes no total in the end, because reports carry totals and
//! totals only grow; memory is bounded by named limits, and what is dropped is counted; nothing here is on the path of
//! a request, and the catalog is told to it, never asked for.
//!
//! ```
//! let insight = insight::Insight::new();
//! insight.ingest(&telemetry::Report { proxy: "web-sidecar-proxy".into(), epoch: 7, ..Default::default() }, 1_000);
//! let topology = insight.topology(2_000, std::time::Duration::from_secs(60), &[]);
//! assert!(topology.edges.is_empty());
//! ```

mod facts;
mod ingest;
mod series;
mod topology;

pub use facts::{Check, Instance, Service};
pub use ingest::{Insight, Limits, MAX_CELLS, MAX_PROXIES, MAX_RETIRED_EPOCHS};
pub use series::{End, MAX_POINTS, MAX_SERIES, RETENTION_SECONDS, Sums};
pub use topology::{Edge, InstanceView, Line, Method, Pair, ServiceView, Stats, Topology};
