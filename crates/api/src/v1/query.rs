//! `/v1/query…`: prepared queries.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use model::{PreparedQuery, Token};
use serde::Serialize;
use serde_json::json;
use store::{Stored, Topic, session_id};

use super::catalog::mark_cached;
use super::shapes::HealthShape;
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::prepared::{self, Asker, Unanswered};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::ServerState;

/// What is shown instead of a token to those who may not manage access control.
const HIDDEN: &str = "<hidden>";

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new().route("/v1/query", get(list).post(create));
    prefix(router, "/v1/query/", get(read).put(update).delete(remove))
}

const QUERY: Shape = Object(&[
    ("ID", Any),
    ("Name", Any),
    ("Session", Any),
    ("Token", Any),
    ("Template", Object(&[("Type", Any), ("Regexp", Any), ("RemoveEmptyTags", Any)])),
    (
        "Service",
        Object(&[
            ("Service", Any),
            ("Namespace", Any),
            ("Partition", Any),
            ("Peer", Any),
            ("SamenessGroup", Any),
            (
                "Failover",
                Object(&[
                    ("NearestN", Any),
                    ("Datacenters", Any),
                    ("Targets", Shape::List(&Object(&[("Peer", Any), ("Datacenter", Any)]))),
                ]),
            ),
            ("OnlyPassing", Any),
            ("IgnoreCheckIDs", Any),
            ("Near", Any),
            ("Tags", Any),
            ("NodeMeta", Any),
            ("ServiceMeta", Any),
            ("Connect", Any),
        ]),
    ),
    ("DNS", Object(&[("TTL", Any)])),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

/// A query with its indexes.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct QueryShape {
    #[serde(flatten)]
    query: PreparedQuery,
    create_index: u64,
    modify_index: u64,
}

impl QueryShape {
    fn new(stored: &Stored<PreparedQuery>, query: PreparedQuery, rights: &Authorizer) -> Self {
        let mut query = query;
        if !query.token.0.is_empty() && !is_manager(rights) {
            query.token = Token(HIDDEN.to_owned());
        }
        Self { query, create_index: stored.create_index, modify_index: stored.modify_index }
    }
}

fn is_manager(rights: &Authorizer) -> bool {
    rights.may(Resource::Acl, "", Right::Write)
}

/// A query that has neither a name nor a template is bound to a session and only its maker knows its id.
fn is_named(query: &PreparedQuery) -> bool {
    !query.name.is_empty() || !query.template.kind.is_empty()
}

fn may(rights: &Authorizer, query: &PreparedQuery, right: Right) -> Result<(), Error> {
    if is_named(query) { rights.check(Resource::Query, &query.name, right) } else { Ok(()) }
}

fn decode(body: &[u8]) -> Result<PreparedQuery, Error> {
    crate::json::decode(body, &QUERY, "structs.PreparedQuery").map_err(Error::Decode)
}

/// Everything that can be said about a query by itself. The texts are Consul's.
fn validate(query: &PreparedQuery) -> Result<(), String> {
    let invalid = |why: String| Err(format!("Invalid prepared query: {why}"));
    if !is_named(query) && query.session.is_empty() {
        return invalid("Must be bound to a session".to_owned());
    }
    if query.token.0 == HIDDEN {
        return invalid(
            "Bad Token '<hidden>', it looks like a query definition with a redacted token was submitted".to_owned(),
        );
    }
    prepared::check(query)?;
    if query.service.service.is_empty() {
        return invalid("Must provide a Service name to query".to_owned());
    }
    let failover = &query.service.failover;
    if failover.nearest_n < 0 {
        return invalid(format!("Bad NearestN '{}', must be >= 0", failover.nearest_n));
    }
    if !failover.targets.is_empty() && (failover.nearest_n > 0 || failover.datacenters.is_some()) {
        return invalid("Targets cannot be populated with NearestN or Datacenters".to_owned());
    }
    let ttl = query.dns.ttl.as_str();
    if let Some(positive) = ttl.strip_prefix('-')
        && let Ok(duration) = model::parse_duration(positive)
    {
        return invalid(format!("DNS TTL '-{}', must be >=0", duration.as_nanos()));
    }
    if !ttl.is_empty() && model::parse_duration(ttl).is_err() {
        return invalid(format!("Bad DNS TTL '{ttl}': time: invalid duration {ttl:?}"));
    }
    Ok(())
}

async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let rights = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::Queries]).await?;
    let visible = state.queries().filter(|query| match is_named(query) {
        true => rights.sees(Resource::Query, &query.name),
        false => is_manager(&rights),
    });
    let shapes: Vec<_> = visible.map(|stored| QueryShape::new(stored, PreparedQuery::clone(stored), &rights)).collect();
    response::blocking(&options, index, &shapes)
}

async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let mut query = decode(&body)?;
    if !query.id.is_empty() {
        return Err(Error::Refused("ID must be empty when creating a new prepared query".to_owned()));
    }
    may(&server.authorizer(&options)?, &query, Right::Write)?;
    validate(&query).map_err(Error::Refused)?;
    query.id = uuid::Uuid::new_v4().to_string();
    let id = query.id.clone();
    server.store.put_query(query, false).await?;
    response::json(&json!({ "ID": id }))
}

