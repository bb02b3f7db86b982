//! Certificates, plan files, an application, and a pair of sidecars between it and the test.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{Action, Protocol, SpiffeId};
use plan::{
    Balance, HeaderEdits, Inbound, Match, NoMatch, Outbound, Plan, ProxyRef, Recording, Retry, Route, Rule, Source,
    Target, TargetId, WeightedTarget,
};
use proxy::{Config, Sidecar};
use serde_json::{Value, json};
use telemetry::{Direction, Totals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;
pub type H1 = hyper::client::conn::http1::SendRequest<Body>;
pub type H2 = hyper::client::conn::http2::SendRequest<Body>;

/// Longer than anything here takes; only a failing test waits for it.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// Waits until `check` gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut check: impl FnMut() -> F) -> T {
    let start = tokio::time::Instant::now();
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future).await.expect("took too long")
}

/// A folder of its own with a CA.
pub struct Mesh {
    pub folder: PathBuf,
    pub authority: ca::Authority,
    serial: AtomicU32,
}

impl Mesh {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("meshglass-proxy-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let authority = ca::Authority::generate("11111111-2222-3333-4444-555555555555", SystemTime::now()).unwrap();
        std::fs::write(folder.join("roots.pem"), &authority.root().root_cert).unwrap();
        Self { folder, authority, serial: AtomicU32::new(1) }
    }

    pub fn id(&self, service: &str) -> SpiffeId {
        SpiffeId::service(self.authority.trust_domain(), "dc1", service)
    }

    /// Writes a new leaf for the service.
    pub fn leaf(&self, service: &str) -> (PathBuf, PathBuf) {
        let (key, csr) = ca::csr::new(&self.id(service)).unwrap();
        let serial = u64::from(self.serial.fetch_add(1, Ordering::Relaxed));
        let leaf = self.authority.sign(&csr, &ca::Terms::new("dc1", serial), SystemTime::now()).unwrap();
        let paths = (self.folder.join(format!("{service}.pem")), self.folder.join(format!("{service}.key")));
        std::fs::write(&paths.0, leaf.cert_pem).unwrap();
        std::fs::write(&paths.1, key.expose()).unwrap();
        paths
    }

    fn plan(&self, service: &str) -> Plan {
        let proxy = ProxyRef {
            id: format!("{service}-sidecar-proxy"),
            service: service.to_owned(),
            service_id: format!("{service}-1"),
            node: "n1".to_owned(),
            datacenter: "dc1".to_owned(),
            version: "v1".to_owned(),
            zone: "z1".to_owned(),
        };
        Plan {
            proxy,
            identity: self.id(service),
            inbound: Vec::new(),
            outbound: Vec::new(),
            targets: BTreeMap::new(),
            recording: Recording::default(),
            warnings: Vec::new(),
        }
    }

    /// The plan of a service with an application and rules.
    pub fn server_plan(
        &self,
        service: &str,
        protocol: Protocol,
        application: SocketAddr,
        rules: &[(&str, Action)],
    ) -> Plan {
        let rule = |(source, action): &(&str, Action)| Rule {
            source: if *source == "*" { Source::Any } else { Source::Service((*source).to_owned()) },
            action: *action,
            intention: format!("{} default/{source} => default/{service}", action.as_str().to_uppercase()),
        };
        let inbound = Inbound {
            name: "public_listener".to_owned(),
            bind: "127.0.0.1".to_owned(),
            port: 0,
            protocol,
            application: application.to_string(),
            rules: rules.iter().map(rule).collect(),
            default: NoMatch { action: Action::Deny, reason: "default deny".to_owned() },
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            max_connections: 0,
        };
        Plan { inbound: vec![inbound], ..self.plan(service) }
    }

