//! `/v1/demo/faults`: the switches, for the page and for curl.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::faults::Switchboard;

pub fn router(board: Switchboard) -> Router {
    Router::new().route("/v1/demo/faults", get(list).put(on).delete(off)).with_state(board)
}

fn shown(board: &Switchboard) -> Json<Value> {
    let active: Vec<Value> = board
        .active()
        .iter()
        .map(|fault| {
            json!({"Kind": fault.kind_name(), "Target": fault.target(), "Value": fault.value(), "Spec": fault.to_string()})
        })
        .collect();
    Json(json!({"Targets": board.targets(), "Active": active}))
}

async fn list(State(board): State<Switchboard>) -> Json<Value> {
    shown(&board)
}

/// The spec of a request: `{"Spec": …}` in the body, or `?spec=…`.
fn spec(query: Option<&str>, body: &[u8]) -> Result<String, String> {
    if body.is_empty() {
        let pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let text = pairs.into_iter().find(|(name, _)| *name == "spec").map(|(_, value)| value.replace("%23", "#"));
        return Ok(text.map(|text| text.replace("%25", "%").replace("%3A", ":")).unwrap_or_default());
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("expected {{\"Spec\": \"…\"}}: {error}"))?;
    value["Spec"].as_str().map(str::to_owned).ok_or_else(|| "expected {\"Spec\": \"…\"}".to_owned())
}

async fn on(State(board): State<Switchboard>, RawQuery(query): RawQuery, body: Bytes) -> Response {
    let switched = spec(query.as_deref(), &body)
        .and_then(|spec| board.switch_on(&spec).map_err(|error| error.to_string()));
    match switched {
        Ok(_) => shown(&board).into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}

/// Without a spec: all of them.
async fn off(State(board): State<Switchboard>, RawQuery(query): RawQuery, body: Bytes) -> Response {
    match spec(query.as_deref(), &body) {
        Ok(spec) if board.switch_off(&spec) || spec.is_empty() => shown(&board).into_response(),
        Ok(spec) => (StatusCode::NOT_FOUND, format!("fault {spec:?} is not switched on")).into_response(),
        Err(problem) => (StatusCode::BAD_REQUEST, problem).into_response(),
    }
}
