//! What the agent's routes take.

use agent::sidecar_id;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use model::{CheckDefinition, HealthCheck, Service, ServiceDefinition, ServiceKind};

use super::AgentState;
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::query_options::QueryOptions;

/// Routes that are about the agent itself: one right each, on its node or on the whole cluster.
const OWN: [(&str, Resource, Right); 11] = [
    ("/v1/agent/self", Resource::Agent, Right::Read),
    ("/v1/agent/version", Resource::Agent, Right::Read),
    ("/v1/agent/metrics", Resource::Agent, Right::Read),
    ("/v1/agent/monitor", Resource::Agent, Right::Read),
    ("/v1/agent/host", Resource::Operator, Right::Read),
    ("/v1/agent/reload", Resource::Agent, Right::Write),
    ("/v1/agent/leave", Resource::Agent, Right::Write),
    ("/v1/agent/join/", Resource::Agent, Right::Write),
    ("/v1/agent/token/", Resource::Agent, Right::Write),
    ("/v1/agent/force-leave/", Resource::Operator, Right::Write),
    ("/v1/agent/maintenance", Resource::Node, Right::Write),
];

/// Whom to trust is told to everybody, whatever the token.
const OPEN: &str = "/v1/agent/connect/ca/roots";

/// Refuses what the sender may not. A token that is not known is refused on every other route.
pub(super) async fn guard(
    State(state): State<AgentState>,
    options: QueryOptions,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let path = request.uri().path();
    if path == OPEN {
        return Ok(next.run(request).await);
    }
    let may = state.access.authorizer(&options)?;
    let own = |start: &str| path == start || (start.ends_with('/') && path.starts_with(start));
    if let Some((_, resource, right)) = OWN.iter().find(|(start, _, _)| own(start)) {
        may.check(*resource, &state.agent.config().node.node, *right)?;
    }
    Ok(next.run(request).await)
}

/// 403, and which right is missing on what.
fn demand(may: &Authorizer, resource: Resource, word: &str, name: &str) -> Result<(), Error> {
    if may.may(resource, name, Right::Write) {
        return Ok(());
    }
    Err(Error::Missing(format!("{word}:write on {name}")))
}

fn service_write(may: &Authorizer, name: &str) -> Result<(), Error> {
    demand(may, Resource::Service, "service", name)
}

/// The service, its sidecar, whatever they replace, and what a proxy speaks for.
pub(super) fn register(
    state: &AgentState,
    options: &QueryOptions,
    definition: &ServiceDefinition,
) -> Result<(), Error> {
    let may = state.access.authorizer(options)?;
    if may.is_off() {
        return Ok(());
    }
    let service = &definition.service;
    let id = if service.id.is_empty() { &service.service } else { &service.id };
    one(state, &may, id, &service.service, service)?;
    let Some(sidecar) = &definition.sidecar else { return Ok(()) };
    let name = match sidecar.service.service.as_str() {
        "" => format!("{}-sidecar-proxy", service.service),
        name => name.to_owned(),
    };
    one(state, &may, &sidecar_id(id), &name, &sidecar.service)
}

fn one(state: &AgentState, may: &Authorizer, id: &str, name: &str, service: &Service) -> Result<(), Error> {
    service_write(may, name)?;
    if let Some(replaced) = state.agent.service(id) {
        service_write(may, &replaced.service)?;
    }
    let destination = service.proxy.as_ref().map(|proxy| proxy.destination_service_name.as_str());
    match destination.filter(|_| service.kind == ServiceKind::ConnectProxy) {
        Some(destination) => may.check(Resource::Service, destination, Right::Write),
        None => Ok(()),
    }
}

/// One that is not there is for the agent to tell.
pub(super) fn change(state: &AgentState, options: &QueryOptions, id: &str) -> Result<(), Error> {
    let may = state.access.authorizer(options)?;
    match state.agent.service(id).filter(|_| !may.is_off()) {
        Some(service) => service_write(&may, &service.service),
        None => Ok(()),
    }
}

pub(super) fn register_check(state: &AgentState, options: &QueryOptions, check: &CheckDefinition) -> Result<(), Error> {
    let may = state.access.authorizer(options)?;
    if may.is_off() {
        return Ok(());
    }
    let service = state.agent.service(&check.service_id);
    of_check(state, &may, service.map(|service| service.service).as_deref())?;
    let id = if check.id.is_empty() { &check.name } else { &check.id };
    match state.agent.checks().get(id) {
        Some(replaced) => known(state, &may, replaced),
        None => Ok(()),
    }
}

pub(super) fn change_check(state: &AgentState, options: &QueryOptions, id: &str) -> Result<(), Error> {
    let may = state.access.authorizer(options)?;
    if may.is_off() {
        return Ok(());
    }
    state.agent.checks().get(id).map_or(Ok(()), |check| known(state, &may, check))
}

fn known(state: &AgentState, may: &Authorizer, check: &HealthCheck) -> Result<(), Error> {
    of_check(state, may, Some(check.service_name.as_str()).filter(|name| !name.is_empty()))
}

/// A check is its service's, or else its node's.
fn of_check(state: &AgentState, may: &Authorizer, service: Option<&str>) -> Result<(), Error> {
    match service {
        Some(service) => service_write(may, service),
        None => demand(may, Resource::Node, "node", &state.agent.config().node.node),
    }
}
