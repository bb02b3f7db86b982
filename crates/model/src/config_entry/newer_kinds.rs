//! What may stand in an entry of the kinds that came after Consul 1.8.

use crate::schema::{COUNT, Field, PORT, Shape};

const HEADERS: &[Field] = &[Field("Add", Shape::TextMap), Field("Set", Shape::TextMap), Field("Remove", Shape::Texts)];

const JWT: &[Field] = &[Field(
    "Providers",
    Shape::Blocks(&[
        Field("Name", Shape::Text),
        Field("VerifyClaims", Shape::Blocks(&[Field("Path", Shape::Texts), Field("Value", Shape::Text)])),
    ]),
)];

const PERMISSION_HTTP: &[Field] = &[
    Field("PathExact", Shape::Text),
    Field("PathPrefix", Shape::Text),
    Field("PathRegex", Shape::Text),
    Field(
        "Header",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Present", Shape::Bool),
            Field("Exact", Shape::Text),
            Field("Prefix", Shape::Text),
            Field("Suffix", Shape::Text),
            Field("Contains", Shape::Text),
            Field("Regex", Shape::Text),
            Field("Invert", Shape::Bool),
            Field("IgnoreCase", Shape::Bool),
        ]),
    ),
    Field("Methods", Shape::Texts),
];

const SOURCE: &[Field] = &[
    Field("Name", Shape::Text),
    Field("Action", Shape::Text),
    Field(
        "Permissions",
        Shape::Blocks(&[
            Field("Action", Shape::Text),
            Field("HTTP", Shape::Block(PERMISSION_HTTP)),
            Field("JWT", Shape::Block(JWT)),
        ]),
    ),
    Field("Precedence", COUNT),
    Field("LegacyID", Shape::Text),
    Field("Type", Shape::Text),
    Field("Description", Shape::Text),
    Field("LegacyMeta", Shape::TextMap),
    Field("LegacyCreateTime", Shape::Text),
    Field("LegacyUpdateTime", Shape::Text),
    Field("Namespace", Shape::Text),
    Field("Partition", Shape::Text),
    Field("Peer", Shape::Text),
    Field("SamenessGroup", Shape::Text),
];

pub(super) const SERVICE_INTENTIONS: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Sources", Shape::Blocks(SOURCE)),
    Field("JWT", Shape::Block(JWT)),
    Field("Meta", Shape::TextMap),
    Field("Hash", Shape::Ignored),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const TLS: &[Field] =
    &[Field("TLSMinVersion", Shape::Text), Field("TLSMaxVersion", Shape::Text), Field("CipherSuites", Shape::Texts)];

const NORMALIZATION: &[Field] = &[
    Field("InsecureDisablePathNormalization", Shape::Bool),
    Field("MergeSlashes", Shape::Bool),
    Field("PathWithEscapedSlashesAction", Shape::Text),
    Field("HeadersWithUnderscoresAction", Shape::Text),
];

pub(super) const MESH: &[Field] = &[
    Field("Kind", Shape::Text),
    // There is one; a name that is given does not count.
    Field("Name", Shape::Text),
    Field("TransparentProxy", Shape::Block(&[Field("MeshDestinationsOnly", Shape::Bool)])),
    Field("AllowEnablingPermissiveMutualTLS", Shape::Bool),
    Field("ValidateClusters", Shape::Bool),
    Field("TLS", Shape::Block(&[Field("Incoming", Shape::Block(TLS)), Field("Outgoing", Shape::Block(TLS))])),
    Field(
        "HTTP",
        Shape::Block(&[
            Field("SanitizeXForwardedClientCert", Shape::Bool),
            Field("Incoming", Shape::Block(&[Field("RequestNormalization", Shape::Block(NORMALIZATION))])),
        ]),
    ),
    Field("Peering", Shape::Block(&[Field("PeerThroughMeshGateways", Shape::Bool)])),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

pub(super) const EXPORTED_SERVICES: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "Services",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Namespace", Shape::Text),
            Field(
                "Consumers",
                Shape::Blocks(&[
                    Field("Partition", Shape::Text),
                    Field("Peer", Shape::Text),
                    Field("SamenessGroup", Shape::Text),
                ]),
            ),
        ]),
    ),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const REMOTE_KEYS: &[Field] = &[
    Field("URI", Shape::Text),
    Field("RequestTimeoutMs", COUNT),
    Field("CacheDuration", Shape::Duration),
    Field("FetchAsynchronously", Shape::Bool),
    Field("UseSNI", Shape::Bool),
    Field(
        "RetryPolicy",
        Shape::Block(&[
            Field("NumRetries", COUNT),
            Field(
                "RetryPolicyBackOff",
                Shape::Block(&[Field("BaseInterval", Shape::Duration), Field("MaxInterval", Shape::Duration)]),
            ),
        ]),
    ),
    Field("JWKSCluster", Shape::Opaque),
];

