//! What `?filter=` may name, by the kind of thing that is listed.

use crate::filter::Field;

const ADDRESS: Field = Field::Struct(&[("Address", Field::Text), ("Port", Field::Number)]);
const MODE: Field = Field::Struct(&[("Mode", Field::Text)]);
const UPSTREAM: Field = Field::Struct(&[
    ("DestinationType", Field::Text),
    ("DestinationNamespace", Field::Text),
    ("DestinationName", Field::Text),
    ("Datacenter", Field::Text),
    ("LocalBindAddress", Field::Text),
    ("LocalBindPort", Field::Number),
    ("MeshGateway", MODE),
]);
const EXPOSED: Field = Field::Struct(&[
    ("ListenerPort", Field::Number),
    ("Path", Field::Text),
    ("LocalPathPort", Field::Number),
    ("Protocol", Field::Text),
]);
const PROXY: Field = Field::Struct(&[
    ("DestinationServiceName", Field::Text),
    ("DestinationServiceID", Field::Text),
    ("LocalServiceAddress", Field::Text),
    ("LocalServicePort", Field::Number),
    ("Upstreams", Field::List(&UPSTREAM)),
    ("MeshGateway", MODE),
    ("Expose", Field::Struct(&[("Checks", Field::Bool), ("Paths", Field::List(&EXPOSED))])),
]);
const WEIGHTS: Field = Field::Struct(&[("Passing", Field::Number), ("Warning", Field::Number)]);
const CONNECT: Field = Field::Struct(&[("Native", Field::Bool)]);

/// What filters on nodes may name.
pub const NODE_FIELDS: Field = Field::Struct(&[
    ("ID", Field::Text),
    ("Node", Field::Text),
    ("Address", Field::Text),
    ("Datacenter", Field::Text),
    ("TaggedAddresses", Field::TextMap),
    ("Meta", Field::TextMap),
]);

/// What filters on services of a node or an agent may name.
pub const SERVICE_FIELDS: Field = Field::Struct(&[
    ("Kind", Field::Text),
    ("ID", Field::Text),
    ("Service", Field::Text),
    ("Tags", Field::Texts),
    ("Address", Field::Text),
    ("TaggedAddresses", Field::Map(&ADDRESS)),
    ("Meta", Field::TextMap),
    ("Port", Field::Number),
    ("Weights", WEIGHTS),
    ("EnableTagOverride", Field::Bool),
    ("Proxy", PROXY),
    ("Connect", CONNECT),
]);

/// What filters on services of the catalog may name.
pub const CATALOG_SERVICE_FIELDS: Field = Field::Struct(&[
    ("ID", Field::Text),
    ("Node", Field::Text),
    ("Address", Field::Text),
    ("Datacenter", Field::Text),
    ("TaggedAddresses", Field::TextMap),
    ("NodeMeta", Field::TextMap),
    ("ServiceKind", Field::Text),
    ("ServiceID", Field::Text),
    ("ServiceName", Field::Text),
    ("ServiceTags", Field::Texts),
    ("ServiceAddress", Field::Text),
    ("ServiceTaggedAddresses", Field::Map(&ADDRESS)),
    ("ServiceWeights", WEIGHTS),
    ("ServiceMeta", Field::TextMap),
    ("ServicePort", Field::Number),
    ("ServiceEnableTagOverride", Field::Bool),
    ("ServiceProxy", PROXY),
    ("ServiceConnect", CONNECT),
]);

/// What filters on checks may name.
pub const CHECK_FIELDS: Field = Field::Struct(&[
    ("Node", Field::Text),
    ("CheckID", Field::Text),
    ("Name", Field::Text),
    ("Status", Field::Text),
    ("Notes", Field::Text),
    ("Output", Field::Text),
    ("ServiceID", Field::Text),
    ("ServiceName", Field::Text),
    ("ServiceTags", Field::Texts),
    ("Type", Field::Text),
]);

/// What filters on health answers may name.
pub const HEALTH_FIELDS: Field =
    Field::Struct(&[("Node", NODE_FIELDS), ("Service", SERVICE_FIELDS), ("Checks", Field::List(&CHECK_FIELDS))]);

/// What filters on intentions may name.
pub const INTENTION_FIELDS: Field = Field::Struct(&[
    ("ID", Field::Text),
    ("Description", Field::Text),
    ("SourceNS", Field::Text),
    ("SourceName", Field::Text),
    ("DestinationNS", Field::Text),
    ("DestinationName", Field::Text),
    ("SourceType", Field::Text),
    ("Action", Field::Text),
    ("Meta", Field::TextMap),
    ("Precedence", Field::Number),
]);
