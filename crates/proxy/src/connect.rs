//! Connections to upstreams: dialled, proven to be who they must be, pooled per host. Everything here belongs to one
//! worker and one (target, host, identity, CA generation).

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use model::SpiffeId;
use plan::{Ejection, Endpoint, HashPolicy, TargetId};
use rustls::ClientConfig;
use telemetry::{Peer, TargetCounters};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::answer::{Failure, Kind};
use crate::balance::{Balancer, Place};
use crate::body::RequestBody;
use crate::eject::Conduct;
use crate::io::{Io, Meter};
use crate::limits::{
    CONNECTION_WINDOW_BYTES, HEAD_BYTES, IDLE_PER_HOST, OPENINGS_PER_LEASE, PING_INTERVAL, PING_TIMEOUT,
    STREAM_SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES, STREAMS_PER_CONNECTION, UPSTREAM_IDLE,
};
use crate::tls::{self, Material};
use crate::worker::LocalExecutor;

type H1Sender = http1::SendRequest<RequestBody>;
type H2Sender = http2::SendRequest<RequestBody>;
type Waiters = Vec<oneshot::Sender<Result<(), Failure>>>;

/// How a host is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    H1,
    H2,
    Tcp,
}

/// A target as one worker uses it.
pub(crate) struct Cluster {
    /// `db.default.dc1`, or `local_app`.
    pub id: Arc<str>,
    /// What the other side must prove to be. None: the application, spoken to without TLS.
    pub identity: Option<SpiffeId>,
    pub sni: String,
    pub service: Arc<str>,
    pub balancer: Balancer,
    /// All hosts, healthy or not: an unhealthy one keeps its pool for when it is back.
    pub hosts: Vec<Rc<Host>>,
    /// What a 503 says when no host is healthy.
    pub unwell: String,
    pub limits: Limits,
    /// Those that stand in when no host here is good, in this order.
    pub failover: Vec<TargetId>,
    pub hash: Vec<HashPolicy>,
    pub ejection: Option<Ejection>,
    pub load: Rc<Load>,
    pub connect_timeout: Duration,
    pub counters: Arc<TargetCounters>,
}

/// This worker's share of a target's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub connections: u32,
    pub pending: u32,
    pub requests: u32,
}

/// How much of the limits is used. Outlives plan changes.
#[derive(Default)]
pub(crate) struct Load {
    pub connections: Rc<Cell<u32>>,
    pub requests: Rc<Cell<u32>>,
    /// Attempts after a first one.
    pub retries: Rc<Cell<u32>>,
    /// Requests waiting for a connection.
    waiting: RefCell<VecDeque<oneshot::Sender<()>>>,
}

impl Load {
    fn wake_one(&self) {
        while let Some(waiter) = self.waiting.borrow_mut().pop_front() {
            if waiter.send(()).is_ok() {
                break;
            }
        }
    }
}

/// One instance.
pub(crate) struct Host {
    pub endpoint: Endpoint,
    pub peer: Peer,
    pub pool: Rc<Pool>,
}

impl Host {
    pub fn weight(&self) -> u32 {
        self.endpoint.weight.max(1)
    }

    pub fn active(&self) -> u64 {
        // Compared between hosts of different weights.
        u64::from(self.pool.active.get()) * 1000 / u64::from(self.weight())
    }

    /// Left out for its conduct.
    pub fn is_out(&self) -> bool {
        self.pool.conduct.is_out()
    }

    /// `instance "db-1" on node "n1" at 127.0.0.1:21000`
    pub fn describe(&self) -> String {
        let Endpoint { instance, node, address, .. } = &self.endpoint;
        match (instance.is_empty(), node.is_empty()) {
            (true, _) => format!("the application at {address}"),
            (false, true) => format!("instance {instance:?} at {address}"),
            (false, false) => format!("instance {instance:?} on node {node:?} at {address}"),
        }
    }
}

/// A host's connections. Kept over plan changes as long as address, identity and CA generation stay.
pub(crate) struct Pool {
    pub address: String,
    pub identity: Option<SpiffeId>,
    /// Zero without TLS.
    pub generation: u64,
    tls: Option<Arc<Material>>,
    configs: [OnceCell<Arc<ClientConfig>>; 3],
    active: Rc<Cell<u32>>,
    pub conduct: Conduct,
    h1: RefCell<Vec<IdleH1>>,
    h2: RefCell<Vec<Rc<SharedH2>>>,
    /// Somebody is opening an HTTP/2 connection; these wait for it too.
    opening: RefCell<Option<Waiters>>,
}

