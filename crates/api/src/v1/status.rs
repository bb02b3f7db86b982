//! `/v1/status/…`

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;

use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::response;
use crate::server::ServerState;

pub(crate) fn router() -> Router<ServerState> {
    Router::new().route("/v1/status/leader", get(leader)).route("/v1/status/peers", get(peers))
}

async fn leader(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    response::json(server.peer())
}

async fn peers(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    server.admit(&options)?;
    response::json(&[server.peer()])
}
