//! The routes below `/ui/` and their headers.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, StatusCode};

use crate::assets::{Asset, assets};

/// Nothing inline, nothing from elsewhere, no frame around the page, and no string may become markup or script.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";

/// The page and its assets, to be merged into the router that serves `/v1`.
pub fn router() -> Router {
    Router::new()
        .route("/ui", get(|| async { to_page() }))
        .route("/ui/", get(|headers: HeaderMap| async move { named("", &headers) }))
        .route("/ui/{*path}", get(|Path(path): Path<String>, headers: HeaderMap| async move { named(&path, &headers) }))
}

/// Consul's UI has deep addresses such as `/ui/dc1/services`; an old bookmark leads to the page, a lost file is lost.
fn named(path: &str, request: &HeaderMap) -> Response {
    match assets().iter().find(|asset| asset.name == path) {
        Some(asset) => answer(asset, request),
        None if path == "index.html" || !path.contains('.') => to_page(),
        None => with_headers(Response::builder().status(StatusCode::NOT_FOUND), Body::empty()),
    }
}

fn to_page() -> Response {
    with_headers(Response::builder().status(StatusCode::PERMANENT_REDIRECT).header(LOCATION, "/ui/"), Body::empty())
}

fn answer(asset: &'static Asset, request: &HeaderMap) -> Response {
    let known = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        value.split(',').any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&asset.etag))
    });
    let response = Response::builder().header(CONTENT_TYPE, asset.content_type).header(ETAG, &asset.etag);
    if known {
        return with_headers(response.status(StatusCode::NOT_MODIFIED), Body::empty());
    }
    with_headers(response, Body::from(asset.body))
}

/// `no-cache` means: keep it, but ask. A new binary is then seen at once, and an old one costs one 304 per file.
fn with_headers(response: http::response::Builder, body: Body) -> Response {
    response
        .header(CACHE_CONTROL, "no-cache")
        .header(CONTENT_SECURITY_POLICY, CONTENT_POLICY)
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(REFERRER_POLICY, "no-referrer")
        .body(body)
        .expect("every header is a constant or hexadecimal")
}