struct IdleH1 {
    sender: H1Sender,
    since: Instant,
}

struct SharedH2 {
    sender: H2Sender,
    streams: Rc<Cell<u32>>,
    used: Cell<Instant>,
}

impl Pool {
    pub fn new(address: &str, identity: Option<SpiffeId>, tls: Option<Arc<Material>>) -> Self {
        let generation = tls.as_ref().map_or(0, |material| material.generation);
        Self {
            address: address.to_owned(),
            identity,
            generation,
            tls,
            configs: Default::default(),
            active: Rc::default(),
            conduct: Conduct::default(),
            h1: RefCell::default(),
            h2: RefCell::default(),
            opening: RefCell::default(),
        }
    }

    /// Closes what was not used for long. In-flight requests hold their connections themselves.
    pub fn close_idle(&self, now: Instant) {
        self.h1.borrow_mut().retain(|idle| !idle.sender.is_closed() && now - idle.since < UPSTREAM_IDLE);
        self.h2.borrow_mut().retain(|shared| {
            let idle = shared.streams.get() == 0 && now - shared.used.get() >= UPSTREAM_IDLE;
            !shared.sender.is_closed() && !idle
        });
    }

    fn config(&self, material: &Material, wire: Wire) -> &Arc<ClientConfig> {
        let (index, alpn) = match wire {
            Wire::H1 => (0, Some(tls::H1)),
            Wire::H2 => (1, Some(tls::H2)),
            Wire::Tcp => (2, None),
        };
        self.configs[index].get_or_init(|| material.client(alpn))
    }
}

/// Counts an open connection for as long as it lives.
pub(crate) struct Open {
    _place: Place,
    load: Rc<Load>,
    counters: Arc<TargetCounters>,
}

