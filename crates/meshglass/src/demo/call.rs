//! How the demo's applications call their upstreams: plain HTTP to a local port, with the trace headers handed on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::grpc::{Item, MESSAGE_LIMIT_BYTES};

/// Longer than the mesh waits, so that it is the mesh that says where a request was lost.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The mesh sets no limit to a gRPC call; the caller does.
const GRPC_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_LIMIT: usize = 16;
/// What an application must copy from an incoming request to its outgoing ones, or traces break apart.
const TRACE_HEADERS: [&str; 9] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
];

/// The header in which the mesh says why it refused; an application that gives up for that reason hands it on.
pub const WHY: &str = "x-meshglass-why";

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The trace headers of a request.
pub fn trace_of(headers: &HeaderMap) -> HeaderMap {
    let mut trace = HeaderMap::new();
    for name in TRACE_HEADERS {
        if let Some(value) = headers.get(name) {
            trace.insert(name, value.clone());
        }
    }
    trace
}

/// An HTTP/1.1 upstream on a local port, with kept connections.
#[derive(Clone)]
pub struct Upstream {
    address: String,
    idle: Arc<Mutex<Vec<http1::SendRequest<Full<Bytes>>>>>,
}

impl Upstream {
    pub fn new(port: u16) -> Self {
        Self { address: format!("127.0.0.1:{port}"), idle: Arc::default() }
    }

    /// Sends a request and reads the whole answer, of any status.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        trace: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request =
            Request::builder().method(method).uri(path).header("host", &self.address).body(Full::new(body))?;
        request.headers_mut().extend(trace.clone());
        tokio::time::timeout(TIMEOUT, self.exchange(request)).await.map_err(|_| "no answer in time")?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failure> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut sender = match kept.filter(|sender| sender.is_ready()) {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = match sender.try_send_request(request).await {
            Ok(answer) => answer,
            // A kept connection that the other side closed meanwhile gives the request back unsent.
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    sender = self.connect().await?;
                    sender.send_request(request).await?
                }
                None => return Err(error.into_error().into()),
            },
        };
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MESSAGE_LIMIT_BYTES).collect().await?.to_bytes();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_LIMIT {
            idle.push(sender);
        }
        Ok(Response::from_parts(parts, body))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// How a gRPC call ended: the status of the trailers, and the reply when it is 0.
#[derive(Debug)]
pub struct Reply {
    pub status: u8,
    pub message: String,
    /// The mesh's reason, when the mesh answered.
    pub why: Option<HeaderValue>,
    pub item: Item,
}

/// A gRPC upstream on a local port: one HTTP/2 connection, made again when it breaks.
#[derive(Clone)]
pub struct GrpcUpstream {
    address: String,
    connection: Arc<tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>>,
}

impl GrpcUpstream {
    pub fn new(port: u16) -> Self {
        Self { address: format!("127.0.0.1:{port}"), connection: Arc::default() }
    }

    /// A unary call of `emojify.Cache/<method>`.
    pub async fn call(&self, method: &str, trace: &HeaderMap, item: &Item) -> Result<Reply, Failure> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/emojify.Cache/{method}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(item.frame()))?;
        request.headers_mut().extend(trace.clone());
        tokio::time::timeout(GRPC_TIMEOUT, self.exchange(request)).await.map_err(|_| "no answer in time")?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, Failure> {
        let mut sender = self.sender().await?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        if parts.status != StatusCode::OK {
            return Err(format!("HTTP status {} where gRPC was expected", parts.status).into());
        }
        let body = Limited::new(body, MESSAGE_LIMIT_BYTES).collect().await?;
        // A refusal may come as headers alone, without trailers.
        let ends = body.trailers().filter(|t| t.contains_key("grpc-status")).unwrap_or(&parts.headers).clone();
        let text = |name: &str| ends.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let status = text("grpc-status").parse().map_err(|_| "no grpc-status")?;
        let (message, why) = (text("grpc-message").to_owned(), parts.headers.get(WHY).cloned());
        let item = if status == 0 { Item::parse(&body.to_bytes()).ok_or("not a message")? } else { Item::default() };
        Ok(Reply { status, message, why, item })
    }

    async fn sender(&self) -> Result<http2::SendRequest<Full<Bytes>>, Failure> {
        let mut kept = self.connection.lock().await;
        if let Some(sender) = kept.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        *kept = Some(sender.clone());
        Ok(sender)
    }
}
