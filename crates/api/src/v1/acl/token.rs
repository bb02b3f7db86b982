//! Tokens, and the first of them.

use axum::extract::State;
use axum::response::Response;
use model::Token;
use model::acl::{AclToken, Link, NodeIdentity, ServiceIdentity};
use serde::Deserialize;
use serde_json::Value;
use store::{Stored, TokenRequest, Topic};

use super::shapes::{TokenShape, parse_rfc3339};
use super::{LINKS, NODE_IDENTITIES, SERVICE_IDENTITIES, agreed, check_id, decode, demand, missing, unknown};
use crate::access::now;
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

const TOKEN: Shape = Object(&[
    ("AccessorID", Any),
    ("SecretID", Any),
    ("Description", Any),
    ("Policies", LINKS),
    ("Roles", LINKS),
    ("ServiceIdentities", SERVICE_IDENTITIES),
    ("NodeIdentities", NODE_IDENTITIES),
    ("Local", Any),
    ("AuthMethod", Any),
    ("ExpirationTTL", Any),
    ("ExpirationTime", Any),
    ("Rules", Any),
    ("Type", Any),
    // What an answer has beside these comes back with the token it was changed from.
    ("CreateTime", Any),
    ("Hash", Any),
    ("Legacy", Any),
    ("Namespace", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    #[serde(rename = "AccessorID")]
    accessor_id: String,
    #[serde(rename = "SecretID")]
    secret_id: Token,
    description: String,
    policies: Vec<Link>,
    roles: Vec<Link>,
    service_identities: Vec<ServiceIdentity>,
    node_identities: Vec<NodeIdentity>,
    local: bool,
    auth_method: String,
    #[serde(rename = "ExpirationTTL")]
    expiration_ttl: Value,
    expiration_time: String,
    rules: String,
    #[serde(rename = "Type")]
    kind: String,
}

impl Wire {
    fn request(self) -> Result<TokenRequest, Error> {
        let failed = |why: String| Error::BadRequest(format!("Token decoding failed: {why}"));
        for (what, value) in [("Rules", &self.rules), ("Type", &self.kind)] {
            if !value.is_empty() {
                return Err(Error::Refused(format!("{what} cannot be specified for this token")));
            }
        }
        let expires = match self.expiration_time.as_str() {
            "" => None,
            text => parse_rfc3339(text).map_err(failed)?,
        };
        let ttl = ttl(&self.expiration_ttl).map_err(failed)?;
        let token = AclToken {
            accessor_id: self.accessor_id,
            secret_id: self.secret_id,
            description: self.description,
            policies: self.policies,
            roles: self.roles,
            service_identities: self.service_identities,
            node_identities: self.node_identities,
            local: self.local,
            auth_method: self.auth_method,
            created: 0,
            expires,
        };
        Ok(TokenRequest { token, ttl, login: false })
    }
}

/// A duration or a number of nanoseconds.
fn ttl(given: &Value) -> Result<i64, String> {
    match given {
        Value::Null => Ok(0),
        Value::String(text) if text.is_empty() => Ok(0),
        Value::String(text) => {
            let (sign, magnitude) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
            let duration = model::parse_duration(magnitude).map_err(|_| format!("time: invalid duration {text:?}"))?;
            Ok(sign * i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
        }
        Value::Number(number) => number.as_i64().ok_or_else(|| format!("time: invalid duration {number}")),
        other => Err(format!("time: invalid duration {other}")),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct BootstrapWire {
    bootstrap_secret: Token,
}

pub(super) async fn bootstrap(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    server.admit_write(&options, "")?;
    let wire: BootstrapWire = match body.trim_ascii() {
        b"" => BootstrapWire::default(),
        body => decode(body, &Object(&[("BootstrapSecret", Any)]), "Bootstrap")?,
    };
    let secret = Some(wire.bootstrap_secret).filter(|secret| !secret.0.is_empty());
    if secret.as_ref().is_some_and(|secret| !model::acl::is_uuid(&secret.0)) {
        return Err(Error::Invalid("invalid bootstrap secret: it is not a valid UUID".to_owned()));
    }
    let token = server.store.bootstrap_acl(secret, server.access.take_reset_index(), now()).await?;
    response::json(&TokenShape::whole(&token))
}

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::AclTokens, Topic::AclPolicies, Topic::AclRoles]).await?;
    let links = |links: &[Link], wanted: &str| wanted.is_empty() || links.iter().any(|link| link.id == wanted);
    let text = |name| options.params.text(name);
    let (policy, role, method, service) = (text("policy"), text("role"), text("authmethod"), text("servicename"));
    let now = now();
    let tokens: Vec<Stored<AclToken>> = state
        .acl_tokens()
        .filter(|token| !token.is_expired(now) && links(&token.policies, policy) && links(&token.roles, role))
        .filter(|token| method.is_empty() || token.auth_method == method)
        .filter(|token| service.is_empty() || token.service_identities.iter().any(|of| of.service_name == service))
        .collect();
    response::indexed(index, &tokens.iter().map(TokenShape::listed).collect::<Vec<_>>())
}

pub(super) async fn own(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.access.demand()?;
    let topics = [Topic::AclTokens];
    server.access.token(&options)?;
    let (_, index) = server.read(&options, &topics).await?;
    response::indexed(index, &TokenShape::whole(&server.access.token(&options)?))
}

pub(super) async fn read(
    State(server): State<ServerState>,
    Rest(accessor): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if accessor.is_empty() {
        return Err(missing("token ID"));
    }
    let authorizer = demand(&server, &options, Right::Read)?;
    check_id(&accessor, "token")?;
    let (state, index) = server.read(&options, &[Topic::AclTokens]).await?;
    let Some(token) = state.acl_token(&accessor).filter(|token| !token.is_expired(now())) else {
        return Ok(unknown(index));
    };
    match authorizer.may(Resource::Acl, "", Right::Write) {
        true => response::indexed(index, &TokenShape::whole(&token)),
        false => response::indexed(index, &TokenShape::hidden(&token)),
    }
}

pub(super) async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let wire: Wire = decode(&body, &TOKEN, "Token")?;
    demand(&server, &options, Right::Write)?;
    if !wire.accessor_id.is_empty() {
        let failed = |error: Error| Error::Refused(format!("Failed acl token lookup by accessor: {error}"));
        check_id(&wire.accessor_id, "token").map_err(failed)?;
    }
    let token = server.store.create_token(wire.request()?, now()).await?;
    response::json(&TokenShape::whole(&token))
}

pub(super) async fn update(
    State(server): State<ServerState>,
    Rest(rest): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    if let Some(accessor) = rest.strip_suffix("/clone") {
        return clone(&server, accessor, &options, &body).await;
    }
    let mut wire: Wire = decode(&body, &TOKEN, "Token")?;
    agreed(&rest, &mut wire.accessor_id, "Token Accessor ID")?;
    demand(&server, &options, Right::Write)?;
    let request = wire.request()?;
    let token = match rest.as_str() {
        "" => server.store.create_token(request, now()).await?,
        _ => server.store.update_token(request, now()).await?,
    };
    response::json(&TokenShape::whole(&token))
}

/// Only the description of a copy may differ.
async fn clone(server: &ServerState, accessor: &str, options: &QueryOptions, body: &[u8]) -> Result<Response, Error> {
    let wire: Wire = decode(body, &TOKEN, "Token")?;
    demand(server, options, Right::Write)?;
    check_id(accessor, "token")?;
    let description = Some(wire.description).filter(|text| !text.is_empty());
    let token = server.store.clone_token(accessor, description, now()).await?;
    response::json(&TokenShape::whole(&token))
}

pub(super) async fn remove(
    State(server): State<ServerState>,
    Rest(accessor): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if accessor.is_empty() {
        return Err(missing("token ID"));
    }
    demand(&server, &options, Right::Write)?;
    if server.access.token(&options)?.accessor_id == accessor {
        return Err(Error::Refused("Deletion of the request's authorization token is not permitted".to_owned()));
    }
    server.store.delete_token(&accessor).await?;
    response::json(&true)
}
