//! What a sidecar lives by: its certificate, the roots, decisions, its plan; and what it tells in return.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::json;

use super::{AgentState, refused, wait};
use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::json::{Shape, decode};
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest};
use crate::response::{self, CACHE, CONTENT_HASH, INDEX, empty};

const AUTHORIZE: Shape = Shape::Object(&[
    ("Target", Shape::Any),
    ("ClientCertURI", Shape::Any),
    ("ClientCertSerial", Shape::Any),
    ("Namespace", Shape::Any),
]);
/// How long a plan that is not compiled yet is waited for: its intentions are on their way.
const FIRST_PLAN: Duration = Duration::from_secs(10);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Authorize {
    target: String,
    #[serde(rename = "ClientCertURI")]
    client_cert_uri: String,
}

pub(super) async fn authorize(
    State(state): State<AgentState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let request: Authorize = decode(&body, &AUTHORIZE, "structs.ConnectAuthorizeRequest")
        .map_err(|text| Error::BadRequest(format!("Request decode failed: {text}")))?;
    // Whoever asks must be the service, or everybody could ask who may call whom.
    let may = state.access.authorizer(&options)?;
    may.check(Resource::Service, &request.target, Right::Write)?;
    may.check(Resource::Intention, &request.target, Right::Read)?;
    let decision = state.agent.authorize_for(&options.token, &request.target, &request.client_cert_uri).await;
    let decision = decision.map_err(|error| match error {
        agent::Error::Invalid(text) => Error::BadRequest(text),
        other => refused(other),
    })?;
    let answer = response::json(&json!({"Authorized": decision.authorized, "Reason": decision.reason}))?;
    Ok(cached(answer, decision.from_cache))
}

pub(super) async fn roots(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let roots = state.agent.roots(options.index, wait(options.wait)).await.map_err(refused)?;
    // Consul's agent answers these from its cache and so never knows the leader.
    let answer = response::with_index(response::json(&*roots.body)?, roots.index, false);
    Ok(cached(answer, true))
}

pub(super) async fn leaf(
    State(state): State<AgentState>,
    Rest(service): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    if service.is_empty() {
        return Err(Error::Refused("URI must be either service or agent".to_owned()));
    }
    state.access.authorizer(&options)?.check(Resource::Service, &service, Right::Write)?;
    let leaf = state.agent.leaf_for(&options.token, &service, options.index, wait(options.wait)).await;
    let (leaf, from_cache) = leaf.map_err(refused)?;
    let mut answer = response::json(&json!({
        "SerialNumber": leaf.serial_number,
        "CertPEM": leaf.cert_pem,
        "PrivateKeyPEM": leaf.private_key.expose(),
        "Service": leaf.service,
        "ServiceURI": leaf.service_uri,
        "ValidAfter": leaf.valid_after,
        "ValidBefore": leaf.valid_before,
        "CreateIndex": leaf.create_index,
        "ModifyIndex": leaf.modify_index,
    }))?;
    answer.headers_mut().insert(INDEX, leaf.modify_index.into());
    Ok(cached(answer, from_cache))
}

/// The plan of a proxy; blocks by the hash of its content.
pub(super) async fn plan(
    State(state): State<AgentState>,
    Rest(id): Rest,
    options: QueryOptions,
) -> Result<Response, Error> {
    let unknown = || Error::NotFound(format!("unknown proxy service ID: {id}"));
    own_proxy(&state, &options, &id)?;
    let mut watch = state.agent.plan(&id).ok_or_else(unknown)?;
    let news = |version: &Option<agent::PlanVersion>| {
        version.as_ref().is_some_and(|version| options.hash.as_ref() != Some(&version.hash))
    };
    let limit = if options.hash.is_some() { wait(options.wait) } else { FIRST_PLAN };
    // The watch ends when the proxy is deregistered.
    if let Ok(Err(_)) = tokio::time::timeout(limit, watch.wait_for(news)).await {
        return Err(unknown());
    }
    let version = watch.borrow().clone();
    let version = version.ok_or_else(|| Error::Refused(format!("the plan of {id} is not known yet")))?;
    let mut answer = response::json(&*version.plan)?;
    if let Ok(hash) = HeaderValue::from_str(&version.hash) {
        answer.headers_mut().insert(CONTENT_HASH, hash);
    }
    Ok(answer)
}

/// A plan is for the proxy alone, and whoever may write the service it speaks for.
fn own_proxy(state: &AgentState, options: &QueryOptions, id: &str) -> Result<(), Error> {
    let may = state.access.authorizer(options)?;
    match state.agent.service(id).filter(|_| !may.is_off()) {
        Some(proxy) => may.check(Resource::Service, proxy.identity_name(), Right::Write),
        None => Ok(()),
    }
}

/// `PUT /v1/agent/connect/proxy/<id>/report`
pub(super) async fn report(
    State(state): State<AgentState>,
    Rest(rest): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let Some(id) = rest.strip_suffix("/report") else {
        return Err(Error::NotFound(format!("nothing to write at {rest:?}")));
    };
    own_proxy(&state, &options, id)?;
    let report: telemetry::Report = serde_json::from_slice(&body).map_err(|e| Error::Decode(e.to_string()))?;
    if report.proxy != id {
        return Err(Error::Invalid(format!("the report is of {:?}, not of {id:?}", report.proxy)));
    }
    (state.report)(report);
    Ok(empty())
}

/// `Age` stands beside a hit only.
fn cached(mut response: Response, hit: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE, HeaderValue::from_static(if hit { "HIT" } else { "MISS" }));
    if hit {
        headers.insert(header::AGE, HeaderValue::from_static("0"));
    }
    response
}
