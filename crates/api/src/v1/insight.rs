//! `/v1/insight/…`

use axum::Router;

pub fn router() -> Router {
    Router::new()
}
