//! `/v1/agent/…`

use axum::Router;

#[derive(Clone, Default)]
pub struct AgentState;

pub fn router(_state: AgentState) -> Router {
    Router::new()
}
