//! What is left of access control before Consul 1.4.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use model::acl::AclToken;
use serde::Serialize;
use store::{Stored, Topic};

use super::{check_id, demand};
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

/// A token as it was called then. Those of administrators are all that can still be told so.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LegacyToken<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    #[serde(rename = "Type")]
    kind: &'a str,
    rules: &'a str,
    create_index: u64,
    modify_index: u64,
}

fn legacy(token: &Stored<AclToken>) -> LegacyToken<'_> {
    LegacyToken {
        id: &token.secret_id.0,
        name: &token.description,
        kind: "management",
        rules: "",
        create_index: token.create_index,
        modify_index: token.modify_index,
    }
}

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Write)?;
    let (state, index) = server.read(&options, &[Topic::AclTokens]).await?;
    let tokens: Vec<_> = state.acl_tokens().filter(|token| token.is_management()).collect();
    response::indexed(index, &tokens.iter().map(legacy).collect::<Vec<_>>())
}

/// Whoever knows the secret may know what it is.
pub(super) async fn info(
    State(server): State<ServerState>,
    Rest(secret): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if secret.is_empty() {
        return Err(Error::Invalid("Missing ACL".to_owned()));
    }
    let (state, index) = server.read(&options, &[Topic::AclTokens]).await?;
    let token = state.acl_token_by_secret(&secret).filter(|token| token.is_management());
    response::indexed(index, &token.iter().map(legacy).collect::<Vec<_>>())
}

/// Removed from Consul in 1.11.
pub(super) async fn gone(State(server): State<ServerState>, _: QueryOptions) -> Result<Response, Error> {
    server.access.demand()?;
    let text = "the legacy ACL system is gone: use /v1/acl/token and /v1/acl/policy".to_owned();
    Err(Error::Status { status: StatusCode::GONE, text })
}

pub(super) async fn translate(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    server.authorizer(&options)?.check(Resource::Acl, "", Right::Read)?;
    let rules = model::acl::translate_rules(&String::from_utf8_lossy(&body)).map_err(|error| {
        let text = error.to_string();
        let why = text.strip_prefix("Failed to parse ACL rules: ").unwrap_or(&text);
        Error::BadRequest(format!("Failed to parse rules: {why}"))
    })?;
    Ok(response::text(StatusCode::OK, rules))
}

/// No token here has rules of its own.
pub(super) async fn translate_token(
    State(server): State<ServerState>,
    Rest(accessor): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    check_id(&accessor, "token")?;
    match server.store.state().acl_token(&accessor) {
        None => Err(Error::AclNotFound),
        Some(_) => Err(Error::Refused("Cannot translate the rules of a token that has none".to_owned())),
    }
}
