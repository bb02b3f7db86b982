//! One request, one answer: over TCP with a small pool, or straight into a router of the same process.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::dial::{Target, Tls, words};
use crate::query::{Answer, Query};

/// No answer of `/v1` is larger; a larger one is refused, not buffered.
const BODY_LIMIT_BYTES: usize = 64 << 20;
/// Idle connections kept for the next request.
const IDLE_LIMIT: usize = 8;
/// A server must answer a blocking query by wait + wait/16; this much longer is a dead server.
const GRACE: Duration = Duration::from_secs(30);
/// How long a write may take.
pub(crate) const WRITE_TIMEOUT: Duration = GRACE;

type Call = dyn Fn(Request<Bytes>) -> Pin<Box<dyn Future<Output = Response<Bytes>> + Send>> + Send + Sync;
type Sender = http1::SendRequest<Full<Bytes>>;

/// Why a call gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {}", words(source))]
    Connect { what: String, source: std::io::Error },
    #[error("{what}: {source}")]
    Transport { what: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// The server answered, and not with success.
    #[error("Unexpected response code: {} ({})", status.as_u16(), body)]
    Status { status: StatusCode, body: String },
    /// The same, where Consul's client does not tell what the server said.
    #[error("Unexpected response code: {}", status.as_u16())]
    Refused { status: StatusCode },
    #[error("{what}: the answer is not what was expected: {source}")]
    Decode { what: String, source: serde_json::Error },
}

impl Error {
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } | Self::Refused { status } => Some(*status),
            _ => None,
        }
    }
}

/// An answer as it came, of any status.
#[derive(Debug, Clone)]
pub struct Raw {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Raw {
    pub fn index(&self) -> u64 {
        self.header("x-consul-index").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The status as an error unless it is a success.
    pub fn success(self) -> Result<Self, Error> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(Error::Status { status: self.status, body: self.text() })
    }
}

#[derive(Clone)]
enum Transport {
    Network { target: Target, idle: Arc<Mutex<Vec<Sender>>> },
    InProcess(Arc<Call>),
}

/// A handle on one server or agent. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    token: Option<String>,
    authorization: Option<String>,
}

/// Where a server is and how to prove who is asking. Has no `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub struct Server {
    /// `host:port`, `http://…`, `https://…` or `unix://path`.
    pub address: String,
    /// TLS for an address without a scheme.
    pub ssl: bool,
    pub tls: Tls,
    pub token: Option<String>,
    /// `user:password`
    pub basic_auth: Option<String>,
}

impl Client {
    /// Plain HTTP to `host:port`.
    pub fn http(address: String) -> Self {
        Self::over(Target::Tcp(address))
    }

    fn over(target: Target) -> Self {
        let transport = Transport::Network { target, idle: Arc::default() };
        Self { transport, token: None, authorization: None }
    }

    /// To a server as a user names one; no connection is made yet.
    pub fn to(server: &Server) -> Result<Self, Error> {
        let target = Target::parse(&server.address, server.ssl, &server.tls)
            .map_err(|source| Error::Connect { what: server.address.clone(), source })?;
        let mut client = Self::over(target).with_token(server.token.clone());
        client.authorization = server.basic_auth.as_ref().map(|pair| format!("Basic {}", STANDARD.encode(pair)));
        Ok(client)
    }