pub(super) const JWT_PROVIDER: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "JSONWebKeySet",
        Shape::Block(&[
            Field("Local", Shape::Block(&[Field("JWKS", Shape::Text), Field("Filename", Shape::Text)])),
            Field("Remote", Shape::Block(REMOTE_KEYS)),
        ]),
    ),
    Field("Issuer", Shape::Text),
    Field("Audiences", Shape::Texts),
    Field(
        "Locations",
        Shape::Blocks(&[
            Field(
                "Header",
                Shape::Block(&[
                    Field("Name", Shape::Text),
                    Field("ValuePrefix", Shape::Text),
                    Field("Forward", Shape::Bool),
                ]),
            ),
            Field("QueryParam", Shape::Block(&[Field("Name", Shape::Text)])),
            Field("Cookie", Shape::Block(&[Field("Name", Shape::Text)])),
        ]),
    ),
    Field(
        "Forwarding",
        Shape::Block(&[Field("HeaderName", Shape::Text), Field("PadForwardPayloadHeader", Shape::Bool)]),
    ),
    Field("ClockSkewSeconds", COUNT),
    Field("CacheConfig", Shape::Block(&[Field("Size", COUNT)])),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const REFERENCE: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("SectionName", Shape::Text),
    Field("Partition", Shape::Text),
    Field("Namespace", Shape::Text),
];

pub(super) const API_GATEWAY: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field(
        "Listeners",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Hostname", Shape::Text),
            Field("Port", PORT),
            Field("Protocol", Shape::Text),
            Field("TLS", Shape::Opaque),
            Field("Override", Shape::Opaque),
            Field("Default", Shape::Opaque),
            Field("MaxRequestHeadersKB", COUNT),
        ]),
    ),
    Field("Status", Shape::Ignored),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const HTTP_RULE: &[Field] = &[
    Field("Filters", Shape::Opaque),
    Field("ResponseFilters", Shape::Opaque),
    Field("Matches", Shape::Opaque),
    Field(
        "Services",
        Shape::Blocks(&[
            Field("Name", Shape::Text),
            Field("Weight", COUNT),
            Field("Filters", Shape::Opaque),
            Field("ResponseFilters", Shape::Opaque),
            Field("RequestHeaders", Shape::Block(HEADERS)),
            Field("Partition", Shape::Text),
            Field("Namespace", Shape::Text),
        ]),
    ),
];

pub(super) const HTTP_ROUTE: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Parents", Shape::Blocks(REFERENCE)),
    Field("Rules", Shape::Blocks(HTTP_RULE)),
    Field("Hostnames", Shape::Texts),
    Field("Status", Shape::Ignored),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

pub(super) const TCP_ROUTE: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Parents", Shape::Blocks(REFERENCE)),
    Field(
        "Services",
        Shape::Blocks(&[Field("Name", Shape::Text), Field("Partition", Shape::Text), Field("Namespace", Shape::Text)]),
    ),
    Field("Status", Shape::Ignored),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

pub(super) const INLINE_CERTIFICATE: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Certificate", Shape::Text),
    Field("PrivateKey", Shape::Text),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

pub(super) const SAMENESS_GROUP: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("DefaultForFailover", Shape::Bool),
    Field("IncludeLocal", Shape::Bool),
    Field("Members", Shape::Blocks(&[Field("Partition", Shape::Text), Field("Peer", Shape::Text)])),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];

const RATES: &[Field] = &[Field("ReadRate", Shape::Number), Field("WriteRate", Shape::Number)];

pub(super) const CONTROL_PLANE_REQUEST_LIMIT: &[Field] = &[
    Field("Kind", Shape::Text),
    Field("Name", Shape::Text),
    Field("Mode", Shape::Text),
    Field("ReadRate", Shape::Number),
    Field("WriteRate", Shape::Number),
    Field("ACL", Shape::Block(RATES)),
    Field("Catalog", Shape::Block(RATES)),
    Field("ConfigEntry", Shape::Block(RATES)),
    Field("ConnectCA", Shape::Block(RATES)),
    Field("Coordinate", Shape::Block(RATES)),
    Field("DiscoveryChain", Shape::Block(RATES)),
    Field("ServerDiscovery", Shape::Block(RATES)),
    Field("Health", Shape::Block(RATES)),
    Field("Intention", Shape::Block(RATES)),
    Field("KV", Shape::Block(RATES)),
    Field("Tenancy", Shape::Block(RATES)),
    Field("PreparedQuery", Shape::Block(RATES)),
    Field("Session", Shape::Block(RATES)),
    Field("Txn", Shape::Block(RATES)),
    Field("AutoConfig", Shape::Block(RATES)),
    Field("FederationState", Shape::Block(RATES)),
    Field("Internal", Shape::Block(RATES)),
    Field("PeerStream", Shape::Block(RATES)),
    Field("Peering", Shape::Block(RATES)),
    Field("DataPlane", Shape::Block(RATES)),
    Field("DNS", Shape::Block(RATES)),
    Field("Subscribe", Shape::Block(RATES)),
    Field("Resource", Shape::Block(RATES)),
    Field("Meta", Shape::TextMap),
    Field("CreateIndex", Shape::Ignored),
    Field("ModifyIndex", Shape::Ignored),
];
