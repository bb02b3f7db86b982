//! What a handler gets: the server's answer in the shape in which Consul's own client hands it on, so that scripts
//! find the keys they know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::{Error, decode};
use crate::shapes::or_null;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthEntry {
    node: Box<RawValue>,
    service: Service,
    #[serde(default, deserialize_with = "or_null")]
    checks: Vec<Check>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Service {
    #[serde(skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(rename = "ID")]
    id: String,
    service: String,
    tags: Option<Vec<String>>,
    meta: Option<BTreeMap<String, String>>,
    port: u16,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tagged_addresses: Option<Box<RawValue>>,
    weights: Option<Box<RawValue>>,
    enable_tag_override: bool,
    create_index: u64,
    modify_index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect: Option<Box<RawValue>>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Check {
    node: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    name: String,
    status: String,
    notes: String,
    output: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    service_name: String,
    service_tags: Option<Vec<String>>,
    r#type: String,
    definition: Definition,
    create_index: u64,
    modify_index: u64,
}

/// All of it, also what the server left out.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Definition {
    interval: String,
    timeout: String,
    deregister_critical_service_after: String,
    #[serde(rename = "HTTP")]
    http: String,
    header: Option<BTreeMap<String, Vec<String>>>,
    method: String,
    body: String,
    #[serde(rename = "TLSSkipVerify")]
    tls_skip_verify: bool,
    #[serde(rename = "TCP")]
    tcp: String,
}

impl Default for Definition {
    fn default() -> Self {
        let never = || "0s".to_owned();
        Self {
            interval: never(),
            timeout: never(),
            deregister_critical_service_after: never(),
            http: String::new(),
            header: None,
            method: String::new(),
            body: String::new(),
            tls_skip_verify: false,
            tcp: String::new(),
        }
    }
}

pub(super) fn health_entries(what: &str, body: &[u8]) -> Result<String, Error> {
    Ok(super::json(&decode::<Vec<HealthEntry>>(what, body)?))
}

pub(super) fn checks(what: &str, body: &[u8]) -> Result<String, Error> {
    Ok(super::json(&decode::<Vec<Check>>(what, body)?))
}

/// The server's own order and keys.
pub(super) fn as_is(what: &str, body: &[u8]) -> Result<String, Error> {
    let raw = decode::<Box<RawValue>>(what, body)?;
    Ok(go(&compact(raw.get())))
}

/// Without blanks between the tokens, as an agent in development mode writes them.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c == '"' {
            in_string = true;
        } else if c.is_ascii_whitespace() {
            continue;
        }
        out.push(c);
    }
    out
}

/// Go writes these three as escapes.
pub(super) fn go(json: &str) -> String {
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_check_has_every_key_of_its_definition() {
        let body = br#"[ {"Node":"n","CheckID":"c","Status":"passing","ServiceTags":[],"Definition":{}} ]"#;
        let shown = checks("x", body).unwrap();
        let wanted = r#""Type":"","Definition":{"Interval":"0s","Timeout":"0s","DeregisterCriticalServiceAfter":"0s","#;
        assert!(shown.contains(wanted) && shown.contains(r#""Header":null"#), "{shown}");
    }

    #[test]
    fn a_service_keeps_what_is_opaque() {
        let body = br#"[{"Node": {"Node":"n"}, "Service": {"ID":"a","Tags":null,"Port":1,"Weights":{"Passing":1},
            "Proxy":{"MeshGateway":{},"Expose":{}},"Connect":{}}, "Checks": null}]"#;
        let shown = health_entries("x", body).unwrap();
        assert!(shown.starts_with(r#"[{"Node":{"Node":"n"},"Service":{"ID":"a","Service":"","Tags":null,"#), "{shown}");
        assert!(shown.contains(r#""Proxy":{"MeshGateway":{},"Expose":{}},"Connect":{}},"Checks":[]}]"#), "{shown}");
        assert_eq!(as_is("x", b"{ \"a b\": [ \"\\\" <\" ] }").unwrap(), "{\"a b\":[\"\\\" \\u003c\"]}");
    }
}