    pub fn target(&self, service: &str, subset: &str, protocol: Protocol) -> Target {
        let dot = if subset.is_empty() { "" } else { "." };
        let id = format!("{subset}{dot}{service}.default.dc1");
        Target {
            service: service.to_owned(),
            namespace: "default".to_owned(),
            datacenter: "dc1".to_owned(),
            subset: subset.to_owned(),
            protocol,
            identity: self.id(service),
            sni: format!("{id}.internal.{}", self.authority.trust_domain()),
            connect_timeout: Duration::from_secs(5),
            max_connections: 0,
            max_pending_requests: 0,
            max_concurrent_requests: 0,
            filter: String::new(),
            only_passing: false,
            failover: Vec::new(),
            balance: Balance::default(),
            hash: Vec::new(),
            ejection: None,
            id: TargetId(id),
        }
    }

    /// The plan of a service that calls `upstream`.
    pub fn client_plan(&self, service: &str, upstream: &str, protocol: Protocol) -> Plan {
        let target = self.target(upstream, "", protocol);
        let id = target.id.clone();
        let route = route(upstream, vec![WeightedTarget::only(id.clone())]);
        let outbound = Outbound {
            name: upstream.to_owned(),
            bind: "127.0.0.1".to_owned(),
            port: 0,
            protocol,
            routes: vec![route],
        };
        Plan { outbound: vec![outbound], targets: [(id, Arc::new(target))].into(), ..self.plan(service) }
    }

    /// Writes a plan file (whole: a reader never sees half of one).
    pub fn write(&self, plan: &Plan, endpoints: &Value) -> PathBuf {
        let upstreams = plan.targets.keys().map(|id| (id.0.clone(), endpoints.clone())).collect();
        self.write_each(plan, &Value::Object(upstreams))
    }

    /// The same with endpoints by target.
    pub fn write_each(&self, plan: &Plan, upstreams: &Value) -> PathBuf {
        let service = &plan.proxy.service;
        let path = self.folder.join(format!("{service}.json"));
        let file = json!({
            "plan": plan,
            "endpoints": upstreams,
            "certificates": {
                "roots_file": "roots.pem",
                "cert_file": format!("{service}.pem"),
                "key_file": format!("{service}.key"),
            },
        });
        let fresh = path.with_extension("fresh");
        std::fs::write(&fresh, serde_json::to_vec_pretty(&file).unwrap()).unwrap();
        std::fs::rename(fresh, &path).unwrap();
        path
    }

    pub async fn start(&self, plan: &Plan, endpoints: &Value) -> Sidecar {
        self.run(plan, self.write(plan, endpoints)).await
    }

