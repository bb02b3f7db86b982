//! Central configuration as this agent knows it now, and what it adds to a sidecar.

use std::collections::BTreeMap;

use model::{OpaqueMap, ProxyDefaults, Service, ServiceDefaults, ServiceKind};
use serde_json::Value;

use crate::wire;

/// The entries that change what a sidecar is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Central {
    pub proxy_defaults: Option<ProxyDefaults>,
    pub service_defaults: BTreeMap<String, ServiceDefaults>,
}

impl Central {
    pub fn set_proxy_defaults(&mut self, answer: &[Value]) {
        let global = answer.iter().find(|entry| entry.get("Name").and_then(Value::as_str) == Some("global"));
        self.proxy_defaults = global.and_then(wire::decode);
    }

    pub fn set_service_defaults(&mut self, answer: &[Value]) {
        let entries = answer.iter().filter_map(wire::decode::<ServiceDefaults>);
        self.service_defaults = entries.map(|entry| (entry.name.clone(), entry)).collect();
    }

    fn protocol(&self, service: &str) -> Option<&str> {
        let own = self.service_defaults.get(service).map(|entry| entry.protocol.as_str()).unwrap_or_default();
        if !own.is_empty() {
            return Some(own);
        }
        let general = self.proxy_defaults.as_ref().and_then(|entry| entry.config.get("protocol"));
        general.and_then(Value::as_str)
    }

    /// The service as it is with central configuration: what it says itself stands over the protocol of its
    /// destination's service-defaults, and that over proxy-defaults. Only sidecars change.
    pub fn merged(&self, service: &Service) -> Service {
        let mut out = service.clone();
        let Some(proxy) = out.proxy.as_mut().filter(|_| service.kind == ServiceKind::ConnectProxy) else {
            return out;
        };
        let own = std::mem::take(&mut proxy.config);
        if let Some(defaults) = &self.proxy_defaults {
            proxy.config.clone_from(&defaults.config);
        }
        let entry = self.service_defaults.get(&proxy.destination_service_name);
        if let Some(protocol) = entry.map(|entry| entry.protocol.as_str()).filter(|protocol| !protocol.is_empty()) {
            proxy.config.insert("protocol".to_owned(), protocol.into());
        }
        overlay(&mut proxy.config, own);
        let general = self.proxy_defaults.as_ref();
        or(&mut proxy.mesh_gateway_mode, entry.map_or("", |entry| &entry.mesh_gateway_mode));
        or(&mut proxy.mesh_gateway_mode, general.map_or("", |entry| &entry.mesh_gateway_mode));
        if proxy.expose.is_empty() {
            let of_service = entry.map(|entry| &entry.expose).filter(|expose| !expose.is_empty());
            if let Some(expose) = of_service.or(general.map(|entry| &entry.expose)) {
                proxy.expose.clone_from(expose);
            }
        }
        for upstream in &mut proxy.upstreams {
            or(&mut upstream.mesh_gateway_mode, &proxy.mesh_gateway_mode);
            if let Some(protocol) = self.protocol(&upstream.destination_name) {
                upstream.config.entry("protocol").or_insert_with(|| protocol.into());
            }
        }
        out
    }
}

fn or(value: &mut String, fallback: &str) {
    if value.is_empty() {
        fallback.clone_into(value);
    }
}

/// HCL writers vary the case of keys; the same key in another case is the same key.
fn overlay(under: &mut OpaqueMap, over: OpaqueMap) {
    for (key, value) in over {
        under.retain(|known, _| !known.eq_ignore_ascii_case(&key));
        under.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::{ProxyConfig, Upstream};
    use serde_json::json;

    use super::*;

    fn central() -> Central {
        let mut central = Central::default();
        central.set_proxy_defaults(&[json!({"Kind": "proxy-defaults", "Name": "global", "Expose": {},
            "Config": {"protocol": "http", "envoy_dogstatsd_url": "udp://127.0.0.1:9125"},
            "MeshGateway": {"Mode": "local"}})]);
        central.set_service_defaults(&[
            json!({"Name": "cache", "Protocol": "grpc", "MeshGateway": {}, "Expose": {}}),
            json!({"Name": "api", "Protocol": "http2", "MeshGateway": {"Mode": "remote"}}),
        ]);
        central
    }

    fn sidecar(config: Value, upstream: Value) -> Service {
        let upstream = Upstream {
            destination_name: "cache".into(),
            config: upstream.as_object().cloned().unwrap(),
            ..Upstream::default()
        };
        let proxy = ProxyConfig {
            destination_service_name: "api".into(),
            config: config.as_object().cloned().unwrap(),
            upstreams: vec![upstream],
            ..ProxyConfig::default()
        };
        Service { kind: ServiceKind::ConnectProxy, proxy: Some(proxy), ..Service::default() }
    }

    #[test]
    fn each_layer_stands_over_the_one_before() {
        let merged = central().merged(&sidecar(json!({"a": 1}), json!({}))).proxy.unwrap();
        let expected = json!({"protocol": "http2", "envoy_dogstatsd_url": "udp://127.0.0.1:9125", "a": 1});
        assert_eq!(Value::Object(merged.config), expected);
        assert_eq!(merged.mesh_gateway_mode, "remote");
        assert_eq!(Value::Object(merged.upstreams[0].config.clone()), json!({"protocol": "grpc"}));
        assert_eq!(merged.upstreams[0].mesh_gateway_mode, "remote");
    }

    #[test]
    fn what_the_registration_says_stays() {
        let own = sidecar(json!({"Protocol": "tcp"}), json!({"protocol": "http"}));
        let merged = central().merged(&own).proxy.unwrap();
        assert_eq!(merged.config.get("Protocol"), Some(&json!("tcp")));
        assert_eq!(merged.config.get("protocol"), None);
        assert_eq!(merged.upstreams[0].config.get("protocol"), Some(&json!("http")));
    }

    #[test]
    fn an_ordinary_service_and_an_empty_configuration_change_nothing() {
        let plain = Service { service: "api".into(), ..Service::default() };
        assert_eq!(central().merged(&plain), plain);
        let own = sidecar(json!({"a": 1}), json!({}));
        assert_eq!(Central::default().merged(&own), own);
    }
}
