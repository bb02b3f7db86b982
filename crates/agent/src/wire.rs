//! The JSON forms in which the agent writes to the catalog and reads from it.

use model::{HealthCheck, Node, ProxyConfig, Service};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The body of `PUT /v1/catalog/register` for the node alone.
pub(crate) fn node(node: &Node) -> Map<String, Value> {
    let body = json!({
        "Datacenter": node.datacenter,
        "ID": node.id,
        "Node": node.node,
        "Address": node.address,
        "TaggedAddresses": node.tagged_addresses,
        "NodeMeta": node.meta,
    });
    match body {
        Value::Object(body) => body,
        _ => Map::new(),
    }
}

/// A service in Consul's form: what the model keeps flat (`MeshGatewayMode`) is nested there.
pub(crate) fn service(service: &Service) -> Value {
    let mut value = serde_json::to_value(service).unwrap_or_default();
    nest_mesh_gateway(&mut value);
    if let Some(object) = value.as_object_mut() {
        object.retain(|_, field| !field.is_null());
    }
    value
}

pub(crate) fn check(check: &HealthCheck) -> Value {
    serde_json::to_value(check).unwrap_or_default()
}

fn nest_mesh_gateway(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(mode) = object.remove("MeshGatewayMode") {
                let gateway = if mode == "" { json!({}) } else { json!({ "Mode": mode }) };
                object.insert("MeshGateway".to_owned(), gateway);
            }
            for key in ["Proxy", "Upstreams"] {
                object.get_mut(key).into_iter().for_each(nest_mesh_gateway);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(nest_mesh_gateway),
        _ => {}
    }
}

/// A service as the catalog answers it; every service there has a `Proxy`, mostly an empty one.
pub(crate) fn decode_service(value: &Value) -> Option<Service> {
    let mut service: Service = decode(value)?;
    if service.proxy.as_ref() == Some(&ProxyConfig::default()) {
        service.proxy = None;
    }
    Some(service)
}

pub(crate) fn decode_check(value: &Value) -> Option<HealthCheck> {
    decode(value)
}

/// Any type of the model from Consul's form.
pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Option<T> {
    let mut value = value.clone();
    flatten(&mut value);
    serde_json::from_value(value).inspect_err(|error| tracing::warn!("an answer of the server: {error}")).ok()
}

/// Removes `null`, which Go writes for empty lists and maps, and lifts `MeshGateway.Mode`.
fn flatten(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, field| !field.is_null());
            if let Some(gateway) = object.remove("MeshGateway") {
                let mode = gateway.get("Mode").cloned().unwrap_or_else(|| "".into());
                object.insert("MeshGatewayMode".to_owned(), mode);
            }
            object.iter_mut().filter(|(key, _)| *key != "Config").for_each(|(_, field)| flatten(field));
        }
        Value::Array(list) => list.iter_mut().for_each(flatten),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::{ServiceKind, Upstream};

    use super::*;

    #[test]
    fn what_is_written_is_read_back_equal() {
        let upstream = Upstream { mesh_gateway_mode: "local".into(), ..Upstream::default() };
        let proxy = ProxyConfig { upstreams: vec![upstream], ..ProxyConfig::default() };
        let sidecar = Service { kind: ServiceKind::ConnectProxy, proxy: Some(proxy), ..Service::default() };
        let written = service(&sidecar);
        assert_eq!(written["Proxy"]["Upstreams"][0]["MeshGateway"]["Mode"], "local");
        assert_eq!(written["Proxy"]["MeshGateway"], json!({}));
        assert_eq!(decode_service(&written).unwrap(), sidecar);
    }

    #[test]
    fn the_catalogs_nulls_and_empty_proxies_are_nothing() {
        let answered = json!({"ID": "web", "Service": "web", "Tags": null, "Meta": null, "Port": 1, "Connect": {},
            "Proxy": {"Expose": {}, "MeshGateway": {}}, "CreateIndex": 7});
        let expected = Service { id: "web".into(), service: "web".into(), port: 1, ..Service::default() };
        assert_eq!(decode_service(&answered).unwrap(), expected);
    }
}
