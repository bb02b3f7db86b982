//! Ways to log in.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use model::OpaqueMap;
use model::acl::AuthMethod;
use serde::Deserialize;
use serde_json::Value;
use store::Topic;

use super::shapes::MethodShape;
use super::{agreed, decode, demand, missing, nothing};
use crate::authorizer::Right;
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

const METHOD: Shape = Object(&[
    ("Name", Any),
    ("Type", Any),
    ("DisplayName", Any),
    ("Description", Any),
    ("MaxTokenTTL", Any),
    ("TokenLocality", Any),
    ("Config", Any),
    ("Namespace", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    name: String,
    #[serde(rename = "Type")]
    kind: String,
    display_name: String,
    description: String,
    #[serde(rename = "MaxTokenTTL")]
    max_token_ttl: Value,
    token_locality: String,
    config: OpaqueMap,
}

impl Wire {
    fn method(self) -> Result<AuthMethod, Error> {
        let failed = || Error::BadRequest("AuthMethod decoding failed: MaxTokenTTL is no duration".to_owned());
        let max_token_ttl = match &self.max_token_ttl {
            Value::Null => Duration::ZERO,
            Value::String(text) if text.is_empty() => Duration::ZERO,
            Value::String(text) => model::parse_duration(text).map_err(|_| failed())?,
            Value::Number(nanos) => Duration::from_nanos(nanos.as_u64().ok_or_else(failed)?),
            _ => return Err(failed()),
        };
        let Self { name, kind, display_name, description, token_locality, config, .. } = self;
        Ok(AuthMethod { name, kind, display_name, description, max_token_ttl, token_locality, config })
    }
}

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::AuthMethods]).await?;
    response::indexed(index, &state.auth_methods().map(MethodShape::listed).collect::<Vec<_>>())
}

pub(super) async fn read(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if name.is_empty() {
        return Err(missing("auth method name"));
    }
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::AuthMethods]).await?;
    match state.auth_method(&name) {
        Some(method) => response::indexed(index, &MethodShape::whole(method)),
        None => Ok(nothing(index)),
    }
}

pub(super) async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let wire: Wire = decode(&body, &METHOD, "AuthMethod")?;
    write(&server, &options, wire).await
}

pub(super) async fn update(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let mut wire: Wire = decode(&body, &METHOD, "AuthMethod")?;
    agreed(&name, &mut wire.name, "AuthMethod Name")?;
    write(&server, &options, wire).await
}

async fn write(server: &ServerState, options: &QueryOptions, wire: Wire) -> Result<Response, Error> {
    demand(server, options, Right::Write)?;
    let method = wire.method()?;
    store::check_auth_method(&method)?;
    if let Some(old) = server.store.state().auth_method(&method.name)
        && old.kind != method.kind
    {
        return Err(Error::Refused("the Type field of an Auth Method is immutable".to_owned()));
    }
    let invalid = |error: auth::Error| Error::Refused(format!("Invalid Auth Method: {error}"));
    auth::Method::new(&method).map_err(invalid)?.check().await.map_err(invalid)?;
    response::json(&MethodShape::whole(&server.store.put_auth_method(method).await?))
}

pub(super) async fn remove(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if name.is_empty() {
        return Err(missing("auth method name"));
    }
    demand(&server, &options, Right::Write)?;
    server.store.delete_auth_method(&name).await?;
    response::json(&true)
}
