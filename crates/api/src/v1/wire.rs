//! The shapes of requests to the catalog, and what they mean.

use std::collections::BTreeMap;

use model::{
    Connect, DestinationType, HealthCheck, Node, OpaqueMap, ProxyConfig, Service, ServiceAddress, ServiceKind, Status,
    Upstream, Weights,
};
use serde::Deserialize;
use serde_json::Value;
use store::{CheckFact, Registration};

use crate::error::Error;
use crate::json::Shape::{Any, List, Map, Object};
use crate::json::{self, Shape};

const ADDRESS: Shape = Object(&[("Address", Any), ("Port", Any)]);
const MODE: Shape = Object(&[("Mode", Any)]);
const EXPOSED: Shape = Object(&[
    ("ListenerPort", Any),
    ("Path", Any),
    ("LocalPathPort", Any),
    ("Protocol", Any),
    ("ParsedFromCheck", Any),
]);
const UPSTREAM: Shape = Object(&[
    ("DestinationType", Any),
    ("DestinationNamespace", Any),
    ("DestinationName", Any),
    ("Datacenter", Any),
    ("LocalBindAddress", Any),
    ("LocalBindPort", Any),
    ("Config", Any),
    ("MeshGateway", MODE),
]);
const PROXY: Shape = Object(&[
    ("DestinationServiceName", Any),
    ("DestinationServiceID", Any),
    ("LocalServiceAddress", Any),
    ("LocalServicePort", Any),
    ("Config", Any),
    ("Upstreams", List(&UPSTREAM)),
    ("MeshGateway", MODE),
    ("Expose", Object(&[("Checks", Any), ("Paths", List(&EXPOSED))])),
]);
const SERVICE: Shape = Object(&[
    ("Kind", Any),
    ("ID", Any),
    ("Service", Any),
    ("Tags", Any),
    ("Address", Any),
    ("TaggedAddresses", Map(&ADDRESS)),
    ("Meta", Any),
    ("Port", Any),
    ("Weights", Object(&[("Passing", Any), ("Warning", Any)])),
    ("EnableTagOverride", Any),
    ("Proxy", PROXY),
    ("Connect", Object(&[("Native", Any)])),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);
const DEFINITION: Shape = Object(&[
    ("HTTP", Any),
    ("TLSSkipVerify", Any),
    ("Header", Any),
    ("Method", Any),
    ("Body", Any),
    ("TCP", Any),
    ("Interval", Any),
    ("Timeout", Any),
    ("DeregisterCriticalServiceAfter", Any),
    ("ScriptArgs", Any),
    ("DockerContainerID", Any),
    ("Shell", Any),
    ("GRPC", Any),
    ("GRPCUseTLS", Any),
    ("AliasNode", Any),
    ("AliasService", Any),
    ("TTL", Any),
]);
const CHECK: Shape = Object(&[
    ("Node", Any),
    ("CheckID", Any),
    ("Name", Any),
    ("Status", Any),
    ("Notes", Any),
    ("Output", Any),
    ("ServiceID", Any),
    ("ServiceName", Any),
    ("ServiceTags", Any),
    ("Type", Any),
    ("Definition", DEFINITION),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);
const REGISTER: Shape = Object(&[
    ("Datacenter", Any),
    ("ID", Any),
    ("Node", Any),
    ("Address", Any),
    ("TaggedAddresses", Any),
    ("NodeMeta", Any),
    ("Service", SERVICE),
    ("Check", CHECK),
    ("Checks", List(&CHECK)),
    ("SkipNodeUpdate", Any),
]);
const DEREGISTER: Shape = Object(&[("Datacenter", Any), ("Node", Any), ("ServiceID", Any), ("CheckID", Any)]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ModeWire {
    mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct UpstreamWire {
    destination_type: String,
    destination_namespace: String,
    destination_name: String,
    datacenter: String,
    local_bind_address: String,
    local_bind_port: u16,
    config: OpaqueMap,
    mesh_gateway: ModeWire,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ProxyWire {
    destination_service_name: String,
    #[serde(rename = "DestinationServiceID")]
    destination_service_id: String,
    local_service_address: String,
    local_service_port: u16,
    config: OpaqueMap,
    upstreams: Vec<UpstreamWire>,
    mesh_gateway: ModeWire,
    expose: OpaqueMap,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceWire {
    kind: ServiceKind,
    #[serde(rename = "ID")]
    id: String,
    service: String,
    tags: Vec<String>,
    address: String,
    tagged_addresses: BTreeMap<String, ServiceAddress>,
    meta: BTreeMap<String, String>,
    port: u16,
    weights: Option<WeightsWire>,
    enable_tag_override: bool,
    proxy: Option<ProxyWire>,
    connect: Option<Connect>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WeightsWire {
    passing: u32,
    warning: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct CheckWire {
    node: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    name: String,
    status: String,
    notes: String,
    output: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "Type")]
    kind: String,
    definition: OpaqueMap,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct RegisterWire {
    datacenter: String,
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    tagged_addresses: BTreeMap<String, String>,
    node_meta: BTreeMap<String, String>,
    service: Option<ServiceWire>,
    check: Option<CheckWire>,
    checks: Vec<CheckWire>,
    skip_node_update: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct DeregisterWire {
    pub datacenter: String,
    pub node: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    #[serde(rename = "CheckID")]
    pub check_id: String,
}

/// Reads `PUT /v1/catalog/register`; gives the datacenter it names, too.
pub(super) fn registration(body: &[u8], datacenter: &str) -> Result<(Registration, String), Error> {
    let wire: RegisterWire = json::decode(body, &REGISTER, "structs.RegisterRequest").map_err(Error::Decode)?;
    let named = wire.datacenter.clone();
    let registration = meant(wire, datacenter)?;
    registration.service.iter().try_for_each(check_proxy)?;
    Ok((registration, named))
}

/// A registration as a real Consul keeps it: with keys that no request has.
pub(crate) fn stored_registration(body: Value, datacenter: &str) -> Result<Registration, Error> {
    let wire = serde_json::from_value(body).map_err(|error| Error::Decode(format!("json: {error}")))?;
    meant(wire, datacenter)
}

fn meant(wire: RegisterWire, datacenter: &str) -> Result<Registration, Error> {
    let service = wire.service.filter(|service| !(service.id.is_empty() && service.service.is_empty()));
    let service = service.map(Service::from);
    let checks = wire.check.into_iter().chain(wire.checks).map(CheckFact::try_from).collect::<Result<_, _>>()?;
    let node = Node {
        id: wire.id,
        node: wire.node,
        address: wire.address,
        datacenter: datacenter.to_owned(),
        tagged_addresses: wire.tagged_addresses,
        meta: wire.node_meta,
    };
    Ok(Registration { node, service, checks, skip_node_update: wire.skip_node_update })
}

/// A service of a transaction.
pub(super) fn service(value: Option<&Value>) -> Result<Service, String> {
    let Some(value) = value else { return Ok(Service::default()) };
    json::shaped::<ServiceWire>(value.clone(), &SERVICE).map(Service::from)
}

/// A check of a transaction.
pub(super) fn check(value: Option<&Value>) -> Result<CheckFact, String> {
    let Some(value) = value else { return Ok(CheckFact::default()) };
    let wire = json::shaped::<CheckWire>(value.clone(), &CHECK)?;
    CheckFact::try_from(wire).map_err(|error| error.to_string())
}

pub(super) fn deregistration(body: &[u8]) -> Result<DeregisterWire, Error> {
    json::decode(body, &DEREGISTER, "structs.DeregisterRequest").map_err(Error::Decode)
}

/// Go's multierror form.
pub(super) fn several(complaints: &[String]) -> String {
    let noun = if complaints.len() == 1 { "error" } else { "errors" };
    let lines: String = complaints.iter().map(|line| format!("\t* {line}\n")).collect();
    format!("{} {noun} occurred:\n{lines}\n", complaints.len())
}

fn check_proxy(service: &Service) -> Result<(), Error> {
    let proxy = service.proxy.as_ref();
    let mut complaints = Vec::new();
    if service.kind == ServiceKind::ConnectProxy {
        if proxy.is_none_or(|proxy| proxy.destination_service_name.trim().is_empty()) {
            complaints.push("Proxy.DestinationServiceName must be non-empty for Connect proxy services".to_owned());
        }
        if service.port == 0 {
            complaints.push("Port must be set for a Connect proxy".to_owned());
        }
        if service.connect.native {
            complaints.push("A Proxy cannot also be Connect Native, only typical services".to_owned());
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(Error::Refused(several(&complaints))) }
}

impl From<ServiceWire> for Service {
    fn from(wire: ServiceWire) -> Self {
        let weights = wire.weights.map(|weights| Weights { passing: weights.passing, warning: weights.warning });
        Self {
            // A service without a proxy is sent with an empty one by agents and by Consul's own client.
            proxy: wire.proxy.filter(|_| wire.kind != ServiceKind::Typical).map(ProxyConfig::from),
            kind: wire.kind,
            id: wire.id,
            service: wire.service,
            tags: wire.tags,
            meta: wire.meta,
            port: wire.port,
            address: wire.address,
            tagged_addresses: wire.tagged_addresses,
            weights: weights.unwrap_or_default(),
            enable_tag_override: wire.enable_tag_override,
            connect: wire.connect.unwrap_or_default(),
        }
    }
}

impl From<ProxyWire> for ProxyConfig {
    fn from(wire: ProxyWire) -> Self {
        Self {
            destination_service_name: wire.destination_service_name,
            destination_service_id: wire.destination_service_id,
            local_service_address: wire.local_service_address,
            local_service_port: wire.local_service_port,
            config: wire.config,
            upstreams: wire.upstreams.into_iter().map(Upstream::from).collect(),
            mesh_gateway_mode: wire.mesh_gateway.mode,
            expose: wire.expose,
        }
    }
}

impl From<UpstreamWire> for Upstream {
    fn from(wire: UpstreamWire) -> Self {
        let query = wire.destination_type == "prepared_query";
        Self {
            destination_type: if query { DestinationType::PreparedQuery } else { DestinationType::Service },
            destination_namespace: wire.destination_namespace,
            destination_name: wire.destination_name,
            datacenter: wire.datacenter,
            local_bind_address: wire.local_bind_address,
            local_bind_port: wire.local_bind_port,
            config: wire.config,
            mesh_gateway_mode: wire.mesh_gateway.mode,
        }
    }
}

impl TryFrom<CheckWire> for CheckFact {
    type Error = Error;

    fn try_from(wire: CheckWire) -> Result<Self, Error> {
        let status = match wire.status.as_str() {
            "" => Status::Critical,
            text => Status::parse(text).ok_or_else(|| {
                Error::Invalid(format!("Invalid check status {text:?}, must be passing, warning or critical"))
            })?,
        };
        let definition = definition(wire.definition);
        let kind = if wire.kind.is_empty() { kind_of(&definition).to_owned() } else { wire.kind };
        let check = HealthCheck {
            node: wire.node,
            check_id: wire.check_id,
            name: wire.name,
            status,
            notes: wire.notes,
            output: wire.output,
            service_id: wire.service_id,
            kind,
            ..HealthCheck::default()
        };
        Ok(Self { check, definition })
    }
}

/// Durations come as text or nanoseconds and are shown as text; what is empty is not shown.
fn definition(map: OpaqueMap) -> OpaqueMap {
    let mut out = OpaqueMap::new();
    for (key, value) in map {
        let duration = matches!(key.as_str(), "Interval" | "Timeout" | "DeregisterCriticalServiceAfter" | "TTL");
        let parsed = match &value {
            Value::String(text) if duration => model::parse_duration(text).ok(),
            Value::Number(nanos) if duration => nanos.as_u64().map(std::time::Duration::from_nanos),
            _ => None,
        };
        let value = parsed.map_or(value, |duration| model::format_duration(duration).into());
        let empty = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty() || (duration && text == "0s"),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(true) | Value::Number(_) => false,
        };
        if !empty {
            out.insert(key, value);
        }
    }
    out
}

fn kind_of(definition: &OpaqueMap) -> &'static str {
    let has = |key: &str| definition.contains_key(key);
    match () {
        () if has("HTTP") => "http",
        () if has("TCP") => "tcp",
        () if has("GRPC") => "grpc",
        () if has("AliasNode") || has("AliasService") => "alias",
        () if has("TTL") => "ttl",
        () => "",
    }
}
