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

/// The dimensions of a cell. A worker looks one up per peer and method and keeps the `Cell`, not per request.
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

impl CellKey {
    /// About what the labels take in a report.
    pub(crate) fn label_bytes(&self) -> usize {
        let peer = &self.peer;
        let labels = [&self.listener, &self.target, &self.route, &self.grpc_service, &self.grpc_method];
        let others = [&peer.service, &peer.instance, &peer.node, &peer.zone, &peer.version, &peer.address];
        labels.iter().chain(&others).map(|label| label.len()).sum()
    }
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

impl Flag {
    /// All of them, in the order in which Envoy writes them.
    pub const ALL: [Flag; 10] =
        [Flag::UH, Flag::UF, Flag::UO, Flag::NR, Flag::URX, Flag::RBAC, Flag::UC, Flag::UT, Flag::DC, Flag::DPE];

    pub(crate) fn index(self) -> usize {
        Flag::ALL.iter().position(|&flag| flag == self).unwrap_or(0)
    }

    /// Envoy's letters.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Flag::UH => "UH",
            Flag::UF => "UF",
            Flag::UC => "UC",
            Flag::UT => "UT",
            Flag::UO => "UO",
            Flag::URX => "URX",
            Flag::NR => "NR",
            Flag::RBAC => "RBAC",
            Flag::DC => "DC",
            Flag::DPE => "DPE",
        }
    }
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
    /// False when the answer was made by the mesh, or when the other side says it passed on a failure of its own
    /// upstream.
    pub origin: bool,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            code: 0,
            grpc_status: None,
            flags: Vec::new(),
            fault: None,
            duration: Duration::ZERO,
            upstream_time: None,
            retries: 0,
            bytes_received: 0,
            bytes_sent: 0,
            origin: true,
        }
    }
}

impl Outcome {
    fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// Refused by an intention, by this proxy.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.has(Flag::RBAC)
    }

    /// The server side failed the caller: a 5xx, no answer, or a gRPC status that is not the caller's own mistake.
    /// A caller that left, and a refusal, are not errors.
    #[must_use]
    pub fn is_error(&self, protocol: Protocol) -> bool {
        if self.is_refused() {
            return false;
        }
        if self.code >= 500 || self.grpc_status.is_some_and(grpc_status_is_error) {
            return true;
        }
        let lost = [Flag::UH, Flag::UF, Flag::UT, Flag::UO].iter().any(|&flag| self.has(flag));
        // An upstream that closes a TCP connection has usually just finished.
        let unanswered = protocol != Protocol::Tcp && !self.has(Flag::DC) && self.fault != Some(Fault::Downstream);
        self.code == 0 && (lost || unanswered || self.fault == Some(Fault::Upstream))
    }

    /// Made by this proxy before any cluster was asked: Envoy charges such an answer to no cluster.
    #[must_use]
    pub fn is_local(&self) -> bool {
        [Flag::RBAC, Flag::NR, Flag::DPE].iter().any(|&flag| self.has(flag)) || (self.code == 0 && self.has(Flag::DC))
    }
}

/// gRPC statuses by which a server says that it failed: UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED,
/// INTERNAL, UNAVAILABLE, DATA_LOSS. The others are answers.
#[must_use]
pub fn grpc_status_is_error(status: u8) -> bool {
    matches!(status, 2 | 4 | 8 | 12..=15)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn key(service: &str, instance: &str) -> CellKey {
        CellKey {
            direction: Direction::Outbound,
            listener: service.into(),
            protocol: Protocol::Http,
            target: format!("{service}.default.dc1").into(),
            peer: Peer { service: service.into(), instance: instance.into(), ..Peer::default() },
            route: "".into(),
            grpc_service: "".into(),
            grpc_method: "".into(),
        }
    }

    #[test]
    fn an_error_is_the_servers_fault_only() {
        let with = |code, flags: &[Flag], fault| Outcome { code, flags: flags.to_vec(), fault, ..Outcome::default() };
        for (outcome, protocol, error) in [
            (with(200, &[], None), Protocol::Http, false),
            (with(404, &[], None), Protocol::Http, false),
            (with(503, &[Flag::UF], Some(Fault::Upstream)), Protocol::Http, true),
            (with(403, &[Flag::RBAC], Some(Fault::Mesh)), Protocol::Http, false),
            (with(0, &[Flag::DC], Some(Fault::Downstream)), Protocol::Http, false),
            (with(0, &[Flag::UC], Some(Fault::Upstream)), Protocol::Http, true),
            (with(0, &[], None), Protocol::Tcp, false),
            (with(0, &[Flag::UC], None), Protocol::Tcp, false),
            (with(0, &[Flag::UF], Some(Fault::Upstream)), Protocol::Tcp, true),
            (with(0, &[Flag::RBAC], Some(Fault::Mesh)), Protocol::Tcp, false),
        ] {
            assert_eq!(outcome.is_error(protocol), error, "{outcome:?}");
        }
    }

    #[test]
    fn every_flag_has_its_own_place() {
        for (index, flag) in Flag::ALL.iter().enumerate() {
            assert_eq!(flag.index(), index);
            assert_eq!(format!("{flag:?}"), flag.as_str());
        }
    }
}
