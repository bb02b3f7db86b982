//! The shapes of config entries, and of what gateways' entries lead to.

use model::{ConfigEntry, EntryKind, OpaqueMap};
use serde::Serialize;
use serde_json::Value;
use store::Stored;

use super::shapes::{ExposeShape, Mode};
use crate::gateways::Link;

fn is_zero(port: &u16) -> bool {
    *port == 0
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    name: &'a str,
}

/// A service behind a gateway.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GatewayService<'a> {
    gateway: Named<'a>,
    service: Named<'a>,
    gateway_kind: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    port: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    protocol: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    hosts: &'a [String],
    #[serde(rename = "CAFile", skip_serializing_if = "str::is_empty")]
    ca_file: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    cert_file: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    key_file: &'a str,
    #[serde(rename = "SNI", skip_serializing_if = "str::is_empty")]
    sni: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    from_wildcard: bool,
    create_index: u64,
    modify_index: u64,
}

impl<'a> GatewayService<'a> {
    pub(crate) fn new(gateway: &'a str, kind: EntryKind, link: &'a Link, indexes: (u64, u64)) -> Self {
        Self {
            gateway: Named { name: gateway },
            service: Named { name: &link.service },
            gateway_kind: kind.as_str(),
            port: link.port,
            protocol: &link.protocol,
            hosts: &link.hosts,
            ca_file: &link.origin.ca_file,
            cert_file: &link.origin.cert_file,
            key_file: &link.origin.key_file,
            sni: &link.origin.sni,
            from_wildcard: link.from_wildcard,
            create_index: indexes.0,
            modify_index: indexes.1,
        }
    }
}

/// A config entry with its indexes. Bodies of kinds that are only kept go through as they were decoded.
pub fn config_entry(entry: &Stored<ConfigEntry>) -> Value {
    let mut out = match &*entry.value {
        ConfigEntry::ProxyDefaults(defaults) => serde_json::json!({
            "Config": defaults.config, "MeshGateway": Mode { mode: &defaults.mesh_gateway_mode },
            "Expose": ExposeShape::from(&defaults.expose), "AccessLogs": defaults.access_logs, "Meta": defaults.meta,
        })
        .with(&defaults.more),
        ConfigEntry::ServiceDefaults(defaults) => serde_json::json!({
            "Protocol": defaults.protocol, "MeshGateway": Mode { mode: &defaults.mesh_gateway_mode },
            "Expose": ExposeShape::from(&defaults.expose), "ExternalSNI": defaults.external_sni,
            "Meta": defaults.meta,
        })
        .with(&defaults.more),
        ConfigEntry::Other { body, .. } => Value::Object(body.clone()),
    };
    if let Value::Object(map) = &mut out {
        // What Go leaves out when it is empty, and what it shows although nobody gave it.
        for name in ["Config", "AccessLogs", "Meta", "ExternalSNI"] {
            if map.get(name).is_some_and(|value| matches!(value, Value::Object(m) if m.is_empty()) || value == "") {
                map.remove(name);
            }
        }
        match entry.kind() {
            EntryKind::IngressGateway => {
                map.entry("TLS").or_insert_with(|| serde_json::json!({"Enabled": false}));
                map.entry("Listeners").or_insert(Value::Null);
                unnamed_hosts(map);
            }
            EntryKind::TerminatingGateway => {
                map.entry("Services").or_insert(Value::Null);
            }
            EntryKind::ServiceRouter => {
                map.entry("Routes").or_insert(Value::Null);
            }
            _ => {}
        }
        map.insert("Kind".to_owned(), entry.kind().as_str().into());
        map.insert("Name".to_owned(), entry.name().into());
        map.insert("CreateIndex".to_owned(), entry.create_index.into());
        map.insert("ModifyIndex".to_owned(), entry.modify_index.into());
    }
    out
}

/// Adds what was kept as it was written.
trait With {
    fn with(self, more: &OpaqueMap) -> Self;
}

impl With for Value {
    fn with(mut self, more: &OpaqueMap) -> Self {
        if let Self::Object(body) = &mut self {
            body.extend(more.clone());
        }
        self
    }
}

/// A service that names no hosts says so.
fn unnamed_hosts(body: &mut OpaqueMap) {
    let listeners = body.get_mut("Listeners").and_then(Value::as_array_mut).into_iter().flatten();
    for listener in listeners {
        let services = listener.get_mut("Services").and_then(Value::as_array_mut).into_iter().flatten();
        for service in services.filter_map(Value::as_object_mut) {
            service.entry("Hosts").or_insert(Value::Null);
        }
    }
}
