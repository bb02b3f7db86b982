//! TCP through the mesh: bytes both ways, each direction closed on its own. Nothing is read before both sides stand, so
//! a server may speak first.

use std::rc::Rc;

use crate::accept::{Conn, Role};
use crate::answer::{Failure, Kind};
use crate::authorize::Verdict;
use crate::connect::{Cluster, Host, Open, Wire};
use crate::hashing::hash;
use crate::io::Io;
use crate::record::{Arrival, Exchange, Finisher};
use crate::retry::{Again, Budget};
use crate::route::{OutboundRole, RouteRole};
use crate::tunnel;

fn begin(conn: &Conn) -> Finisher {
    let listener = &conn.listener;
    let arrival = Arrival { local: listener.local, remote: conn.remote, head: None, grpc: false };
    Finisher::new(Exchange::begin(&listener.records, &listener.counters, &arrival))
}

/// A verified caller's connection, handed to the application if an intention allows it.
pub(crate) async fn inbound(conn: Rc<Conn>, mut caller: Io) {
    let finisher = begin(&conn);
    let listener = &conn.listener;
    let Role::Inbound(role) = &*listener.role() else { return };
    let cells = role.caller(conn.peer.as_ref(), None);
    let exchange = finisher.exchange();
    exchange.set_cell(cells.get(&listener.records.recorder, None));
    exchange.log(|entry| {
        entry.source = cells.peer().clone();
        entry.upstream_cluster = role.application.id.clone();
    });
    if let Verdict::Denied(why) = conn.verdict() {
        listener.counters.rbac_denied.inc();
        exchange.fail(&why);
        return;
    }
    listener.counters.rbac_allowed.inc();
    let Some(host) = role.application.balancer.pick(None, None) else { return };
    match role.application.dial(host, Wire::Tcp).await {
        Ok((upstream, open)) => join(&conn, &mut caller, upstream, open, &finisher).await,
        Err(failure) => exchange.fail(&failure),
    }
}

/// The application's connection, carried to an instance of the target.
pub(crate) async fn outbound(conn: Rc<Conn>, role: &OutboundRole, mut caller: Io) {
    let finisher = begin(&conn);
    let exchange = finisher.exchange();
    let recorder = &conn.listener.records.recorder;
    let Some((route, share)) = role.routes.first().and_then(|route| Some((route, route.share()?))) else {
        exchange.set_cell(role.unrouted.get(recorder, None));
        conn.listener.counters.no_route.inc();
        exchange.fail(&Failure::new(Kind::NoRoute, "no target"));
        return;
    };
    match connect(&conn, route, share.cluster(), &finisher).await {
        Ok((upstream, open)) => join(&conn, &mut caller, upstream, open, &finisher).await,
        Err(failure) => exchange.fail(&failure),
    }
}

async fn connect(
    conn: &Conn,
    route: &RouteRole,
    cluster: &Rc<Cluster>,
    finisher: &Finisher,
) -> Result<(Io, Open), Failure> {
    let exchange = finisher.exchange();
    let record = |host: Option<&Rc<Host>>| {
        let cells = route.cells(cluster, host);
        exchange.set_cell(cells.get(&conn.listener.records.recorder, None));
        exchange.log(|entry| {
            entry.route_name = route.name.clone();
            entry.upstream_cluster = cluster.id.clone();
            entry.requested_server_name.clone_from(&cluster.sni);
            entry.destination = cells.peer().clone();
            entry.upstream_host = host.map(|host| host.pool.address.clone()).unwrap_or_default();
        });
    };
    if cluster.load.connections.get() >= cluster.limits.connections {
        record(None);
        cluster.counters.cx_overflow.inc();
        let why = format!("{} has {} connections, its limit", cluster.id, cluster.limits.connections);
        return Err(Failure::new(Kind::Overflow, why));
    }
    let mut budget = Budget::new(&route.retry);
    let key = source_key(cluster, conn);
    let mut host = cluster.balancer.pick(key, None).ok_or_else(|| {
        record(None);
        cluster.counters.cx_none_healthy.inc();
        Failure::new(Kind::NoHealthy, cluster.unwell.clone())
    })?;
    loop {
        record(Some(host));
        let failure = match cluster.dial(host, Wire::Tcp).await {
            Ok(connected) => {
                cluster.judge(host, true);
                return Ok(connected);
            }
            Err(failure) => failure,
        };
        cluster.judge(host, false);
        match budget.again(&failure, cluster.balancer.len().saturating_sub(1)) {
            Again::Elsewhere | Again::Fresh => host = cluster.balancer.pick(key, Some(host)).unwrap_or(host),
            Again::No => return Err(failure),
        }
        exchange.retried();
        cluster.counters.rq_retry.inc();
    }
}

/// Of all that a request may be balanced by, a TCP connection has its caller's address.
fn source_key(cluster: &Cluster, conn: &Conn) -> Option<u64> {
    let by_source = cluster.hash.iter().any(|policy| policy.by == plan::HashBy::SourceIp);
    by_source.then(|| hash(conn.remote.ip().to_string().as_bytes()))
}

async fn join(conn: &Conn, caller: &mut Io, mut upstream: Io, open: Open, finisher: &Finisher) {
    let _busy = conn.busy();
    let idle = conn.listener.idle_timeout();
    let end = tunnel::join(conn, caller, &mut upstream, idle).await;
    let exchange = finisher.exchange();
    exchange.received(usize::try_from(caller.received).unwrap_or(usize::MAX));
    exchange.sent(usize::try_from(caller.sent).unwrap_or(usize::MAX));
    tunnel::settle(conn, finisher, end);
    drop(open);
}
