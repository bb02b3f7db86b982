//! A request's way through the proxy: authorize, route, balance, connect, send; the answer's way back.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use model::Protocol;
use plan::Retry;
use telemetry::Flag;
use tokio::time::Instant;

use crate::accept::{Busy, Conn, Role};
use crate::answer::{Failure, Kind, refuse};
use crate::authorize::Verdict;
use crate::balance::Place;
use crate::body::{RequestBody, ResponseBody};
use crate::connect::{Cluster, Host, Lease, Wire};
use crate::detect::{self, Call};
use crate::headers::{self, PASSED_ON, SOURCE, WHY};
use crate::record::{Arrival, Exchange, Finisher};
use crate::retry::{Again, Budget};
use crate::route::{OutboundRole, RouteRole};
use crate::tunnel;

/// Answers one request. Never fails: what goes wrong becomes an answer.
pub(crate) async fn serve(
    conn: Rc<Conn>,
    mut request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let upgrade = request.headers().contains_key(http::header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let call = detect::call(&parts);
    let listener = conn.listener.clone();
    let arrival = Arrival { local: listener.local, remote: conn.remote, head: Some(&parts), grpc: call == Call::Grpc };
    let exchange = Exchange::begin(&listener.records, &listener.counters, &arrival);
    // Held here while there is no body to hold it: a caller that leaves drops this future.
    let finisher = Finisher::new(exchange.clone());
    let busy = conn.busy();
    let passage = Passage { conn: &conn, exchange: &exchange, call };
    let answer = match &*listener.role() {
        Role::Inbound(_) => passage.inbound(parts, body).await,
        Role::Outbound(role) => passage.outbound(role, parts, body).await,
    };
    Ok(match answer {
        Ok(passed) => passed.into_response(&conn, finisher, (upgrade, busy), call),
        Err(failure) => refuse(&failure, call, finisher),
    })
}

struct Passage<'a> {
    conn: &'a Rc<Conn>,
    exchange: &'a Rc<Exchange>,
    call: Call,
}

/// An upstream's answer, and what it needs to be passed on.
struct Passed {
    response: Response<Incoming>,
    lease: Lease,
    request: Place,
    deadline: Option<Instant>,
}

impl Passage<'_> {
    async fn inbound(&self, mut parts: Parts, body: Incoming) -> Result<Passed, Failure> {
        let Role::Inbound(role) = &*self.conn.listener.role() else {
            return Err(Failure::new(Kind::NoRoute, "the listener changed sides"));
        };
        let label = parts.headers.remove(SOURCE);
        let path = self.grpc_path(&parts);
        let cells = role.caller(self.conn.peer.as_ref(), label.as_ref());
        self.exchange.set_cell(cells.get(&self.conn.listener.records.recorder, path.as_deref()));
        self.exchange.log(|entry| {
            entry.source = cells.peer().clone();
            entry.upstream_cluster = role.application.id.clone();
        });
        // Watched from before the verdict is read, so that no revocation falls between.
        let mut revoked = self.conn.revocation.watch();
        if let Verdict::Denied(failure) = self.conn.verdict() {
            self.conn.listener.counters.rbac_denied.inc();
            return Err((*failure).clone());
        }
        self.conn.listener.counters.rbac_allowed.inc();
        let attempt = Attempts {
            cluster: &role.application,
            retry: &Retry::default(),
            timeout: role.request_timeout,
            wire: self.wire(role.plan.protocol),
        };
        tokio::select! {
            passed = self.attempt(&attempt, None, parts, body) => passed,
            failure = &mut revoked => {
                self.conn.listener.counters.rbac_denied.inc();
                Err((*failure).clone())
            }
        }
    }

    async fn outbound(&self, role: &OutboundRole, mut parts: Parts, body: Incoming) -> Result<Passed, Failure> {
        match &role.source {
            Some(source) => parts.headers.insert(SOURCE, source.clone()),
            None => parts.headers.remove(SOURCE),
        };
        let recorder = &self.conn.listener.records.recorder;
        let grpc = self.grpc_path(&parts);
        let route = role.route(parts.uri.path());
        let Some((route, cluster)) = route.and_then(|route| Some((route, route.target()?))) else {
            self.exchange.set_cell(role.unrouted.get(recorder, grpc.as_deref()));
            self.conn.listener.counters.no_route.inc();
            let why = format!("no route of upstream {:?} takes {}", role.plan.name, parts.uri.path());
            return Err(Failure::new(Kind::NoRoute, why));
        };
        let attempt =
            Attempts { cluster, retry: &route.retry, timeout: route.timeout, wire: self.wire(role.plan.protocol) };
        self.attempt(&attempt, Some(route), parts, body).await
    }

    fn grpc_path(&self, parts: &Parts) -> Option<String> {
        (self.call == Call::Grpc).then(|| parts.uri.path().to_owned())
    }

    /// gRPC cannot pass HTTP/1.1, a WebSocket handshake not (yet) HTTP/2; else the service's protocol says.
    fn wire(&self, protocol: Protocol) -> Wire {
        match (self.call, protocol) {
            (Call::WebSocket, _) => Wire::H1,
            (Call::Grpc, _) | (_, Protocol::Http2 | Protocol::Grpc) => Wire::H2,
            _ => Wire::H1,
        }
    }

    async fn attempt(
        &self,
        attempts: &Attempts<'_>,
        route: Option<&RouteRole>,
        parts: Parts,
        body: Incoming,
    ) -> Result<Passed, Failure> {
        let Some(limit) = attempts.timeout else { return attempts.run(self, route, parts, body).await };
        let deadline = Instant::from_std(self.exchange.started()) + limit;
        match tokio::time::timeout_at(deadline, attempts.run(self, route, parts, body)).await {
            Ok(passed) => passed.map(|passed| Passed { deadline: Some(deadline), ..passed }),
            Err(_) => {
                attempts.cluster.counters.rq_timeout.inc();
                self.conn.listener.counters.rq_timeout.inc();
                Err(attempts.late(limit))
            }
        }
    }
}