/// A text that cannot be an id is refused in the words of the database that Consul looks it up in.
fn query_id(text: &str) -> Result<String, String> {
    session_id(text).map_err(|error| match error {
        store::Error::SessionId(why) => format!("failed prepared query lookup: index error: {why}"),
        other => other.to_string(),
    })
}

async fn update(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let mut query = decode(&body)?;
    query.id = query_id(&id).map_err(|why| Error::Refused(format!("Prepared Query lookup failed: {why}")))?;
    let rights = server.authorizer(&options)?;
    let state = server.store.state();
    let old = state.query(&query.id).ok_or_else(|| store::Error::NoSuchQuery(query.id.clone()))?;
    may(&rights, old, Right::Write)?;
    may(&rights, &query, Right::Write)?;
    validate(&query).map_err(Error::Refused)?;
    server.store.put_query(query, true).await?;
    Ok(response::empty())
}

async fn remove(State(server): State<ServerState>, Rest(id): Rest, options: QueryOptions) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    let id = query_id(&id).map_err(|why| Error::Refused(format!("Prepared Query lookup failed: {why}")))?;
    let state = server.store.state();
    let query = state.query(&id).ok_or_else(|| store::Error::NoSuchQuery(id.clone()))?;
    may(&server.authorizer(&options)?, query, Right::Write)?;
    server.store.delete_query(&id).await?;
    Ok(response::empty())
}

async fn read(State(server): State<ServerState>, Rest(rest): Rest, options: QueryOptions) -> Result<Response, Error> {
    if let Some(name) = rest.strip_suffix("/execute") {
        return execute(&server, name, &options);
    }
    if let Some(name) = rest.strip_suffix("/explain") {
        return explain(&server, name, &options);
    }
    let id = query_id(&rest).map_err(Error::RefusedRead)?;
    let rights = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::Queries]).await?;
    let stored = state.query(&id).ok_or_else(|| Error::NotFound(Unanswered::NotFound.to_string()))?;
    may(&rights, stored, Right::Read)?;
    response::blocking(&options, index, &[QueryShape::new(stored, PreparedQuery::clone(stored), &rights)])
}

fn unanswered(why: &Unanswered) -> Error {
    match why {
        Unanswered::NotFound => Error::NotFound(why.to_string()),
        _ => Error::RefusedRead(why.to_string()),
    }
}

/// What Consul says about every answer of these two routes; they do not block and have no index.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    index: u64,
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
}

impl Meta {
    fn of(options: &QueryOptions) -> Self {
        Self { index: 0, last_contact: 0, known_leader: true, consistency_level: options.consistency.as_str() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Executed<'a> {
    service: &'a str,
    nodes: Vec<HealthShape<'a>>,
    #[serde(rename = "DNS")]
    dns: model::QueryDns,
    datacenter: &'a str,
    failovers: u32,
    #[serde(flatten)]
    meta: Meta,
}

fn execute(server: &ServerState, name: &str, options: &QueryOptions) -> Result<Response, Error> {
    let limit = match options.params.text("limit") {
        "" => 0,
        text => text
            .parse::<i64>()
            .map_err(|_| Error::Refused(format!("Bad limit: strconv.Atoi: parsing {text:?}: invalid syntax")))?,
    };
    server.admit(options)?;
    let state = server.store.state();
    let query = prepared::resolve(&state, name).map_err(|why| unanswered(&why))?;
    // A query that has a token has its rights, not those of who asks.
    let rights = match query.token.0.is_empty() {
        true => server.authorizer(options)?,
        false => server.authorizer(&QueryOptions { token: query.token.clone(), ..options.clone() })?,
    };
    let asker = Asker {
        node: server.node_name(),
        near: &options.near,
        address: None,
        connect: options.params.get("connect").is_some_and(|text| text.is_empty() || text == "true"),
    };
    let mut found = prepared::run(&state, &query, &asker);
    found.instances.retain(|instance| rights.sees_instance(&instance.node.node, &instance.service.service));
    if let Ok(limit @ 1..) = usize::try_from(limit) {
        found.instances.truncate(limit);
    }
    let executed = Executed {
        service: &found.service,
        nodes: found.instances.iter().map(HealthShape::from).collect(),
        dns: model::QueryDns { ttl: found.ttl.clone() },
        datacenter: &server.datacenter,
        // There is no other datacenter to ask.
        failovers: 0,
        meta: Meta::of(options),
    };
    let mut answer = response::blocking(options, 1, &executed)?;
    mark_cached(options, &mut answer);
    Ok(answer)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Explained {
    query: QueryShape,
    #[serde(flatten)]
    meta: Meta,
}

fn explain(server: &ServerState, name: &str, options: &QueryOptions) -> Result<Response, Error> {
    server.admit(options)?;
    let rights = server.authorizer(options)?;
    let state = server.store.state();
    let query = prepared::resolve(&state, name).map_err(|why| unanswered(&why))?;
    may(&rights, &query, Right::Read)?;
    let stored = state.query(&query.id).ok_or_else(|| unanswered(&Unanswered::NotFound))?;
    let query = QueryShape::new(stored, query, &rights);
    response::blocking(options, 1, &Explained { query, meta: Meta::of(options) })
}
