//! Services of this agent.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;

use super::shapes::ServiceAnswer;
use super::{AgentState, enable, refused, rights, undecodable, wait};
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::filter::Filter;
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response::{CONTENT_HASH, empty, json};
use crate::v1::selectors::SERVICE_FIELDS;

pub(super) async fn list(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let filter = Filter::parse(&options.filter, &SERVICE_FIELDS)?;
    let mut out = BTreeMap::new();
    let may = state.access.authorizer(&options)?;
    for (id, service) in state.agent.services() {
        if !may.sees(Resource::Service, &service.service) {
            continue;
        }
        let answer = ServiceAnswer::from(service);
        if matches(&filter, &answer)? {
            out.insert(id, answer);
        }
    }
    json(&out)
}

/// Blocks by the hash of the content: an agent has no index.
pub(super) async fn one(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    let mut changed = state.agent.watch_local();
    let deadline = tokio::time::Instant::now() + wait(options.wait);
    loop {
        changed.borrow_and_update();
        let service = state.agent.service(&id);
        let service = service.ok_or_else(|| Error::NotFound(format!("unknown service ID: {id}")))?;
        state.access.authorizer(&options)?.check(Resource::Service, &service.service, Right::Read)?;
        let mut answer = ServiceAnswer::from(service);
        let hash = plan::content_hash(&answer);
        let news = options.hash.as_ref().is_none_or(|known| *known != hash);
        if news || tokio::time::timeout_at(deadline, changed.changed()).await.is_err() {
            answer.content_hash = Some(hash.clone());
            let mut response = json(&answer)?;
            if let Ok(hash) = HeaderValue::from_str(&hash) {
                response.headers_mut().insert(CONTENT_HASH, hash);
            }
            return Ok(response);
        }
    }
}

pub(super) async fn register(
    State(state): State<AgentState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let mut definition = model::decode_service_json(&body).map_err(undecodable)?;
    rights::register(&state, &options, &definition)?;
    // What the agent writes of it goes with the rights of whoever registered it.
    if definition.token.0.is_empty() {
        definition.token.clone_from(&options.token);
    }
    let replace = matches!(options.params.get("replace-existing-checks"), Some("" | "true" | "1" | "t" | "T"));
    state.agent.register_service(definition, replace).map_err(refused)?;
    Ok(empty())
}

pub(super) async fn deregister(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if id.is_empty() {
        return Err(Error::Refused("ServiceID missing".to_owned()));
    }
    rights::change(&state, &options, &id)?;
    if state.agent.deregister_service(&id).map_err(refused)? {
        return Ok(empty());
    }
    let hint = "Ensure that the service ID is passed, not the service name.";
    Err(Error::NotFound(format!("Unknown service ID {id:?}. {hint}")))
}

pub(super) async fn maintenance(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if id.is_empty() {
        return Err(Error::Invalid("Missing service ID".to_owned()));
    }
    let on = enable(&options.params)?;
    rights::change(&state, &options, &id)?;
    state.agent.service_maintenance(&id, on, options.params.text("reason")).map_err(refused)?;
    Ok(empty())
}

/// Whether a filter lets an answer through. Without one nothing is encoded twice.
pub(super) fn matches<T: serde::Serialize>(filter: &Filter, answer: &T) -> Result<bool, Error> {
    if filter.is_empty() {
        return Ok(true);
    }
    let value = serde_json::to_value(answer).map_err(|e| Error::Refused(format!("filtering: {e}")))?;
    Ok(filter.matches(&value))
}
