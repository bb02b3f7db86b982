//! What is measured and where it goes.
//!
//! On the road: the proxy's workers bump cells; every sink (Prometheus, StatsD, DogStatsD, the report to the agent)
//! reads the same cells, so no two of them can disagree. Start from [`Registry`]: it hands each worker a [`Recorder`].
//!
//! Invariants: recording takes no lock and blocks on nothing; the number of cells is limited and says so in a metric;
//! a sink never slows a request; a counter never goes back while the proxy lives.
//!
//! ```
//! use telemetry::{CellKey, Direction, Outcome, Peer, ProxyLabels, Registry};
//! let registry = Registry::new(ProxyLabels { service: "web".into(), ..ProxyLabels::default() });
//! let recorder = registry.recorder();
//! let cell = recorder.cell(&CellKey {
//!     direction: Direction::Outbound,
//!     listener: "db".into(),
//!     protocol: model::Protocol::Http,
//!     target: "db.default.dc1".into(),
//!     peer: Peer { service: "db".into(), instance: "db-1".into(), ..Peer::default() },
//!     route: "".into(),
//!     grpc_service: "".into(),
//!     grpc_method: "".into(),
//! });
//! cell.record(&Outcome { code: 200, ..Outcome::default() });
//! assert_eq!(registry.snapshot().cells.values().next().map(|c| c.totals().requests), Some(1));
//! ```

mod access_log;
mod cell;
mod counters;
mod error;
pub mod histogram;
mod metrics;
mod record;
mod registry;
mod report;
mod sink;

pub use access_log::{AccessEntry, AccessLog, AccessLogConfig, LogTarget};
pub use cell::{Answers, Cell, CellValues};
pub use counters::{Counter, Gauge, ListenerCounters, ListenerValues, TargetCounters, TargetValues};
pub use error::Error;
pub use metrics::{Aggregate, Label, Metrics, PushTo, Series, Summary};
pub use record::*;
pub use registry::{
    ListenerInfo, ListenerSnapshot, MAX_CELLS, MAX_GRPC_METHODS, Membership, OTHER, ProxyLabels, Recorder, Registry,
    Snapshot, TargetSnapshot,
};
pub use report::*;
pub use sink::{DEFAULT_FLUSH_INTERVAL, SinkConfig, Sinks};
