//! Services: what an agent runs and the catalog lists.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::check::CheckDefinition;

/// A user map whose keys only some readers understand (`Proxy.Config`, an upstream's `config`).
pub type OpaqueMap = serde_json::Map<String, serde_json::Value>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// An ordinary service; written as the empty string.
    #[default]
    #[serde(rename = "")]
    Typical,
    ConnectProxy,
    MeshGateway,
    TerminatingGateway,
    IngressGateway,
    /// Consul does not validate the kind, so neither may we lose one.
    #[serde(untagged)]
    Other(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    pub passing: u32,
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceAddress {
    pub address: String,
    pub port: u16,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Http,
    Http2,
    Grpc,
}

impl Protocol {
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Some(Self::Tcp),
            "http" | "http1" => Some(Self::Http),
            "http2" => Some(Self::Http2),
            "grpc" => Some(Self::Grpc),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }

    pub fn is_http(self) -> bool {
        self != Self::Tcp
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationType {
    #[default]
    Service,
    PreparedQuery,
}

/// A service that a proxy reaches on a local port.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Upstream {
    pub destination_type: DestinationType,
    pub destination_namespace: String,
    pub destination_name: String,
    pub datacenter: String,
    /// Empty: 127.0.0.1.
    pub local_bind_address: String,
    pub local_bind_port: u16,
    pub config: OpaqueMap,
    /// `none`, `local`, `remote` or empty; kept, not yet acted on.
    pub mesh_gateway_mode: String,
}

/// The `proxy` block of a sidecar.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyConfig {
    pub destination_service_name: String,
    #[serde(rename = "DestinationServiceID")]
    pub destination_service_id: String,
    pub local_service_address: String,
    pub local_service_port: u16,
    pub config: OpaqueMap,
    pub upstreams: Vec<Upstream>,
    pub mesh_gateway_mode: String,
    /// `expose`, kept as written.
    pub expose: OpaqueMap,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Connect {
    pub native: bool,
}

/// A service instance as agent and catalog keep it (what Consul calls a node service).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    pub kind: ServiceKind,
    #[serde(rename = "ID")]
    pub id: String,
    /// The name; the field's name in Consul's answers is `Service`.
    pub service: String,
    pub tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    pub port: u16,
    pub address: String,
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub weights: Weights,
    pub enable_tag_override: bool,
    /// Only of proxies and gateways.
    pub proxy: Option<ProxyConfig>,
    pub connect: Connect,
}

impl Service {
    /// The service whose identity this instance speaks for: a sidecar's destination, else the service itself.
    pub fn identity_name(&self) -> &str {
        match &self.proxy {
            Some(proxy) if self.kind == ServiceKind::ConnectProxy => &proxy.destination_service_name,
            _ => &self.service,
        }
    }
}

/// A service as the user defined it: the instance, its checks, and perhaps a sidecar nested in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceDefinition {
    pub service: Service,
    /// `check` first, then `checks`.
    pub checks: Vec<CheckDefinition>,
    /// `connect { sidecar_service { … } }`. `None` fields of it are filled by the agent (id, name, port, checks).
    pub sidecar: Option<Box<ServiceDefinition>>,
    /// True when the sidecar was written in the removed managed form `connect { proxy { … } }`: the agent starts a
    /// proxy of its own for it and says how to write it today.
    pub managed_proxy: bool,
    pub token: Token,
}

/// An access token. Its `Debug` does not show it: definitions are logged, secrets are not.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Token(none)" } else { "Token(hidden)" })
    }
}
