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
use crate::body::{Kept, RequestBody, ResponseBody};
use crate::connect::{Cluster, Host, Lease, Unsent, Wire};
use crate::detect::{self, Call};
use crate::edits::Edits;
use crate::headers::{self, PASSED_ON, SOURCE, WHY};
use crate::limits::RETRIES_PER_TARGET;
use crate::record::{Arrival, Exchange, Finisher};
use crate::retry::{Again, Budget};
use crate::route::{HashKey, OutboundRole, RouteRole};
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
    /// The route's, then the share's.
    edits: [Option<Rc<Edits>>; 2],
    cookie: Option<HeaderValue>,
}

impl Passed {
    fn new(response: Response<Incoming>, lease: Lease, request: Place) -> Self {
        Self { response, lease, request, deadline: None, edits: [None, None], cookie: None }
    }
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
            key: None,
            grpc: path,
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
        let route = role.route(&parts);
        let Some((route, share)) = route.and_then(|route| Some((route, route.share()?))) else {
            self.exchange.set_cell(role.unrouted.get(recorder, grpc.as_deref()));
            self.conn.listener.counters.no_route.inc();
            let why = format!("no route of upstream {:?} takes {} {}", role.plan.name, parts.method, parts.uri.path());
            return Err(Failure::new(Kind::NoRoute, why));
        };
        let cluster = share.cluster();
        let HashKey { key, cookie } = HashKey::of(&cluster.hash, &parts, self.conn.remote);
        route.edit(share, &mut parts);
        let attempt = Attempts {
            cluster,
            retry: &route.retry,
            timeout: route.timeout,
            wire: self.wire(role.plan.protocol),
            key,
            grpc,
        };
        let passed = self.attempt(&attempt, Some(route), parts, body).await?;
        let edits = [&route.response_edits, &share.response_edits].map(Clone::clone);
        Ok(Passed { edits, cookie, ..passed })
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
    /// For policies that balance by hash.
    key: Option<u64>,
    grpc: Option<String>,
}

/// A request that can be made again.
struct Replay {
    head: Parts,
    body: Rc<Kept>,
}

