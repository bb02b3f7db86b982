//! A configuration entry as `config read` shows it: keys in the order of Consul's structs, empty texts left out.

use serde_json::{Map, Value};

const INDENT: &str = "    ";

/// Keys of all kinds, an order that agrees with each of their structs. Others follow by name, then [`LAST`].
#[rustfmt::skip]
const FIRST: [&str; 57] = [
    "ConnectTimeout", "RequestTimeout", "Kind", "Weight", "Name", "Hosts", "Service", "ServiceSubset", "Namespace",
    "Datacenter", "Datacenters", "Checks", "Paths", "ListenerPort", "Path", "LocalPathPort", "Config", "TLS", "Enabled",
    "Port", "Protocol", "ParsedFromCheck", "Mode", "MeshGateway", "Expose", "ExternalSNI", "Match", "Destination",
    "HTTP",
    "PathExact", "PathPrefix", "PathRegex", "Header", "QueryParam", "Methods", "Present", "Exact", "Prefix", "Suffix",
    "Regex", "Invert", "PrefixRewrite", "NumRetries", "RetryOnConnectFailure", "RetryOnStatusCodes", "DefaultSubset",
    "Subsets", "Filter", "OnlyPassing", "Redirect", "Failover", "Routes", "Splits", "Listeners", "Services", "CAFile",
    "CertFile",
];
const LAST: [&str; 3] = ["Meta", "CreateIndex", "ModifyIndex"];

/// The entry, indented by four.
pub fn shown(entry: &Value) -> String {
    let mut out = String::new();
    write(&mut out, entry, 0, Keys::Struct);
    out
}

/// What the keys of an object are.
#[derive(Clone, Copy)]
enum Keys {
    Struct,
    /// Names of the user's choice, with structs below.
    Names,
    /// The user's own, all the way down.
    Opaque,
}

impl Keys {
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Opaque, _) | (Self::Struct, "Config" | "Meta") => Self::Opaque,
            (Self::Struct, "Subsets" | "Failover") => Self::Names,
            _ => Self::Struct,
        }
    }
}

fn rank(key: &str) -> usize {
    let place = |list: &[&str]| list.iter().position(|known| *known == key);
    place(&FIRST).or_else(|| Some(FIRST.len() + 1 + place(&LAST)?)).unwrap_or(FIRST.len())
}

fn write(out: &mut String, value: &Value, depth: usize, keys: Keys) {
    match value {
        Value::Object(object) => write_object(out, object, depth, keys),
        Value::Array(items) if !items.is_empty() => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                line(out, depth + 1, n > 0);
                write(out, item, depth + 1, keys);
            }
            line(out, depth, false);
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn write_object(out: &mut String, object: &Map<String, Value>, depth: usize, keys: Keys) {
    let mut fields: Vec<_> = object.iter().collect();
    if matches!(keys, Keys::Struct) {
        // There is one namespace, so naming it says nothing.
        fields.retain(|(key, value)| {
            let says_nothing = (value.is_null() && key.as_str() != "Hosts") || value.as_str() == Some("");
            !says_nothing && (key.as_str() != "Namespace" || **value != "default")
        });
        fields.sort_by_key(|(key, _)| rank(key));
    }
    if fields.is_empty() {
        return out.push_str("{}");
    }
    out.push('{');
    for (n, (key, value)) in fields.into_iter().enumerate() {
        line(out, depth + 1, n > 0);
        out.push_str(&format!("{}: ", Value::from(key.as_str())));
        write(out, value, depth + 1, keys.below(key));
    }
    line(out, depth, false);
    out.push('}');
}

fn line(out: &mut String, depth: usize, comma: bool) {
    out.push_str(if comma { ",\n" } else { "\n" });
    out.push_str(&INDENT.repeat(depth));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_stand_where_consul_puts_them() {
        let entry = json!({
            "CreateIndex": 1, "ModifyIndex": 2, "Kind": "service-resolver", "Name": "web", "ConnectTimeout": "15s",
            "Namespace": "default", "Subsets": {"v2": {"Filter": "", "OnlyPassing": true}, "Name": {}},
            "Zz": 1, "Meta": {"Kind": "", "A": "b"},
        });
        assert_eq!(
            shown(&entry),
            "{\n    \"ConnectTimeout\": \"15s\",\n    \"Kind\": \"service-resolver\",\n    \"Name\": \"web\",\n    \
             \"Subsets\": {\n        \"Name\": {},\n        \"v2\": {\
             \n            \"OnlyPassing\": true\n        }\n    },\
             \n    \"Zz\": 1,\n    \"Meta\": {\n        \"A\": \"b\",\n        \"Kind\": \"\"\n    },\n    \
             \"CreateIndex\": 1,\n    \"ModifyIndex\": 2\n}"
        );
    }
}
