//! The agent's own metrics, in the form of Consul's in-memory sink or of Prometheus.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use telemetry::{Aggregate, Series};

use super::AgentState;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::response;

pub(super) async fn metrics(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let metrics = &state.agent.config().metrics;
    if options.params.text("format") == "prometheus" {
        if !state.prometheus {
            let text = "Prometheus is not enabled since its retention time is not positive";
            return Err(Error::Status { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, text: text.to_owned() });
        }
        state.agent.measure();
        let mut page = metrics.prometheus().into_response();
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        page.headers_mut().insert(header::CONTENT_TYPE, kind);
        return Ok(page);
    }
    state.agent.measure();
    let summary = metrics.summary();
    let name = |series: &Series| format!("{}.{}", summary.prefix, series.name);
    let gauges: Vec<Value> = summary
        .gauges
        .iter()
        .map(|(series, value)| json!({"Name": name(series), "Value": value, "Labels": labels(series)}))
        .collect();
    let aggregates = |of: &BTreeMap<Series, Aggregate>| -> Vec<Value> {
        of.iter().map(|(series, values)| aggregate(&name(series), series, values)).collect()
    };
    response::json(&json!({
        "Timestamp": timestamp(summary.since),
        "Gauges": gauges,
        "Points": [],
        "Counters": aggregates(&summary.counters),
        "Samples": aggregates(&summary.samples),
    }))
}

fn aggregate(name: &str, series: &Series, values: &Aggregate) -> Value {
    json!({
        "Name": name,
        "Count": values.count,
        "Rate": values.rate(),
        "Sum": values.sum,
        "Min": values.min,
        "Max": values.max,
        "Mean": values.mean(),
        "Stddev": values.deviation(),
        "Labels": labels(series),
    })
}

fn labels(series: &Series) -> Map<String, Value> {
    series.labels.iter().map(|(name, value)| ((*name).to_owned(), value.to_string().into())).collect()
}

/// As Go prints a time: `2026-11-25 15:42:50 +0000 UTC`.
fn timestamp(at: std::time::SystemTime) -> String {
    let text = ca::rfc3339(at);
    let (date, time) = text.split_once('T').unwrap_or((&text, "00:00:00Z"));
    format!("{date} {} +0000 UTC", time.trim_end_matches('Z'))
}
