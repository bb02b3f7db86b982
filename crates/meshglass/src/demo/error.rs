//! Why there is no demo.

use super::faults::FaultError;

/// One line each; the command prints it and ends with 1.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error("port {port} ({what}) cannot be used: {source}; choose other ports with --ports-from N")]
    Port { port: u16, what: String, source: std::io::Error },
    #[error("--ports-from {from}: {needed} ports are needed from there on, up to 65535")]
    PortRange { from: u16, needed: usize },
    #[error("--rate {0}: expected requests per second, more than 0 and at most {max}", max = super::traffic::MAX_RATE)]
    Rate(f64),
    #[error("{what}: {source}")]
    Call { what: String, source: client::Error },
    #[error("starting the sidecar of {what}: {source}")]
    Sidecar { what: String, source: proxy::Error },
    #[error(transparent)]
    Mesh(#[from] crate::assemble::Error),
    #[error("no request went through the mesh within {limit} s: {last}")]
    Silent { limit: u64, last: String },
}
