//! The emojify application: five small services, each an HTTP or gRPC server on a local port, like those of the talk.

mod api;
mod cache;
mod facebox;
mod ingress;
mod website;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

use super::call::{GrpcUpstream, Upstream};
use super::faults::Switchboard;
use super::grpc::MESSAGE_LIMIT_BYTES;
use super::traffic::Totals;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Body = BoxBody<Bytes, Infallible>;

/// One running instance of a service: who it is, and the switches it obeys.
#[derive(Clone)]
pub struct Instance {
    pub service: &'static str,
    pub number: usize,
    pub faults: Switchboard,
}

impl Instance {
    async fn suffer(&self) -> bool {
        self.faults.suffer(self.service, self.number).await
    }
}

/// What an instance is and whom it calls.
#[derive(Clone)]
pub enum App {
    Website,
    Api { facebox: Upstream, cache: GrpcUpstream },
    Facebox,
    Cache(cache::Shelf),
    Ingress { website: Upstream, api: Upstream },
    Traffic(Arc<Totals>),
}

impl App {
    pub fn cache() -> Self {
        Self::Cache(cache::Shelf::default())
    }
}

/// A request whose body has been read.
struct Call {
    method: http::Method,
    path: String,
    trace: HeaderMap,
    body: Bytes,
}

/// Serves until the listener's task is dropped.
pub async fn serve(listener: TcpListener, instance: Instance, app: App) {
    let shared = Arc::new((instance, app));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors: no use in asking again at once.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        let service = service_fn(move |request| answer(shared.clone(), request));
        tokio::spawn(async move {
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(shared: Arc<(Instance, App)>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MESSAGE_LIMIT_BYTES).collect().await else {
        return Ok(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broke off\n"));
    };
    let call = Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        trace: super::call::trace_of(&parts.headers),
        body: body.to_bytes(),
    };
    let (instance, app) = &*shared;
    // A gray failure is one that the health check does not see.
    let probe = call.path == "/health" || call.path == cache::HEALTH;
    let fails = !probe && instance.suffer().await;
    Ok(match app {
        App::Cache(shelf) => cache::answer(shelf, &call, fails),
        _ if fails => text(StatusCode::INTERNAL_SERVER_ERROR, "a fault is switched on here\n"),
        App::Website => website::answer(&call),
        App::Facebox => facebox::answer(&call),
        App::Api { facebox, cache } => api::answer(facebox, cache, &call).await,
        App::Ingress { website, api } => ingress::answer(website, api, &call).await,
        App::Traffic(totals) => text(StatusCode::OK, totals.line() + "\n"),
    })
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed());
    *response.status_mut() = status;
    response
}
