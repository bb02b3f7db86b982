//! Central configuration as this agent knows it now, and what it adds to a sidecar.

use std::collections::{BTreeMap, BTreeSet};

use model::{EntryKind, ProxyConfig, ProxyDefaults, Service, ServiceDefaults, ServiceKind};
use plan::chain::Entries;
use plan::merge;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::wire;

/// What the model has a field for, or the store puts beside it.
const KNOWN_KEYS: [&str; 9] =
    ["Kind", "Name", "Protocol", "MeshGateway", "ExternalSNI", "Expose", "Meta", "CreateIndex", "ModifyIndex"];

/// The entries that change what a sidecar is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Central {
    pub proxy_defaults: Option<ProxyDefaults>,
    pub service_defaults: BTreeMap<String, ServiceDefaults>,
    /// Where calls go. Its own `service_defaults` stay empty: they stand above.
    pub traffic: Entries,
}

impl Central {
    pub fn set_proxy_defaults(&mut self, answer: &[Value]) {
        let global = answer.iter().find(|entry| entry.get("Name").and_then(Value::as_str) == Some("global"));
        self.proxy_defaults = global.and_then(wire::decode);
    }

    pub fn set_service_defaults(&mut self, answer: &[Value]) {
        let entries = answer.iter().filter_map(service_defaults);
        self.service_defaults = entries.map(|entry| (entry.name.clone(), entry)).collect();
    }

    /// The entries of one of the kinds that say where calls go.
    pub fn set_traffic(&mut self, kind: EntryKind, answer: &[Value]) {
        match kind {
            EntryKind::ServiceRouter => self.traffic.routers = by_name(answer),
            EntryKind::ServiceSplitter => self.traffic.splitters = by_name(answer),
            EntryKind::ServiceResolver => self.traffic.resolvers = by_name(answer),
            _ => {}
        }
    }

    /// All names (in lower case) that calls to these may lead to, these included.
    pub fn reachable<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut open: Vec<String> = names.map(str::to_lowercase).collect();
        let mut found = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !found.contains(&name) {
                open.extend(self.traffic.destinations(&name));
                found.insert(name);
            }
        }
        found
    }

    /// The service as it is with central configuration. Only sidecars and gateways change.
    pub fn merged(&self, service: &Service) -> Service {
        let mut out = service.clone();
        match &service.kind {
            ServiceKind::ConnectProxy => {
                if let Some(proxy) = &mut out.proxy {
                    *proxy = merge::proxy_config(proxy, self.proxy_defaults.as_ref(), &self.service_defaults);
                }
            }
            ServiceKind::Typical | ServiceKind::Other(_) => {}
            // A gateway speaks for itself.
            _ => {
                let mut proxy = service.proxy.clone().unwrap_or_default();
                proxy.destination_service_name.clone_from(&service.service);
                let mut merged = merge::proxy_config(&proxy, self.proxy_defaults.as_ref(), &self.service_defaults);
                merged.destination_service_name = proxy_destination(service);
                out.proxy = Some(merged).filter(|merged| *merged != ProxyConfig::default());
            }
        }
        out
    }
}

/// By service name in lower case; entries are found in any case.
fn by_name<T: DeserializeOwned>(answer: &[Value]) -> BTreeMap<String, T> {
    let entry = |value: &Value| {
        let name = value.get("Name").and_then(Value::as_str)?.to_lowercase();
        let entry =
            T::deserialize(value).inspect_err(|error| tracing::error!("the entry of {name:?}: {error}")).ok()?;
        Some((name, entry))
    };
    answer.iter().filter_map(entry).collect()
}

fn proxy_destination(service: &Service) -> String {
    service.proxy.as_ref().map(|proxy| proxy.destination_service_name.clone()).unwrap_or_default()
}

/// Keys of newer versions are kept aside as they were written: the merger knows some of them.
fn service_defaults(value: &Value) -> Option<ServiceDefaults> {
    let mut entry: ServiceDefaults = wire::decode(value)?;
    let unknown = value.as_object()?.iter().filter(|(key, _)| !KNOWN_KEYS.contains(&key.as_str()));
    entry.more.extend(unknown.map(|(key, value)| (key.clone(), value.clone())));
    Some(entry)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::Upstream;
    use serde_json::json;

    use super::*;

    fn central() -> Central {
        let mut central = Central::default();
        central.set_proxy_defaults(&[json!({"Kind": "proxy-defaults", "Name": "global", "Expose": {},
            "Config": {"protocol": "http", "envoy_dogstatsd_url": "udp://127.0.0.1:9125"},
            "MeshGateway": {"Mode": "local"}})]);
        central.set_service_defaults(&[
            json!({"Name": "cache", "Protocol": "grpc", "MeshGateway": {}, "Expose": {}}),
            json!({"Name": "api", "Protocol": "http2", "MeshGateway": {"Mode": "remote"},
                "LocalRequestTimeoutMs": 5, "CreateIndex": 3}),
        ]);
        central
    }

    fn sidecar() -> Service {
        let upstream = Upstream { destination_name: "cache".into(), ..Upstream::default() };
        let proxy =
            ProxyConfig { destination_service_name: "api".into(), upstreams: vec![upstream], ..ProxyConfig::default() };
        Service { kind: ServiceKind::ConnectProxy, proxy: Some(proxy), ..Service::default() }
    }

    #[test]
    fn entries_of_the_api_reach_the_sidecar() {
        let merged = central().merged(&sidecar()).proxy.unwrap();
        let expected = json!({"protocol": "http2", "envoy_dogstatsd_url": "udp://127.0.0.1:9125",
            "local_request_timeout_ms": 5});
        assert_eq!(Value::Object(merged.config), expected);
        assert_eq!(merged.mesh_gateway_mode, "remote");
        assert_eq!(Value::Object(merged.upstreams[0].config.clone()), json!({"protocol": "grpc"}));
    }

    #[test]
    fn an_ordinary_service_and_an_empty_configuration_change_nothing() {
        let plain = Service { service: "api".into(), ..Service::default() };
        assert_eq!(central().merged(&plain), plain);
        assert_eq!(Central::default().merged(&sidecar()), sidecar());
    }
}
