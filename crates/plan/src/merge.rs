//! Central configuration laid under a proxy's own.
//!
//! Consul 1.8 does this only with `enable_central_service_config`, later versions always; here it is always on.

use std::collections::BTreeMap;

use model::{OpaqueMap, ProxyConfig, ProxyDefaults, ServiceDefaults, Upstream};
use serde_json::Value;

/// Keys of `service-defaults` that stand for a key of the proxy's `config` map.
const PROXY_KEYS: [(&str, &str); 3] = [
    ("localconnecttimeoutms", "local_connect_timeout_ms"),
    ("localrequesttimeoutms", "local_request_timeout_ms"),
    ("maxinboundconnections", "max_inbound_connections"),
];

/// Keys inside `UpstreamConfig { Defaults, Overrides }` that stand for a key of an upstream's `config` map.
const UPSTREAM_KEYS: [(&str, &str); 5] = [
    ("protocol", "protocol"),
    ("connecttimeoutms", "connect_timeout_ms"),
    ("limits", "limits"),
    ("passivehealthcheck", "passive_health_check"),
    ("balanceoutboundconnections", "balance_outbound_connections"),
];

/// The proxy as `/v1/agent/service/<id>` shows it and the planner reads it: `proxy-defaults` at the bottom, over it
/// the `service-defaults` of the service behind the proxy, over it what the registration says. Each upstream gets the
/// protocol of *its* service, and the proxy's mesh gateway mode, unless it names its own.
pub fn proxy_config(
    registration: &ProxyConfig,
    proxy_defaults: Option<&ProxyDefaults>,
    service_defaults: &BTreeMap<String, ServiceDefaults>,
) -> ProxyConfig {
    let mut merged = registration.clone();
    let own = service_defaults.get(&registration.destination_service_name);
    if let Some(own) = own {
        if !own.protocol.is_empty() {
            lay_under(&mut merged.config, "protocol", &Value::String(own.protocol.clone()));
        }
        lay_known(&mut merged.config, &own.more, &PROXY_KEYS);
    }
    for (key, value) in proxy_defaults.iter().flat_map(|defaults| &defaults.config) {
        lay_under(&mut merged.config, key, value);
    }
    let modes = [own.map(|d| &d.mesh_gateway_mode), proxy_defaults.map(|d| &d.mesh_gateway_mode)];
    fill(&mut merged.mesh_gateway_mode, modes);
    let exposes = [own.map(|d| &d.expose), proxy_defaults.map(|d| &d.expose)];
    if merged.expose.is_empty()
        && let Some(expose) = exposes.into_iter().flatten().find(|map| !map.is_empty())
    {
        merged.expose = expose.clone();
    }
    let mode = merged.mesh_gateway_mode.clone();
    for one in &mut merged.upstreams {
        upstream(one, own, proxy_defaults, service_defaults);
        fill(&mut one.mesh_gateway_mode, [Some(&mode)]);
    }
    merged
}

/// The registration that gave this merged proxy, as far as it can be told: what central configuration supplies is taken
/// out again. A registration that says the very same itself is taken for one that does not say it.
pub fn unmerged(
    merged: &ProxyConfig,
    proxy_defaults: Option<&ProxyDefaults>,
    service_defaults: &BTreeMap<String, ServiceDefaults>,
) -> ProxyConfig {
    let bare = |upstream: &Upstream| Upstream {
        config: OpaqueMap::new(),
        mesh_gateway_mode: String::new(),
        ..upstream.clone()
    };
    let nothing = ProxyConfig {
        config: OpaqueMap::new(),
        mesh_gateway_mode: String::new(),
        expose: OpaqueMap::new(),
        upstreams: merged.upstreams.iter().map(bare).collect(),
        ..merged.clone()
    };
    let supplied = proxy_config(&nothing, proxy_defaults, service_defaults);
    let mut out = merged.clone();
    take_out(&mut out.config, &supplied.config);
    if out.mesh_gateway_mode == supplied.mesh_gateway_mode {
        out.mesh_gateway_mode.clear();
    }
    if out.expose == supplied.expose {
        out.expose.clear();
    }
    for (own, theirs) in out.upstreams.iter_mut().zip(&supplied.upstreams) {
        take_out(&mut own.config, &theirs.config);
        if own.mesh_gateway_mode == theirs.mesh_gateway_mode {
            own.mesh_gateway_mode.clear();
        }
    }
    out
}

