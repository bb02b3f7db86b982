//! Listeners and the connections they accept: handshake, identity, verdict, then HTTP or TCP.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use model::{Protocol, SpiffeId};
use plan::Inbound;
use telemetry::{CellKey, Direction, ListenerCounters, Peer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::authorize::{Verdict, judge};
use crate::balance::Place;
use crate::connect::Cluster;
use crate::forward;
use crate::io::{Io, Meter};
use crate::limits::{
    CALLERS_PER_LISTENER, CONNECTION_WINDOW_BYTES, CONNECTIONS_PER_LISTENER, DOWNSTREAM_IDLE, HANDSHAKE_TIMEOUT,
    HEAD_BYTES, PAUSE_WITHOUT_FILES, PING_INTERVAL, PING_TIMEOUT, STREAM_SEND_BUFFER_BYTES, STREAM_WINDOW_BYTES,
    STREAMS_ACCEPTED,
};
use crate::record::{Cells, Records};
use crate::revoke::Revocation;
use crate::route::OutboundRole;
use crate::tcp;
use crate::tls::{self, Material};
use crate::worker::LocalExecutor;

/// What the current plan says a listener does.
pub(crate) enum Role {
    Inbound(InboundRole),
    Outbound(OutboundRole),
}

/// By service, then by the label its sidecar sends.
type Callers = HashMap<Box<str>, HashMap<Box<[u8]>, Rc<Cells>>>;

/// An inbound listener as the current plan has it.
pub(crate) struct InboundRole {
    pub plan: Inbound,
    pub ours: SpiffeId,
    pub application: Rc<Cluster>,
    pub tls: Arc<Material>,
    pub request_timeout: Option<Duration>,
    callers: RefCell<Callers>,
}

impl InboundRole {
    pub fn new(plan: &Inbound, ours: &SpiffeId, application: Rc<Cluster>, tls: Arc<Material>) -> Self {
        Self {
            plan: plan.clone(),
            ours: ours.clone(),
            application,
            tls,
            request_timeout: (!plan.request_timeout.is_zero()).then_some(plan.request_timeout),
            callers: RefCell::default(),
        }
    }

    /// The cells of a caller: its service as its certificate says, the rest as its sidecar's label says.
    pub fn caller(&self, peer: Option<&SpiffeId>, label: Option<&HeaderValue>) -> Rc<Cells> {
        let service = peer.map_or("", |peer| peer.service.as_str());
        let label = label.map_or(&[][..], HeaderValue::as_bytes);
        if let Some(cells) = self.callers.borrow().get(service).and_then(|labels| labels.get(label)) {
            return cells.clone();
        }
        let mut callers = self.callers.borrow_mut();
        let full = callers.values().map(HashMap::len).sum::<usize>() >= CALLERS_PER_LISTENER;
        let text = if full { std::borrow::Cow::default() } else { String::from_utf8_lossy(label) };
        let mut parts = text.split(';').map(Arc::<str>::from);
        let mut next = || parts.next().unwrap_or_default();
        let (instance, node, zone, version) = (next(), next(), next(), next());
        let peer = Peer { service: service.into(), instance, node, zone, version, address: "".into() };
        let key = CellKey {
            direction: Direction::Inbound,
            listener: self.plan.name.as_str().into(),
            protocol: self.plan.protocol,
            target: self.application.id.clone(),
            peer,
            route: "".into(),
            grpc_service: "".into(),
            grpc_method: "".into(),
        };
        let cells = Rc::new(Cells::new(key));
        if !full {
            callers.entry(service.into()).or_default().insert(label.into(), cells.clone());
        }
        cells
    }
}

/// One listener on one worker.
pub(crate) struct Listener {
    pub local: SocketAddr,
    pub counters: Arc<ListenerCounters>,
    pub records: Rc<Records>,
    role: RefCell<Rc<Role>>,
    connections: RefCell<HashMap<u64, Weak<Conn>>>,
    accepted: Cell<u64>,
    /// Connections whose task runs, handshakes included. An upgraded connection outlives its task.
    serving: Rc<Cell<u32>>,
    /// How many workers share this listener's limit.
    workers: u32,
    stop: Notify,
}

impl Listener {
    pub fn new(
        local: SocketAddr,
        counters: Arc<ListenerCounters>,
        records: Rc<Records>,
        role: Rc<Role>,
        workers: usize,
    ) -> Rc<Self> {
        Rc::new(Self {
            local,
            counters,
            records,
            role: RefCell::new(role),
            connections: RefCell::default(),
            accepted: Cell::new(0),
            serving: Rc::default(),
            workers: u32::try_from(workers).unwrap_or(1),
            stop: Notify::new(),
        })
    }

    pub fn role(&self) -> Rc<Role> {
        self.role.borrow().clone()
    }

    /// Connections accepted and not yet gone, handshakes included.
    pub fn open(&self) -> u32 {
        let known = u32::try_from(self.connections.borrow().len()).unwrap_or(u32::MAX);
        self.serving.get().max(known)
    }

    /// A new plan: from now on requests go by it, on connections old and new; what is open and no longer allowed ends.
    pub fn set_role(&self, role: Rc<Role>) {
        *self.role.borrow_mut() = role;
        for conn in self.all() {
            conn.judge_again();
        }
    }

    fn all(&self) -> Vec<Rc<Conn>> {
        self.connections.borrow().values().filter_map(Weak::upgrade).collect()
    }

    /// Stops accepting and asks every connection to end when its requests have.
    pub fn close(&self) {
        self.stop.notify_one();
        for conn in self.all() {
            conn.close.notify_one();
        }
    }

    pub fn idle_timeout(&self) -> Duration {
        match &*self.role() {
            Role::Inbound(role) => role.plan.idle_timeout,
            Role::Outbound(_) => Duration::ZERO,
        }
    }

    fn limit(&self) -> u32 {
        match &*self.role() {
            Role::Inbound(role) if role.plan.max_connections > 0 => role.plan.max_connections.div_ceil(self.workers),
            _ => CONNECTIONS_PER_LISTENER,
        }
    }

    /// Accepts until [`close`](Self::close).
    pub async fn run(self: Rc<Self>, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.notified() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => self.admit(stream, remote),
                Err(error) => {
                    // Out of file descriptors, mostly: accepting again at once would only spin.
                    tracing::warn!(%error, "accepting on {}", self.local);
                    tokio::time::sleep(PAUSE_WITHOUT_FILES).await;
                }
            }
        }
        // What the kernel has already accepted would be reset with the socket.
        while let Some((stream, remote)) = std::future::poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
            _ => Poll::Ready(None),
        })
        .await
        {
            self.admit(stream, remote);
        }
        drop(socket);
        self.close_all_later();
    }

    /// Connections accepted at the very end must end too.
    fn close_all_later(&self) {
        self.all().iter().for_each(|conn| conn.close.notify_one());
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        self.counters.cx_total.inc();
        if self.serving.get() >= self.limit() {
            self.counters.overflow.inc();
            return;
        }
        let _ = stream.set_nodelay(true);
        let active = Active::new(self);
        let listener = self.clone();
        tokio::task::spawn_local(async move {
            serve(listener, stream, remote).await;
            drop(active);
        });
    }
}

