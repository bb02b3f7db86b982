//! Runs a [`Plan`](plan::Plan): the data plane of the mesh.
//!
//! On the road: `plan → Plan → proxy → Outcome → telemetry`. A request passes the modules in this order: accept, tls,
//! detect, authorize, route, retry, balance, connect, forward (or tcp, tunnel), record, drain. Start from [`Sidecar`].
//!
//! Invariants: decides nothing about routing or authorization (a rule that is not in the plan does not exist); never
//! fails open; the request path takes no lock and parses no configuration; a plan change closes no healthy connection;
//! with no control plane it goes on with what it last knew, for ever.
//!
//! ```
//! use proxy::{Config, Sidecar};
//! let missing = Sidecar::start(Config::file("no-such-plan.json".into()));
//! assert!(missing.is_err_and(|error| error.to_string().contains("no-such-plan.json")));
//! ```

mod accept;
mod answer;
mod authorize;
mod balance;
mod body;
mod connect;
mod control;
mod detect;
mod drain;
mod edits;
mod eject;
mod error;
mod file;
mod follow;
mod forward;
mod hashing;
mod headers;
mod hold;
mod io;
mod limits;
mod matching;
mod publish;
mod record;
mod retry;
mod revoke;
mod route;
mod sidecar;
mod snapshot;
mod tcp;
mod tls;
mod tunnel;
mod worker;

pub use error::Error;
pub use file::{CertificateFiles, FileEndpoint, PlanFile};
pub use sidecar::{Config, DEFAULT_DRAIN_TIMEOUT, MAX_WORKERS, Sidecar, Source};
