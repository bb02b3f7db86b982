//! `/v1/internal/preview/…`: what a change of configuration or of an intention would do, before it is made. Which
//! proxies would do what else, and which calls of the last minutes would have been refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::put;
use insight::{Edge, Insight};
use model::{Action, Intention, Service, ServiceKind};
use plan::{Inputs, NoMatch, Plan};
use serde::Serialize;
use store::Stored;

use super::insight::now_ms;
use crate::authorizer::{Resource, Right};
use crate::chains;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::Payload;
use crate::response;
use crate::server::ServerState;

/// How far back calls are looked at: all that is kept.
const WINDOW: Duration = Duration::from_secs(insight::RETENTION_SECONDS);

#[derive(Clone)]
pub struct PreviewState {
    pub server: ServerState,
    pub insight: Arc<Insight>,
}

pub fn router(state: PreviewState) -> Router {
    Router::new()
        .route("/v1/internal/preview/config", put(config))
        .route("/v1/internal/preview/intention", put(intention))
        .with_state(state)
}

async fn config(
    State(PreviewState { server, insight }): State<PreviewState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    server.authorizer(&options)?.check(Resource::Operator, "", Right::Read)?;
    let entry = model::decode_config_entry_json(&body)
        .map_err(|error| Error::BadRequest(format!("Request decoding failed: {}", error.consul_text())))?;
    let (before, after) = server.rehearse_config(entry)?;
    response::json(&preview(&server, &insight, &before, &after))
}

