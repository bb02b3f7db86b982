//! A configuration entry as the body of `PUT /v1/config`.

use model::{ConfigEntry, OpaqueMap};
use serde_json::{Value, json};

/// What was given, under Consul's names.
pub fn config_entry_body(entry: &ConfigEntry) -> Value {
    let mut out = OpaqueMap::new();
    match entry {
        ConfigEntry::ProxyDefaults(defaults) => {
            out.clone_from(&defaults.more);
            map(&mut out, "Config", &defaults.config);
            map(&mut out, "Expose", &defaults.expose);
            map(&mut out, "AccessLogs", &defaults.access_logs);
            mesh_gateway(&mut out, &defaults.mesh_gateway_mode);
            meta(&mut out, &defaults.meta);
        }
        ConfigEntry::ServiceDefaults(defaults) => {
            out.clone_from(&defaults.more);
            text(&mut out, "Protocol", &defaults.protocol);
            text(&mut out, "ExternalSNI", &defaults.external_sni);
            map(&mut out, "Expose", &defaults.expose);
            mesh_gateway(&mut out, &defaults.mesh_gateway_mode);
            meta(&mut out, &defaults.meta);
        }
        ConfigEntry::Other { body, .. } => out.clone_from(body),
    }
    out.insert("Kind".to_owned(), json!(entry.kind().as_str()));
    out.insert("Name".to_owned(), json!(entry.name()));
    Value::Object(out)
}

fn map(out: &mut OpaqueMap, key: &str, value: &OpaqueMap) {
    if !value.is_empty() {
        out.insert(key.to_owned(), Value::Object(value.clone()));
    }
}

fn text(out: &mut OpaqueMap, key: &str, value: &str) {
    if !value.is_empty() {
        out.insert(key.to_owned(), json!(value));
    }
}

fn meta(out: &mut OpaqueMap, value: &std::collections::BTreeMap<String, String>) {
    if !value.is_empty() {
        out.insert("Meta".to_owned(), json!(value));
    }
}

fn mesh_gateway(out: &mut OpaqueMap, mode: &str) {
    if !mode.is_empty() {
        out.insert("MeshGateway".to_owned(), json!({ "Mode": mode }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What is sent is what was read, whatever the kind.
    #[test]
    fn the_server_reads_what_the_file_said() {
        for body in [
            json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"},
                   "MeshGateway": {"Mode": "local"}, "Meta": {"a": "b"}}),
            json!({"Kind": "service-defaults", "Name": "web", "Protocol": "http", "ExternalSNI": "x"}),
            json!({"Kind": "service-resolver", "Name": "web", "ConnectTimeout": "5s"}),
        ] {
            let entry = model::decode_config_entry_json(body.to_string().as_bytes()).unwrap();
            assert_eq!(config_entry_body(&entry), body);
        }
    }
}
