//! `/v1/internal/…`: what Consul's own pages read.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use model::{Node, Service, ServiceKind, Status};
use serde::Serialize;
use store::{Stored, Topic};

use super::selectors::{NODE_FIELDS, SERVICE_FIELDS};
use super::shapes::{CheckShape, ServiceShape};
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::filter::Filter;
use crate::gateways;
use crate::query_options::QueryOptions;
use crate::request::{Rest, prefix};
use crate::response;
use crate::server::{ServerState, required};

/// The tag of a service's meta in which catalog syncs say where it came from.
const EXTERNAL_SOURCE: &str = "external-source";

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new()
        .route("/v1/internal/ui/nodes", get(nodes))
        .route("/v1/internal/ui/services", get(services))
        .route("/v1/internal/federation-states", get(federation_states))
        .route("/v1/internal/federation-states/mesh-gateways", get(mesh_gateways));
    let router = prefix(router, "/v1/internal/ui/node/", get(node));
    let router = prefix(router, "/v1/internal/ui/gateway-services-nodes/", get(gateway_services));
    prefix(router, "/v1/internal/federation-state/", get(federation_state))
}

/// A node with all that is on it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeInfo<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    tagged_addresses: Option<&'a BTreeMap<String, String>>,
    meta: Option<&'a BTreeMap<String, String>>,
    services: Vec<ServiceShape<'a>>,
    checks: Vec<CheckShape<'a>>,
}

fn info<'a>(state: &'a store::State, node: &'a Stored<Node>, rights: &Authorizer) -> NodeInfo<'a> {
    let may = |service: &str| service.is_empty() || rights.may(Resource::Service, service, Right::Read);
    let services = state.services_of(&node.node).filter(|service| may(&service.service));
    let checks = state.checks_of(&node.node).filter(|fact| may(&fact.check.service_name));
    NodeInfo {
        id: &node.id,
        node: &node.node,
        address: &node.address,
        tagged_addresses: Some(&node.tagged_addresses).filter(|map| !map.is_empty()),
        meta: Some(&node.meta).filter(|map| !map.is_empty()),
        services: services.map(ServiceShape::from).collect(),
        checks: checks.map(CheckShape::from).collect(),
    }
}

async fn nodes(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &NODE_FIELDS)?;
    let rights = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &[Topic::Nodes, Topic::Services, Topic::Checks]).await?;
    let readable = state.nodes().filter(|node| rights.may(Resource::Node, &node.node, Right::Read));
    let nodes = filter.keep(readable.map(|node| info(&state, node, &rights)).collect())?;
    response::indexed(index, &nodes)
}

async fn node(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&name, "Missing node name")?;
    let rights = server.authorizer(&options)?;
    rights.check(Resource::Node, &name, Right::Read)?;
    let (state, index) = server.read(&options, &[Topic::node(&name)]).await?;
    match state.node(&name) {
        Some(node) => response::indexed(index, &info(&state, node, &rights)),
        None => Ok(StatusCode::NOT_FOUND.into_response()),
    }
}

/// All instances of one name, counted.
#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a ServiceKind>,
    name: &'a str,
    tags: Option<BTreeSet<&'a str>>,
    nodes: Vec<&'a str>,
    instance_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy_for: Option<BTreeSet<&'a str>>,
    checks_passing: usize,
    checks_warning: usize,
    checks_critical: usize,
    external_sources: Option<BTreeSet<&'a str>>,
    gateway_config: BTreeMap<&'a str, &'a str>,
}

impl<'a> Summary<'a> {
    fn add(&mut self, node: &'a str, service: &'a Service) {
        self.name = &service.service;
        self.kind = Some(&service.kind).filter(|kind| **kind != ServiceKind::Typical);
        self.nodes.push(node);
        self.instance_count += 1;
        extend(&mut self.tags, service.tags.iter().map(String::as_str));
        extend(&mut self.external_sources, service.meta.get(EXTERNAL_SOURCE).map(String::as_str));
        if service.kind == ServiceKind::ConnectProxy {
            extend(&mut self.proxy_for, [service.identity_name()]);
        }
    }

