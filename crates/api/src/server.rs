//! The server half: everything that reads or writes the store.

use axum::Router;
use store::Store;

/// What the server routes need.
#[derive(Clone)]
pub struct ServerState {
    pub store: Store,
    pub datacenter: String,
}

pub fn router(state: ServerState) -> Router {
    Router::new().with_state(state)
}
