//! `/v1/config…`: central configuration.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use model::{ConfigEntry, EntryKind};
use store::{Stored, Topic};

use super::entry_shapes::config_entry;
use super::rights;
use crate::authorizer::{Authorizer, Right};
use crate::error::Error;
use crate::filter::{Field, Filter};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    prefix(Router::new().route("/v1/config", put(apply)), "/v1/config/", get(read).delete(remove))
}

/// `?cas=`
fn cas(options: &QueryOptions) -> Result<Option<u64>, Error> {
    let Some(text) = options.params.get("cas") else { return Ok(None) };
    let index = text.parse();
    index.map(Some).map_err(|_| Error::BadRequest(format!("strconv.ParseUint: parsing {text:?}: invalid syntax")))
}

async fn apply(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let cas = cas(&options)?;
    let entry = model::decode_config_entry_json(&body)
        .map_err(|error| Error::BadRequest(format!("Request decoding failed: {}", error.consul_text())))?;
    let may = server.authorizer(&options)?;
    demand(&may, entry.kind(), entry.name(), Right::Write)?;
    response::json(&server.put_config(entry, cas).await?)
}

fn demand(may: &Authorizer, kind: EntryKind, name: &str, right: Right) -> Result<(), Error> {
    if rights::config(may, kind, name, right) { Ok(()) } else { Err(Error::PermissionDenied) }
}

/// The entries that the sender may read.
fn seen(
    server: &ServerState,
    options: &QueryOptions,
    mut entries: Vec<Stored<ConfigEntry>>,
) -> Result<Vec<Stored<ConfigEntry>>, Error> {
    let may = server.authorizer(options)?;
    let before = entries.len();
    entries.retain(|entry| rights::config(&may, entry.kind(), entry.name(), Right::Read));
    may.note_if(entries.len() < before);
    Ok(entries)
}

fn kind_of(word: &str) -> Result<EntryKind, Error> {
    EntryKind::parse(word).ok_or_else(|| Error::Refused(format!("invalid config entry kind: {word}")))
}

async fn read(State(server): State<ServerState>, Rest(rest): Rest, options: QueryOptions) -> Result<Response, Error> {
    let (word, name) = rest.split_once('/').unwrap_or((&rest, ""));
    if word.is_empty() || name.is_empty() {
        let kind = if word.is_empty() { None } else { Some(kind_of(word)?) };
        let filter = Filter::parse(&options.filter, &Field::Any)?;
        let (state, index) = server.read(&options, &[kind.map_or(Topic::Configs, Topic::ConfigKind)]).await?;
        let entries = seen(&server, &options, state.configs(kind))?;
        return response::indexed(index, &filter.keep(entries.iter().map(config_entry).collect())?);
    }
    let kind = kind_of(word)?;
    demand(&server.authorizer(&options)?, kind, name, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::config(kind, name)]).await?;
    match state.config(kind, name) {
        Some(entry) => response::indexed(index, &config_entry(entry)),
        // With an index, so that one can wait for the entry to be made.
        None => {
            let text = format!("Config entry not found for {:?} / {name:?}", kind.as_str());
            Ok(response::with_index(response::text(http::StatusCode::NOT_FOUND, text), index, true))
        }
    }
}

async fn remove(State(server): State<ServerState>, Rest(rest): Rest, options: QueryOptions) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let Some((word, name)) = rest.split_once('/').filter(|(word, name)| !word.is_empty() && !name.is_empty()) else {
        return Err(Error::NotFound("Must provide both a kind and name to delete".to_owned()));
    };
    let cas = cas(&options)?;
    // 1.8 answers a word that is no kind with 400 here, and with 500 when it is asked for.
    let kind = EntryKind::parse(word).ok_or_else(|| Error::Invalid(format!("invalid config entry kind: {word}")))?;
    demand(&server.authorizer(&options)?, kind, name, Right::Write)?;
    let removed = server.delete_config(kind, name, cas).await?;
    match cas {
        // 1.8 ignores ?cas here; every later version honours it and says whether it was met.
        Some(_) => response::json(&removed),
        None => response::json(&serde_json::Map::new()),
    }
}
