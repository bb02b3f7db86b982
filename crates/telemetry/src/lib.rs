//! What is measured and where it goes.
//!
//! On the road: the proxy's workers bump cells; every sink (Prometheus, StatsD, DogStatsD, the report to the agent)
//! reads the same cells, so no two of them can disagree. Start from [`Registry`]: it hands each worker a [`Recorder`].
//!
//! Invariants: recording takes no lock, blocks on nothing and allocates nothing once a cell exists; the number of
//! cells is limited and says so in a metric; a sink never slows a request.

mod record;
mod report;

pub use record::*;
pub use report::*;
