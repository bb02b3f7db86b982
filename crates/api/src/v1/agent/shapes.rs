//! The JSON the agent's routes answer; key order and omissions are those of Consul's.

use std::collections::BTreeMap;

use model::{HealthCheck, ProxyConfig, Service, ServiceAddress, ServiceKind, Upstream, Weights};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::filter::Field;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceAnswer {
    #[serde(skip_serializing_if = "is_typical")]
    kind: ServiceKind,
    #[serde(rename = "ID")]
    id: String,
    service: String,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    port: u16,
    address: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: BTreeMap<String, ServiceAddress>,
    weights: Weights,
    enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Value>,
}

impl From<Service> for ServiceAnswer {
    fn from(service: Service) -> Self {
        let proxy = match &service.kind {
            ServiceKind::Typical | ServiceKind::Other(_) => None,
            _ => Some(proxy(&service.proxy.unwrap_or_default())),
        };
        Self {
            kind: service.kind,
            id: service.id,
            service: service.service,
            tags: service.tags,
            meta: service.meta,
            port: service.port,
            address: service.address,
            tagged_addresses: service.tagged_addresses,
            weights: service.weights,
            enable_tag_override: service.enable_tag_override,
            content_hash: None,
            proxy,
            connect: service.connect.native.then(|| json!({"Native": true})),
        }
    }
}

/// An object of what is not empty.
#[derive(Default)]
struct Sparse(Map<String, Value>);

impl Sparse {
    fn put(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let empty = match &value {
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            value => *value == 0,
        };
        if !empty {
            self.0.insert(key.to_owned(), value);
        }
        self
    }

    fn always(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

fn proxy(proxy: &ProxyConfig) -> Value {
    let upstreams: Vec<Value> = proxy.upstreams.iter().map(upstream).collect();
    let out = Sparse::default()
        .put("DestinationServiceName", proxy.destination_service_name.as_str())
        .put("DestinationServiceID", proxy.destination_service_id.as_str())
        .put("LocalServiceAddress", proxy.local_service_address.as_str())
        .put("LocalServicePort", proxy.local_service_port)
        .put("Config", proxy.config.clone())
        .put("Upstreams", upstreams)
        .always("MeshGateway", mesh_gateway(&proxy.mesh_gateway_mode))
        .always("Expose", proxy.expose.clone());
    Value::Object(out.0)
}

fn upstream(upstream: &Upstream) -> Value {
    let out = Sparse::default()
        .always("DestinationType", json!(upstream.destination_type))
        .put("DestinationNamespace", upstream.destination_namespace.as_str())
        .always("DestinationName", upstream.destination_name.as_str())
        .put("Datacenter", upstream.datacenter.as_str())
        .put("LocalBindAddress", upstream.local_bind_address.as_str())
        .put("LocalBindPort", upstream.local_bind_port)
        .put("Config", upstream.config.clone())
        .always("MeshGateway", mesh_gateway(&upstream.mesh_gateway_mode));
    Value::Object(out.0)
}

fn mesh_gateway(mode: &str) -> Value {
    Value::Object(Sparse::default().put("Mode", mode).0)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CheckAnswer {
    #[serde(flatten)]
    check: HealthCheck,
    definition: Value,
    create_index: u64,
    modify_index: u64,
}

impl CheckAnswer {
    pub fn new(check: HealthCheck) -> Self {
        Self { check, definition: json!({}), create_index: 0, modify_index: 0 }
    }

    /// As the health routes answer it: these write out an empty definition and no type.
    pub fn with_definition(check: HealthCheck) -> Self {
        let definition = json!({
            "Interval": "0s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s", "HTTP": "", "Header": null,
            "Method": "", "Body": "", "TLSSkipVerify": false, "TCP": "",
        });
        Self { check: HealthCheck { kind: String::new(), ..check }, definition, create_index: 0, modify_index: 0 }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthAnswer {
    pub aggregated_status: &'static str,
    pub service: Option<ServiceAnswer>,
    pub checks: Option<Vec<CheckAnswer>>,
}

const UPSTREAM: Field = Field::Struct(&[
    ("DestinationType", Field::Text),
    ("DestinationNamespace", Field::Text),
    ("DestinationName", Field::Text),
    ("Datacenter", Field::Text),
    ("LocalBindAddress", Field::Text),
    ("LocalBindPort", Field::Number),
    ("MeshGateway", MESH_GATEWAY),
]);

const MESH_GATEWAY: Field = Field::Struct(&[("Mode", Field::Text)]);

const ADDRESS: Field = Field::Struct(&[("Address", Field::Text), ("Port", Field::Number)]);

pub(super) const SERVICE_FIELDS: Field = Field::Struct(&[
    ("Kind", Field::Text),
    ("ID", Field::Text),
    ("Service", Field::Text),
    ("Tags", Field::Texts),
    ("Meta", Field::TextMap),
    ("Port", Field::Number),
    ("Address", Field::Text),
    ("TaggedAddresses", Field::Map(&ADDRESS)),
    ("Weights", Field::Struct(&[("Passing", Field::Number), ("Warning", Field::Number)])),
    ("EnableTagOverride", Field::Bool),
    (
        "Proxy",
        Field::Struct(&[
            ("DestinationServiceName", Field::Text),
            ("DestinationServiceID", Field::Text),
            ("LocalServiceAddress", Field::Text),
            ("LocalServicePort", Field::Number),
            ("Upstreams", Field::List(&UPSTREAM)),
            ("MeshGateway", MESH_GATEWAY),
        ]),
    ),
    ("Connect", Field::Struct(&[("Native", Field::Bool)])),
]);

pub(super) const CHECK_FIELDS: Field = Field::Struct(&[
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

fn is_typical(kind: &ServiceKind) -> bool {
    *kind == ServiceKind::Typical
}
