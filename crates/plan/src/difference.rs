//! What changes from one plan to another, in lines for people.

use serde_json::{Map, Value};

use crate::Plan;

/// Lines past this are counted, not told.
const LINES_LIMIT: usize = 50;

/// One line for each part that is new, gone or another one, such as `outbound api timeout: "15s" -> "3s"`.
pub fn differences(old: &Plan, new: &Plan) -> Vec<String> {
    let value = |plan: &Plan| serde_json::to_value(plan).unwrap_or_default();
    let mut lines = Vec::new();
    compare("", &value(old), &value(new), &mut lines);
    if lines.len() > LINES_LIMIT {
        let more = lines.len() - LINES_LIMIT;
        lines.truncate(LINES_LIMIT);
        lines.push(format!("and {more} more changes"));
    }
    lines
}

fn compare(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => objects(path, old, new, lines),
        (Value::Array(old), Value::Array(new)) => lists(path, old, new, lines),
        (old, new) if old == new => {}
        (old, new) => lines.push(format!("{path}: {} -> {}", short(old), short(new))),
    }
}

fn objects(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, lines: &mut Vec<String>) {
    for (key, value) in old {
        match new.get(key) {
            Some(now) => compare(&step(path, key), value, now, lines),
            None => lines.push(format!("{}: {} is gone", step(path, key), short(value))),
        }
    }
    for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        lines.push(format!("{}: {} is new", step(path, key), short(value)));
    }
}

/// Listeners, routes and rules have names; other lists are compared place by place.
fn lists(path: &str, old: &[Value], new: &[Value], lines: &mut Vec<String>) {
    let named = old.iter().chain(new).all(|item| name(item).is_some());
    if !named {
        for at in 0..old.len().max(new.len()) {
            let place = format!("{path}[{at}]");
            match (old.get(at), new.get(at)) {
                (Some(old), Some(new)) => compare(&place, old, new, lines),
                (Some(old), None) => lines.push(format!("{place}: {} is gone", short(old))),
                (None, Some(new)) => lines.push(format!("{place}: {} is new", short(new))),
                (None, None) => {}
            }
        }
        return;
    }
    let find = |list: &'_ [Value], wanted: &str| list.iter().position(|item| name(item) == Some(wanted));
    for item in old {
        let label = name(item).unwrap_or_default();
        match find(new, label) {
            Some(at) => compare(&step(path, label), item, &new[at], lines),
            None => lines.push(format!("{}: is gone", step(path, label))),
        }
    }
    for item in new {
        let label = name(item).unwrap_or_default();
        if find(old, label).is_none() {
            lines.push(format!("{}: {} is new", step(path, label), short(item)));
        }
    }
    let order = |list: &'_ [Value], other: &[Value]| -> Vec<String> {
        let common = list.iter().filter_map(name).filter(|label| find(other, label).is_some());
        common.map(str::to_owned).collect()
    };
    if order(old, new) != order(new, old) {
        lines.push(format!("{path}: another order"));
    }
}

fn name(item: &Value) -> Option<&str> {
    ["name", "intention", "target"].into_iter().find_map(|key| item.get(key)).and_then(Value::as_str)
}

fn step(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path} {key}") }
}

/// A value on one line; a large one is cut.
fn short(value: &Value) -> String {
    const CHARS: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Inputs, compile};

    fn plan(service_defaults: &Value, intentions: &Value) -> Plan {
        let inputs = serde_json::json!({
            "Proxy": {"Kind": "connect-proxy", "ID": "web-sidecar-proxy", "Port": 21000, "Proxy": {
                "DestinationServiceName": "web", "LocalServicePort": 8080,
                "Upstreams": [{"DestinationName": "api", "LocalBindPort": 9191}]}},
            "Datacenter": "dc1", "TrustDomain": "t.consul",
            "ServiceDefaults": service_defaults, "Intentions": intentions,
        });
        compile(&serde_json::from_value::<Inputs>(inputs).unwrap())
    }

    #[test]
    fn tells_what_is_new_gone_and_other() {
        let none = serde_json::json!({});
        let (old, no_rules) = (plan(&none, &serde_json::json!([])), serde_json::json!([]));
        assert!(differences(&old, &old).is_empty());
        let http = serde_json::json!({"api": {"Name": "api", "Protocol": "http"}});
        let lines = differences(&old, &plan(&http, &no_rules));
        assert!(lines.contains(&r#"outbound api protocol: "tcp" -> "http""#.to_owned()), "{lines:?}");
        let deny = serde_json::json!([{"SourceNS": "default", "SourceName": "x", "DestinationNS": "default",
            "DestinationName": "web", "Action": "deny"}]);
        let ruled = plan(&none, &deny);
        let lines = differences(&old, &ruled);
        assert!(lines.len() == 1 && lines[0].starts_with("inbound public_listener rules DENY "), "{lines:?}");
        assert!(lines[0].ends_with("is new") && differences(&ruled, &old)[0].ends_with("is gone"));
    }
}
