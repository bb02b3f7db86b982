//! The shapes of answers: Consul's names, in the order of its structs, with its `null`, `[]` and `{}`.

use std::collections::BTreeMap;

use model::{
    DestinationType, Intention, Node, OpaqueMap, ProxyConfig, Service, ServiceAddress, ServiceKind, Upstream, Weights,
};
use serde::Serialize;
use serde_json::Value;
use store::{CheckFact, Instance, Stored};

type Texts = BTreeMap<String, String>;

/// Go prints a map that was never made as `null`.
fn given<K, V>(map: &BTreeMap<K, V>) -> Option<&BTreeMap<K, V>> {
    Some(map).filter(|map| !map.is_empty())
}

fn is_zero(number: &u16) -> bool {
    *number == 0
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NodeShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    pub(crate) node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: Option<&'a Texts>,
    meta: Option<&'a Texts>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<Node>> for NodeShape<'a> {
    fn from(node: &'a Stored<Node>) -> Self {
        Self {
            id: &node.id,
            node: &node.node,
            address: &node.address,
            datacenter: &node.datacenter,
            tagged_addresses: given(&node.tagged_addresses),
            meta: given(&node.meta),
            create_index: node.create_index,
            modify_index: node.modify_index,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Mode<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) mode: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExposeShape {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    checks: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<ExposedPath>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ExposedPath {
    listener_port: u64,
    path: String,
    local_path_port: u64,
    protocol: String,
    parsed_from_check: bool,
}

/// A key as written, in CamelCase or snake_case.
fn look<'a>(map: &'a OpaqueMap, name: &str) -> Option<&'a Value> {
    map.iter().find(|(key, _)| key.replace('_', "").eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

impl From<&OpaqueMap> for ExposeShape {
    fn from(map: &OpaqueMap) -> Self {
        let path = |path: &OpaqueMap| {
            let text = |name| look(path, name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let number = |name| look(path, name).and_then(Value::as_u64).unwrap_or_default();
            ExposedPath {
                listener_port: number("listenerport"),
                path: text("path"),
                local_path_port: number("localpathport"),
                protocol: text("protocol"),
                parsed_from_check: false,
            }
        };
        let paths = look(map, "paths").and_then(Value::as_array);
        Self {
            checks: look(map, "checks").and_then(Value::as_bool).unwrap_or_default(),
            paths: paths.into_iter().flatten().filter_map(Value::as_object).map(path).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpstreamShape<'a> {
    destination_type: DestinationType,
    #[serde(skip_serializing_if = "str::is_empty")]
    destination_namespace: &'a str,
    destination_name: &'a str,
    datacenter: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    local_bind_address: &'a str,
    local_bind_port: u16,
    config: Option<&'a OpaqueMap>,
    mesh_gateway: Mode<'a>,
}

impl<'a> From<&'a Upstream> for UpstreamShape<'a> {
    fn from(upstream: &'a Upstream) -> Self {
        Self {
            destination_type: upstream.destination_type,
            destination_namespace: &upstream.destination_namespace,
            destination_name: &upstream.destination_name,
            datacenter: &upstream.datacenter,
            local_bind_address: &upstream.local_bind_address,
            local_bind_port: upstream.local_bind_port,
            config: Some(&upstream.config).filter(|config| !config.is_empty()),
            mesh_gateway: Mode { mode: &upstream.mesh_gateway_mode },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProxyShape<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    destination_service_name: &'a str,
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "str::is_empty")]
    destination_service_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    local_service_address: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    local_service_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a OpaqueMap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<UpstreamShape<'a>>,
    mesh_gateway: Mode<'a>,
    expose: ExposeShape,
}

impl<'a> From<Option<&'a ProxyConfig>> for ProxyShape<'a> {
    fn from(proxy: Option<&'a ProxyConfig>) -> Self {
        let text = |of: fn(&'a ProxyConfig) -> &'a str| proxy.map(of).unwrap_or_default();
        Self {
            destination_service_name: text(|p| &p.destination_service_name),
            destination_service_id: text(|p| &p.destination_service_id),
            local_service_address: text(|p| &p.local_service_address),
            local_service_port: proxy.map_or(0, |p| p.local_service_port),
            config: proxy.map(|p| &p.config).filter(|config| !config.is_empty()),
            upstreams: proxy.iter().flat_map(|p| &p.upstreams).map(UpstreamShape::from).collect(),
            mesh_gateway: Mode { mode: text(|p| &p.mesh_gateway_mode) },
            expose: proxy.map_or_else(|| ExposeShape::from(&OpaqueMap::new()), |p| ExposeShape::from(&p.expose)),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ConnectShape {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    native: bool,
}

fn is_typical(kind: &&ServiceKind) -> bool {
    **kind == ServiceKind::Typical
}

/// A service as health and node answers show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceShape<'a> {
    #[serde(skip_serializing_if = "is_typical")]
    kind: &'a ServiceKind,
    #[serde(rename = "ID")]
    pub(crate) id: &'a str,
    service: &'a str,
    tags: Option<&'a [String]>,
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    meta: Option<&'a Texts>,
    port: u16,
    weights: Weights,
    enable_tag_override: bool,
    proxy: ProxyShape<'a>,
    connect: ConnectShape,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<Service>> for ServiceShape<'a> {
    fn from(service: &'a Stored<Service>) -> Self {
        Self {
            kind: &service.kind,
            id: &service.id,
            service: &service.service,
            tags: Some(&service.tags),
            address: &service.address,
            tagged_addresses: &service.tagged_addresses,
            meta: given(&service.meta),
            port: service.port,
            weights: service.weights,
            enable_tag_override: service.enable_tag_override,
            proxy: service.proxy.as_ref().into(),
            connect: ConnectShape { native: service.connect.native },
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

impl ServiceShape<'_> {
    /// As a transaction shows it.
    pub(crate) fn with_null_for_no_tags(mut self) -> Self {
        self.tags = self.tags.filter(|tags| !tags.is_empty());
        self
    }
}

impl CheckShape<'_> {
    /// As a transaction shows it.
    pub(crate) fn with_null_for_no_tags(mut self) -> Self {
        self.service_tags = self.service_tags.filter(|tags| !tags.is_empty());
        self
    }
}

/// A service with its node, as the catalog lists it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CatalogServiceShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    pub(crate) node: &'a str,
    address: &'a str,
    datacenter: &'a str,
    tagged_addresses: Option<&'a Texts>,
    node_meta: Option<&'a Texts>,
    service_kind: &'a ServiceKind,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    service_address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_tagged_addresses: &'a BTreeMap<String, ServiceAddress>,
    service_weights: Weights,
    service_meta: &'a Texts,
    service_port: u16,
    service_enable_tag_override: bool,
    service_proxy: ProxyShape<'a>,
    service_connect: ConnectShape,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Instance> for CatalogServiceShape<'a> {
    fn from(Instance { node, service, .. }: &'a Instance) -> Self {
        Self {
            id: &node.id,
            node: &node.node,
            address: &node.address,
            datacenter: &node.datacenter,
            tagged_addresses: given(&node.tagged_addresses),
            node_meta: given(&node.meta),
            service_kind: &service.kind,
            service_id: &service.id,
            service_name: &service.service,
            service_tags: &service.tags,
            service_address: &service.address,
            service_tagged_addresses: &service.tagged_addresses,
            service_weights: service.weights,
            service_meta: &service.meta,
            service_port: service.port,
            service_enable_tag_override: service.enable_tag_override,
            service_proxy: service.proxy.as_ref().into(),
            service_connect: ConnectShape { native: service.connect.native },
            create_index: service.create_index,
            modify_index: service.modify_index,
        }
    }
}

/// What was asked of an external checker; `{}` for checks that an agent runs.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DefinitionShape<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<&'a Value>,
    #[serde(flatten)]
    more: BTreeMap<&'a str, &'a Value>,
}

impl<'a> From<&'a OpaqueMap> for DefinitionShape<'a> {
    fn from(map: &'a OpaqueMap) -> Self {
        const DURATIONS: [&str; 3] = ["Interval", "Timeout", "DeregisterCriticalServiceAfter"];
        let more = map.iter().map(|(key, value)| (key.as_str(), value));
        Self {
            interval: map.get(DURATIONS[0]),
            timeout: map.get(DURATIONS[1]),
            deregister_critical_service_after: map.get(DURATIONS[2]),
            more: more.filter(|(key, _)| !DURATIONS.contains(key)).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckShape<'a> {
    pub(crate) node: &'a str,
    #[serde(rename = "CheckID")]
    check_id: &'a str,
    name: &'a str,
    status: model::Status,
    notes: &'a str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: Option<&'a [String]>,
    #[serde(rename = "Type")]
    kind: &'a str,
    definition: DefinitionShape<'a>,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<CheckFact>> for CheckShape<'a> {
    fn from(fact: &'a Stored<CheckFact>) -> Self {
        let check = &fact.check;
        Self {
            node: &check.node,
            check_id: &check.check_id,
            name: &check.name,
            status: check.status,
            notes: &check.notes,
            output: &check.output,
            service_id: &check.service_id,
            service_name: &check.service_name,
            service_tags: Some(&check.service_tags),
            kind: &check.kind,
            definition: (&fact.definition).into(),
            create_index: fact.create_index,
            modify_index: fact.modify_index,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthShape<'a> {
    pub(crate) node: NodeShape<'a>,
    service: ServiceShape<'a>,
    checks: Vec<CheckShape<'a>>,
}

impl<'a> From<&'a Instance> for HealthShape<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            node: (&instance.node).into(),
            service: (&instance.service).into(),
            checks: instance.checks.iter().map(CheckShape::from).collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct IntentionShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    description: &'a str,
    #[serde(rename = "SourceNS")]
    source_ns: &'a str,
    source_name: &'a str,
    #[serde(rename = "DestinationNS")]
    destination_ns: &'a str,
    destination_name: &'a str,
    source_type: model::SourceType,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<model::Action>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    permissions: &'a [OpaqueMap],
    default_addr: &'static str,
    default_port: u16,
    meta: &'a Texts,
    precedence: u8,
    created_at: &'a str,
    updated_at: &'a str,
    hash: String,
    create_index: u64,
    modify_index: u64,
}

impl<'a> From<&'a Stored<Intention>> for IntentionShape<'a> {
    fn from(intention: &'a Stored<Intention>) -> Self {
        Self {
            id: &intention.id,
            description: &intention.description,
            source_ns: &intention.source_ns,
            source_name: &intention.source_name,
            destination_ns: &intention.destination_ns,
            destination_name: &intention.destination_name,
            source_type: intention.source_type,
            action: Some(intention.action).filter(|_| intention.permissions.is_empty()),
            permissions: &intention.permissions,
            default_addr: "",
            default_port: 0,
            meta: &intention.meta,
            precedence: intention.precedence(),
            created_at: &intention.created_at,
            updated_at: &intention.updated_at,
            hash: hash(intention),
            create_index: intention.create_index,
            modify_index: intention.modify_index,
        }
    }
}

/// Changes when the rule does; its users compare it and nothing else.
fn hash(intention: &Intention) -> String {
    digest(&format!("{intention}\0{}\0{:?}", intention.description, intention.meta))
}

/// FNV-1a from four starting points: the length of Consul's digests, the same on every server and version.
pub(super) fn digest(text: &str) -> String {
    use base64::Engine as _;
    let fnv = |start: u64| {
        text.bytes().fold(0xcbf2_9ce4_8422_2325 ^ start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    let bytes: Vec<u8> = (0..4).flat_map(|start| fnv(start << 32).to_be_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
