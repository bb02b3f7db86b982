//! What Consul makes of an entry before it is checked: defaults filled in, words in one case.

use serde_json::Value as Json;

use super::EntryKind;
use crate::service::OpaqueMap;

/// Kinds of which there is one have one name, whatever is given.
pub(super) fn name(kind: EntryKind, given: String) -> String {
    match kind {
        EntryKind::Mesh => "mesh".to_owned(),
        _ => given,
    }
}

pub(super) fn body(kind: EntryKind, body: &mut OpaqueMap) {
    match kind {
        EntryKind::ServiceRouter => items(body, "Routes").for_each(route),
        EntryKind::IngressGateway => items(body, "Listeners").for_each(listener),
        EntryKind::ServiceIntentions => items(body, "Sources").for_each(source),
        _ => {}
    }
}

fn items<'a>(body: &'a mut OpaqueMap, key: &str) -> impl Iterator<Item = &'a mut OpaqueMap> {
    body.get_mut(key).and_then(Json::as_array_mut).into_iter().flatten().filter_map(Json::as_object_mut)
}

/// Consul names the namespace of a destination only where it has also looked at the methods.
fn route(route: &mut OpaqueMap) {
    let http = route.get_mut("Match").and_then(|matched| matched.get_mut("HTTP"));
    let methods = http.and_then(|http| http.get_mut("Methods")).and_then(Json::as_array_mut);
    let Some(methods) = methods.filter(|methods| !methods.is_empty()) else { return };
    methods.iter_mut().for_each(uppercase);
    if let Some(destination) = route.get_mut("Destination").and_then(Json::as_object_mut) {
        destination.entry("Namespace").or_insert_with(|| "default".into());
    }
}

fn uppercase(word: &mut Json) {
    if let Json::String(text) = word {
        *text = text.to_uppercase();
    }
}

fn listener(listener: &mut OpaqueMap) {
    let protocol = listener.get("Protocol").and_then(Json::as_str).filter(|text| !text.is_empty());
    let protocol = protocol.unwrap_or("tcp").to_lowercase();
    listener.insert("Protocol".to_owned(), protocol.into());
}

/// What only the older API writes is not taken from an entry, and precedence follows from the names.
fn source(source: &mut OpaqueMap) {
    for key in ["LegacyID", "LegacyMeta", "LegacyCreateTime", "LegacyUpdateTime", "Precedence"] {
        source.remove(key);
    }
    source.entry("Type").or_insert_with(|| "consul".into());
    for permission in items(source, "Permissions") {
        let http = permission.get_mut("HTTP").and_then(|http| http.get_mut("Methods"));
        http.and_then(Json::as_array_mut).into_iter().flatten().for_each(uppercase);
    }
}
