//! `/v1/agent/…`: what is registered on this node, and what its sidecars live by.

mod checks;
mod cluster;
mod connect;
mod health;
mod host;
mod metrics;
mod monitor;
mod node;
mod rights;
mod services;
mod shapes;
mod token;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use agent::Agent;
use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::broadcast;

pub use monitor::LogLine;

use crate::access::Access;
use crate::error::Error;
use crate::request::prefix;

/// How long a hash query waits that does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Something the process does on request.
pub type Action = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// What the agent routes need.
#[derive(Clone)]
pub struct AgentState {
    pub agent: Arc<Agent>,
    pub access: Access,
    /// Takes what a sidecar reports once a second.
    pub report: Arc<dyn Fn(telemetry::Report) + Send + Sync>,
    /// Reads the files again. An error is its text.
    pub reload: Action,
    /// Ends the process; called after the node has left the catalog.
    pub leave: Action,
    /// Every line of the log, for `agent/monitor`.
    pub logs: broadcast::Sender<LogLine>,
    /// `DebugConfig` of `agent/self`: the configuration as meant, without secrets.
    pub debug_config: Arc<serde_json::Value>,
    /// The ports members say they gossip on.
    pub serf_lan_port: u16,
    pub serf_wan_port: u16,
    /// Prometheus may read the agent's metrics.
    pub prometheus: bool,
}

pub fn router(state: AgentState) -> Router {
    let mut router = Router::new()
        .route("/v1/agent/self", get(node::about))
        .route("/v1/agent/host", get(host::host))
        .route("/v1/agent/members", get(cluster::members))
        .route("/v1/agent/metrics", get(metrics::metrics))
        .route("/v1/agent/version", get(node::version))
        .route("/v1/agent/reload", put(node::reload))
        .route("/v1/agent/leave", put(node::leave))
        .route("/v1/agent/maintenance", put(node::maintenance))
        .route("/v1/agent/monitor", get(monitor::stream))
        .route("/v1/agent/services", get(services::list))
        .route("/v1/agent/checks", get(checks::list))
        .route("/v1/agent/service/register", put(services::register))
        .route("/v1/agent/check/register", put(checks::register))
        .route("/v1/agent/connect/authorize", post(connect::authorize))
        .route("/v1/agent/connect/ca/roots", get(connect::roots));
    for (path, route) in [
        ("/v1/agent/join/", put(cluster::join)),
        ("/v1/agent/force-leave/", put(cluster::force_leave)),
        ("/v1/agent/token/", put(token::set)),
        ("/v1/agent/service/", get(services::one)),
        ("/v1/agent/service/deregister/", put(services::deregister)),
        ("/v1/agent/service/maintenance/", put(services::maintenance)),
        ("/v1/agent/check/deregister/", put(checks::deregister)),
        ("/v1/agent/check/pass/", put(checks::pass)),
        ("/v1/agent/check/warn/", put(checks::warn)),
        ("/v1/agent/check/fail/", put(checks::fail)),
        ("/v1/agent/check/update/", put(checks::update)),
        ("/v1/agent/health/service/id/", get(health::by_id)),
        ("/v1/agent/health/service/name/", get(health::by_name)),
        ("/v1/agent/connect/ca/leaf/", get(connect::leaf)),
        ("/v1/agent/connect/proxy/", get(connect::plan).put(connect::report)),
    ] {
        router = prefix(router, path, route);
    }
    let guard = axum::middleware::from_fn_with_state(state.clone(), rights::guard);
    router.route_layer(guard).with_state(state)
}

/// A body that is no definition.
fn undecodable(error: model::RequestError) -> Error {
    let status = http::StatusCode::from_u16(error.status).unwrap_or(http::StatusCode::BAD_REQUEST);
    Error::Status { status, text: error.text }
}

/// The statuses are those of Consul's agent.
fn refused(error: agent::Error) -> Error {
    match error {
        agent::Error::Invalid(text) => Error::Invalid(text),
        agent::Error::Unknown(text) => Error::NotFound(text),
        other => Error::Refused(other.to_string()),
    }
}

fn wait(given: Duration) -> Duration {
    if given.is_zero() { DEFAULT_WAIT } else { given.min(LONGEST_WAIT) }
}

/// `?enable=` of both maintenance routes.
fn enable(params: &crate::Params) -> Result<bool, Error> {
    match params.text("enable") {
        "" => Err(Error::Invalid("Missing value for enable".to_owned())),
        text => {
            crate::filter::parse_bool(text).ok_or_else(|| Error::Invalid(format!("Invalid value for enable: {text:?}")))
        }
    }
}
