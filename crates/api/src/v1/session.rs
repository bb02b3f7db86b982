//! `/v1/session/…`: the holders of locks.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use model::{Session, SessionBehavior, parse_duration};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Stored, Topic, session_id};

use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::json::{self, Fields};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::{ServerState, required};

const DEFAULT_LOCK_DELAY: Duration = Duration::from_secs(15);
/// A lock delay given as a number is meant in seconds below this, in nanoseconds from here on.
const LOCK_DELAY_SECONDS_BELOW: u64 = 1000;
/// The check every node has, whose failing means that the node is gone.
const NODE_CHECK: &str = "serfHealth";

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new().route("/v1/session/create", put(create)).route("/v1/session/list", get(list));
    let router = prefix(router, "/v1/session/destroy/", put(destroy));
    let router = prefix(router, "/v1/session/renew/", put(renew));
    let router = prefix(router, "/v1/session/info/", get(info));
    prefix(router, "/v1/session/node/", get(of_node))
}

/// What a body asks for; the behaviour is not yet understood.
struct Wanted {
    session: Session,
    behavior: String,
}

/// Reads a body the way Consul does: unknown names are no mistake here.
fn wanted(body: &[u8], node: &str) -> Result<Wanted, String> {
    let value = if body.is_empty() { Value::Null } else { json::first(body)? };
    let empty = serde_json::Map::new();
    let map = match &value {
        Value::Null => &empty,
        Value::Object(map) => map,
        other => {
            let (kind, of) = (json::kind(other), "struct { LockDelay interface {}; *structs.Alias }");
            return Err(format!("json: cannot unmarshal {kind} into Go value of type {of}"));
        }
    };
    let fields = Fields::new(map, "");
    let (node_checks, checks) = checks(&fields)?;
    let session = Session {
        id: String::new(),
        name: fields.text("Name")?.to_owned(),
        node: if fields.get("Node").is_some() { fields.text("Node")?.to_owned() } else { node.to_owned() },
        node_checks,
        service_checks: service_checks(&fields)?,
        checks,
        lock_delay: lock_delay(fields.get("LockDelay"))?,
        behavior: SessionBehavior::Release,
        ttl: fields.text("TTL")?.to_owned(),
    };
    Ok(Wanted { session, behavior: fields.text("Behavior")?.to_owned() })
}

/// Checks of the node, and those that are named the old way. An empty list in either form means none at all.
fn checks(fields: &Fields<'_>) -> Result<(Vec<String>, Vec<String>), String> {
    let by_default = || vec![NODE_CHECK.to_owned()];
    let given = |name: &str| if fields.has(name) { fields.texts(name) } else { Ok(by_default()) };
    let (node_checks, checks) = (given("NodeChecks")?, given("Checks")?);
    if node_checks.is_empty() || checks.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let checks = if checks == by_default() { Vec::new() } else { checks };
    Ok((node_checks, checks))
}

fn service_checks(fields: &Fields<'_>) -> Result<Vec<String>, String> {
    let of = "structs.ServiceCheck";
    let id = |item: &Value| match item {
        Value::Object(map) => Fields::new(map, "ServiceCheck").text("ID").map(str::to_owned),
        other => Err(fields.wrong("ServiceChecks", other, of)),
    };
    fields.list("ServiceChecks", of)?.iter().map(id).collect()
}

fn lock_delay(given: Option<&Value>) -> Result<Duration, String> {
    match given {
        Some(Value::String(text)) => parse_duration(text).map_err(|why| why.go_text()),
        Some(Value::Number(number)) => {
            // Fractions are cut off, and there is no time before now.
            let number = number.as_u64().unwrap_or_else(|| number.as_f64().unwrap_or_default() as u64);
            let seconds = number < LOCK_DELAY_SECONDS_BELOW;
            Ok(if seconds { Duration::from_secs(number) } else { Duration::from_nanos(number) })
        }
        _ => Ok(DEFAULT_LOCK_DELAY),
    }
}