    /// Starts a sidecar from a file that is written.
    pub async fn run(&self, plan: &Plan, file: PathBuf) -> Sidecar {
        let certificate = self.folder.join(format!("{}.pem", plan.proxy.service));
        if !Path::exists(&certificate) {
            self.leaf(&plan.proxy.service);
        }
        let sidecar = Sidecar::start(Config::file(file)).unwrap();
        within(sidecar.ready()).await;
        sidecar
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Takes everything.
pub fn route(name: &str, targets: Vec<WeightedTarget>) -> Route {
    Route {
        name: name.to_owned(),
        when: Match::default(),
        targets,
        prefix_rewrite: None,
        timeout: Duration::ZERO,
        retry: Retry { attempts: 1, on_connect_failure: true, ..Retry::default() },
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
    }
}

pub fn inbound(sidecar: &Sidecar) -> SocketAddr {
    sidecar.addresses()[&(Direction::Inbound, "public_listener".to_owned())]
}

pub fn outbound(sidecar: &Sidecar, upstream: &str) -> SocketAddr {
    sidecar.addresses()[&(Direction::Outbound, upstream.to_owned())]
}

/// One application `db`, its sidecar, and the sidecar of `web`, which may call it.
pub struct Pair {
    pub mesh: Mesh,
    pub server_plan: Plan,
    pub server: Sidecar,
    pub client: Sidecar,
    pub address: SocketAddr,
}

pub const ALLOW: &[(&str, Action)] = &[("web", Action::Allow)];

impl Pair {
    pub async fn new(protocol: Protocol, application: SocketAddr, rules: &[(&str, Action)]) -> Self {
        let mesh = Mesh::new();
        let server_plan = mesh.server_plan("db", protocol, application, rules);
        let server = mesh.start(&server_plan, &json!([])).await;
        let client_plan = mesh.client_plan("web", "db", protocol);
        let endpoint = json!([{"address": inbound(&server).to_string(), "instance": "db-1", "node": "n2"}]);
        let client = mesh.start(&client_plan, &endpoint).await;
        let address = outbound(&client, "db");
        Self { mesh, server_plan, server, client, address }
    }

    pub async fn h1(&self) -> H1 {
        h1(self.address).await
    }

    pub async fn h2(&self) -> H2 {
        h2(self.address).await
    }

    /// Gives the server's sidecar other rules.
    pub fn set_rules(&self, rules: &[(&str, Action)]) {
        let address = self.server_plan.inbound[0].application.parse().unwrap();
        let plan = self.mesh.server_plan("db", self.server_plan.inbound[0].protocol, address, rules);
        self.mesh.write(&plan, &json!([]));
    }

    /// Stops both, the client first, and gives what each of them counted.
    pub async fn stop(self) -> (Totals, Totals) {
        let (client, server) = (self.client.telemetry(), self.server.telemetry());
        within(self.client.drain()).await;
        within(self.server.drain()).await;
        (sum(&client), sum(&server))
    }
}

pub fn sum(registry: &telemetry::Registry) -> Totals {
    let mut out = Totals::default();
    for values in registry.snapshot().cells.values() {
        let totals = values.totals();
        out.requests += totals.requests;
        out.retries += totals.retries;
        out.bytes_received += totals.bytes_received;
        out.bytes_sent += totals.bytes_sent;
        totals.codes.iter().for_each(|(code, n)| *out.codes.entry(*code).or_default() += n);
        totals.grpc_statuses.iter().for_each(|(code, n)| *out.grpc_statuses.entry(*code).or_default() += n);
        totals.flags.iter().for_each(|(flag, n)| *out.flags.entry(*flag).or_default() += n);
    }
    out
}

pub async fn h1(address: SocketAddr) -> H1 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

pub async fn h2(address: SocketAddr) -> H2 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub fn get(path: &str) -> Request<Body> {
    Request::get(path).header("host", "db").body(empty()).unwrap()
}

pub async fn text(response: Response<Incoming>) -> String {
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn why(response: &Response<Incoming>) -> String {
    response.headers().get("x-meshglass-why").map(|why| why.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// An application that speaks whatever it is spoken to; what it does is said by the path.
pub async fn application() -> SocketAddr {
    application_named("db-1").await
}

pub async fn application_named(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let service = service_fn(move |request| answer(name, request));
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn answer(
    name: &'static str,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Box<dyn std::error::Error + Send + Sync>> {
    let grpc = |status: &'static str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        trailers
    };
    let builder = Response::builder().header("x-answered-by", name);
    let response = match request.uri().path() {
        "/echo" => builder.body(request.into_body().map_err(Into::into).boxed()),
        "/headers" => {
            let seen: BTreeMap<String, String> = request
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect();
            builder.body(full(format!("{} {seen:?}", request.uri())))
        }
        "/never" => std::future::pending().await,
        "/stall" => {
            let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"begun")))]);
            let stalled = futures_util::StreamExt::chain(first, futures_util::stream::pending());
            builder.body(StreamBody::new(stalled).boxed())
        }
        "/socket" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = TokioIo::new(upgrade.await.unwrap());
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = socket.read(&mut buffer).await {
                    socket.write_all(&buffer[..n]).await.unwrap();
                }
            });
            builder
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .body(empty())
        }
        "/t.T/Echo" => {
            let body = request.into_body().map_err(Into::into);
            let body = body.with_trailers(std::future::ready(Some(Ok(grpc("0")))));
            builder.header("content-type", "application/grpc").body(body.boxed())
        }
        "/t.T/Fail" => builder.header("content-type", "application/grpc").header("grpc-status", "13").body(empty()),
        // Some instances are worse than others.
        "/flaky" if name.starts_with("bad") => builder.status(503).body(full("no")),
        "/reset" if name.starts_with("bad") => return Err("reset".into()),
        "/missing" => builder.status(404).body(full("no")),
        _ => builder.body(full("hello")),
    };
    Ok(response.unwrap())
}
