//! What the catalog tells insight: services, their instances and checks, sidecars as a property of what they stand for.

use std::collections::BTreeMap;

use insight::{Check, Instance, Service};
use model::{ServiceKind, Status};
use store::State;

/// Consul's own service is no part of anybody's application.
const OWN_SERVICE: &str = "consul";

/// Every service but sidecars, by name.
pub fn services(state: &State) -> Vec<Service> {
    let mut services: BTreeMap<String, Service> = BTreeMap::new();
    for node in state.nodes() {
        for service in state.services_of(&node.node) {
            if service.kind == ServiceKind::ConnectProxy || service.service == OWN_SERVICE {
                continue;
            }
            let named = services.entry(service.service.clone()).or_insert_with(|| Service {
                name: service.service.clone(),
                kind: kind(&service.kind),
                instances: Vec::new(),
            });
            named.instances.push(instance(state, node, service));
        }
    }
    services.into_values().collect()
}

fn kind(kind: &ServiceKind) -> String {
    serde_json::to_value(kind).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn instance(state: &State, node: &model::Node, service: &model::Service) -> Instance {
    let sidecar = state
        .services_of(&node.node)
        .find(|other| other.proxy.as_ref().is_some_and(|proxy| proxy.destination_service_id == service.id));
    let sidecar_id = sidecar.map(|sidecar| sidecar.id.clone()).unwrap_or_default();
    // A node's check counts for everything on it, and an instance is no better than the sidecar in front of it.
    let counts = |id: &str| id.is_empty() || id == service.id || (id == sidecar_id && !sidecar_id.is_empty());
    let checks: Vec<Check> = state
        .checks_of(&node.node)
        .filter(|fact| counts(&fact.check.service_id))
        .map(|fact| Check {
            name: fact.check.name.clone(),
            status: fact.check.status,
            output: fact.check.output.clone(),
        })
        .collect();
    let address = if service.address.is_empty() { &node.address } else { &service.address };
    Instance {
        id: service.id.clone(),
        node: node.node.clone(),
        zone: node.meta.get("zone").cloned().unwrap_or_default(),
        version: service.meta.get("version").cloned().unwrap_or_default(),
        address: format!("{address}:{}", service.port),
        status: checks.iter().map(|check| check.status).max().unwrap_or(Status::Passing),
        checks,
        sidecar: sidecar_id,
    }
}
