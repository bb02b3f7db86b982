//! What may stand in an entry of each kind: Consul 1.8's keys and those that newer versions added.

use super::{EntryKind, newer_kinds};
use crate::schema::{COUNT, EXPOSE, Field, MESH_GATEWAY, PORT, Shape};

const MODE: &[Field] = &[Field("OutboundListenerPort", PORT), Field("DialedDirectly", Shape::Bool)];

const FAILOVER_POLICY: &[Field] = &[Field("Mode", Shape::Text), Field("Regions", Shape::Texts)];

const ACCESS_LOGS: &[Field] = &[
    Field("Enabled", Shape::Bool),
    Field("DisableListenerLogs", Shape::Bool),
    Field("Type", Shape::Text),
    Field("Path", Shape::Text),
    Field("JSONFormat", Shape::Text),
    Field("TextFormat", Shape::Text),
];

const PROXY_DEFAULTS: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Config", Shape::OpaqueMap),
    Field("MeshGateway", Shape::Block(MESH_GATEWAY)),
    Field("Expose", Shape::Block(EXPOSE)),
    Field("AccessLogs", Shape::Block(ACCESS_LOGS)),
    Field("Meta", Shape::TextMap),
    // Newer than 1.8: kept, for a planner that reads them.
    Field("Mode", Shape::Text),
    Field("TransparentProxy", Shape::Block(MODE)),
    Field("MutualTLSMode", Shape::Text),
    Field("EnvoyExtensions", Shape::Opaque),
    Field("FailoverPolicy", Shape::Block(FAILOVER_POLICY)),
    Field("PrioritizeByLocality", Shape::Block(&[Field("Mode", Shape::Text)])),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const SERVICE_DEFAULTS: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Protocol", Shape::Text),
    Field("MeshGateway", Shape::Block(MESH_GATEWAY)),
    Field("Expose", Shape::Block(EXPOSE)),
    Field("ExternalSNI", Shape::Text),
    Field("Meta", Shape::TextMap),
    // Newer than 1.8: kept, for a planner that reads them.
    Field("Mode", Shape::Text),
    Field("TransparentProxy", Shape::Block(MODE)),
    Field("MutualTLSMode", Shape::Text),
    Field("UpstreamConfig", Shape::Opaque),
    Field("Destination", Shape::Opaque),
    Field("MaxInboundConnections", COUNT),
    Field("LocalConnectTimeoutMs", COUNT),
    Field("LocalRequestTimeoutMs", COUNT),
    Field("BalanceInboundConnections", Shape::Text),
    Field("RateLimits", Shape::Opaque),
    Field("EnvoyExtensions", Shape::Opaque),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const HEADERS: &[Field] = &[Field("Add", Shape::TextMap), Field("Set", Shape::TextMap), Field("Remove", Shape::Texts)];

const ROUTE_MATCH: &[Field] = &[
    Field("PathExact", Shape::Text),
    Field("PathPrefix", Shape::Text),
    Field("PathRegex", Shape::Text),
    Field("CaseInsensitive", Shape::Bool),
    Field(
        "Header",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Present", Shape::Bool),
            Field("Exact", Shape::Text),
            Field("Prefix", Shape::Text),
            Field("Suffix", Shape::Text),
            Field("Contains", Shape::Text),
            Field("IgnoreCase", Shape::Bool),
            Field("Regex", Shape::Text),
            Field("Invert", Shape::Bool),
        ]),
    ),
    Field(
        "QueryParam",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Present", Shape::Bool),
            Field("Exact", Shape::Text),
            Field("Regex", Shape::Text),
        ]),
    ),
    Field("Methods", Shape::Texts),
];

const ROUTE_DESTINATION: &[Field] = &[
    Field("Service", Shape::Text),
    Field("ServiceSubset", Shape::Text),
    Field("Namespace", Shape::Text),
    Field("Partition", Shape::Text),
    Field("PrefixRewrite", Shape::Text),
    Field("RequestTimeout", Shape::Duration),
    Field("IdleTimeout", Shape::Duration),
    Field("NumRetries", COUNT),
    Field("RetryOnConnectFailure", Shape::Bool),
    Field("RetryOn", Shape::Texts),
    Field("RetryOnStatusCodes", Shape::Integers(0, 599)),
    Field("RequestHeaders", Shape::Block(HEADERS)),
    Field("ResponseHeaders", Shape::Block(HEADERS)),
];

const SERVICE_ROUTER: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "Routes",
        Shape::Blocks(&[
            Field("Match", Shape::Block(&[Field("HTTP", Shape::Block(ROUTE_MATCH))])),
            Field("Destination", Shape::Block(ROUTE_DESTINATION)),
        ]),
    ),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const SERVICE_SPLITTER: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "Splits",
        Shape::Blocks(&[
            Field("Weight", Shape::Number),
            Field("Service", Shape::Text),
            Field("ServiceSubset", Shape::Text),
            Field("Namespace", Shape::Text),
            Field("Partition", Shape::Text),
            Field("RequestHeaders", Shape::Block(HEADERS)),
            Field("ResponseHeaders", Shape::Block(HEADERS)),
        ]),
    ),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const REDIRECT: &[Field] = &[
    Field("Service", Shape::Text),
    Field("ServiceSubset", Shape::Text),
    Field("Namespace", Shape::Text),
    Field("Datacenter", Shape::Text),
    Field("Partition", Shape::Text),
    Field("Peer", Shape::Text),
    Field("SamenessGroup", Shape::Text),
];

