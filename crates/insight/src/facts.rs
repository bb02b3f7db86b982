//! What the catalog knows, as the caller tells it.

use model::Status;

/// A service with its instances; sidecars are told as a property of the instance they stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Empty for an ordinary service, else `ingress-gateway`, …
    pub kind: String,
    pub instances: Vec<Instance>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    pub id: String,
    pub node: String,
    pub zone: String,
    pub version: String,
    /// `host:port`
    pub address: String,
    /// The worst of its own and its node's checks.
    pub status: Status,
    pub checks: Vec<Check>,
    /// The sidecar's service id; empty when it has none.
    pub sidecar: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub status: Status,
    pub output: String,
}

impl Service {
    /// All instances critical is critical, one that is not passing is a warning: the service still answers.
    pub(crate) fn status(&self) -> Status {
        let worst = self.instances.iter().map(|i| i.status).max().unwrap_or(Status::Critical);
        let best = self.instances.iter().map(|i| i.status).min().unwrap_or(Status::Critical);
        if best == Status::Critical { Status::Critical } else { worst.min(Status::Warning) }
    }
}
