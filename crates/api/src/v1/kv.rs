//! `/v1/kv/…`: keys and values. The busiest routes, so answers are written straight into their bytes.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, StatusCode, header};
use model::{Blob, KvEntry};
use store::{KvCondition, KvWrite, Stored, Topic};

use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::json::go_string;
use crate::query_options::{QueryOptions, parse_uint};
use crate::request::{Rest, limited, prefix};
use crate::response;
use crate::server::{ServerState, required};

/// Room in an answer for what surrounds a key and its value.
const FRAME_BYTES: usize = 160;
const MISSING_KEY: &str = "Missing key name";

pub(crate) fn router() -> Router<ServerState> {
    prefix(Router::new(), "/v1/kv/", get(read).put(write).delete(remove))
}

async fn read(State(server): State<ServerState>, Rest(key): Rest, options: QueryOptions) -> Result<Response, Error> {
    if options.params.has("keys") {
        return keys(&server, &key, &options).await;
    }
    if options.params.has("recurse") {
        return tree(&server, &key, &options).await;
    }
    required(&key, MISSING_KEY)?;
    server.authorizer(&options)?.check(Resource::Key, &key, Right::Read)?;
    let topics = [Topic::Kv(key.as_str().into())];
    let (state, index) = server.read(&options, &topics).await?;
    let Some(entry) = state.kv(&key) else { return Ok(missing(index)) };
    if options.params.has("raw") {
        return Ok(response::with_index(raw(&entry.value.value), index, true));
    }
    Ok(response::with_index(entries(std::iter::once(entry)), index, true))
}

fn missing(index: u64) -> Response {
    response::with_index(StatusCode::NOT_FOUND.into_response(), index, true)
}

/// The bytes as they are. They may be anybody's, so a browser must not take them for a page of ours.
fn raw(value: &Blob) -> Response {
    let mut response = value.as_slice().to_vec().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}

async fn tree(server: &ServerState, prefix: &str, options: &QueryOptions) -> Result<Response, Error> {
    let authorizer = lister(server, prefix, options)?;
    let topics = [Topic::KvPrefix(prefix.into())];
    let (state, index) = server.read(options, &topics).await?;
    let mut found = state.kv_under(prefix).filter(|entry| may_read(&authorizer, entry)).peekable();
    if found.peek().is_none() {
        return Ok(missing(index));
    }
    Ok(response::with_index(entries(found), index, true))
}

/// The rights to filter a listing by, where listing as such is allowed.
fn lister(server: &ServerState, prefix: &str, options: &QueryOptions) -> Result<Authorizer, Error> {
    let authorizer = server.authorizer(options)?;
    if server.limits.key_list_policy {
        authorizer.check(Resource::Key, prefix, Right::List)?;
    }
    Ok(authorizer)
}

fn may_read(authorizer: &Authorizer, entry: &KvEntry) -> bool {
    authorizer.may(Resource::Key, &entry.key, Right::Read)
}

async fn keys(server: &ServerState, prefix: &str, options: &QueryOptions) -> Result<Response, Error> {
    let authorizer = lister(server, prefix, options)?;
    let topics = [Topic::KvPrefix(prefix.into())];
    let (state, index) = server.read(options, &topics).await?;
    // Keys that may not be read are left out; that there are some is no secret.
    if state.kv_under(prefix).next().is_none() {
        return Ok(missing(index));
    }
    let found = state.kv_under(prefix).filter(|entry| may_read(&authorizer, entry));
    let mut names: Vec<&str> = Vec::new();
    let separator = options.params.text("separator");
    for entry in found {
        let name = up_to(&entry.key, prefix, separator);
        if names.last() != Some(&name) {
            names.push(name);
        }
    }
    response::indexed(index, &names)
}

/// What is left of a key when everything past the first separator after the prefix is cut off.
fn up_to<'a>(key: &'a str, prefix: &str, separator: &str) -> &'a str {
    let found = if separator.is_empty() { None } else { key[prefix.len()..].find(separator) };
    found.map_or(key, |at| &key[..prefix.len() + at + separator.len()])
}

