//! Central configuration: entries of a kind and a name.

mod decode;
mod gateways;
mod intentions;
mod kinds;
mod newer_kinds;
mod normalise;
mod traffic;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::service::OpaqueMap;

pub use gateways::{IngressGateway, IngressListener, IngressService, LinkedService, TerminatingGateway};
pub use intentions::{ServiceIntentions, SourceIntention};
pub use traffic::{
    Failover, HeaderChanges, HttpMatch, Redirect, RouteDestination, RouteMatch, ServiceResolver, ServiceRoute,
    ServiceRouter, ServiceSplit, ServiceSplitter, Subset, ValueMatch,
};

pub use decode::{EntryError, decode_config_entry_hcl, decode_config_entry_json, entry_of_node};

/// The kinds the mesh knows. Every kind is stored and listed; the planner reads those it understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    ProxyDefaults,
    ServiceDefaults,
    ServiceRouter,
    ServiceSplitter,
    ServiceResolver,
    IngressGateway,
    TerminatingGateway,
    // Newer than 1.8.
    ServiceIntentions,
    Mesh,
    ExportedServices,
    JwtProvider,
    ApiGateway,
    HttpRoute,
    TcpRoute,
    InlineCertificate,
    SamenessGroup,
    ControlPlaneRequestLimit,
}

impl EntryKind {
    pub const ALL: [Self; 17] = [
        Self::ProxyDefaults,
        Self::ServiceDefaults,
        Self::ServiceRouter,
        Self::ServiceSplitter,
        Self::ServiceResolver,
        Self::IngressGateway,
        Self::TerminatingGateway,
        Self::ServiceIntentions,
        Self::Mesh,
        Self::ExportedServices,
        Self::JwtProvider,
        Self::ApiGateway,
        Self::HttpRoute,
        Self::TcpRoute,
        Self::InlineCertificate,
        Self::SamenessGroup,
        Self::ControlPlaneRequestLimit,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProxyDefaults => "proxy-defaults",
            Self::ServiceDefaults => "service-defaults",
            Self::ServiceRouter => "service-router",
            Self::ServiceSplitter => "service-splitter",
            Self::ServiceResolver => "service-resolver",
            Self::IngressGateway => "ingress-gateway",
            Self::TerminatingGateway => "terminating-gateway",
            Self::ServiceIntentions => "service-intentions",
            Self::Mesh => "mesh",
            Self::ExportedServices => "exported-services",
            Self::JwtProvider => "jwt-provider",
            Self::ApiGateway => "api-gateway",
            Self::HttpRoute => "http-route",
            Self::TcpRoute => "tcp-route",
            Self::InlineCertificate => "inline-certificate",
            Self::SamenessGroup => "sameness-group",
            Self::ControlPlaneRequestLimit => "control-plane-request-limit",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// `proxy-defaults`: there is one, named `global`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProxyDefaults {
    pub config: OpaqueMap,
    pub mesh_gateway_mode: String,
    pub expose: OpaqueMap,
    /// `AccessLogs { Enabled, DisableListenerLogs, Type, Path, JSONFormat, TextFormat }`
    pub access_logs: OpaqueMap,
    pub meta: BTreeMap<String, String>,
    /// Keys of newer Consul versions (`Mode`, `TransparentProxy`, …), kept as written.
    pub more: OpaqueMap,
}

/// `service-defaults`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceDefaults {
    pub name: String,
    /// As written, lower-cased; `Protocol::parse` understands it.
    pub protocol: String,
    pub mesh_gateway_mode: String,
    #[serde(rename = "ExternalSNI")]
    pub external_sni: String,
    pub expose: OpaqueMap,
    pub meta: BTreeMap<String, String>,
    /// Keys of newer Consul versions (`UpstreamConfig`, `LocalRequestTimeoutMs`, …), kept as written.
    pub more: OpaqueMap,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ConfigEntry {
    ProxyDefaults(ProxyDefaults),
    ServiceDefaults(ServiceDefaults),
    /// A kind that is kept, checked for its shape and given back, and that a later planner reads.
    Other {
        kind: EntryKind,
        name: String,
        body: OpaqueMap,
    },
}

impl ConfigEntry {
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::ProxyDefaults(_) => EntryKind::ProxyDefaults,
            Self::ServiceDefaults(_) => EntryKind::ServiceDefaults,
            Self::Other { kind, .. } => *kind,
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::ProxyDefaults(_) => "global",
            Self::ServiceDefaults(entry) => &entry.name,
            Self::Other { name, .. } => name,
        }
    }
}