fn take_out(map: &mut OpaqueMap, supplied: &OpaqueMap) {
    map.retain(|key, value| supplied.get(key) != Some(value));
}

fn upstream(
    upstream: &mut Upstream,
    own: Option<&ServiceDefaults>,
    proxy_defaults: Option<&ProxyDefaults>,
    service_defaults: &BTreeMap<String, ServiceDefaults>,
) {
    if let Some(block) = own.and_then(|own| find(&own.more, "upstreamconfig")).and_then(block) {
        let named =
            find(block, "overrides").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object);
        for entry in
            named.filter(|entry| find(entry, "name").and_then(Value::as_str) == Some(&upstream.destination_name))
        {
            lay_known(&mut upstream.config, entry, &UPSTREAM_KEYS);
        }
    }
    let protocol = service_defaults.get(&upstream.destination_name).map(|defaults| defaults.protocol.as_str());
    if let Some(protocol) = protocol.filter(|protocol| !protocol.is_empty()) {
        lay_under(&mut upstream.config, "protocol", &Value::String(protocol.to_owned()));
    }
    if let Some(block) = own.and_then(|own| find(&own.more, "upstreamconfig")).and_then(block)
        && let Some(defaults) = find(block, "defaults").and_then(self::block)
    {
        lay_known(&mut upstream.config, defaults, &UPSTREAM_KEYS);
    }
    if let Some(protocol) = proxy_defaults.and_then(|defaults| find(&defaults.config, "protocol")) {
        lay_under(&mut upstream.config, "protocol", protocol);
    }
}

/// The first that is set fills an empty text.
fn fill<'a>(text: &mut String, from: impl IntoIterator<Item = Option<&'a String>>) {
    if text.is_empty()
        && let Some(first) = from.into_iter().flatten().find(|from| !from.is_empty())
    {
        text.clone_from(first);
    }
}

/// Keys match in any case and with or without underscores, as everywhere in these maps.
fn plain(key: &str) -> String {
    key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect()
}

pub(crate) fn find<'a>(map: &'a OpaqueMap, plain_key: &str) -> Option<&'a Value> {
    map.iter().find(|(key, _)| plain(key) == plain_key).map(|(_, value)| value)
}

/// HCL writes a nested block as a list of one object, JSON as an object.
fn block(value: &Value) -> Option<&OpaqueMap> {
    match value {
        Value::Array(list) if list.len() == 1 => list[0].as_object(),
        value => value.as_object(),
    }
}

fn lay_under(map: &mut OpaqueMap, key: &str, value: &Value) {
    if find(map, &plain(key)).is_none() {
        map.insert(key.to_owned(), value.clone());
    }
}

fn lay_known(map: &mut OpaqueMap, from: &OpaqueMap, keys: &[(&str, &str)]) {
    for (plain_key, key) in keys {
        // Zero and the empty text are how these entries say "not set".
        if let Some(value) = find(from, plain_key).filter(|value| **value != 0 && **value != "" && !value.is_null()) {
            lay_under(map, key, &snake(value));
        }
    }
}

/// `Limits { MaxConnections }` of a config entry is `limits { max_connections }` of a proxy's map.
fn snake(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.iter().map(|(key, value)| (snake_key(key), snake(value))).collect()),
        Value::Array(list) => Value::Array(list.iter().map(snake).collect()),
        value => value.clone(),
    }
}

