//! The pages that Prometheus and Datadog fetch.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::names::{Value, metrics};
use super::prometheus;
use crate::registry::Registry;

/// Scrapers served at a time; more wait.
const MAX_CONNECTIONS: usize = 32;
/// How long a client may take over its request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before an address that was taken is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(1);
/// A page smaller than this is not worth compressing.
const MIN_GZIP_BYTES: usize = 1024;
const BACKLOG: u32 = 64;

/// Which pages a listener has: Prometheus' own (a path of its own and nothing else), or Envoy's `/stats` and `/ready`.
#[derive(Debug, Clone)]
pub(super) struct Pages {
    pub registry: Arc<Registry>,
    /// Empty: the pages of `envoy_stats_bind_addr`.
    pub metrics_path: String,
}

pub(super) fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
    // A sidecar that is restarted must get its address back while old connections linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

pub(super) async fn serve(listener: Option<TcpListener>, address: SocketAddr, pages: Pages) {
    let listener = match listener {
        Some(listener) => listener,
        None => loop {
            tokio::time::sleep(BIND_AGAIN).await;
            if let Ok(listener) = bind(address) {
                break listener;
            }
        },
    };
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: give others time to close theirs.
            tokio::time::sleep(BIND_AGAIN).await;
            continue;
        };
        let pages = pages.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let response = pages.answer(&request);
                async move { Ok::<_, Infallible>(response) }
            });
            // A scraper that goes away is no concern of ours.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

impl Pages {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        }
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or_default();
        let prometheus = if self.metrics_path.is_empty() {
            path == "/stats/prometheus" || (path == "/stats" && query.split('&').any(|q| q == "format=prometheus"))
        } else {
            path == self.metrics_path
        };
        if prometheus {
            let page = prometheus::render(&self.registry.snapshot());
            return page_of(request.headers(), page, prometheus::CONTENT_TYPE);
        }
        match path {
            "/ready" if self.metrics_path.is_empty() => self.ready(),
            "/stats" if self.metrics_path.is_empty() => page_of(request.headers(), self.plain(), TEXT),
            _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
        }
    }

    /// In Envoy's words, which health checks of sidecars look for.
    fn ready(&self) -> Response<Full<Bytes>> {
        if self.registry.snapshot().live {
            text(StatusCode::OK, "LIVE\n".to_owned())
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n".to_owned())
        }
    }

    /// Envoy's `/stats`: whole names, one `name: value` a line, sorted; histograms are left to the Prometheus page.
    fn plain(&self) -> String {
        let mut lines: Vec<String> = metrics(&self.registry.snapshot())
            .iter()
            .filter_map(|metric| match metric.value {
                Value::Counter(n) | Value::Gauge(n) => Some(format!("{}: {n}\n", metric.plain()?)),
                Value::Histogram { .. } => None,
            })
            .collect();
        lines.sort_unstable();
        lines.concat()
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

fn page_of(headers: &HeaderMap, page: String, kind: &'static str) -> Response<Full<Bytes>> {
    let zipped = (page.len() >= MIN_GZIP_BYTES && accepts_gzip(headers)).then(|| gzip(page.as_bytes())).flatten();
    let is_zipped = zipped.is_some();
    let mut response = Response::new(Full::from(zipped.unwrap_or_else(|| page.into_bytes())));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_zipped {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(quality.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

fn gzip(page: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok()
}