/// How a request may be tried, and where.
struct Attempts<'a> {
    cluster: &'a Rc<Cluster>,
    retry: &'a Retry,
    timeout: Option<Duration>,
    wire: Wire,
}

impl Attempts<'_> {
    fn late(&self, limit: Duration) -> Failure {
        let limit = model::format_duration(limit);
        let who = if self.cluster.identity.is_none() {
            self.cluster.hosts.first().map_or_else(String::new, |host| host.describe())
        } else {
            format!("{:?}", &*self.cluster.service)
        };
        Failure::new(Kind::Timeout, format!("{who} gave no answer within {limit}"))
    }

    /// The request's place in the target's limit.
    fn admit(&self) -> Result<Place, Failure> {
        let Cluster { load, limits, counters, id, .. } = &**self.cluster;
        if load.requests.get() >= limits.requests {
            counters.rq_pending_overflow.inc();
            let why = format!("{id} has {} requests in flight, its limit", limits.requests);
            return Err(Failure::new(Kind::Overflow, why));
        }
        Ok(Place::take(&load.requests))
    }

    async fn run(
        &self,
        passage: &Passage<'_>,
        route: Option<&RouteRole>,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Passed, Failure> {
        let exchange = passage.exchange;
        let grpc = passage.grpc_path(&parts);
        let record = |host: Option<&Rc<Host>>| self.record(passage, route, host, grpc.as_deref());
        let nowhere = |failure: Failure| {
            record(None);
            failure
        };
        let authority = headers::request(&mut parts, passage.call).map_err(nowhere)?;
        exchange.log(|entry| entry.request_id = headers::text(&parts.headers, &headers::REQUEST_ID));
        let place = self.admit().map_err(nowhere)?;
        let mut request = self.request(parts, &authority, RequestBody::new(body, exchange.clone()));
        let mut budget = Budget::new(self.retry);
        let mut host = self.cluster.balancer.pick(None).ok_or_else(|| nowhere(self.none_healthy()))?;
        let mut fresh = false;
        loop {
            record(Some(host));
            self.cluster.counters.rq_total.inc();
            let failure = match self.cluster.lease(host, self.wire, fresh).await {
                Err(failure) => failure,
                Ok(mut lease) => match lease.send(request, host).await {
                    Ok(response) => {
                        return Ok(Passed { response, lease, request: place, deadline: None });
                    }
                    Err(unsent) => {
                        let Some(back) = unsent.request else { return Err(unsent.failure) };
                        lease.discard();
                        request = back;
                        unsent.failure
                    }
                },
            };
            match budget.again(&failure, self.cluster.balancer.len().saturating_sub(1)) {
                Again::Elsewhere => host = self.cluster.balancer.pick(Some(host)).unwrap_or(host),
                Again::Fresh => fresh = true,
                Again::No => {
                    if self.retry.on_connect_failure && failure.kind.retry_safe() && self.retry.attempts > 0 {
                        self.cluster.counters.rq_retry_limit_exceeded.inc();
                        exchange.flag(Flag::URX);
                    }
                    return Err(failure);
                }
            }
            exchange.retried();
            self.cluster.counters.rq_retry.inc();
        }
    }

    /// Says where this attempt is counted, and for the log where it goes.
    fn record(&self, passage: &Passage<'_>, route: Option<&RouteRole>, host: Option<&Rc<Host>>, grpc: Option<&str>) {
        if let Some(route) = route {
            let cells = route.cells(self.cluster, host);
            passage.exchange.set_cell(cells.get(&passage.conn.listener.records.recorder, grpc));
            passage.exchange.log(|entry| {
                entry.route_name = route.name.clone();
                entry.upstream_cluster = self.cluster.id.clone();
                entry.requested_server_name.clone_from(&self.cluster.sni);
                entry.destination = cells.peer().clone();
            });
        }
        if let Some(host) = host {
            passage.exchange.log(|entry| entry.upstream_host.clone_from(&host.pool.address));
        }
    }

    fn request(&self, mut parts: Parts, authority: &Authority, body: RequestBody) -> Request<RequestBody> {
        match self.wire {
            Wire::H2 => headers::for_http2(&mut parts, authority),
            Wire::H1 | Wire::Tcp => headers::for_http1(&mut parts, authority),
        }
        Request::from_parts(parts, body)
    }

    fn none_healthy(&self) -> Failure {
        self.cluster.counters.cx_none_healthy.inc();
        Failure::new(Kind::NoHealthy, self.cluster.unwell.clone())
    }
}