fn snake_key(key: &str) -> String {
    let mut out = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() && !out.ends_with('_') {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{from_value, json};

    fn defaults(list: &[Value]) -> BTreeMap<String, ServiceDefaults> {
        let entries = list.iter().map(|entry| from_value::<ServiceDefaults>(entry.clone()).unwrap());
        entries.map(|entry| (entry.name.clone(), entry)).collect()
    }

    /// The example recorded from a real Consul with central configuration switched on.
    #[test]
    fn merges_what_consul_merges() {
        let registration: ProxyConfig = from_value(json!({
            "DestinationServiceName": "api", "DestinationServiceID": "api", "LocalServicePort": 9090,
            "Config": {"a": 1}, "Upstreams": [{"DestinationName": "web", "LocalBindPort": 9191}]
        }))
        .unwrap();
        let proxy_defaults: ProxyDefaults = from_value(json!({
            "Config": {"protocol": "http", "local_connect_timeout_ms": 1000}, "MeshGatewayMode": "local"
        }))
        .unwrap();
        let service_defaults = defaults(&[
            json!({"Name": "web", "Protocol": "http"}),
            json!({"Name": "api", "Protocol": "http", "MeshGatewayMode": "remote"}),
        ]);
        let merged = proxy_config(&registration, Some(&proxy_defaults), &service_defaults);
        assert_eq!(Value::Object(merged.config), json!({"a": 1, "local_connect_timeout_ms": 1000, "protocol": "http"}));
        assert_eq!(merged.mesh_gateway_mode, "remote");
        assert_eq!(Value::Object(merged.upstreams[0].config.clone()), json!({"protocol": "http"}));
        assert_eq!(merged.upstreams[0].mesh_gateway_mode, "remote");
    }

    #[test]
    fn what_was_merged_in_comes_out_again() {
        let registration: ProxyConfig = from_value(json!({
            "DestinationServiceName": "api", "Config": {"a": 1, "protocol": "grpc"},
            "Upstreams": [{"DestinationName": "web", "Config": {"connect_timeout_ms": 7}}]
        }))
        .unwrap();
        let proxy_defaults: ProxyDefaults =
            from_value(json!({"Config": {"protocol": "http", "b": 2}, "MeshGatewayMode": "local"})).unwrap();
        let merged = proxy_config(&registration, Some(&proxy_defaults), &BTreeMap::new());
        assert_ne!(merged, registration);
        assert_eq!(unmerged(&merged, Some(&proxy_defaults), &BTreeMap::new()), registration);
    }

    #[test]
    fn the_registration_wins_in_whatever_case_it_is_written() {
        let registration: ProxyConfig = from_value(json!({
            "DestinationServiceName": "api", "Config": {"Protocol": "grpc"},
            "Upstreams": [{"DestinationName": "web", "Config": {"protocol": "http2"}}, {"DestinationName": "db"}]
        }))
        .unwrap();
        let proxy_defaults: ProxyDefaults = from_value(json!({"Config": {"protocol": "http"}})).unwrap();
        let service_defaults =
            defaults(&[json!({"Name": "api", "Protocol": "tcp"}), json!({"Name": "web", "Protocol": "tcp"})]);
        let merged = proxy_config(&registration, Some(&proxy_defaults), &service_defaults);
        assert_eq!(Value::Object(merged.config), json!({"Protocol": "grpc"}));
        assert_eq!(merged.upstreams[0].config["protocol"], "http2");
        assert_eq!(merged.upstreams[1].config["protocol"], "http", "proxy-defaults hold for upstreams too");
    }

    #[test]
    fn newer_keys_of_service_defaults_reach_proxy_and_upstreams() {
        let web_and_db = [json!({"DestinationName": "web"}), json!({"DestinationName": "db"})];
        let registration: ProxyConfig =
            from_value(json!({"DestinationServiceName": "api", "Upstreams": [web_and_db[0], web_and_db[1]]})).unwrap();
        let entry = ServiceDefaults {
            name: "api".to_owned(),
            more: json!({
                "LocalRequestTimeoutMs": 2500, "MaxInboundConnections": 0,
                "UpstreamConfig": {
                    "Defaults": {"ConnectTimeoutMs": 900, "Limits": {"MaxConnections": 7}},
                    "Overrides": [{"Name": "db", "ConnectTimeoutMs": 100}]
                }
            })
            .as_object()
            .unwrap()
            .clone(),
            ..ServiceDefaults::default()
        };
        let merged = proxy_config(&registration, None, &BTreeMap::from([("api".to_owned(), entry)]));
        assert_eq!(Value::Object(merged.config), json!({"local_request_timeout_ms": 2500}));
        let config = |n: usize| Value::Object(merged.upstreams[n].config.clone());
        assert_eq!(config(0), json!({"connect_timeout_ms": 900, "limits": {"max_connections": 7}}));
        assert_eq!(config(1), json!({"connect_timeout_ms": 100, "limits": {"max_connections": 7}}));
    }
}