const FAILOVER: &[Field] = &[
    Field("Service", Shape::Text),
    Field("ServiceSubset", Shape::Text),
    Field("Namespace", Shape::Text),
    Field("Datacenters", Shape::Texts),
    Field("Targets", Shape::Blocks(REDIRECT)),
    Field("Policy", Shape::Block(FAILOVER_POLICY)),
    Field("SamenessGroup", Shape::Text),
];

const HASH_POLICY: &[Field] = &[
    Field("Field", Shape::Text),
    Field("FieldValue", Shape::Text),
    Field(
        "CookieConfig",
        Shape::Block(&[Field("Session", Shape::Bool), Field("TTL", Shape::Duration), Field("Path", Shape::Text)]),
    ),
    Field("SourceIP", Shape::Bool),
    Field("Terminal", Shape::Bool),
];

const LOAD_BALANCER: &[Field] = &[
    Field("Policy", Shape::Text),
    Field("RingHashConfig", Shape::Block(&[Field("MinimumRingSize", COUNT), Field("MaximumRingSize", COUNT)])),
    Field("LeastRequestConfig", Shape::Block(&[Field("ChoiceCount", COUNT)])),
    Field("HashPolicies", Shape::Blocks(HASH_POLICY)),
];

const SERVICE_RESOLVER: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("DefaultSubset", Shape::Text),
    Field("Subsets", Shape::Named(&[Field("Filter", Shape::Text), Field("OnlyPassing", Shape::Bool)])),
    Field("Redirect", Shape::Block(REDIRECT)),
    Field("Failover", Shape::Named(FAILOVER)),
    Field("ConnectTimeout", Shape::Duration),
    Field("RequestTimeout", Shape::Duration),
    Field("LoadBalancer", Shape::Block(LOAD_BALANCER)),
    Field("PrioritizeByLocality", Shape::Block(&[Field("Mode", Shape::Text)])),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const INGRESS_TLS: &[Field] = &[
    Field("Enabled", Shape::Bool),
    Field("SDS", Shape::Block(&[Field("ClusterName", Shape::Text), Field("CertResource", Shape::Text)])),
    Field("TLSMinVersion", Shape::Text),
    Field("TLSMaxVersion", Shape::Text),
    Field("CipherSuites", Shape::Texts),
];

const INGRESS_SERVICE: &[Field] = &[
    Field("Name", Shape::Text),
    Field("Hosts", Shape::Texts),
    Field("Namespace", Shape::Text),
    Field("Partition", Shape::Text),
    Field("TLS", Shape::Opaque),
    Field("MaxConnections", COUNT),
    Field("MaxPendingRequests", COUNT),
    Field("MaxConcurrentRequests", COUNT),
    Field("PassiveHealthCheck", Shape::Opaque),
    Field("Meta", Shape::TextMap),
    Field("RequestHeaders", Shape::Block(HEADERS)),
    Field("ResponseHeaders", Shape::Block(HEADERS)),
];

const INGRESS_GATEWAY: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("TLS", Shape::Block(INGRESS_TLS)),
    Field("Defaults", Shape::Opaque),
    Field(
        "Listeners",
        Shape::Blocks(&[
            Field("Port", PORT),
            Field("Protocol", Shape::Text),
            Field("TLS", Shape::Block(INGRESS_TLS)),
            Field("Services", Shape::Blocks(INGRESS_SERVICE)),
        ]),
    ),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const TERMINATING_GATEWAY: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "Services",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Namespace", Shape::Text),
            Field("CAFile", Shape::Text),
            Field("CertFile", Shape::Text),
            Field("KeyFile", Shape::Text),
            Field("SNI", Shape::Text),
            Field("DisableAutoHostRewrite", Shape::Bool),
        ]),
    ),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

pub(super) fn fields(kind: EntryKind) -> &'static [Field] {
    match kind {
        EntryKind::ProxyDefaults => PROXY_DEFAULTS,
        EntryKind::ServiceDefaults => SERVICE_DEFAULTS,
        EntryKind::ServiceRouter => SERVICE_ROUTER,
        EntryKind::ServiceSplitter => SERVICE_SPLITTER,
        EntryKind::ServiceResolver => SERVICE_RESOLVER,
        EntryKind::IngressGateway => INGRESS_GATEWAY,
        EntryKind::TerminatingGateway => TERMINATING_GATEWAY,
        EntryKind::ServiceIntentions => newer_kinds::SERVICE_INTENTIONS,
        EntryKind::Mesh => newer_kinds::MESH,
        EntryKind::ExportedServices => newer_kinds::EXPORTED_SERVICES,
        EntryKind::JwtProvider => newer_kinds::JWT_PROVIDER,
        EntryKind::ApiGateway => newer_kinds::API_GATEWAY,
        EntryKind::HttpRoute => newer_kinds::HTTP_ROUTE,
        EntryKind::TcpRoute => newer_kinds::TCP_ROUTE,
        EntryKind::InlineCertificate => newer_kinds::INLINE_CERTIFICATE,
        EntryKind::SamenessGroup => newer_kinds::SAMENESS_GROUP,
        EntryKind::ControlPlaneRequestLimit => newer_kinds::CONTROL_PLANE_REQUEST_LIMIT,
    }
}
