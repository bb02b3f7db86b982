//! The JSON the agent's routes answer; key order and omissions are those of Consul's.

use std::collections::BTreeMap;

use model::{
    DestinationType, HealthCheck, OpaqueMap, ProxyConfig, Service, ServiceAddress, ServiceKind, Upstream, Weights,
};
use serde::Serialize;
use serde_json::{Value, json};

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
    proxy: Option<ProxyAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Value>,
}

impl From<Service> for ServiceAnswer {
    fn from(service: Service) -> Self {
        let proxy = match &service.kind {
            ServiceKind::Typical | ServiceKind::Other(_) => None,
            _ => Some(service.proxy.unwrap_or_default().into()),
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyAnswer {
    #[serde(skip_serializing_if = "String::is_empty")]
    destination_service_name: String,
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "String::is_empty")]
    destination_service_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    local_service_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    local_service_port: u16,
    #[serde(skip_serializing_if = "OpaqueMap::is_empty")]
    config: OpaqueMap,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<UpstreamAnswer>,
    mesh_gateway: ModeAnswer,
    expose: OpaqueMap,
}

impl From<ProxyConfig> for ProxyAnswer {
    fn from(proxy: ProxyConfig) -> Self {
        Self {
            destination_service_name: proxy.destination_service_name,
            destination_service_id: proxy.destination_service_id,
            local_service_address: proxy.local_service_address,
            local_service_port: proxy.local_service_port,
            config: proxy.config,
            upstreams: proxy.upstreams.into_iter().map(UpstreamAnswer::from).collect(),
            mesh_gateway: ModeAnswer { mode: proxy.mesh_gateway_mode },
            expose: proxy.expose,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UpstreamAnswer {
    destination_type: DestinationType,
    #[serde(skip_serializing_if = "String::is_empty")]
    destination_namespace: String,
    destination_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    datacenter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    local_bind_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    local_bind_port: u16,
    #[serde(skip_serializing_if = "OpaqueMap::is_empty")]
    config: OpaqueMap,
    mesh_gateway: ModeAnswer,
}

impl From<Upstream> for UpstreamAnswer {
    fn from(upstream: Upstream) -> Self {
        Self {
            destination_type: upstream.destination_type,
            destination_namespace: upstream.destination_namespace,
            destination_name: upstream.destination_name,
            datacenter: upstream.datacenter,
            local_bind_address: upstream.local_bind_address,
            local_bind_port: upstream.local_bind_port,
            config: upstream.config,
            mesh_gateway: ModeAnswer { mode: upstream.mesh_gateway_mode },
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ModeAnswer {
    #[serde(skip_serializing_if = "String::is_empty")]
    mode: String,
}

fn is_zero(number: &u16) -> bool {
    *number == 0
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

fn is_typical(kind: &ServiceKind) -> bool {
    *kind == ServiceKind::Typical
}
