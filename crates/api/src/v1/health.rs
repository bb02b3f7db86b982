//! `/v1/health/…`: checks, and the instances they leave standing.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use model::{EntryKind, Status};
use store::{CheckFact, Instance, Stored, Topic};

use super::catalog::mark_cached;
use super::rights;
use super::selectors::{CHECK_FIELDS, HEALTH_FIELDS};
use super::shapes::{CheckShape, HealthShape};
use crate::answers::Asked;
use crate::error::Error;
use crate::filter::{Filter, parse_bool};
use crate::gateways;
use crate::query_options::QueryOptions;
use crate::request::{Rest, prefix};
use crate::response;
use crate::server::{ServerState, has_meta, has_tags, near, required};

pub(crate) fn router() -> Router<ServerState> {
    let router = prefix(Router::new(), "/v1/health/node/", get(node));
    let router = prefix(router, "/v1/health/checks/", get(checks));
    let router = prefix(router, "/v1/health/state/", get(state));
    let router = prefix(router, "/v1/health/service/", get(service));
    let router = prefix(router, "/v1/health/connect/", get(connect));
    prefix(router, "/v1/health/ingress/", get(ingress))
}

async fn node(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&name, "Missing node name")?;
    let filter = Filter::parse(&options.filter, &CHECK_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::node(&name)]).await?;
    let may = server.authorizer(&options)?;
    let seen = state.checks_of(&name).filter(|check| may.sees_check(&check.check.node, &check.check.service_name));
    let checks = filter.keep(seen.map(CheckShape::from).collect())?;
    response::blocking(&options, index, &checks)
}

async fn checks(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let filter = Filter::parse(&options.filter, &CHECK_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::service(&name)]).await?;
    let mut instances = state.instances(&name);
    rights::keep_instances(&server.authorizer(&options)?, &mut instances);
    let instances = instances.iter().filter(|instance| has_meta(&instance.node, &options));
    let own = instances.flat_map(|instance| &instance.checks).filter(|check| !check.check.service_id.is_empty());
    let mut checks = filter.keep(own.map(CheckShape::from).collect())?;
    near(&mut checks, &options, &server, &state, |check| check.node);
    response::blocking(&options, index, &checks)
}

async fn state(
    State(server): State<ServerState>,
    Rest(wanted): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&wanted, "Missing check state")?;
    let filter = Filter::parse(&options.filter, &CHECK_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::Checks]).await?;
    let on_wanted_node = |check: &&Stored<CheckFact>| {
        options.node_meta.is_empty() || state.node(&check.check.node).is_some_and(|node| has_meta(node, &options))
    };
    let in_state = |check: &&Stored<CheckFact>| wanted == "any" || check.check.status.as_str() == wanted;
    let may = server.authorizer(&options)?;
    let found = state.checks().filter(in_state).filter(on_wanted_node);
    let found = found.filter(|check| may.sees_check(&check.check.node, &check.check.service_name));
    let mut checks = filter.keep(found.map(CheckShape::from).collect())?;
    near(&mut checks, &options, &server, &state, |check| check.node);
    response::blocking(&options, index, &checks)
}

async fn service(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let (passing, filter) = wanted(&options)?;
    let (state, index) = server.read(&options, &[Topic::service(&name)]).await?;
    let asked = server.asked("health/service", &name, &options, index)?;
    instances(&server, &options, (passing, &filter), &state, &asked, || state.instances(&name))
}

async fn connect(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let (passing, filter) = wanted(&options)?;
    let topics = gateways::topics(&server.store.state(), EntryKind::TerminatingGateway, &name);
    let (state, index) = server.read(&options, &[&topics[..], &[Topic::connect(&name)]].concat()).await?;
    let asked = server.asked("health/connect", &name, &options, index)?;
    let found = || gateways::connect_instances(&state, &name);
    instances(&server, &options, (passing, &filter), &state, &asked, found)
}

async fn ingress(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let (passing, filter) = wanted(&options)?;
    let topics = gateways::topics(&server.store.state(), EntryKind::IngressGateway, &name);
    let (state, index) = server.read(&options, &topics).await?;
    let asked = server.asked("health/ingress", &name, &options, index)?;
    let found = || gateways::instances_for(&state, EntryKind::IngressGateway, &name);
    instances(&server, &options, (passing, &filter), &state, &asked, found)
}

/// `?passing`, and the filter.
fn wanted(options: &QueryOptions) -> Result<(bool, Filter), Error> {
    let passing = match options.params.get("passing") {
        None => false,
        Some("") => true,
        Some(text) => parse_bool(text).ok_or_else(|| Error::Invalid("Invalid value for ?passing".to_owned()))?,
    };
    Ok((passing, Filter::parse(&options.filter, &HEALTH_FIELDS)?))
}

fn instances(
    server: &ServerState,
    options: &QueryOptions,
    (passing, filter): (bool, &Filter),
    state: &store::State,
    asked: &Asked<'_>,
    instances: impl FnOnce() -> Vec<Instance>,
) -> Result<Response, Error> {
    let healthy =
        |instance: &&Instance| !passing || instance.checks.iter().all(|check| check.check.status == Status::Passing);
    let may = server.authorizer(options)?;
    let mut answer = server.answers.give(options, asked, || {
        let mut instances = instances();
        rights::keep_instances(&may, &mut instances);
        let wanted = instances.iter().filter(|i| has_tags(&i.service, options) && has_meta(&i.node, options));
        let mut shapes = filter.keep(wanted.filter(healthy).map(HealthShape::from).collect())?;
        near(&mut shapes, options, server, state, |shape| shape.node.node);
        response::bytes(&shapes)
    })?;
    mark_cached(options, &mut answer);
    Ok(answer)
}
