//! What an entry must hold by itself, whatever else is stored. The texts are Consul's.

use std::collections::HashSet;

use model::{ConfigEntry, EntryKind, OpaqueMap};
use serde_json::Value;

/// Split weights are counted in hundredths of a percent.
const WHOLE: i64 = 10_000;

pub(super) fn check(entry: &ConfigEntry) -> Result<(), String> {
    if entry.name().trim().is_empty() {
        return Err(match entry.kind() {
            EntryKind::ServiceDefaults => "serviceName is required".to_owned(),
            _ => "Name is required".to_owned(),
        });
    }
    let ConfigEntry::Other { kind, body, .. } = entry else { return Ok(()) };
    match kind {
        EntryKind::ServiceRouter => router(body),
        EntryKind::ServiceSplitter => splitter(body),
        EntryKind::ServiceResolver => resolver(body),
        _ => Ok(()),
    }
}

fn list<'a>(body: &'a OpaqueMap, name: &str) -> &'a [Value] {
    body.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn router(body: &OpaqueMap) -> Result<(), String> {
    for (at, route) in list(body, "Routes").iter().enumerate() {
        let matched = &route["Match"]["HTTP"];
        let paths = ["PathExact", "PathPrefix", "PathRegex"].map(|name| (name, text(matched, name)));
        if paths.iter().filter(|(_, path)| !path.is_empty()).count() > 1 {
            return Err(format!("Route[{at}] should only contain at most one of PathExact, PathPrefix, or PathRegex"));
        }
        let relative = paths[..2].iter().find(|(_, path)| !path.is_empty() && !path.starts_with('/'));
        if let Some((name, path)) = relative {
            return Err(format!("Route[{at}] {name} doesn't start with '/': {path:?}"));
        }
        for (which, header) in matched["Header"].as_array().into_iter().flatten().enumerate() {
            if text(header, "Name").is_empty() {
                return Err(format!("Route[{at}] Header[{which}] missing required Name field"));
            }
        }
        if !text(&route["Destination"], "PrefixRewrite").is_empty() && paths[..2].iter().all(|(_, p)| p.is_empty()) {
            return Err(format!(
                "Route[{at}] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
            ));
        }
    }
    Ok(())
}

fn splitter(body: &OpaqueMap) -> Result<(), String> {
    let splits = list(body, "Splits");
    if splits.is_empty() {
        return Err("no splits configured".to_owned());
    }
    let mut seen = HashSet::new();
    let mut sum = 0_i64;
    for split in splits {
        let weight = split["Weight"].as_f64().unwrap_or_default();
        sum = sum.saturating_add((weight * 100.0).round() as i64);
        let (service, subset) = (text(split, "Service"), text(split, "ServiceSubset"));
        if !seen.insert((service, subset)) {
            return Err(format!("split destination occurs more than once: service={service:?}, subset={subset:?}"));
        }
    }
    if sum != WHOLE {
        return Err(format!("the sum of all split weights must be 100, not {:.6}", sum as f64 / 100.0));
    }
    Ok(())
}

fn resolver(body: &OpaqueMap) -> Result<(), String> {
    let subsets = body.get("Subsets").and_then(Value::as_object);
    let known = |name: &str| subsets.is_some_and(|subsets| subsets.contains_key(name));
    if subsets.is_some_and(|subsets| subsets.contains_key("")) {
        return Err("Subset defined with empty name".to_owned());
    }
    let default = body.get("DefaultSubset").and_then(Value::as_str).unwrap_or_default();
    if !default.is_empty() && !known(default) {
        return Err(format!("DefaultSubset {default:?} is not a valid subset"));
    }
    if let Some(redirect) = body.get("Redirect").and_then(Value::as_object) {
        if redirect.values().all(|value| value == "" || value.is_null()) {
            return Err("Redirect is empty".to_owned());
        }
        if redirect.get("ServiceSubset").is_some_and(|v| v != "") && redirect.get("Service").is_none_or(|v| v == "") {
            return Err("Redirect.ServiceSubset defined without Redirect.Service".to_owned());
        }
    }
    for subset in body.get("Failover").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys) {
        if subset != "*" && !known(subset) {
            return Err(format!("Bad Failover[{subset:?}]: not a valid subset"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn checked(kind: EntryKind, body: &Value) -> Result<(), String> {
        let body = body.as_object().unwrap().clone();
        check(&ConfigEntry::Other { kind, name: "web".to_owned(), body })
    }

    #[test]
    fn entries_that_cannot_be_are_refused_in_consuls_words() {
        use EntryKind::{ServiceResolver, ServiceRouter, ServiceSplitter};
        for (kind, body, words) in [
            (
                ServiceSplitter,
                json!({"Splits": [{"Weight": 50}]}),
                "the sum of all split weights must be 100, not 50.000000",
            ),
            (ServiceSplitter, json!({}), "no splits configured"),
            (
                ServiceRouter,
                json!({"Routes": [{"Match": {"HTTP": {"PathPrefix": "admin"}}}]}),
                "Route[0] PathPrefix doesn't start with '/': \"admin\"",
            ),
            (ServiceResolver, json!({"DefaultSubset": "nope"}), "DefaultSubset \"nope\" is not a valid subset"),
            (ServiceResolver, json!({"Redirect": {}}), "Redirect is empty"),
        ] {
            assert_eq!(checked(kind, &body).unwrap_err(), words);
        }
        let third = |weight: f64, service: &str| json!({"Weight": weight, "Service": service});
        let thirds = json!({"Splits": [third(33.33, ""), third(33.33, "a"), third(33.34, "b")]});
        checked(ServiceSplitter, &thirds).unwrap();
        checked(ServiceResolver, &json!({"Subsets": {"v1": {}}, "DefaultSubset": "v1", "Failover": {"*": {}}}))
            .unwrap();
        checked(ServiceRouter, &json!({"Routes": [{"Match": {"HTTP": {"PathExact": "/a"}}}]})).unwrap();
    }
}
