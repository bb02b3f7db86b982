//! Policies.

use axum::extract::State;
use axum::response::Response;
use model::acl::AclPolicy;
use serde::Deserialize;
use store::Topic;

use super::shapes::{PolicyShape, PolicyStub};
use super::{agreed, check_id, decode, demand, missing, unknown};
use crate::authorizer::Right;
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

const POLICY: Shape = Object(&[
    ("ID", Any),
    ("Name", Any),
    ("Description", Any),
    ("Rules", Any),
    ("Datacenters", Any),
    ("Namespace", Any),
    ("Hash", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Wire {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    description: String,
    rules: String,
    datacenters: Vec<String>,
}

impl From<Wire> for AclPolicy {
    fn from(wire: Wire) -> Self {
        let Wire { id, name, description, rules, datacenters } = wire;
        Self { id, name, description, rules, datacenters }
    }
}

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::AclPolicies]).await?;
    response::indexed(index, &state.acl_policies().map(PolicyStub::from).collect::<Vec<_>>())
}

pub(super) async fn read(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("policy ID"));
    }
    demand(&server, &options, Right::Read)?;
    check_id(&id, "policy")?;
    let (state, index) = server.read(&options, &[Topic::AclPolicies]).await?;
    match state.acl_policy(&id) {
        Some(policy) => response::indexed(index, &PolicyShape::from(policy)),
        None => Ok(unknown(index)),
    }
}

pub(super) async fn read_by_name(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if name.is_empty() {
        return Err(missing("policy Name"));
    }
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::AclPolicies]).await?;
    match state.acl_policy_by_name(&name) {
        Some(policy) => response::indexed(index, &PolicyShape::from(policy)),
        None => Ok(unknown(index)),
    }
}

pub(super) async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let wire: Wire = decode(&body, &POLICY, "Policy")?;
    if !wire.id.is_empty() {
        return Err(Error::BadRequest("Cannot specify the ID when creating a new policy".to_owned()));
    }
    write(&server, &options, wire).await
}

pub(super) async fn update(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.access.demand()?;
    let mut wire: Wire = decode(&body, &POLICY, "Policy")?;
    agreed(&id, &mut wire.id, "Policy ID")?;
    write(&server, &options, wire).await
}

async fn write(server: &ServerState, options: &QueryOptions, wire: Wire) -> Result<Response, Error> {
    demand(server, options, Right::Write)?;
    response::json(&PolicyShape::from(&server.store.put_policy(wire.into()).await?))
}

pub(super) async fn remove(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("policy ID"));
    }
    demand(&server, &options, Right::Write)?;
    check_id(&id, "policy")?;
    server.store.delete_policy(&id).await?;
    response::json(&true)
}