async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let Wanted { mut session, behavior } = wanted(&body, server.node_name()).map_err(Error::Decode)?;
    server.admit_write(&options, "")?;
    if session.node.is_empty() {
        return Err(Error::Refused("Must provide Node".to_owned()));
    }
    server.authorizer(&options)?.check(Resource::Session, &session.node, Right::Write)?;
    session.behavior = match behavior.as_str() {
        "" | "release" => SessionBehavior::Release,
        "delete" => SessionBehavior::Delete,
        other => return Err(Error::Refused(format!("Invalid Behavior setting '{other}'"))),
    };
    session.id = uuid::Uuid::new_v4().to_string();
    let id = session.id.clone();
    server.store.create_session(session, server.limits.session_ttl_min).await?;
    response::json(&json!({ "ID": id }))
}

/// The right to write the session, where there is one.
fn may_write(server: &ServerState, options: &QueryOptions, id: &str) -> Result<(), Error> {
    let authorizer = server.authorizer(options)?;
    match server.store.state().session(&session_id(id)?) {
        Some(session) => authorizer.check(Resource::Session, &session.node, Right::Write),
        None => Ok(()),
    }
}

async fn destroy(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&id, "Missing session")?;
    server.admit_write(&options, "")?;
    may_write(&server, &options, &id)?;
    server.store.destroy_session(&id).await?;
    response::json(&true)
}

async fn renew(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&id, "Missing session")?;
    server.admit_write(&options, "")?;
    may_write(&server, &options, &id)?;
    match server.store.renew_session(&id).await? {
        Some(session) => response::json(&[SessionShape::from(&session)]),
        None => Err(Error::NotFound(format!("Session id '{id}' not found"))),
    }
}

async fn info(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&id, "Missing session")?;
    let authorizer = server.authorizer(&options)?;
    server.admit(&options)?;
    let id = session_id(&id)?;
    let (state, index) = server.read(&options, &[Topic::Session(id.as_str().into())]).await?;
    answer(&authorizer, index, state.session(&id).into_iter())
}

async fn of_node(
    State(server): State<ServerState>,
    Rest(node): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&node, "Missing node name")?;
    let authorizer = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::node_sessions(&node)]).await?;
    answer(&authorizer, index, state.sessions_of(&node))
}

async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let authorizer = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::Sessions]).await?;
    answer(&authorizer, index, state.sessions())
}

fn answer<'a>(
    authorizer: &Authorizer,
    index: u64,
    sessions: impl Iterator<Item = &'a Stored<Session>>,
) -> Result<Response, Error> {
    let readable = sessions.filter(|session| authorizer.may(Resource::Session, &session.node, Right::Read));
    response::indexed(index, &readable.map(SessionShape::from).collect::<Vec<_>>())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SessionShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    node: &'a str,
    /// Nanoseconds.
    lock_delay: u64,
    behavior: SessionBehavior,
    #[serde(rename = "TTL")]
    ttl: &'a str,
    node_checks: &'a [String],
    service_checks: Option<Vec<ServiceCheckShape<'a>>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    checks: &'a [String],
    create_index: u64,
    modify_index: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceCheckShape<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    namespace: &'static str,
}

impl<'a> From<&'a Stored<Session>> for SessionShape<'a> {
    fn from(session: &'a Stored<Session>) -> Self {
        let service_checks = session.service_checks.iter().map(|id| ServiceCheckShape { id, namespace: "" });
        Self {
            id: &session.id,
            name: &session.name,
            node: &session.node,
            lock_delay: u64::try_from(session.lock_delay.as_nanos()).unwrap_or(u64::MAX),
            behavior: session.behavior,
            ttl: &session.ttl,
            node_checks: &session.node_checks,
            service_checks: (!session.service_checks.is_empty()).then(|| service_checks.collect()),
            checks: &session.checks,
            create_index: session.create_index,
            modify_index: session.modify_index,
        }
    }
}
