//! The agent's log, as it is written.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;

use super::AgentState;
use crate::error::Error;
use crate::query_options::QueryOptions;

/// One line, without its end.
#[derive(Debug, Clone)]
pub struct LogLine {
    pub level: Level,
    pub text: Arc<str>,
    /// The same as one JSON object.
    pub json: Arc<str>,
}

pub(super) async fn stream(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let level = level(options.params.text("loglevel"))?;
    let as_json = options.params.has("logjson");
    let lines = state.logs.subscribe();
    let lines = stream::unfold(lines, move |mut lines| async move {
        loop {
            match lines.recv().await {
                // tracing orders levels by how much they let through.
                Ok(line) if line.level <= level => {
                    let line = if as_json { line.json } else { line.text };
                    return Some((line.to_string(), lines));
                }
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => {
                    return Some((missed(count, as_json), lines));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let body = futures_util::StreamExt::map(lines, |line| Ok::<_, std::convert::Infallible>(Bytes::from(line + "\n")));
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}

fn missed(count: u64, as_json: bool) -> String {
    let text = format!("monitor was too slow and missed {count} lines");
    if as_json {
        return serde_json::json!({"@level": "warn", "@message": text, "@module": "agent"}).to_string();
    }
    format!("[WARN]  agent: {text}")
}

fn level(text: &str) -> Result<Level, Error> {
    match text.to_ascii_lowercase().as_str() {
        "" | "info" => Ok(Level::INFO),
        "trace" => Ok(Level::TRACE),
        "debug" => Ok(Level::DEBUG),
        "warn" | "warning" => Ok(Level::WARN),
        "err" | "error" => Ok(Level::ERROR),
        _ => Err(Error::BadRequest(format!("Unknown log level: {text}"))),
    }
}
