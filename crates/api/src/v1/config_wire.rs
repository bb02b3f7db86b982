//! The body of `PUT /v1/config`.

use model::{ConfigEntry, EntryKind, OpaqueMap, ProxyDefaults, ServiceDefaults};
use serde_json::Value;

use crate::error::Error;
use crate::json;

/// Keys in any case, with or without underscores.
fn take(map: &mut OpaqueMap, name: &str) -> Option<Value> {
    let key = map.keys().find(|key| key.replace('_', "").eq_ignore_ascii_case(name))?.clone();
    map.remove(&key)
}

fn text(map: &mut OpaqueMap, name: &str) -> String {
    take(map, name).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn object(map: &mut OpaqueMap, name: &str) -> OpaqueMap {
    match take(map, name) {
        Some(Value::Object(inner)) => inner,
        _ => OpaqueMap::new(),
    }
}

pub(super) fn decode(body: &[u8]) -> Result<ConfigEntry, Error> {
    let bad = |why: String| Error::BadRequest(format!("Request decoding failed: {why}"));
    let Value::Object(mut map) = json::parse(body).map_err(bad)? else {
        return Err(bad("the body is not an object".to_owned()));
    };
    let word = text(&mut map, "kind");
    if word.is_empty() {
        return Err(bad("Payload does not contain a kind/Kind key at the top level".to_owned()));
    }
    let kind = EntryKind::parse(&word).ok_or_else(|| bad(format!("invalid config entry kind: {word}")))?;
    let name = text(&mut map, "name");
    for ignored in ["createindex", "modifyindex", "namespace"] {
        take(&mut map, ignored);
    }
    let entry = match kind {
        EntryKind::ProxyDefaults => ConfigEntry::ProxyDefaults(ProxyDefaults {
            config: object(&mut map, "config"),
            mesh_gateway_mode: text(&mut object(&mut map, "meshgateway"), "mode"),
            expose: object(&mut map, "expose"),
            access_logs: object(&mut map, "accesslogs"),
            meta: Default::default(),
        }),
        EntryKind::ServiceDefaults => ConfigEntry::ServiceDefaults(ServiceDefaults {
            name,
            protocol: text(&mut map, "protocol").to_lowercase(),
            mesh_gateway_mode: text(&mut object(&mut map, "meshgateway"), "mode"),
            external_sni: text(&mut map, "externalsni"),
            expose: object(&mut map, "expose"),
            ..ServiceDefaults::default()
        }),
        kind => ConfigEntry::Other { kind, name, body: std::mem::take(&mut map) },
    };
    if let Some(key) = map.keys().next() {
        return Err(bad(super::wire::several(&[format!("invalid config key {key:?}")])));
    }
    if entry.name().is_empty() {
        return Err(Error::Refused("serviceName is required".to_owned()));
    }
    Ok(entry)
}
