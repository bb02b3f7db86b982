//! Roles.

use axum::extract::State;
use axum::response::Response;
use model::acl::{AclRole, Link, NodeIdentity, ServiceIdentity};
use serde::Deserialize;
use store::{Stored, Topic};

use super::shapes::RoleShape;
use super::{LINKS, NODE_IDENTITIES, SERVICE_IDENTITIES, agreed, check_id, decode, demand, missing, nothing};
use crate::authorizer::Right;
use crate::error::Error;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response;
use crate::server::ServerState;

const ROLE: Shape = Object(&[
    ("ID", Any),
    ("Name", Any),
    ("Description", Any),
    ("Policies", LINKS),
    ("ServiceIdentities", SERVICE_IDENTITIES),
    ("NodeIdentities", NODE_IDENTITIES),
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
    policies: Vec<Link>,
    service_identities: Vec<ServiceIdentity>,
    node_identities: Vec<NodeIdentity>,
}

impl From<Wire> for AclRole {
    fn from(wire: Wire) -> Self {
        let Wire { id, name, description, policies, service_identities, node_identities } = wire;
        Self { id, name, description, policies, service_identities, node_identities }
    }
}

const TOPICS: [Topic; 2] = [Topic::AclRoles, Topic::AclPolicies];

pub(super) async fn list(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &TOPICS).await?;
    let policy = options.params.text("policy");
    let roles: Vec<Stored<AclRole>> = state
        .acl_roles()
        .filter(|role| policy.is_empty() || role.policies.iter().any(|link| link.id == policy))
        .collect();
    response::indexed(index, &roles.iter().map(RoleShape::from).collect::<Vec<_>>())
}

pub(super) async fn read(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("role ID"));
    }
    demand(&server, &options, Right::Read)?;
    check_id(&id, "role")?;
    let (state, index) = server.read(&options, &TOPICS).await?;
    answer(state.acl_role(&id), index)
}

pub(super) async fn read_by_name(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if name.is_empty() {
        return Err(missing("role Name"));
    }
    demand(&server, &options, Right::Read)?;
    let (state, index) = server.read(&options, &TOPICS).await?;
    answer(state.acl_role_by_name(&name), index)
}

fn answer(role: Option<Stored<AclRole>>, index: u64) -> Result<Response, Error> {
    match role {
        Some(role) => response::indexed(index, &RoleShape::from(&role)),
        None => Ok(nothing(index)),
    }
}

pub(super) async fn create(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    write(&server, &options, "", &body).await
}

pub(super) async fn update(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    write(&server, &options, &id, &body).await
}

async fn write(server: &ServerState, options: &QueryOptions, id: &str, body: &[u8]) -> Result<Response, Error> {
    server.access.demand()?;
    let mut wire: Wire = decode(body, &ROLE, "Role")?;
    agreed(id, &mut wire.id, "Role ID")?;
    demand(server, options, Right::Write)?;
    response::json(&RoleShape::from(&server.store.put_role(wire.into()).await?))
}

pub(super) async fn remove(
    State(server): State<ServerState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    server.access.demand()?;
    if id.is_empty() {
        return Err(missing("role ID"));
    }
    demand(&server, &options, Right::Write)?;
    check_id(&id, "role")?;
    server.store.delete_role(&id).await?;
    response::json(&true)
}
