//! Runs a [`Plan`](plan::Plan): the data plane of the mesh.
//!
//! On the road: `plan → Plan → proxy → Outcome → telemetry`. Start from [`Sidecar`].
//!
//! Invariants: decides nothing about routing or authorization (a rule that is not in the plan does not exist); never
//! fails open; the request path takes no lock and parses no configuration; a plan change closes no healthy connection;
//! with no control plane it goes on with what it last knew, for ever.

mod error;
mod sidecar;

pub use error::Error;
pub use sidecar::{Config, DEFAULT_DRAIN_TIMEOUT, MAX_WORKERS, Sidecar, Source};
