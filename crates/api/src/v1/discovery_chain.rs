//! `/v1/discovery-chain/…`: what a service's name leads to.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use model::EntryKind;
use plan::chain::{Chain, Question, compile};
use serde::Serialize;
use serde_json::Value;
use store::Topic;

use super::catalog::mark_cached;
use crate::authorizer::{Resource, Right};
use crate::chains::entries_about;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::{Payload, Rest, prefix};
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    prefix(Router::new(), "/v1/discovery-chain/", get(read).post(ask))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    chain: Chain,
}

async fn read(State(server): State<ServerState>, Rest(name): Rest, options: QueryOptions) -> Result<Response, Error> {
    answer(&server, name, &options, Question::default()).await
}

async fn ask(
    State(server): State<ServerState>,
    Rest(name): Rest,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    answer(&server, name, &options, question(&body)?).await
}

async fn answer(
    server: &ServerState,
    service: String,
    options: &QueryOptions,
    asked: Question,
) -> Result<Response, Error> {
    if service.is_empty() {
        return Err(Error::BadRequest("Missing chain name".to_owned()));
    }
    server.authorizer(options)?.check(Resource::Service, &service, Right::Read)?;
    let kinds = [
        EntryKind::ProxyDefaults,
        EntryKind::ServiceDefaults,
        EntryKind::ServiceRouter,
        EntryKind::ServiceSplitter,
        EntryKind::ServiceResolver,
    ];
    let (state, index) = server.read(options, &kinds.map(Topic::ConfigKind)).await?;
    let datacenter = match options.params.text("compile-dc") {
        "" => server.datacenter.to_string(),
        named => named.to_owned(),
    };
    let trust_domain = state.ca_config().map(|config| ca::trust_domain(&config.cluster_id)).unwrap_or_default();
    let entries = entries_about(&state, &service);
    let question = Question { service, datacenter, trust_domain, ..asked };
    let chain = compile(&entries, &question).map_err(|error| Error::Refused(error.to_string()))?;
    let mut answer = response::blocking(options, index, &Answer { chain })?;
    mark_cached(options, &mut answer);
    Ok(answer)
}

/// Reads what is asked for, weakly and in both spellings, as Consul does; other keys are no mistake.
fn question(body: &[u8]) -> Result<Question, Error> {
    let undecoded = |why: String| Error::BadRequest(format!("Request decoding failed: {why}"));
    let body = crate::json::parse(body).map_err(undecoded)?;
    let find = |map: &Value, wanted: &str| {
        let map = map.as_object()?;
        map.iter().find(|(key, _)| key.replace('_', "").eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
    };
    let text = |value: Option<Value>| match value {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let connect_timeout = match find(&body, "overrideconnecttimeout") {
        Some(Value::String(text)) if !text.is_empty() => model::parse_duration(&text).map_err(|_| {
            let why = format!("error decoding 'OverrideConnectTimeout': time: invalid duration {text:?}");
            undecoded(format!("1 error(s) decoding:\n\n* {why}"))
        })?,
        Some(Value::Number(nanos)) => std::time::Duration::from_nanos(nanos.as_u64().unwrap_or_default()),
        _ => std::time::Duration::ZERO,
    };
    let mesh_gateway = text(find(&body, "overridemeshgateway").and_then(|gateway| find(&gateway, "mode")));
    if !matches!(mesh_gateway.as_str(), "" | "none" | "local" | "remote") {
        return Err(Error::Invalid("Invalid OverrideMeshGateway.Mode parameter".to_owned()));
    }
    Ok(Question {
        protocol: text(find(&body, "overrideprotocol")),
        mesh_gateway,
        connect_timeout,
        ..Question::default()
    })
}