    fn count(&mut self, status: Status) {
        match status {
            Status::Passing => self.checks_passing += 1,
            Status::Warning => self.checks_warning += 1,
            Status::Critical => self.checks_critical += 1,
        }
    }
}

/// An empty set is `null`.
fn extend<'a>(set: &mut Option<BTreeSet<&'a str>>, items: impl IntoIterator<Item = &'a str>) {
    for item in items {
        set.get_or_insert_default().insert(item);
    }
}

/// The services that `wanted` says, by name.
fn summaries<'a>(
    state: &'a store::State,
    rights: &Authorizer,
    wanted: impl Fn(&Stored<Service>) -> Result<bool, Error>,
) -> Result<Vec<Summary<'a>>, Error> {
    let mut summaries: BTreeMap<&str, Summary<'_>> = BTreeMap::new();
    for node in state.nodes().filter(|node| rights.may(Resource::Node, &node.node, Right::Read)) {
        for service in state.services_of(&node.node) {
            if !rights.may(Resource::Service, &service.service, Right::Read) || !wanted(service)? {
                continue;
            }
            let summary = summaries.entry(&service.service).or_default();
            summary.add(&node.node, service);
            let own = state.checks_of(&node.node).filter(|fact| fact.check.service_id == service.id);
            let nodes = state.checks_of(&node.node).filter(|fact| fact.check.service_id.is_empty());
            own.chain(nodes).for_each(|fact| summary.count(fact.check.status));
        }
    }
    Ok(summaries.into_values().collect())
}

const CATALOG: [Topic; 3] = [Topic::Nodes, Topic::Services, Topic::Checks];

async fn services(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &SERVICE_FIELDS)?;
    let rights = server.authorizer(&options)?;
    let (state, index) = server.read(&options, &CATALOG).await?;
    let wanted = |service: &Stored<Service>| Ok(!filter.keep(vec![ServiceShape::from(service)])?.is_empty());
    response::indexed(index, &summaries(&state, &rights, wanted)?)
}

/// The services behind a gateway.
async fn gateway_services(
    State(server): State<ServerState>,
    Rest(gateway): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&gateway, "Missing gateway name")?;
    let rights = server.authorizer(&options)?;
    rights.check(Resource::Service, &gateway, Right::Read)?;
    let topics: Vec<Topic> = CATALOG.into_iter().chain([Topic::Configs]).collect();
    let (state, index) = server.read(&options, &topics).await?;
    let links = gateways::links(&state, &gateway).map(|(_, _, _, links)| links).unwrap_or_default();
    let wanted = |service: &Stored<Service>| Ok(links.iter().any(|link| link.service == service.service));
    response::indexed(index, &summaries(&state, &rights, wanted)?)
}

/// Federation is not there: one datacenter that knows itself.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Federation<'a> {
    datacenter: &'a str,
    updated_at: String,
    primary_modify_index: u64,
    create_index: u64,
    modify_index: u64,
}

fn own_federation(server: &ServerState) -> Federation<'_> {
    Federation {
        datacenter: &server.datacenter,
        updated_at: ca::rfc3339(server.started()),
        primary_modify_index: 1,
        create_index: 1,
        modify_index: 1,
    }
}

fn operator(server: &ServerState, options: &QueryOptions) -> Result<(), Error> {
    server.admit(options)?;
    server.authorizer(options)?.check(Resource::Operator, "", Right::Read)
}

async fn federation_states(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    operator(&server, &options)?;
    response::indexed(1, &[own_federation(&server)])
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FederationAnswer<'a> {
    state: Federation<'a>,
    index: u64,
    last_contact: u64,
    known_leader: bool,
    consistency_level: &'static str,
}

async fn federation_state(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing datacenter name")?;
    operator(&server, &options)?;
    if *name != *server.datacenter {
        return Ok(response::with_index(StatusCode::NOT_FOUND.into_response(), 1, true));
    }
    let state = own_federation(&server);
    let answer = FederationAnswer { state, index: 1, last_contact: 0, known_leader: true, consistency_level: "" };
    response::indexed(1, &answer)
}

/// The mesh gateways of each datacenter.
async fn mesh_gateways(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    response::indexed(1, &BTreeMap::<&str, &str>::new())
}
