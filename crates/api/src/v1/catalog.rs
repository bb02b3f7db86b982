//! `/v1/catalog/…`: what is registered where.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, put};
use http::HeaderValue;
use model::EntryKind;
use serde::Serialize;
use store::{Instance, Removal, Topic};

use super::entry_shapes::GatewayService;
use super::selectors::{CATALOG_SERVICE_FIELDS, NODE_FIELDS, SERVICE_FIELDS};
use super::shapes::{CatalogServiceShape, NodeShape, ServiceShape};
use super::{rights, wire};
use crate::answers::Asked;
use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;
use crate::filter::Filter;
use crate::gateways;
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::{ServerState, has_meta, has_tags, near, required};

pub(crate) fn router() -> Router<ServerState> {
    let router = Router::new()
        .route("/v1/catalog/register", put(register))
        .route("/v1/catalog/deregister", put(deregister))
        .route("/v1/catalog/datacenters", get(datacenters))
        .route("/v1/catalog/nodes", get(nodes))
        .route("/v1/catalog/services", get(services));
    let router = prefix(router, "/v1/catalog/service/", get(service));
    let router = prefix(router, "/v1/catalog/connect/", get(connect));
    let router = prefix(router, "/v1/catalog/gateway-services/", get(gateway_services));
    let router = prefix(router, "/v1/catalog/node/", get(node));
    prefix(router, "/v1/catalog/node-services/", get(node_services))
}

async fn register(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let (registration, datacenter) = wire::registration(&body, &server.datacenter)?;
    server.admit_write(&options, &datacenter)?;
    rights::register(&server.authorizer(&options)?, &server.store.state(), &registration)?;
    server.store.register(registration).await?;
    response::json(&true)
}

async fn deregister(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let request = wire::deregistration(&body)?;
    server.admit_write(&options, &request.datacenter)?;
    let removal = match (request.service_id, request.check_id) {
        (service, _) if !service.is_empty() => Removal::Service(service),
        (_, check) if !check.is_empty() => Removal::Check(check),
        _ => Removal::Node,
    };
    rights::deregister(&server.authorizer(&options)?, &server.store.state(), &request.node, &removal)?;
    server.store.deregister(&request.node, &removal).await?;
    response::json(&true)
}

async fn datacenters(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let mut answer = response::json(&[&*server.datacenter])?;
    mark_cached(&options, &mut answer);
    Ok(answer)
}

/// `?cached` is answered from the state itself, which is never older than any cache: always a miss.
pub(super) fn mark_cached(options: &QueryOptions, answer: &mut Response) {
    if options.cached {
        answer.headers_mut().insert(response::CACHE, HeaderValue::from_static("MISS"));
    }
}

async fn nodes(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &NODE_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::Nodes]).await?;
    let may = server.authorizer(&options)?;
    let nodes = state.nodes().filter(|node| has_meta(node, &options) && may.sees(Resource::Node, &node.node));
    let nodes = nodes.map(NodeShape::from).collect();
    let mut nodes = filter.keep(nodes)?;
    near(&mut nodes, &options, &server, &state, |node| node.node);
    response::blocking(&options, index, &nodes)
}

async fn services(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &CATALOG_SERVICE_FIELDS)?;
    let mut topics = vec![Topic::Services];
    if !options.node_meta.is_empty() {
        topics.push(Topic::Nodes);
    }
    let (state, index) = server.read(&options, &topics).await?;
    let mut asked = server.asked("catalog/services", "", &options, index)?;
    // A filter may look at nodes and checks, whose changes do not move this index.
    asked.shared &= options.filter.is_empty();
    let may = server.authorizer(&options)?;
    let mut answer = server.answers.give(&options, &asked, || service_names(&state, &filter, &options, &may))?;
    mark_cached(&options, &mut answer);
    Ok(answer)
}

fn service_names(
    state: &store::State,
    filter: &Filter,
    options: &QueryOptions,
    may: &Authorizer,
) -> Result<Vec<u8>, Error> {
    let mut tags = state.service_tags(|node| has_meta(node, options));
    tags.retain(|name, _| may.sees(Resource::Service, name));
    let kept: Vec<Instance>;
    if !options.filter.is_empty() {
        let mut all: Vec<Instance> = tags.keys().flat_map(|name| state.instances(name)).collect();
        rights::keep_instances(may, &mut all);
        kept = filter_instances(filter, all, options)?;
        tags = BTreeMap::new();
        for instance in &kept {
            let known = tags.entry(instance.service.service.as_str()).or_default();
            known.extend(instance.service.tags.iter().map(String::as_str));
        }
    }
    response::bytes(&tags)
}

