//! The kinds that are newer than Consul 1.8.

use std::collections::HashSet;

use model::{OpaqueMap, ServiceIntentions, SourceIntention, WILDCARD};
use serde_json::Value;

const DESCRIPTION_LIMIT: usize = 512;
const META_LIMIT: usize = 64;
const TLS_VERSIONS: [&str; 6] = ["", "TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"];
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> + Clone {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn part_wildcard(place: &str, name: &str) -> Result<(), String> {
    if name.contains(WILDCARD) && name != WILDCARD {
        return Err(format!("{place}: wildcard character '*' cannot be used with partial values"));
    }
    Ok(())
}

pub(super) fn intentions(rules: &ServiceIntentions) -> Result<(), String> {
    part_wildcard("Name", &rules.name)?;
    if rules.more.get("Meta").and_then(Value::as_object).is_some_and(|meta| meta.len() > META_LIMIT) {
        return Err(format!("Meta exceeds maximum element count {META_LIMIT}"));
    }
    if rules.sources.is_empty() {
        return Err("At least one source is required".to_owned());
    }
    let mut seen = HashSet::new();
    for (at, source) in rules.sources.iter().enumerate() {
        let place = format!("Sources[{at}]");
        self::source(&place, source, rules.name == WILDCARD)?;
        let from = source.more.get("Peer").and_then(Value::as_str).unwrap_or_default();
        if !seen.insert((&source.name, from)) {
            return Err(format!("{place} defines {:?} more than once", source.name));
        }
    }
    Ok(())
}

fn source(place: &str, source: &SourceIntention, for_all: bool) -> Result<(), String> {
    if source.name.is_empty() {
        return Err(format!("{place}.Name is required"));
    }
    part_wildcard(&format!("{place}.Name"), &source.name)?;
    if source.description.len() > DESCRIPTION_LIMIT {
        return Err(format!("{place}.Description exceeds maximum length {DESCRIPTION_LIMIT}"));
    }
    if source.kind != "consul" {
        return Err(format!("{place}.Type must be set to 'consul'"));
    }
    let known = matches!(source.action.as_str(), "allow" | "deny");
    match (source.permissions.is_empty(), source.action.is_empty()) {
        (true, _) if known => return Ok(()),
        (true, _) => return Err(format!("{place}.Action must be set to 'allow' or 'deny'")),
        (false, false) => return Err(format!("{place}.Action must be omitted if Permissions are specified")),
        (false, true) => {}
    }
    if for_all {
        return Err(format!("{place}.Permissions cannot be specified on intentions with wildcarded destinations"));
    }
    for (at, permission) in source.permissions.iter().enumerate() {
        self::permission(&format!("{place}.Permissions[{at}]"), permission)?;
    }
    Ok(())
}

fn permission(place: &str, permission: &OpaqueMap) -> Result<(), String> {
    let action = permission.get("Action").and_then(Value::as_str).unwrap_or_default();
    if !matches!(action, "allow" | "deny") {
        return Err(format!("{place}.Action must be set to 'allow' or 'deny'"));
    }
    let Some(http) = permission.get("HTTP") else {
        return match permission.get("JWT") {
            Some(_) => Ok(()),
            None => Err(format!("{place}.HTTP is required")),
        };
    };
    let place = format!("{place}.HTTP");
    let paths = ["PathExact", "PathPrefix", "PathRegex"].map(|name| (name, text(http, name)));
    if paths.iter().filter(|(_, path)| !path.is_empty()).count() > 1 {
        return Err(format!("{place} should only contain at most one of PathExact, PathPrefix, or PathRegex"));
    }
    if let Some((name, path)) = paths[..2].iter().find(|(_, path)| !path.is_empty() && !path.starts_with('/')) {
        return Err(format!("{place}.{name} doesn't start with '/': {path:?}"));
    }
    for (at, header) in list(http.get("Header")).enumerate() {
        self::header(&format!("{place}.Header[{at}]"), header)?;
    }
    let mut seen = HashSet::new();
    for method in list(http.get("Methods")).filter_map(Value::as_str) {
        if !METHODS.contains(&method) {
            return Err(format!("{place}.Methods contains an invalid method {method:?}"));
        }
        if !seen.insert(method) {
            return Err(format!("{place}.Methods contains {method:?} more than once"));
        }
    }
    let says_nothing = paths.iter().all(|(_, path)| path.is_empty()) && list(http.get("Header")).next().is_none();
    if says_nothing && seen.is_empty() {
        return Err(format!("{place} should not be empty"));
    }
    Ok(())
}

fn header(place: &str, header: &Value) -> Result<(), String> {
    if text(header, "Name").is_empty() {
        return Err(format!("{place} missing required Name field"));
    }
    let texts = ["Exact", "Prefix", "Suffix", "Contains", "Regex"];
    let given = texts.iter().filter(|name| !text(header, name).is_empty()).count();
    if given + usize::from(header.get("Present") == Some(&Value::Bool(true))) != 1 {
        return Err(format!("{place} should only contain one of Present, Exact, Prefix, Suffix, Contains, or Regex"));
    }
    Ok(())
}

pub(super) fn exported_services(name: &str, body: &OpaqueMap) -> Result<(), String> {
    if name != "default" {
        return Err("exported-services Name must be \"default\"".to_owned());
    }
    for (at, service) in list(body.get("Services")).enumerate() {
        let place = format!("Services[{at}]");
        if text(service, "Name").is_empty() {
            return Err(format!("{place}: service name cannot be empty"));
        }
        let consumers = list(service.get("Consumers"));
        if consumers.clone().next().is_none() {
            return Err(format!("{place}: must have at least one consumer"));
        }
        for (which, consumer) in consumers.enumerate() {
            let given = ["Peer", "Partition", "SamenessGroup"].map(|key| text(consumer, key));
            if given.iter().filter(|name| !name.is_empty()).count() != 1 {
                return Err(format!(
                    "{place}.Consumers[{which}]: must define exactly one of Peer, Partition, or SamenessGroup"
                ));
            }
            if given[0] == WILDCARD {
                return Err(format!("{place}.Consumers[{which}]: exporting to all peers (wildcard) is not supported"));
            }
        }
    }
    Ok(())
}

pub(super) fn jwt_provider(body: &OpaqueMap) -> Result<(), String> {
    let Some(keys) = body.get("JSONWebKeySet") else { return Err("JSONWebKeySet is required".to_owned()) };
    match (keys.get("Local"), keys.get("Remote")) {
        (Some(local), None) => {
            if text(local, "JWKS").is_empty() == text(local, "Filename").is_empty() {
                return Err("must specify exactly one of String or filename for local keyset".to_owned());
            }
        }
        (None, Some(remote)) => {
            if text(remote, "URI").is_empty() {
                return Err("Remote JWKS URI is required".to_owned());
            }
        }
        _ => return Err("must specify exactly one of Local or Remote JSON Web key set".to_owned()),
    }
    for (at, location) in list(body.get("Locations")).enumerate() {
        let given = ["Header", "QueryParam", "Cookie"].iter().filter(|key| location.get(**key).is_some()).count();
        if given != 1 {
            return Err(format!(
                "invalid Location at index {at}: must set exactly one of: Header, QueryParam or Cookie"
            ));
        }
    }
    Ok(())
}

pub(super) fn mesh(body: &OpaqueMap) -> Result<(), String> {
    for side in ["Incoming", "Outgoing"] {
        let Some(tls) = body.get("TLS").and_then(|tls| tls.get(side)) else { continue };
        for key in ["TLSMinVersion", "TLSMaxVersion"] {
            let version = text(tls, key);
            if !TLS_VERSIONS.contains(&version) {
                let side = side.to_lowercase();
                return Err(format!("error in {side} TLS configuration: no matching TLS version found for {version}"));
            }
        }
    }
    Ok(())
}