    /// Calls a router of this process.
    pub fn in_process<F, R>(call: F) -> Self
    where
        F: Fn(Request<Bytes>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Bytes>> + Send + 'static,
    {
        let transport = Transport::InProcess(Arc::new(move |request| Box::pin(call(request))));
        Self { transport, token: None, authorization: None }
    }

    pub fn with_token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// Proves itself by a bearer token, as others than Consul want it.
    pub fn with_bearer(mut self, token: &str) -> Self {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    pub fn address(&self) -> &str {
        match &self.transport {
            Transport::Network { target, .. } => target.address(),
            Transport::InProcess(_) => "this process",
        }
    }

    fn request(&self, method: &Method, path: &str, body: Bytes) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder().method(method.clone()).uri(path).header("host", self.address());
        if let Some(token) = &self.token {
            request = request.header("x-consul-token", token);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request.body(body).map_err(|e| Error::Transport { what: self.describe(method, path), source: e.into() })
    }

    fn describe(&self, method: &Method, path: &str) -> String {
        match &self.transport {
            Transport::Network { target, .. } => target.describe(method, path),
            Transport::InProcess(_) => format!("{method} {path}"),
        }
    }

    /// Any request; any status is an answer.
    pub async fn send(&self, method: Method, path: &str, body: Bytes, timeout: Duration) -> Result<Raw, Error> {
        let request = self.request(&method, path, body)?;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(late) => Err(Error::Transport { what: self.describe(&method, path), source: late.into() }),
        }
    }

    /// A request with headers of its own; one of the same name is replaced.
    pub async fn send_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
        timeout: Duration,
    ) -> Result<Raw, Error> {
        let mut request = self.request(&method, path, body)?;
        let what = self.describe(&method, path);
        let bad = |source: Box<dyn std::error::Error + Send + Sync>| Error::Transport { what: what.clone(), source };
        for (name, _) in headers {
            request.headers_mut().remove(*name);
        }
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|e| bad(e.into()))?;
            let value = http::HeaderValue::from_str(value).map_err(|e| bad(e.into()))?;
            request.headers_mut().append(name, value);
        }
        let answer = tokio::time::timeout(timeout, self.exchange(request)).await;
        answer.unwrap_or_else(|late| Err(bad(late.into())))
    }

    /// A read whose answer never ends (logs, events), piece by piece.
    pub async fn follow(&self, path: &str, query: &Query) -> Result<Following, Error> {
        let request = self.request(&Method::GET, &query.path(path), Bytes::new())?;
        let what = self.describe(request.method(), &query.path(path));
        let Transport::Network { target, .. } = &self.transport else {
            let answer = self.exchange(request).await?.success()?;
            return Ok(Following { what, rest: Rest::Whole(Some(answer.body)) });
        };
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| Error::Transport { what: what.clone(), source };
        let mut sender = connect(target, &what).await?;
        let (parts, body) = sender.send_request(request.map(Full::new)).await.map_err(|e| fail(e.into()))?.into_parts();
        if parts.status.is_success() {
            return Ok(Following { what, rest: Rest::Streaming { body, _connection: sender } });
        }
        let body = Limited::new(body, BODY_LIMIT_BYTES).collect().await.map_err(fail)?.to_bytes();
        Err(Error::Status { status: parts.status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Raw, Error> {
        match &self.transport {
            Transport::InProcess(call) => {
                let (parts, body) = call(request).await.into_parts();
                Ok(Raw { status: parts.status, headers: parts.headers, body })
            }
            Transport::Network { target, idle } => exchange_over(target, idle, request).await,
        }
    }

    /// A read that must succeed.
    pub async fn get_raw(&self, path: &str, query: &Query) -> Result<Raw, Error> {
        self.read(path, query).await?.success()
    }

    /// A read; any status is an answer.
    pub async fn read(&self, path: &str, query: &Query) -> Result<Raw, Error> {
        let timeout = GRACE + query.wait.map_or(Duration::ZERO, |wait| wait + wait / 16);
        self.send(Method::GET, &query.path(path), Bytes::new(), timeout).await
    }

    /// A read that must succeed, decoded.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<Answer<T>, Error> {
        let raw = self.get_raw(path, query).await?;
        Ok(Answer {
            value: decode(path, &raw.body)?,
            index: raw.index(),
            hash: raw.header("x-consul-contenthash").map(str::to_owned),
        })
    }

    /// A write that must succeed; gives the body.
    pub async fn put<B: Serialize + Sync + ?Sized>(&self, path: &str, body: &B) -> Result<Raw, Error> {
        let bytes = serde_json::to_vec(body).map_err(|source| Error::Decode { what: path.to_owned(), source })?;
        self.send(Method::PUT, path, bytes.into(), WRITE_TIMEOUT).await?.success()
    }
}

pub(crate) fn decode<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Decode { what: what.to_owned(), source })
}

/// An answer in pieces, as [`Client::follow`] gives it.
pub struct Following {
    what: String,
    rest: Rest,
}

enum Rest {
    Whole(Option<Bytes>),
    Streaming { body: Incoming, _connection: Sender },
}

impl Following {
    /// The next piece; `None` when the other side ended it.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let body = match &mut self.rest {
            Rest::Whole(whole) => return Ok(whole.take()),
            Rest::Streaming { body, .. } => body,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| Error::Transport { what: self.what.clone(), source: e.into() })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

async fn exchange_over(target: &Target, idle: &Mutex<Vec<Sender>>, request: Request<Bytes>) -> Result<Raw, Error> {
    let what = target.describe(request.method(), &request.uri().to_string());
    let mut sender = match pooled(idle) {
        Some(sender) => sender,
        None => connect(target, &what).await?,
    };
    let retry = request.clone();
    let answer = match sender.send_request(request.map(Full::new)).await {
        // A kept connection that the server closed meanwhile: nothing was processed, try once on a fresh one.
        Err(error) if error.is_canceled() || error.is_closed() => {
            sender = connect(target, &what).await?;
            sender.send_request(retry.map(Full::new)).await
        }
        answer => answer,
    };
    let fail = |source: Box<dyn std::error::Error + Send + Sync>| Error::Transport { what: what.clone(), source };
    let (parts, body) = answer.map_err(|e| fail(e.into()))?.into_parts();
    let body = Limited::new(body, BODY_LIMIT_BYTES).collect().await.map_err(fail)?.to_bytes();
    let mut idle = idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !sender.is_closed() && idle.len() < IDLE_LIMIT {
        idle.push(sender);
    }
    Ok(Raw { status: parts.status, headers: parts.headers, body })
}

fn pooled(idle: &Mutex<Vec<Sender>>) -> Option<Sender> {
    let mut idle = idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::iter::from_fn(|| idle.pop()).find(|sender| sender.is_ready())
}

async fn connect(target: &Target, what: &str) -> Result<Sender, Error> {
    let what = || format!("{what}: {}", target.dialled());
    let stream = target.connect().await.map_err(|source| Error::Connect { what: what(), source })?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| Error::Transport { what: what(), source: e.into() })?;
    // Ends with the connection; a failure reaches whoever waits for an answer on it.
    tokio::spawn(connection);
    Ok(sender)
}
