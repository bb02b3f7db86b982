//! Why the sidecar itself could not do something.

use std::path::PathBuf;

/// What was tried, and what stood in the way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("reading {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} line {}, column {}: {source}", source.line(), source.column())]
    PlanFile { path: PathBuf, source: serde_json::Error },
    #[error("certificates: {0}")]
    Certificates(#[from] ca::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("listener {name} cannot use {address}: {source}")]
    Bind { name: String, address: String, source: std::io::Error },
    #[error("listener {name} cannot use {address}: not an address")]
    BindAddress { name: String, address: String },
    #[error("starting a thread: {0}")]
    Thread(std::io::Error),
    #[error("asking the agent for {what}: {source}")]
    Control { what: String, source: client::Error },
    #[error("the agent's answer for {what} is not usable: {reason}")]
    Answer { what: String, reason: String },
}