fn filter_instances(filter: &Filter, all: Vec<Instance>, options: &QueryOptions) -> Result<Vec<Instance>, Error> {
    let mut kept = Vec::new();
    for instance in all.into_iter().filter(|instance| has_meta(&instance.node, options)) {
        if !filter.keep(vec![CatalogServiceShape::from(&instance)])?.is_empty() {
            kept.push(instance);
        }
    }
    Ok(kept)
}

async fn service(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let filter = Filter::parse(&options.filter, &CATALOG_SERVICE_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::service(&name)]).await?;
    let asked = server.asked("catalog/service", &name, &options, index)?;
    instances(&server, &options, &filter, &state, &asked, || state.instances(&name))
}

async fn connect(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing service name")?;
    let filter = Filter::parse(&options.filter, &CATALOG_SERVICE_FIELDS)?;
    let topics = gateways::topics(&server.store.state(), EntryKind::TerminatingGateway, &name);
    let (state, index) = server.read(&options, &[&topics[..], &[Topic::connect(&name)]].concat()).await?;
    let asked = server.asked("catalog/connect", &name, &options, index)?;
    instances(&server, &options, &filter, &state, &asked, || gateways::connect_instances(&state, &name))
}

async fn gateway_services(
    State(server): State<ServerState>,
    Rest(gateway): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&gateway, "Missing gateway name")?;
    let rights = server.authorizer(&options)?;
    rights.check(Resource::Service, &gateway, Right::Read)?;
    // `*` is whatever is registered and speaks the protocol.
    let kinds = [
        EntryKind::IngressGateway,
        EntryKind::TerminatingGateway,
        EntryKind::ServiceDefaults,
        EntryKind::ProxyDefaults,
    ];
    let mut topics: Vec<_> = kinds.into_iter().map(Topic::ConfigKind).collect();
    topics.push(Topic::Services);
    let (state, index) = server.read(&options, &topics).await?;
    let Some((kind, create_index, modify_index, links)) = gateways::links(&state, &gateway) else {
        return response::blocking(&options, index, &());
    };
    let readable = links.iter().filter(|link| rights.may(Resource::Service, &link.service, Right::Read));
    let services: Vec<_> =
        readable.map(|link| GatewayService::new(&gateway, kind, link, (create_index, modify_index))).collect();
    response::blocking(&options, index, &Some(services).filter(|services| !services.is_empty()))
}

fn instances(
    server: &ServerState,
    options: &QueryOptions,
    filter: &Filter,
    state: &store::State,
    asked: &Asked<'_>,
    instances: impl FnOnce() -> Vec<Instance>,
) -> Result<Response, Error> {
    let may = server.authorizer(options)?;
    server.answers.give(options, asked, || {
        let mut instances = instances();
        rights::keep_instances(&may, &mut instances);
        let wanted = instances.iter().filter(|i| has_tags(&i.service, options) && has_meta(&i.node, options));
        let mut shapes = filter.keep(wanted.map(CatalogServiceShape::from).collect())?;
        near(&mut shapes, options, server, state, |shape| shape.node);
        response::bytes(&shapes)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeServices<'a> {
    node: NodeShape<'a>,
    services: BTreeMap<&'a str, ServiceShape<'a>>,
}

async fn node(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    required(&name, "Missing node name")?;
    let filter = Filter::parse(&options.filter, &SERVICE_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::node(&name)]).await?;
    let may = server.authorizer(&options)?;
    let node = state.node(&name).filter(|node| may.sees(Resource::Node, &node.node));
    let Some(node) = node else { return response::blocking(&options, index, &()) };
    let services = state.services_of(&name).filter(|service| may.sees(Resource::Service, &service.service));
    let services = filter.keep(services.map(ServiceShape::from).collect())?;
    let services = services.into_iter().map(|service| (service.id, service)).collect();
    response::blocking(&options, index, &NodeServices { node: node.into(), services })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeServiceList<'a> {
    node: Option<NodeShape<'a>>,
    services: Option<Vec<ServiceShape<'a>>>,
}

async fn node_services(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    required(&name, "Missing node name")?;
    let filter = Filter::parse(&options.filter, &SERVICE_FIELDS)?;
    let (state, index) = server.read(&options, &[Topic::node(&name)]).await?;
    let may = server.authorizer(&options)?;
    let node = state.node(&name).filter(|node| may.sees(Resource::Node, &node.node)).map(NodeShape::from);
    let services = state.services_of(&name).filter(|service| may.sees(Resource::Service, &service.service));
    let services = match node {
        Some(_) => Some(filter.keep(services.map(ServiceShape::from).collect())?),
        None => None,
    };
    response::blocking(&options, index, &NodeServiceList { node, services })
}
