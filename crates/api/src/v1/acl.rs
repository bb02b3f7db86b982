//! `/v1/acl/…`: tokens, policies, roles, ways to log in, and who may do what.

mod authorize;
mod legacy;
mod login;
mod method;
mod policy;
mod role;
mod rule;
mod shapes;
mod token;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, List, Object};
use crate::query_options::QueryOptions;
use crate::request::prefix;
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    let mut router = Router::new()
        .route("/v1/acl/bootstrap", put(token::bootstrap))
        .route("/v1/acl/replication", get(replication))
        .route("/v1/acl/policies", get(policy::list))
        .route("/v1/acl/policy", put(policy::create))
        .route("/v1/acl/roles", get(role::list))
        .route("/v1/acl/role", put(role::create))
        .route("/v1/acl/binding-rules", get(rule::list))
        .route("/v1/acl/binding-rule", put(rule::create))
        .route("/v1/acl/auth-methods", get(method::list))
        .route("/v1/acl/auth-method", put(method::create))
        .route("/v1/acl/tokens", get(token::list))
        .route("/v1/acl/token", put(token::create))
        .route("/v1/acl/token/self", get(token::own))
        .route("/v1/acl/login", post(login::login))
        .route("/v1/acl/logout", post(login::logout))
        .route("/v1/acl/rules/translate", post(legacy::translate))
        .route("/v1/acl/create", put(legacy::gone))
        .route("/v1/acl/update", put(legacy::gone))
        .route("/v1/acl/list", get(legacy::list))
        .route("/v1/internal/acl/authorize", post(authorize::authorize));
    for (path, route) in [
        ("/v1/acl/policy/", get(policy::read).put(policy::update).delete(policy::remove)),
        ("/v1/acl/policy/name/", get(policy::read_by_name)),
        ("/v1/acl/role/", get(role::read).put(role::update).delete(role::remove)),
        ("/v1/acl/role/name/", get(role::read_by_name)),
        ("/v1/acl/binding-rule/", get(rule::read).put(rule::update).delete(rule::remove)),
        ("/v1/acl/auth-method/", get(method::read).put(method::update).delete(method::remove)),
        ("/v1/acl/token/", get(token::read).put(token::update).delete(token::remove)),
        ("/v1/acl/rules/translate/", get(legacy::translate_token)),
        ("/v1/acl/destroy/", put(legacy::gone)),
        ("/v1/acl/clone/", put(legacy::gone)),
        ("/v1/acl/info/", get(legacy::info)),
    ] {
        router = prefix(router, path, route);
    }
    router
}

const LINKS: Shape = List(&Object(&[("ID", Any), ("Name", Any)]));
const SERVICE_IDENTITIES: Shape = List(&Object(&[("ServiceName", Any), ("Datacenters", Any)]));
const NODE_IDENTITIES: Shape = List(&Object(&[("NodeName", Any), ("Datacenter", Any)]));

/// Whether the sender may read, or write, access control.
fn demand(server: &ServerState, options: &QueryOptions, right: Right) -> Result<Authorizer, Error> {
    server.access.demand()?;
    server.admit(options)?;
    let authorizer = server.authorizer(options)?;
    authorizer.check(Resource::Acl, "", right)?;
    Ok(authorizer)
}

/// `<What> decoding failed: …`
fn decode<T: DeserializeOwned>(body: &[u8], shape: &Shape, what: &str) -> Result<T, Error> {
    let decoded = crate::json::decode(body, shape, &format!("structs.ACL{}", what.replace(' ', "")));
    decoded.map_err(|why| Error::BadRequest(format!("{what} decoding failed: {why}")))
}

/// A text that cannot be an id is refused in the words of the database that Consul looks it up in.
fn check_id(id: &str, table: &str) -> Result<(), Error> {
    if id.len() == 36 {
        return Ok(());
    }
    Err(Error::Refused(format!("failed acl {table} lookup: index error: UUID must be 36 characters")))
}

fn missing(what: &str) -> Error {
    Error::BadRequest(format!("Missing {what}"))
}

/// 404 without a text, with an index to wait on.
fn nothing(index: u64) -> Response {
    response::with_index(StatusCode::NOT_FOUND.into_response(), index, true)
}

/// A policy or a token that is not there, with an index to wait on.
fn unknown(index: u64) -> Response {
    response::with_index(Error::AclNotFound.into_response(), index, true)
}

/// There is one datacenter, so nothing is copied between several.
async fn replication(State(server): State<ServerState>, _: QueryOptions) -> Result<Response, Error> {
    const NEVER: &str = "0001-01-01T00:00:00Z";
    server.access.demand()?;
    response::json(&json!({
        "Enabled": false,
        "Running": false,
        "SourceDatacenter": "",
        "ReplicationType": "",
        "ReplicatedIndex": 0,
        "ReplicatedRoleIndex": 0,
        "ReplicatedTokenIndex": 0,
        "LastSuccess": NEVER,
        "LastError": NEVER,
    }))
}

/// A write's id stands in the path and may stand in the body; both must agree.
fn agreed(in_path: &str, in_body: &mut String, what: &str) -> Result<(), Error> {
    if in_body.is_empty() {
        in_path.clone_into(in_body);
    }
    if in_body == in_path {
        return Ok(());
    }
    Err(Error::BadRequest(format!("{what} in URL and payload do not match")))
}
