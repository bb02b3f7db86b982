//! The whole HTTP surface: the parts' routers merged, and the manners every answer has.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use client::Client;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use telemetry::Metrics;
use tower::ServiceExt;

use crate::answers::{Encoded, zip};
use crate::authorizer::Filtered;
use crate::json;
use crate::policy::{Peer, Policy};
use crate::query_options::{Params, decode};
use crate::request::Prefix;
use crate::response::{self, GoForm};

/// Bodies from this size on are compressed for clients that accept it.
const GZIP_FROM_BYTES: usize = 1400;
/// Answers to a client in this process are whole values; a larger one is a mistake.
const IN_PROCESS_BODY_LIMIT_BYTES: usize = 64 << 20;

/// Reads that go to the servers: Consul answers them with the headers of an empty read even when it refuses them.
const SERVER_READS: [&str; 7] = [
    "/v1/acl/",
    "/v1/catalog/",
    "/v1/connect/intentions",
    "/v1/coordinate/",
    "/v1/health/",
    "/v1/internal/ui/",
    "/v1/session/",
];

/// Marks the answer of the fallback: no route, so none of the headers of a route.
#[derive(Clone, Copy)]
struct Unrouted;

/// Merges routers and gives their answers Consul's form: clean paths, `Allow`, `Vary`, indented JSON, gzip.
pub struct App {
    router: Router,
    dev: bool,
    policy: Arc<Policy>,
    metrics: Option<Metrics>,
}

impl App {
    /// `dev`: JSON is always indented, as by `consul agent -dev`.
    pub fn new(dev: bool) -> Self {
        let fallback = || async {
            let mut response = StatusCode::NOT_FOUND.into_response();
            response.extensions_mut().insert(Unrouted);
            response
        };
        Self { router: Router::new().fallback(fallback), dev, policy: Arc::default(), metrics: None }
    }

    /// What the configuration says about every request.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Requests are timed, by method and route.
    #[must_use]
    pub fn measured(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    pub fn merge(mut self, router: Router) -> Self {
        self.router = self.router.merge(router);
        self
    }

    pub fn into_router(self) -> Router {
        let Self { router, dev, policy, metrics } = self;
        let service = tower::service_fn(move |mut request: Request<Body>| {
            request.extensions_mut().insert(policy.waits);
            let (router, policy, metrics) = (router.clone(), Arc::clone(&policy), metrics.clone());
            async move {
                Ok::<_, Infallible>(match metrics {
                    Some(metrics) => measured(&router, dev, &policy, request, &metrics).await,
                    None => admitted(&router, dev, &policy, request).await,
                })
            }
        });
        Router::new().fallback_service(service)
    }
}

async fn measured(router: &Router, dev: bool, policy: &Policy, request: Request<Body>, metrics: &Metrics) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = admitted(router, dev, policy, request).await;
    let route = match response.extensions().get::<Prefix>() {
        Some(Prefix(prefix)) => Cow::Borrowed(*prefix),
        None => Cow::Owned(path),
    };
    // What is no route could be any number of paths.
    let routed = response.extensions().get::<Unrouted>().is_none()
        && !matches!(response.status(), StatusCode::METHOD_NOT_ALLOWED | StatusCode::MOVED_PERMANENTLY);
    if routed && route.starts_with("/v1/") {
        let path = route.trim_start_matches('/').replace('/', "_");
        let labels = vec![("method", method.to_string().into()), ("path", path.into())];
        metrics.took("api.http", labels, began.elapsed());
    }
    response
}

async fn admitted(router: &Router, dev: bool, policy: &Policy, request: Request<Body>) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    if let Some(mut refusal) = policy.refuse(request.method(), request.uri().path(), peer) {
        refusal.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        policy.mark(&mut refusal);
        refusal.extensions_mut().insert(Unrouted);
        return refusal;
    }
    let mut response = answer(router, dev, request).await;
    if response.extensions().get::<Unrouted>().is_none() {
        policy.mark(&mut response);
    }
    response
}