fn entries<'a>(entries: impl Iterator<Item = &'a Stored<KvEntry>>) -> Response {
    let mut out = Vec::with_capacity(2 * FRAME_BYTES);
    out.push(b'[');
    for entry in entries {
        if out.len() > 1 {
            out.push(b',');
        }
        write_entry(&mut out, entry, true);
    }
    out.push(b']');
    response::go_json(out)
}

/// One key as Consul writes it; without its value where a transaction has only changed it.
pub(super) fn write_entry(out: &mut Vec<u8>, entry: &Stored<KvEntry>, with_value: bool) {
    let value = entry.value.value.as_slice();
    out.reserve(FRAME_BYTES + entry.key.len() + value.len().div_ceil(3) * 4);
    number(out, b"{\"LockIndex\":", entry.lock_index);
    out.extend(b",\"Key\":");
    go_string(out, &entry.key);
    number(out, b",\"Flags\":", entry.flags);
    if value.is_empty() || !with_value {
        out.extend(b",\"Value\":null");
    } else {
        out.extend(b",\"Value\":\"");
        base64(out, value);
        out.push(b'"');
    }
    if !entry.session.is_empty() {
        out.extend(b",\"Session\":");
        go_string(out, &entry.session);
    }
    number(out, b",\"CreateIndex\":", entry.create_index);
    number(out, b",\"ModifyIndex\":", entry.modify_index);
    out.push(b'}');
}

fn number(out: &mut Vec<u8>, name: &[u8], value: u64) {
    use std::io::Write as _;
    out.extend(name);
    // A `Vec` takes whatever is written.
    let _ = write!(out, "{value}");
}

fn base64(out: &mut Vec<u8>, value: &[u8]) {
    let from = out.len();
    out.resize(from + value.len().div_ceil(3) * 4, 0);
    // The room is exactly what padded base64 takes.
    let _ = STANDARD.encode_slice(value, &mut out[from..]);
}

async fn write(
    State(server): State<ServerState>,
    Rest(key): Rest,
    options: QueryOptions,
    body: Body,
) -> Result<Response, Error> {
    required(&key, MISSING_KEY)?;
    options.params.refuse_conflict(&["cas", "acquire", "release"])?;
    let flags = options.params.get("flags").map_or(Ok(0), parse_uint)?;
    let condition = condition(&options)?;
    let limit = server.limits.kv_value_bytes;
    let body = limited(body, limit, "kv_max_value_size").await?;
    server.admit_write(&options, "")?;
    server.authorizer(&options)?.check(Resource::Key, &key, Right::Write)?;
    let write = KvWrite { key, value: Blob::from(&body[..]), flags, condition };
    Ok(response::go_bool(server.store.put_kv(&write).await?))
}

fn condition(options: &QueryOptions) -> Result<KvCondition, Error> {
    let params = &options.params;
    Ok(if let Some(session) = params.get("acquire") {
        KvCondition::Lock(session.to_owned())
    } else if let Some(session) = params.get("release") {
        KvCondition::Unlock(session.to_owned())
    } else if let Some(index) = params.get("cas") {
        KvCondition::Cas(parse_uint(index)?)
    } else {
        KvCondition::Always
    })
}

async fn remove(State(server): State<ServerState>, Rest(key): Rest, options: QueryOptions) -> Result<Response, Error> {
    let params = &options.params;
    params.refuse_conflict(&["recurse", "cas"])?;
    let recurse = params.has("recurse");
    if !recurse {
        required(&key, MISSING_KEY)?;
    }
    let cas = params.get("cas").map(parse_uint).transpose()?;
    server.admit_write(&options, "")?;
    let authorizer = server.authorizer(&options)?;
    if recurse {
        authorizer.check(Resource::Key, &key, Right::WritePrefix)?;
        server.store.delete_kv_tree(&key).await?;
        return Ok(response::go_bool(true));
    }
    authorizer.check(Resource::Key, &key, Right::Write)?;
    Ok(response::go_bool(server.store.delete_kv(&key, cas).await?))
}