impl Open {
    fn new(cluster: &Cluster) -> Self {
        cluster.counters.cx_total.inc();
        cluster.counters.cx_active.inc();
        Self {
            _place: Place::take(&cluster.load.connections),
            load: cluster.load.clone(),
            counters: cluster.counters.clone(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.cx_active.dec();
        self.counters.cx_destroy.inc();
        self.load.wake_one();
    }
}

/// A connection (or one stream of it) for one request.
pub(crate) struct Lease {
    sender: Sender,
    pool: Rc<Pool>,
    load: Rc<Load>,
    _active: Place,
    /// The request's place in the target's limit, once the answer has begun.
    request: Option<Place>,
}

enum Sender {
    H1(H1Sender),
    H2 { shared: Rc<SharedH2>, _stream: Place },
}

/// Why an attempt gave no answer, and the request itself if it was never sent.
pub(crate) struct Unsent {
    pub failure: Failure,
    pub request: Option<Request<RequestBody>>,
}

impl Lease {
    pub async fn send(
        &mut self,
        request: Request<RequestBody>,
        host: &Host,
    ) -> Result<Response<Incoming>, Box<Unsent>> {
        let answer = match &mut self.sender {
            Sender::H1(sender) => sender.try_send_request(request).await,
            Sender::H2 { shared, .. } => {
                // A clone is a reference count; hyper's sender wants `&mut` and streams share it.
                let mut sender = shared.sender.clone();
                sender.try_send_request(request).await
            }
        };
        answer.map_err(|mut error| {
            let request = error.take_message();
            let kind = if request.is_some() { Kind::ClosedUnused } else { Kind::Closed };
            let why = format!("{} gave no answer: {}", host.describe(), chain(&error.into_error()));
            Box::new(Unsent { failure: Failure::new(kind, why), request })
        })
    }

    /// The connection turned out to be closed, or about to be: nobody shall get it again.
    pub fn discard(self) {
        if let Sender::H2 { shared, .. } = &self.sender {
            self.pool.h2.borrow_mut().retain(|other| !Rc::ptr_eq(other, shared));
        }
    }

    /// Holds the request's place in its target's limit until the answer has ended.
    pub fn keep(&mut self, request: Place) {
        self.request = Some(request);
    }

    /// The answer was read to its end. A connection whose request is still being sent cannot be used again.
    pub fn finished(self, request_read: bool) {
        if let Sender::H1(sender) = self.sender
            && request_read
            && !sender.is_closed()
        {
            let mut idle = self.pool.h1.borrow_mut();
            if idle.len() < IDLE_PER_HOST {
                idle.push(IdleH1 { sender, since: Instant::now() });
            }
        }
        self.load.wake_one();
    }
}

impl Cluster {
    /// Takes note of how an attempt went.
    pub fn judge(&self, host: &Host, good: bool) {
        let Some(rule) = &self.ejection else { return };
        if good {
            return host.pool.conduct.good();
        }
        let room = || {
            let (out, all) = (self.balancer.out() as u64 + 1, self.balancer.len() as u64);
            // One may always go, as in Envoy, but never the last.
            all > 1 && (out == 1 || out * 100 <= u64::from(rule.max_percent) * all)
        };
        if host.pool.conduct.bad(rule, room) {
            self.counters.ejections_total.inc();
            tracing::info!("{} is left out of {} for its answers", host.describe(), self.id);
        }
    }

    /// A connection to `host`; `fresh`: not one that was used before.
    pub async fn lease(self: &Rc<Self>, host: &Rc<Host>, wire: Wire, fresh: bool) -> Result<Lease, Failure> {
        let active = Place::take(&host.pool.active);
        let sender = match wire {
            Wire::H2 => self.lease_h2(host).await?,
            Wire::H1 | Wire::Tcp => Sender::H1(self.lease_h1(host, fresh).await?),
        };
        Ok(Lease { sender, pool: host.pool.clone(), load: self.load.clone(), _active: active, request: None })
    }

    async fn lease_h1(self: &Rc<Self>, host: &Rc<Host>, fresh: bool) -> Result<H1Sender, Failure> {
        loop {
            while !fresh && let Some(mut idle) = take_idle(&host.pool) {
                // Its last answer was read a moment ago and the connection may not have noticed yet.
                if idle.is_ready() || idle.ready().await.is_ok() {
                    return Ok(idle);
                }
            }
            if self.load.connections.get() < self.limits.connections {
                return self.open_h1(host).await;
            }
            self.wait_for_connection().await?;
        }
    }

    async fn wait_for_connection(&self) -> Result<(), Failure> {
        if self.load.waiting.borrow().len() >= self.limits.pending as usize {
            self.counters.rq_pending_overflow.inc();
            let Limits { connections, pending, .. } = self.limits;
            let why = format!("{} has {connections} connections and {pending} requests waiting for one", self.id);
            return Err(Failure::new(Kind::Overflow, why));
        }
        let (wake, woken) = oneshot::channel();
        self.load.waiting.borrow_mut().push_back(wake);
        self.counters.rq_pending_total.inc();
        self.counters.rq_pending_active.inc();
        let _pending = Pending(&self.counters);
        // A waker that is gone means that the target is: the next attempt says so.
        let _ = woken.await;
        Ok(())
    }

    async fn open_h1(self: &Rc<Self>, host: &Host) -> Result<H1Sender, Failure> {
        let (io, open) = self.dial(host, Wire::H1).await?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (sender, connection) =
            builder.handshake(TokioIo::new(io)).await.map_err(|error| greeting_failed(host, &error))?;
        self.counters.cx_http1_total.inc();
        tokio::task::spawn_local(async move {
            // A failure reaches whoever waits for an answer on it.
            let _ = connection.with_upgrades().await;
            drop(open);
        });
        Ok(sender)
    }

    async fn lease_h2(self: &Rc<Self>, host: &Rc<Host>) -> Result<Sender, Failure> {
        // A host that takes connections only to close them must not keep its callers here for ever.
        for _ in 0..OPENINGS_PER_LEASE {
            if let Some(shared) = usable_h2(&host.pool) {
                let stream = Place::take(&shared.streams);
                shared.used.set(Instant::now());
                return Ok(Sender::H2 { shared, _stream: stream });
            }
            let (wake, woken) = oneshot::channel();
            let first = host.pool.opening.borrow().is_none();
            host.pool.opening.borrow_mut().get_or_insert_default().push(wake);
            if first {
                // A task of its own: the request that began it may be cancelled while others wait for it.
                let (cluster, host) = (self.clone(), host.clone());
                tokio::task::spawn_local(async move {
                    let opened = cluster.open_h2(&host).await;
                    for waiter in host.pool.opening.take().unwrap_or_default() {
                        let _ = waiter.send(opened.clone());
                    }
                });
            }
            woken.await.unwrap_or_else(|_| Err(Failure::new(Kind::ConnectFailed, "the worker is stopping")))?;
        }
        let why = format!("{} closes or fills every connection at once", host.describe());
        Err(Failure::new(Kind::ConnectFailed, why))
    }

    async fn open_h2(self: &Rc<Self>, host: &Host) -> Result<(), Failure> {
        if self.load.connections.get() >= self.limits.connections {
            self.counters.cx_overflow.inc();
            let why = format!("{} has {} connections, each full", self.id, self.limits.connections);
            return Err(Failure::new(Kind::Overflow, why));
        }
        let (io, open) = self.dial(host, Wire::H2).await?;
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
            .max_header_list_size(HEAD_BYTES as u32)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| greeting_failed(host, &error))?;
        self.counters.cx_http2_total.inc();
        tokio::task::spawn_local(async move {
            let _ = connection.await;
            drop(open);
        });
        let shared = SharedH2 { sender, streams: Rc::default(), used: Cell::new(Instant::now()) };
        host.pool.h2.borrow_mut().push(Rc::new(shared));
        Ok(())
    }

    /// Opens a connection and, on a mesh hop, makes sure that the other side is exactly who the plan says.
    pub async fn dial(&self, host: &Host, wire: Wire) -> Result<(Io, Open), Failure> {
        let open = Open::new(self);
        match tokio::time::timeout(self.connect_timeout, self.dial_untimed(host, wire)).await {
            Ok(Ok(io)) => Ok((io, open)),
            Ok(Err(failure)) => {
                self.counters.cx_connect_fail.inc();
                Err(failure)
            }
            Err(_) => {
                self.counters.cx_connect_fail.inc();
                self.counters.cx_connect_timeout.inc();
                let limit = model::format_duration(self.connect_timeout);
                Err(Failure::new(Kind::ConnectTimeout, format!("connecting to {} took over {limit}", host.describe())))
            }
        }
    }

    async fn dial_untimed(&self, host: &Host, wire: Wire) -> Result<Io, Failure> {
        let failed = |error: &std::io::Error| {
            Failure::new(Kind::ConnectFailed, format!("connecting to {}: {}", host.describe(), chain(error)))
        };
        // Parsed here, per connection and not per request: an application may be named by a host name.
        let stream = match host.pool.address.parse::<SocketAddr>() {
            Ok(address) => TcpStream::connect(address).await,
            Err(_) => TcpStream::connect(host.pool.address.as_str()).await,
        };
        let stream = stream.map_err(|error| failed(&error))?;
        let _ = stream.set_nodelay(true);
        let meter = Meter::Target(self.counters.clone());
        let (Some(material), Some(identity)) = (&host.pool.tls, &self.identity) else {
            return Ok(Io::plain(stream, meter));
        };
        let connector = tokio_rustls::TlsConnector::from(host.pool.config(material, wire).clone());
        let stream = connector.connect(tls::server_name(&self.sni), stream).await.map_err(|error| {
            self.counters.ssl_connection_error.inc();
            if error.get_ref().is_some_and(|e| matches!(e.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))) {
                self.counters.ssl_fail_verify_error.inc();
                let why = format!("{} has a certificate that is not valid here: {}", host.describe(), chain(&error));
                return Failure::new(Kind::Identity, why);
            }
            failed(&error)
        })?;
        let session = stream.get_ref().1;
        self.counters.ssl_handshake.inc();
        if tls::resumed(session) {
            self.counters.ssl_session_reused.inc();
        }
        let proven = match tls::peer(session) {
            Ok(proven) if proven == *identity => return Ok(Io::tls(stream, meter)),
            Ok(proven) => proven.to_string(),
            Err(error) => error.to_string(),
        };
        self.counters.ssl_fail_verify_san.inc();
        let why = format!("{} must prove to be {identity} and proved: {proven}", host.describe());
        Err(Failure::new(Kind::Identity, why))
    }
}

struct Pending<'a>(&'a TargetCounters);

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.rq_pending_active.dec();
    }
}

fn take_idle(pool: &Pool) -> Option<H1Sender> {
    let mut idle = pool.h1.borrow_mut();
    std::iter::from_fn(|| idle.pop()).map(|idle| idle.sender).find(|sender| !sender.is_closed())
}

fn usable_h2(pool: &Pool) -> Option<Rc<SharedH2>> {
    let mut all = pool.h2.borrow_mut();
    all.retain(|shared| !shared.sender.is_closed());
    all.iter().find(|shared| shared.streams.get() < STREAMS_PER_CONNECTION).cloned()
}

fn greeting_failed(host: &Host, error: &hyper::Error) -> Failure {
    Failure::new(Kind::ConnectFailed, format!("greeting {}: {}", host.describe(), chain(error)))
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}