/// Counts a connection while its task lives.
struct Active {
    _serving: Place,
    counters: Arc<ListenerCounters>,
}

impl Active {
    fn new(listener: &Listener) -> Self {
        listener.counters.cx_active.inc();
        Self { _serving: Place::take(&listener.serving), counters: listener.counters.clone() }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.counters.cx_active.dec();
    }
}

/// One accepted connection, and everything that came of it (streams, an upgrade).
pub(crate) struct Conn {
    pub listener: Rc<Listener>,
    pub remote: SocketAddr,
    /// Who calls, from its certificate. None on outbound listeners: the application itself.
    pub peer: Option<SpiffeId>,
    pub revocation: Rc<Revocation>,
    pub close: Notify,
    id: u64,
    verdict: RefCell<Option<(Rc<Role>, Verdict)>>,
    busy: Rc<Cell<u32>>,
    last_used: Rc<Cell<Instant>>,
}

impl Conn {
    fn new(listener: &Rc<Listener>, remote: SocketAddr, peer: Option<SpiffeId>) -> Rc<Self> {
        let id = listener.accepted.get();
        listener.accepted.set(id + 1);
        let conn = Rc::new(Self {
            listener: listener.clone(),
            remote,
            peer,
            revocation: Rc::default(),
            close: Notify::new(),
            id,
            verdict: RefCell::default(),
            busy: Rc::default(),
            last_used: Rc::new(Cell::new(Instant::now())),
        });
        listener.connections.borrow_mut().insert(id, Rc::downgrade(&conn));
        conn
    }

    /// What the current plan says of this caller; decided once per connection and plan.
    pub fn verdict(&self) -> Verdict {
        let role = self.listener.role();
        if let Some((judged, verdict)) = self.verdict.borrow().as_ref()
            && Rc::ptr_eq(judged, &role)
        {
            return verdict.clone();
        }
        let verdict = match (&*role, &self.peer) {
            (Role::Inbound(inbound), Some(peer)) => judge(&inbound.plan, &inbound.ours, peer),
            _ => Verdict::Allowed,
        };
        *self.verdict.borrow_mut() = Some((role, verdict.clone()));
        verdict
    }

