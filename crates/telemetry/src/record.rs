//! What one request, connection or handshake becomes.

use std::sync::Arc;
use std::time::Duration;

use model::Protocol;
use serde::{Deserialize, Serialize};

/// Seen from the proxy that records: a call by its application, or a call to its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    Inbound,
    Outbound,
}

/// The other end of a call. Unknown parts are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Peer {
    pub service: Arc<str>,
    /// The service instance's id (`emojify-cache-1`); of a caller it comes from the mesh's own request header.
    pub instance: Arc<str>,
    pub node: Arc<str>,
    pub zone: Arc<str>,
    pub version: Arc<str>,
    /// `host:port`, when it was dialled.
    pub address: Arc<str>,
}

/// The dimensions of a cell. A worker looks one up per peer and method and keeps the [`Cell`], not per request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CellKey {
    pub direction: Direction,
    /// `public_listener`, or the upstream's id.
    pub listener: Arc<str>,
    pub protocol: Protocol,
    /// The target's id when outbound, `local_app` when inbound.
    pub target: Arc<str>,
    pub peer: Peer,
    pub route: Arc<str>,
    /// `emojify.Cache` and `Get`; empty when it is not gRPC. Capped: past the limit both are `other`.
    pub grpc_service: Arc<str>,
    pub grpc_method: Arc<str>,
}

/// Envoy's response flags that this proxy can cause, in Envoy's letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Flag {
    /// No healthy upstream instance.
    UH,
    /// Connecting to the upstream failed.
    UF,
    /// The upstream closed the connection.
    UC,
    /// The upstream did not answer in time.
    UT,
    /// A limit refused the request.
    UO,
    /// Retried as often as allowed.
    URX,
    /// No route.
    NR,
    /// Refused by an intention.
    RBAC,
    /// The caller went away.
    DC,
    /// The request broke the protocol or a limit.
    DPE,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    Upstream,
    Downstream,
    Mesh,
}

/// How one request ended. For TCP: one connection, with code 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status sent to the caller; 0 for TCP and for a caller that left before an answer.
    pub code: u16,
    pub grpc_status: Option<u8>,
    pub flags: Vec<Flag>,
    pub fault: Option<Fault>,
    /// First request byte to last response byte.
    pub duration: Duration,
    /// Time to the first byte of the upstream's answer.
    pub upstream_time: Option<Duration>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Body bytes from and to the caller.
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// False when the answer was made by the mesh, or when the other side says it passed on a failure of its own upstream.
    pub origin: bool,
}