impl Passed {
    fn into_response(
        self,
        conn: &Rc<Conn>,
        finisher: Finisher,
        (upgrade, busy): (Option<OnUpgrade>, Busy),
        call: Call,
    ) -> Response<ResponseBody> {
        let Self { mut response, mut lease, request, deadline } = self;
        let inbound = conn.peer.is_some();
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let upstream_upgrade = switching.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, body) = response.into_parts();
        headers::response(&mut parts);
        let exchange = finisher.exchange().clone();
        let why = parts.headers.get(WHY).cloned();
        exchange.upstream_answered(parts.status.as_u16(), why.is_none());
        exchange.grpc_status(&parts.headers);
        if let Some(why) = why {
            note_why(&exchange, &why, inbound, &mut parts);
        }
        match (upstream_upgrade, upgrade) {
            (Some(upstream), Some(caller)) if call == Call::WebSocket => {
                conn.listener.counters.cx_upgrades_total.inc();
                tunnel::start(conn.clone(), caller, upstream, (lease, request), finisher);
                Response::from_parts(parts, ResponseBody::empty())
            }
            (Some(_), _) => {
                refuse(&Failure::new(Kind::Closed, "the upstream switched protocols unasked"), call, finisher)
            }
            (None, _) => {
                let revoked = inbound.then(|| conn.revocation.watch());
                lease.keep(request);
                Response::from_parts(parts, ResponseBody::upstream(body, lease, finisher, (deadline, revoked, busy)))
            }
        }
    }
}

/// An answer that says why it was made by a mesh: by the other side's sidecar (then it is not its application's), or,
/// inbound, by the sidecar of something our application called and passed on.
fn note_why(exchange: &Exchange, why: &HeaderValue, inbound: bool, parts: &mut http::response::Parts) {
    let passed_on = why.as_bytes().starts_with(PASSED_ON.as_bytes());
    if inbound && !passed_on {
        let marked = [PASSED_ON.as_bytes(), why.as_bytes()].concat();
        HeaderValue::from_bytes(&marked).into_iter().for_each(|value| drop(parts.headers.insert(WHY, value)));
    } else if !inbound && !passed_on && why.as_bytes().starts_with(Kind::Denied.slug().as_bytes()) {
        exchange.flag(Flag::RBAC);
    }
    exchange.log(|entry| entry.why = String::from_utf8_lossy(why.as_bytes()).into_owned());
}