    fn judge_again(&self) {
        if let Verdict::Denied(why) = self.verdict() {
            self.revocation.revoke(why);
        }
    }

    /// Held while a request is served: such a connection is not idle.
    pub fn busy(&self) -> Busy {
        self.busy.set(self.busy.get() + 1);
        Busy { busy: self.busy.clone(), last_used: self.last_used.clone() }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.listener.connections.borrow_mut().remove(&self.id);
    }
}

pub(crate) struct Busy {
    busy: Rc<Cell<u32>>,
    last_used: Rc<Cell<Instant>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.busy.set(self.busy.get() - 1);
        self.last_used.set(Instant::now());
    }
}

async fn serve(listener: Rc<Listener>, stream: TcpStream, remote: SocketAddr) {
    let meter = Meter::Listener(listener.counters.clone());
    match &*listener.role() {
        Role::Outbound(role) => {
            let conn = Conn::new(&listener, remote, None);
            let io = Io::plain(stream, meter);
            match role.plan.protocol {
                Protocol::Tcp => tcp::outbound(conn, role, io).await,
                _ => http(conn, io).await,
            }
        }
        Role::Inbound(role) => {
            let tcp = role.plan.protocol == Protocol::Tcp;
            let config = if tcp { &role.tls.tcp_server } else { &role.tls.http_server };
            let Some((io, peer)) = handshake(&listener, config.clone(), stream, meter, remote).await else { return };
            let conn = Conn::new(&listener, remote, Some(peer));
            if tcp { tcp::inbound(conn, io).await } else { http(conn, io).await }
        }
    }
}

/// TLS, and who the caller is: its certificate's chain is checked inside, its identity read after *every* handshake.
async fn handshake(
    listener: &Listener,
    config: Arc<rustls::ServerConfig>,
    stream: TcpStream,
    meter: Meter,
    remote: SocketAddr,
) -> Option<(Io, SpiffeId)> {
    let accept = tokio_rustls::TlsAcceptor::from(config).accept(stream);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, accept).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tls::count_failure(&listener.counters, &error);
            tracing::debug!(%remote, %error, "TLS handshake refused");
            return None;
        }
        Err(_) => {
            listener.counters.ssl_connection_error.inc();
            return None;
        }
    };
    let session = stream.get_ref().1;
    listener.counters.ssl_handshake.inc();
    if tls::resumed(session) {
        listener.counters.ssl_session_reused.inc();
    }
    match tls::peer(session) {
        Ok(peer) => Some((Io::tls(stream, meter), peer)),
        Err(error) => {
            listener.counters.ssl_fail_verify_san.inc();
            tracing::debug!(%remote, %error, "caller without an identity");
            None
        }
    }
}

/// HTTP/1.1 and HTTP/2, whichever the caller speaks (ALPN has already said, or prior knowledge does).
async fn http(conn: Rc<Conn>, io: Io) {
    let counters = conn.listener.counters.clone();
    if io.alpn() == Some(tls::H2) {
        counters.cx_http2_total.inc();
    } else {
        counters.cx_http1_total.inc();
    }
    let builder = server();
    let handler = conn.clone();
    let service = service_fn(move |request| forward::serve(handler.clone(), request));
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    tokio::pin!(serving);
    let idle = Some(conn.listener.idle_timeout()).filter(|limit| !limit.is_zero()).unwrap_or(DOWNSTREAM_IDLE);
    let mut closing = false;
    loop {
        let wake = conn.last_used.get() + idle;
        tokio::select! {
            served = serving.as_mut() => {
                if let Err(error) = served
                    && error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
                {
                    counters.cx_protocol_error.inc();
                }
                return;
            }
            () = conn.close.notified(), if !closing => {
                closing = true;
                serving.as_mut().graceful_shutdown();
            }
            () = tokio::time::sleep_until(wake), if !closing => {
                if conn.busy.get() > 0 {
                    conn.last_used.set(Instant::now());
                } else if conn.last_used.get() + idle <= Instant::now() {
                    closing = true;
                    counters.cx_idle_timeout.inc();
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

fn server() -> auto::Builder<LocalExecutor> {
    let mut builder = auto::Builder::new(LocalExecutor);
    builder
        .http1()
        .max_buf_size(HEAD_BYTES)
        .header_read_timeout(None)
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(STREAM_SEND_BUFFER_BYTES)
        .max_concurrent_streams(STREAMS_ACCEPTED)
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}