async fn answer(router: &Router, dev: bool, mut request: Request<Body>) -> Response {
    if let Some(clean) = clean(request.uri().path()) {
        return redirect(request.uri(), &clean);
    }
    let api = request.uri().path().starts_with("/v1/");
    let method = request.method().clone();
    let pretty = dev || Params::parse(request.uri().query().unwrap_or_default()).has("pretty");
    let gzip = accepts_gzip(request.headers());
    let uri = request.uri().clone();
    let filtered = Filtered::default();
    request.extensions_mut().insert(filtered.clone());
    let read_of_servers =
        method == Method::GET && SERVER_READS.iter().any(|start| request.uri().path().starts_with(start));
    // The router answers HEAD wherever it answers GET; Consul refuses it, with the methods of the route.
    if api && method == Method::HEAD {
        *request.method_mut() = Method::OPTIONS;
    }
    let Ok(mut response) = router.clone().oneshot(request).await;
    if !api {
        return response;
    }
    if response.extensions().get::<Unrouted>().is_some() {
        return match beneath(router, uri.path()).await {
            Some(path) => redirect(&uri, &path),
            None => response,
        };
    }
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response = method_not_allowed(&method, response.headers());
    }
    if response.status() == StatusCode::FORBIDDEN
        && read_of_servers
        && !response.headers().contains_key(response::INDEX)
    {
        response = response::with_index(response, 1, false);
    }
    if filtered.is_noted() && response.status().is_success() {
        response.headers_mut().insert(response::FILTERED, HeaderValue::from_static("true"));
    }
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    finish(response, pretty, gzip).await
}

/// The path of the route that everything beneath `path` belongs to; Go's mux sends `/v1/kv` to `/v1/kv/`.
async fn beneath(router: &Router, path: &str) -> Option<String> {
    let path = format!("{path}/");
    let request = Request::builder().method(Method::OPTIONS).uri(&path).body(Body::empty()).ok()?;
    let Ok(response) = router.clone().oneshot(request).await;
    response.extensions().get::<Unrouted>().is_none().then_some(path)
}

