//! The health of local services, for load balancers: the status code says it all.

use agent::ServiceHealth;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use super::AgentState;
use super::shapes::{CheckAnswer, HealthAnswer};
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::Rest;
use crate::response::json;

pub(super) async fn by_id(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if id.is_empty() {
        return Err(Error::Refused("Bad request: Missing serviceID".to_owned()));
    }
    let Some(health) = state.agent.health_of_id(&id) else {
        let unknown = HealthAnswer { aggregated_status: "critical", service: None, checks: None };
        return answer(StatusCode::NOT_FOUND, &format!("ServiceId {id} not found"), &unknown, &options);
    };
    state.access.authorizer(&options)?.check(Resource::Service, &health.service.service, Right::Read)?;
    let status = health.status;
    answer(code(status), status, &shape(health), &options)
}

pub(super) async fn by_name(
    State(state): State<AgentState>,
    Rest(name): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if name.is_empty() {
        return Err(Error::Refused("Bad request: Missing service Name".to_owned()));
    }
    state.access.authorizer(&options)?.check(Resource::Service, &name, Right::Read)?;
    let all = state.agent.health_of_name(&name);
    let worst = all.iter().map(|health| health.status).max_by_key(|status| rank(status));
    let all: Vec<HealthAnswer> = all.into_iter().map(shape).collect();
    match worst {
        Some(status) => answer(code(status), status, &all, &options),
        None => answer(StatusCode::NOT_FOUND, &format!("ServiceName {name} Not Found"), &all, &options),
    }
}

fn answer<T: serde::Serialize>(
    code: StatusCode,
    word: &str,
    shape: &T,
    options: &QueryOptions,
) -> Result<Response, Error> {
    let mut response = if options.params.text("format") == "text" {
        let mut response = word.to_owned().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        response
    } else {
        json(shape)?
    };
    *response.status_mut() = code;
    if let Ok(word) = HeaderValue::from_str(word) {
        response.headers_mut().insert("x-consul-reason", word);
    }
    Ok(response)
}

fn shape(health: ServiceHealth) -> HealthAnswer {
    HealthAnswer {
        aggregated_status: health.status,
        service: Some(health.service.into()),
        checks: Some(health.checks.into_iter().map(CheckAnswer::with_definition).collect()),
    }
}

fn rank(status: &str) -> usize {
    ["passing", "warning", "critical", "maintenance"].iter().position(|word| *word == status).unwrap_or(0)
}

/// 429 for a warning: neither a success nor a server that is down.
fn code(status: &str) -> StatusCode {
    match status {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