impl Replay {
    fn request(&self, exchange: &Rc<Exchange>) -> Option<Request<RequestBody>> {
        let whole = self.body.is_whole();
        whole.then(|| Request::from_parts(self.head.clone(), RequestBody::again(&self.body, exchange.clone())))
    }
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
        let record = |host: Option<&Rc<Host>>| self.record(passage, route, host);
        let nowhere = |failure: Failure| {
            record(None);
            failure
        };
        let authority = headers::request(&mut parts, passage.call).map_err(nowhere)?;
        exchange.log(|entry| entry.request_id = headers::text(&parts.headers, &headers::REQUEST_ID));
        let place = self.admit().map_err(nowhere)?;
        let (mut request, replay) = self.request(parts, &authority, body, exchange);
        let mut budget = Budget::new(self.retry);
        let mut host = self.cluster.balancer.pick(self.key, None).ok_or_else(|| nowhere(self.none_healthy()))?;
        let (mut fresh, mut retrying) = (false, None);
        loop {
            record(Some(host));
            self.cluster.counters.rq_total.inc();
            let again = match self.once(host, request, fresh).await {
                Ok((response, lease)) => {
                    self.cluster.judge(host, !response.status().is_server_error());
                    let next = replay.as_ref().and_then(|replay| replay.request(exchange));
                    let again = next.filter(|_| self.again_after(&mut budget, &response, exchange, &mut retrying));
                    let Some(next) = again else { return Ok(Passed::new(response, lease, place)) };
                    // Another attempt takes the place of this answer.
                    drop((response, lease));
                    tokio::time::sleep(budget.pause()).await;
                    (next, Again::Elsewhere)
                }
                Err(Unsent { failure, request }) => {
                    let blameless = failure.kind == Kind::ClosedUnused;
                    if !blameless {
                        self.cluster.judge(host, false);
                    }
                    let others = self.cluster.balancer.len().saturating_sub(1);
                    let (next, again) = match request {
                        Some(request) => (Some(request), budget.again(&failure, others)),
                        None => {
                            (replay.as_ref().and_then(|replay| replay.request(exchange)), budget.again_after_reset())
                        }
                    };
                    let counted = again != Again::No && (blameless || self.take_retry(&mut retrying));
                    let Some(next) = next.filter(|_| counted) else {
                        self.gave_up(&budget, exchange);
                        return Err(failure);
                    };
                    (next, again)
                }
            };
            request = again.0;
            match again.1 {
                Again::Fresh => fresh = true,
                _ => host = self.cluster.balancer.pick(self.key, Some(host)).unwrap_or(host),
            }
            exchange.retried();
            self.cluster.counters.rq_retry.inc();
        }
    }

    /// One attempt on one host.
    async fn once(
        &self,
        host: &Rc<Host>,
        request: Request<RequestBody>,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), Unsent> {
        let mut lease = match self.cluster.lease(host, self.wire, fresh).await {
            Ok(lease) => lease,
            Err(failure) => return Err(Unsent { failure, request: Some(request) }),
        };
        match lease.send(request, host).await {
            Ok(response) => Ok((response, lease)),
            Err(unsent) => {
                if unsent.request.is_some() {
                    lease.discard();
                }
                Err(*unsent)
            }
        }
    }

    fn again_after(
        &self,
        budget: &mut Budget<'_>,
        response: &Response<Incoming>,
        exchange: &Exchange,
        retrying: &mut Option<Place>,
    ) -> bool {
        let spent = budget.is_spent();
        let again = budget.again_after(response.status(), response.headers()) != Again::No;
        if spent && !again && response.status().is_server_error() {
            self.gave_up(budget, exchange);
        }
        again && self.take_retry(retrying)
    }

    /// A place among the attempts after a first one; a target in trouble gets no storm of them.
    fn take_retry(&self, held: &mut Option<Place>) -> bool {
        let Cluster { load, counters, .. } = &**self.cluster;
        if held.is_none() && load.retries.get() >= RETRIES_PER_TARGET {
            counters.rq_retry_overflow.inc();
            return false;
        }
        held.get_or_insert_with(|| Place::take(&load.retries));
        true
    }

    fn gave_up(&self, budget: &Budget<'_>, exchange: &Exchange) {
        if budget.is_spent() || (self.retry.attempts > 0 && self.cluster.balancer.len() <= 1) {
            self.cluster.counters.rq_retry_limit_exceeded.inc();
            exchange.flag(Flag::URX);
        }
    }

    /// Says where this attempt is counted, and for the log where it goes.
    fn record(&self, passage: &Passage<'_>, route: Option<&RouteRole>, host: Option<&Rc<Host>>) {
        if let Some(route) = route {
            let cells = route.cells(self.cluster, host);
            let grpc = self.grpc.as_deref();
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

    fn request(
        &self,
        mut parts: Parts,
        authority: &Authority,
        body: Incoming,
        exchange: &Rc<Exchange>,
    ) -> (Request<RequestBody>, Option<Replay>) {
        match self.wire {
            Wire::H2 => headers::for_http2(&mut parts, authority),
            Wire::H1 | Wire::Tcp => headers::for_http1(&mut parts, authority),
        }
        let replay = Budget::keeps_request(self.retry).then(|| Replay { head: parts.clone(), body: Rc::default() });
        let kept = replay.as_ref().map(|replay| replay.body.clone());
        (Request::from_parts(parts, RequestBody::new(body, exchange.clone(), kept)), replay)
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
        let Self { mut response, mut lease, request, deadline, edits, cookie } = self;
        let inbound = conn.peer.is_some();
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let upstream_upgrade = switching.then(|| hyper::upgrade::on(&mut response));
        let (mut parts, body) = response.into_parts();
        headers::response(&mut parts);
        edits.iter().flatten().for_each(|edits| edits.apply(&mut parts.headers));
        if let Some(cookie) = cookie {
            parts.headers.append(http::header::SET_COOKIE, cookie);
        }
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