fn redirect(from: &Uri, to: &str) -> Response {
    let location = match from.query() {
        Some(query) => format!("{to}?{query}"),
        None => to.to_owned(),
    };
    let html = format!("<a href=\"{}\">Moved Permanently</a>.\n\n", html_escape(&location));
    let mut response = (StatusCode::MOVED_PERMANENTLY, html).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(location) = HeaderValue::from_str(&location) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn html_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

/// The path without empty, `.` and `..` segments, escaped ones included; none when it is clean already.
fn clean(path: &str) -> Option<String> {
    if path == "/" {
        return Some("/ui/".to_owned());
    }
    let decoded = if path.contains('%') { Cow::Owned(decode(path, false)) } else { Cow::Borrowed(path) };
    let dirty = decoded.contains("//") || decoded.split('/').any(|segment| segment == "." || segment == "..");
    if !dirty {
        return None;
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if decoded.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    Some(encode_path(&format!("/{}{end}", kept.join("/"))))
}

fn encode_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            byte if b"-_.~/$&+,:;=@!*'()".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn method_not_allowed(method: &Method, headers: &HeaderMap) -> Response {
    let known = headers.get_all(header::ALLOW).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
    let mut allow = "OPTIONS".to_owned();
    for name in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
        if known.iter().flat_map(|list| list.split(',')).any(|given| given.trim() == name) {
            allow = format!("{allow},{name}");
        }
    }
    let mut response = match *method {
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => crate::response::text(StatusCode::METHOD_NOT_ALLOWED, format!("method {method} not allowed")),
    };
    if let Ok(allow) = HeaderValue::from_str(&allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|item| {
        let (coding, quality) = item.split_once(';').unwrap_or((item, ""));
        coding.trim() == "gzip" && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

/// Escapes and indents JSON and compresses what is worth it. A streamed body (no known size) passes as it is.
async fn finish(mut response: Response, pretty: bool, gzip: bool) -> Response {
    if let Some(encoded) = response.extensions_mut().remove::<Encoded>() {
        return chosen(response, &encoded, pretty, gzip);
    }
    let sized = http_body::Body::size_hint(response.body()).exact();
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    let compress = |size: usize| gzip && size >= GZIP_FROM_BYTES;
    let Some(size) = sized else { return response };
    let encoded = response.headers().contains_key(header::CONTENT_ENCODING);
    let go_form = response.extensions().get::<GoForm>().is_some();
    let done = !is_json || (go_form && !pretty);
    if encoded || (done && !compress(usize::try_from(size).unwrap_or(usize::MAX))) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let mut bytes = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let text = format!("reading the answer: {error}");
            return crate::response::text(StatusCode::INTERNAL_SERVER_ERROR, text);
        }
    };
    if !done {
        bytes = json::go_form(&bytes, pretty).into();
    }
    if compress(bytes.len()) {
        bytes = zip(&bytes);
        parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

/// The form that is asked for, made at most once.
fn chosen(mut response: Response, encoded: &Encoded, pretty: bool, gzip: bool) -> Response {
    let plain = encoded.plain(pretty);
    let body = if gzip && plain.len() >= GZIP_FROM_BYTES {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        encoded.zipped(pretty)
    } else {
        plain
    };
    *response.body_mut() = Body::from(body.clone());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

/// A client that calls `router` without a socket.
pub fn in_process(router: Router) -> Client {
    Client::in_process(move |request: Request<Bytes>| {
        let router = router.clone();
        async move {
            let Ok(response) = router.oneshot(request.map(Body::from)).await;
            let (parts, body) = response.into_parts();
            match http_body_util::Limited::new(body, IN_PROCESS_BODY_LIMIT_BYTES).collect().await {
                Ok(body) => http::Response::from_parts(parts, body.to_bytes()),
                Err(error) => {
                    let mut response = http::Response::new(Bytes::from(format!("reading the answer: {error}")));
                    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                    response
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::routing::get;

    async fn call(method: &str, path: &str, accept: Option<&str>) -> (StatusCode, HeaderMap, Bytes) {
        let routes = Router::new()
            .route(
                "/v1/thing",
                get(|| async { crate::response::json(&serde_json::json!({"a": "<b>"})) }).put(|| async {}),
            )
            .route("/v1/large", get(|| async { crate::response::json(&vec!["x"; 1000]) }));
        let app = App::new(true).merge(routes).into_router();
        let mut request = Request::builder().method(method).uri(path);
        if let Some(accept) = accept {
            request = request.header("accept-encoding", accept);
        }
        let Ok(response) = app.oneshot(request.body(Body::empty()).unwrap()).await;
        let (parts, body) = response.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn answers_have_consuls_manners() {
        let (status, headers, body) = call("GET", "/v1/thing", None).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"{\n    \"a\": \"\\u003cb\\u003e\"\n}\n"[..]));
        assert_eq!(headers["vary"], "Accept-Encoding");
        for method in ["HEAD", "DELETE"] {
            let (status, headers, body) = call(method, "/v1/thing", None).await;
            assert_eq!(
                (status, &headers["allow"]),
                (StatusCode::METHOD_NOT_ALLOWED, &"OPTIONS,GET,PUT".parse().unwrap())
            );
            assert_eq!(body, format!("method {method} not allowed"));
        }
        let (status, headers, body) = call("OPTIONS", "/v1/thing", None).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        assert_eq!(headers["allow"], "OPTIONS,GET,PUT");
        let (status, headers, body) = call("GET", "/v1/nothing", None).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0));
        assert!(!headers.contains_key("vary") && !headers.contains_key("content-type"));
    }

    #[tokio::test]
    async fn unclean_paths_are_sent_to_the_clean_one() {
        for (path, location) in [
            ("/", "/ui/"),
            ("/v1//thing?a=b", "/v1/thing?a=b"),
            ("/v1/./x/../thing", "/v1/thing"),
            ("//", "/"),
            ("/v1/kv/%2Fa%20b", "/v1/kv/a%20b"),
        ] {
            let (status, headers, _) = call("GET", path, None).await;
            assert_eq!(
                (status, headers["location"].to_str().unwrap()),
                (StatusCode::MOVED_PERMANENTLY, location),
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_for_those_who_accept_it() {
        assert_eq!(call("GET", "/v1/large", Some("br, gzip;q=0.5")).await.1["content-encoding"], "gzip");
        for accept in [None, Some("gzip;q=0"), Some("br")] {
            assert!(!call("GET", "/v1/large", accept).await.1.contains_key("content-encoding"), "{accept:?}");
        }
        assert!(!call("GET", "/v1/thing", Some("gzip")).await.1.contains_key("content-encoding"));
    }
}
