//! What the commands share: forms of output, flags, and finding things by the beginning of their id.

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::list;
use crate::commands::connection::{Api, TIMEOUT};
use crate::commands::flags::{every, given, switch, text, with_namespace};
use crate::commands::{Failure, open_error};

const UUID_LENGTH: usize = 36;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Pretty,
    Json,
}

pub fn with_format(command: Command) -> Command {
    command.arg(text("format", "string", "`pretty` (the default) or `json`."))
}

/// The flags of what shows something that is stored.
pub fn shown(command: Command) -> Command {
    with_namespace(with_format(command)).arg(switch("meta", "Show the hash and the indexes, too."))
}

pub fn form(matches: &ArgMatches) -> Result<Form, Failure> {
    match given(matches, "format") {
        None | Some("pretty") => Ok(Form::Pretty),
        Some("json") => Ok(Form::Json),
        Some(other) => Err(Failure::new(format!("Unknown format: {other}"))),
    }
}

pub async fn call(api: &Api, method: Method, path: &str, body: Option<Value>) -> Result<Bytes, client::Error> {
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    api.client.send(method, &api.path(path), body, TIMEOUT).await?.success().map(|raw| raw.body)
}

pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::new(format!("the answer is not what was expected: {error}")))
}

/// A text, `@file`, or `-` for standard input.
pub fn load(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).map_err(|e| format!("Failed to read file: {}", open_error(file, &e)))
        }
        None if text == "-" => {
            std::io::read_to_string(std::io::stdin()).map_err(|e| format!("Failed to read stdin: {e}"))
        }
        None => Ok(text.to_owned()),
    }
}

/// The whole id of which the beginning was given.
pub async fn id_of(api: &Api, path: &str, key: &str, noun: &str, prefix: &str) -> Result<String, String> {
    if prefix.len() == UUID_LENGTH {
        return Ok(prefix.to_owned());
    }
    let body = list(api, path, &[]).await.map_err(|error| error.to_string())?;
    let all: Vec<Value> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    let ids = all.iter().filter_map(|item| item.get(key)?.as_str()).filter(|id| id.starts_with(prefix));
    match ids.collect::<Vec<_>>()[..] {
        [] => Err(format!("No such {noun} ID with prefix: {prefix}")),
        [id] => Ok(id.to_owned()),
        _ => Err(format!("Error {noun} ID prefix is not unique: {prefix}")),
    }
}

/// Policies and roles named by `-…-name` and `-…-id`.
pub async fn links(api: &Api, matches: &ArgMatches, noun: &str) -> Result<Vec<Value>, Failure> {
    let (path, names, ids) = match noun {
        "policy" => ("/v1/acl/policies", "policy-name", "policy-id"),
        _ => ("/v1/acl/roles", "role-name", "role-id"),
    };
    let mut out: Vec<Value> = every(matches, names).into_iter().map(|name| json!({ "Name": name })).collect();
    for id in every(matches, ids) {
        let id = id_of(api, path, "ID", noun, &id).await;
        out.push(json!({ "ID": id.map_err(|why| Failure::new(format!("Error resolving {noun} ID: {why}")))? }));
    }
    Ok(out)
}

/// `-service-identity name[:dc1,dc2]`
pub fn service_identities(matches: &ArgMatches) -> Result<Vec<Value>, Failure> {
    let identity = |text: String| match text.split(':').collect::<Vec<_>>()[..] {
        [name] => Ok(json!({ "ServiceName": name })),
        [name, datacenters] => {
            Ok(json!({ "ServiceName": name, "Datacenters": datacenters.split(',').collect::<Vec<_>>() }))
        }
        _ => Err(Failure::new(format!("Malformed -service-identity argument: {text:?}"))),
    };
    every(matches, "service-identity").into_iter().map(identity).collect()
}

/// `-node-identity name:dc`
pub fn node_identities(matches: &ArgMatches) -> Result<Vec<Value>, Failure> {
    let identity = |text: String| match text.split(':').collect::<Vec<_>>()[..] {
        [name, datacenter] => Ok(json!({ "NodeName": name, "Datacenter": datacenter })),
        _ => Err(Failure::new(format!("Malformed -node-identity argument: {text:?}"))),
    };
    every(matches, "node-identity").into_iter().map(identity).collect()
}

/// Those of `more` that are not there yet, by all of the keys, are added.
pub fn merge(old: Option<&Value>, more: Vec<Value>, keys: &[&str]) -> Vec<Value> {
    let mut out: Vec<Value> = old.and_then(Value::as_array).cloned().unwrap_or_default();
    for item in more {
        let same = |other: &Value| keys.iter().any(|key| item.get(key).is_some() && item.get(key) == other.get(key));
        if !out.iter().any(same) {
            out.push(item);
        }
    }
    out
}
