//! What the control thread hands to every worker: one immutable value, replaced whole.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use plan::{Endpoint, Plan, TargetId};
use telemetry::{AccessLog, Direction};

use crate::tls::Material;

/// Everything a worker needs to serve.
pub(crate) struct Snapshot {
    /// Counts up; workers say which one they run.
    pub sequence: u64,
    pub plan: Arc<Plan>,
    pub endpoints: BTreeMap<TargetId, Arc<Vec<Instance>>>,
    pub tls: Arc<Material>,
    pub sockets: BTreeMap<SocketKey, Arc<Sockets>>,
    pub access_log: Option<AccessLog>,
}

/// One instance of a target, and why it is not used if it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub endpoint: Endpoint,
    /// `check "…" is critical: …`; empty when healthy.
    pub unwell: String,
}

/// A listener is the same one as long as these are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SocketKey {
    pub direction: Direction,
    pub bind: String,
    pub port: u16,
}

/// The listening sockets of one listener, one per worker.
pub(crate) struct Sockets {
    pub direction: Direction,
    pub name: String,
    pub local: SocketAddr,
    /// Each is taken once, by its worker, and closed by it: a descriptor kept here would keep the port open.
    pub per_worker: Vec<Mutex<Option<TcpListener>>>,
}

impl Sockets {
    pub fn take(&self, worker: usize) -> Option<TcpListener> {
        self.per_worker.get(worker)?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
