//! What one proxy must do, and nothing it must decide.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Action, Protocol, SpiffeId};
use serde::{Deserialize, Serialize};

use crate::{Balance, Ejection, HashPolicy, Route};

/// Everything one proxy must do. A value: comparable, hashable, cheap to clone, safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Plan {
    pub proxy: ProxyRef,
    /// The identity whose certificate the proxy presents on both sides.
    pub identity: SpiffeId,
    #[serde(default)]
    pub inbound: Vec<Inbound>,
    #[serde(default)]
    pub outbound: Vec<Outbound>,
    #[serde(default)]
    pub targets: BTreeMap<TargetId, Arc<Target>>,
    #[serde(default)]
    pub recording: Recording,
    /// What the inputs asked for and this plan cannot do; shown to the operator, never dropped in silence.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Which proxy, and on whose behalf.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyRef {
    /// The proxy's own service id, `web-sidecar-proxy`.
    pub id: String,
    /// The service it stands for, `web`, and that service's instance id.
    pub service: String,
    pub service_id: String,
    pub node: String,
    pub datacenter: String,
    /// From the service's meta `version`, and the node's meta `zone`; empty when not given.
    pub version: String,
    pub zone: String,
}

/// A listener for calls from other sidecars: mutual TLS, authorised, handed to the application.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Inbound {
    /// `public_listener`
    pub name: String,
    pub bind: String,
    pub port: u16,
    pub protocol: Protocol,
    /// `host:port` of the application.
    pub application: String,
    /// In evaluation order; the first whose source matches decides.
    pub rules: Vec<Rule>,
    /// When no rule matches.
    pub default: NoMatch,
    #[serde(with = "go_duration")]
    pub connect_timeout: Duration,
    /// Zero: no limit.
    #[serde(with = "go_duration")]
    pub request_timeout: Duration,
    #[serde(with = "go_duration")]
    pub idle_timeout: Duration,
    /// Zero: the proxy's own limit.
    #[serde(default)]
    pub max_connections: u32,
}

/// What happens when no rule matches, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NoMatch {
    pub action: Action,
    /// `ACLs disabled, access is allowed by default`
    pub reason: String,
}

/// One intention as the proxy enforces it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    pub source: Source,
    pub action: Action,
    /// `DENY default/web => default/db (ID: …, Precedence: 9)`: what a refusal says.
    pub intention: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Any,
    /// A service of the proxy's own trust domain and namespace, in any datacenter.
    Service(String),
}

/// A local listener for the application's calls to one upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outbound {
    /// The upstream's id: the destination's name, or `name?dc=dc2`.
    pub name: String,
    pub bind: String,
    pub port: u16,
    pub protocol: Protocol,
    /// In order; the first that matches takes the request. TCP uses the first one's targets.
    pub routes: Vec<Route>,
}

/// `[subset.]service.namespace.datacenter`, as Consul names targets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TargetId(pub String);

/// A set of instances that answer for one identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    pub id: TargetId,
    pub service: String,
    pub namespace: String,
    pub datacenter: String,
    #[serde(default)]
    pub subset: String,
    pub protocol: Protocol,
    /// What the other side must prove to be, exactly.
    pub identity: SpiffeId,
    /// `db.default.dc1.internal.<trust domain>`; also the cluster's name in metrics.
    pub sni: String,
    #[serde(with = "go_duration")]
    pub connect_timeout: Duration,
    /// Zero: the proxy's own limit.
    #[serde(default)]
    pub max_connections: u32,
    #[serde(default)]
    pub max_pending_requests: u32,
    #[serde(default)]
    pub max_concurrent_requests: u32,
    /// A filter expression over health answers: which instances are the subset.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filter: String,
    /// Instances whose checks warn are left out, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_passing: bool,
    /// Who stands in, in this order, when no instance is healthy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failover: Vec<TargetId>,
    #[serde(default)]
    pub balance: Balance,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hash: Vec<HashPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ejection: Option<Ejection>,
}

/// What is measured and where it goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Recording {
    pub statsd_url: Option<String>,
    pub dogstatsd_url: Option<String>,
    pub prometheus_bind_addr: Option<String>,
    pub stats_bind_addr: Option<String>,
    /// `k=v` pairs added to everything.
    pub stats_tags: Vec<(String, String)>,
    #[serde(with = "go_duration")]
    pub flush_interval: Duration,
    pub access_log: Option<AccessLog>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessLog {
    pub sink: LogSink,
    /// A custom format: the JSON object's or the text's own text. `None`: the JSON object of Consul's 24 keys.
    #[serde(default)]
    pub json_format: Option<String>,
    #[serde(default)]
    pub text_format: Option<String>,
    #[serde(default)]
    pub disable_listener_logs: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSink {
    Stdout,
    Stderr,
    File(String),
}

/// One instance of a target, as the proxy dials it. Comes by a watch of its own, not in the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// The sidecar's address, `host:port`.
    pub address: String,
    /// The instance's id and node, for labels: the *service's* id, not its sidecar's.
    pub instance: String,
    pub node: String,
    pub zone: String,
    pub version: String,
    pub weight: u32,
    pub healthy: bool,
    /// A check of it warns: it is healthy still, but not for those who want passing ones only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warning: bool,
}

/// Durations stand in a plan as they stand in every other file: `"5s"`.
pub(crate) mod go_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&model::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(input)?;
        model::parse_duration(&text).map_err(serde::de::Error::custom)
    }
}