async fn intention(
    State(PreviewState { server, insight }): State<PreviewState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    server.admit_write(&options, "")?;
    server.authorizer(&options)?.check(Resource::Operator, "", Right::Read)?;
    let intention = super::intention::decode(&body)?;
    let (before, after) = server.store.rehearse_intention(&intention)?;
    response::json(&preview(&server, &insight, &before, &after))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Preview {
    window_seconds: u64,
    /// Proxies that would do something else, and what.
    proxies: Vec<ProxyChange>,
    /// Calls of the window that would be judged otherwise or go another way.
    calls: Vec<CallChange>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProxyChange {
    node: String,
    #[serde(rename = "ID")]
    id: String,
    service: String,
    changes: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallChange {
    source: String,
    destination: String,
    /// `allowed …` or `denied …`, and by what.
    before: String,
    after: String,
    /// Calls seen in the window.
    requests: u64,
    /// Of those, the ones that were answered and would have been refused.
    would_be_refused: u64,
    /// The caller's proxy would send them another way.
    rerouted: bool,
}

fn preview(server: &ServerState, insight: &Insight, before: &store::State, after: &store::State) -> Preview {
    let proxies = changed_proxies(server, before, after);
    let edges = insight.topology(now_ms(), WINDOW, &[]).edges;
    let calls = edges.iter().filter_map(|edge| changed_call(server, edge, before, after, &proxies)).collect();
    Preview {
        window_seconds: WINDOW.as_secs(),
        proxies: proxies.into_iter().map(|(change, _)| change).collect(),
        calls,
    }
}

/// With the names of the upstreams that would be called otherwise.
fn changed_proxies(
    server: &ServerState,
    before: &store::State,
    after: &store::State,
) -> Vec<(ProxyChange, Vec<String>)> {
    let mut changed = Vec::new();
    for node in before.nodes() {
        for service in before.services_of(&node.node).filter(|service| service.kind == ServiceKind::ConnectProxy) {
            let registration = registration(before, service);
            let plan = |state: &store::State| plan::compile(&inputs(server, state, node, service, &registration));
            let (old, new) = (plan(before), plan(after));
            if old != new {
                let change = ProxyChange {
                    node: node.node.clone(),
                    id: service.id.clone(),
                    service: service.identity_name().to_owned(),
                    changes: plan::differences(&old, &new),
                };
                changed.push((change, rerouted(&old, &new)));
            }
        }
    }
    changed
}

/// Upstreams whose routes, or whose targets, are other ones.
fn rerouted(old: &Plan, new: &Plan) -> Vec<String> {
    let of = |plan: &Plan, name: &str| {
        let outbound = plan.outbound.iter().find(|outbound| outbound.name == name)?.clone();
        let ids = outbound.routes.iter().flat_map(|route| &route.targets).map(|share| share.target.clone());
        let targets: BTreeMap<_, _> = ids.map(|id| (id.clone(), plan.targets.get(&id).cloned())).collect();
        Some((outbound, targets))
    };
    let names = old.outbound.iter().map(|outbound| outbound.name.clone());
    names.filter(|name| of(old, name) != of(new, name)).collect()
}

/// A catalog shows a proxy with central configuration merged in; the compiler wants it without.
fn registration(state: &store::State, service: &Stored<Service>) -> Service {
    let mut registration = Service::clone(service);
    let entries = entries(state, service);
    registration.proxy = registration
        .proxy
        .map(|proxy| plan::merge::unmerged(&proxy, entries.proxy_defaults.as_ref(), &entries.service_defaults));
    registration
}

/// The entries about a proxy's own service and its upstreams.
fn entries(state: &store::State, service: &Service) -> plan::chain::Entries {
    let upstreams = service.proxy.iter().flat_map(|proxy| &proxy.upstreams).map(|up| up.destination_name.as_str());
    let mut all = plan::chain::Entries::default();
    for name in upstreams.chain([service.identity_name()]) {
        let one = chains::entries_about(state, name);
        all.proxy_defaults = one.proxy_defaults;
        all.service_defaults.extend(one.service_defaults);
        all.routers.extend(one.routers);
        all.splitters.extend(one.splitters);
        all.resolvers.extend(one.resolvers);
    }
    all
}

fn inputs(
    server: &ServerState,
    state: &store::State,
    node: &model::Node,
    service: &Service,
    registration: &Service,
) -> Inputs {
    let entries = entries(state, service);
    let parent = service.proxy.as_ref().map_or("", |proxy| &proxy.destination_service_id);
    let concerns = |intention: &&Stored<Intention>| {
        [service.identity_name(), model::WILDCARD].contains(&intention.destination_name.as_str())
    };
    Inputs {
        proxy: registration.clone(),
        parent: state.service(&node.node, parent).map(|parent| Service::clone(parent)),
        node: node.clone(),
        datacenter: server.datacenter.to_string(),
        trust_domain: state.ca_config().map(|config| ca::trust_domain(&config.cluster_id)).unwrap_or_default(),
        proxy_defaults: entries.proxy_defaults,
        service_defaults: entries.service_defaults,
        service_routers: entries.routers,
        service_splitters: entries.splitters,
        service_resolvers: entries.resolvers,
        intentions: state.intentions().iter().filter(concerns).map(|i| Intention::clone(i)).collect(),
        default: no_match(server),
    }
}

fn no_match(server: &ServerState) -> NoMatch {
    let action = if server.default_allow { Action::Allow } else { Action::Deny };
    NoMatch { action, ..NoMatch::default() }
}

/// What decides over a call, and whether it lets it pass. With permissions it depends on the request: taken for
/// passing.
fn verdict(server: &ServerState, state: &store::State, source: &str, destination: &str) -> (bool, String) {
    let decided = state.intentions().into_iter().find(|intention| intention.matches(source, destination));
    match decided {
        Some(intention) if !intention.permissions.is_empty() => {
            (true, format!("depends on the request: {}", *intention))
        }
        Some(intention) if intention.action == Action::Allow => (true, format!("allowed by {}", *intention)),
        Some(intention) => (false, format!("denied by {}", *intention)),
        None if server.default_allow => (true, "allowed: no intention matches".to_owned()),
        None => (false, "denied: no intention matches".to_owned()),
    }
}

fn changed_call(
    server: &ServerState,
    edge: &Edge,
    before: &store::State,
    after: &store::State,
    proxies: &[(ProxyChange, Vec<String>)],
) -> Option<CallChange> {
    let (allowed_before, was) = verdict(server, before, &edge.source, &edge.destination);
    let (allowed_after, is) = verdict(server, after, &edge.source, &edge.destination);
    let rerouted =
        proxies.iter().any(|(proxy, upstreams)| proxy.service == edge.source && upstreams.contains(&edge.destination));
    // The caller knows how many requests there were; the other end sees attempts, and callers that report nowhere.
    let seen = if edge.client.sums.requests > 0 { &edge.client } else { &edge.server };
    let passed = seen.sums.requests - seen.sums.refused.min(seen.sums.requests);
    let would_be_refused = if allowed_before && !allowed_after { passed } else { 0 };
    (allowed_before != allowed_after || was != is || rerouted).then(|| CallChange {
        source: edge.source.clone(),
        destination: edge.destination.clone(),
        before: was,
        after: is,
        requests: seen.sums.requests,
        would_be_refused,
        rerouted,
    })
}
