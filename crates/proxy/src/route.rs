//! Where a request goes: the first route that takes it, one of its targets by weight, and those that stand in for it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::request::Parts;
use http::uri::PathAndQuery;
use plan::{HashBy, HashPolicy, HeaderEdits, Outbound, Retry, Route};
use telemetry::{CellKey, Direction, Peer};

use crate::balance::by_weight;
use crate::connect::{Cluster, Host};
use crate::edits::Edits;
use crate::hashing::hash;
use crate::matching::{Matcher, parameter};
use crate::record::Cells;

/// An outbound listener as the current plan has it.
pub(crate) struct OutboundRole {
    pub plan: Outbound,
    pub routes: Vec<RouteRole>,
    /// `x-meshglass-source`
    pub source: Option<HeaderValue>,
    /// For what has no route.
    pub unrouted: Cells,
}

pub(crate) struct RouteRole {
    pub name: Arc<str>,
    pub timeout: Option<Duration>,
    pub retry: Retry,
    pub response_edits: Option<Rc<Edits>>,
    matcher: Matcher,
    rewrite: Option<String>,
    request_edits: Option<Edits>,
    shares: Vec<Share>,
    listener: Arc<str>,
    protocol: model::Protocol,
    /// By host (its address in memory: `shares` keeps it alive); null is "no host".
    cells: RefCell<HashMap<(usize, *const Host), Rc<Cells>>>,
}

/// A target that a route splits to.
pub(crate) struct Share {
    pub response_edits: Option<Rc<Edits>>,
    weight: u32,
    /// The target, then those that stand in for it.
    clusters: Vec<Rc<Cluster>>,
    request_edits: Option<Edits>,
}

fn edits(from: &HeaderEdits) -> Option<Edits> {
    (!from.is_empty()).then(|| Edits::new(from))
}

impl OutboundRole {
    pub fn new(
        plan: &Outbound,
        source: Option<HeaderValue>,
        cluster: impl Fn(&plan::TargetId) -> Option<Rc<Cluster>>,
    ) -> Self {
        let listener: Arc<str> = plan.name.as_str().into();
        let routes = plan.routes.iter().map(|route| RouteRole::new(route, plan.protocol, &listener, &cluster));
        let key = CellKey {
            direction: Direction::Outbound,
            listener: listener.clone(),
            protocol: plan.protocol,
            target: "".into(),
            peer: Peer { service: listener.clone(), ..Peer::default() },
            route: "".into(),
            grpc_service: "".into(),
            grpc_method: "".into(),
        };
        Self { plan: plan.clone(), routes: routes.collect(), source, unrouted: Cells::new(key) }
    }

    pub fn route(&self, parts: &Parts) -> Option<&RouteRole> {
        self.routes.iter().find(|route| route.matcher.takes(parts))
    }
}

impl RouteRole {
    fn new(
        plan: &Route,
        protocol: model::Protocol,
        listener: &Arc<str>,
        cluster: &impl Fn(&plan::TargetId) -> Option<Rc<Cluster>>,
    ) -> Self {
        let share = |target: &plan::WeightedTarget| {
            let first = cluster(&target.target)?;
            let stand_ins: Vec<_> = first.failover.iter().filter_map(cluster).collect();
            Some(Share {
                response_edits: edits(&target.response_headers).map(Rc::new),
                weight: target.weight,
                clusters: std::iter::once(first).chain(stand_ins).collect(),
                request_edits: edits(&target.request_headers),
            })
        };
        Self {
            name: plan.name.as_str().into(),
            timeout: (!plan.timeout.is_zero()).then_some(plan.timeout),
            retry: plan.retry.clone(),
            response_edits: edits(&plan.response_headers).map(Rc::new),
            matcher: Matcher::new(&plan.when),
            rewrite: plan.prefix_rewrite.clone(),
            request_edits: edits(&plan.request_headers),
            shares: plan.targets.iter().filter_map(share).collect(),
            listener: listener.clone(),
            protocol,
            cells: RefCell::default(),
        }
    }

    /// One of the targets, by weight.
    pub fn share(&self) -> Option<&Share> {
        match self.shares.as_slice() {
            [only] => Some(only),
            many => by_weight(many.iter().map(|share| share.weight)).map(|index| &many[index]),
        }
    }

    /// Makes the request what the route and the share say it is on its way on.
    pub fn edit(&self, share: &Share, parts: &mut Parts) {
        if let Some(rewrite) = &self.rewrite {
            let path = self.matcher.rewritten(parts.uri.path(), rewrite);
            let path = if path.starts_with('/') { path } else { format!("/{path}") };
            let whole = match parts.uri.query() {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            let mut uri = parts.uri.clone().into_parts();
            uri.path_and_query = PathAndQuery::try_from(whole).ok().or(uri.path_and_query);
            if let Ok(uri) = http::Uri::from_parts(uri) {
                parts.uri = uri;
            }
        }
        for edits in [&self.request_edits, &share.request_edits].into_iter().flatten() {
            edits.apply(&mut parts.headers);
        }
    }

    /// The cells for requests to `host` (or, without one, to the target as such).
    pub fn cells(&self, cluster: &Rc<Cluster>, host: Option<&Rc<Host>>) -> Rc<Cells> {
        let place = (Rc::as_ptr(cluster) as usize, host.map_or(std::ptr::null(), Rc::as_ptr));
        if let Some(cells) = self.cells.borrow().get(&place) {
            return cells.clone();
        }
        let nobody = || Peer { service: cluster.service.clone(), ..Peer::default() };
        let key = CellKey {
            direction: Direction::Outbound,
            listener: self.listener.clone(),
            protocol: self.protocol,
            target: cluster.id.clone(),
            peer: host.map_or_else(nobody, |host| host.peer.clone()),
            route: self.name.clone(),
            grpc_service: "".into(),
            grpc_method: "".into(),
        };
        let cells = Rc::new(Cells::new(key));
        self.cells.borrow_mut().insert(place, cells.clone());
        cells
    }
}

impl Share {
    /// The target, or the first stand-in that has an instance to offer when the target has none.
    pub fn cluster(&self) -> &Rc<Cluster> {
        let offers = |cluster: &&Rc<Cluster>| cluster.balancer.has_good();
        match self.clusters.as_slice() {
            [only] => only,
            many => many.iter().find(offers).unwrap_or(&many[0]),
        }
    }
}

/// What a request is balanced by, and the cookie to set when it was made here.
#[derive(Default)]
pub(crate) struct HashKey {
    pub key: Option<u64>,
    pub cookie: Option<HeaderValue>,
}

impl HashKey {
    pub fn of(policies: &[HashPolicy], parts: &Parts, remote: SocketAddr) -> Self {
        let mut found = Self::default();
        for policy in policies {
            let Some(part) = found.part(&policy.by, parts, remote) else { continue };
            // Several parts together are one key.
            found.key = Some(found.key.map_or(part, |key| key.rotate_left(1) ^ part));
            if policy.terminal {
                break;
            }
        }
        found
    }

    fn part(&mut self, by: &HashBy, parts: &Parts, remote: SocketAddr) -> Option<u64> {
        match by {
            HashBy::SourceIp => Some(hash(remote.ip().to_string().as_bytes())),
            HashBy::Header(name) => parts.headers.get(name).map(|value| hash(value.as_bytes())),
            HashBy::QueryParameter(name) => parameter(parts.uri.query(), name).map(|value| hash(value.as_bytes())),
            HashBy::Cookie { name, path, ttl } => match cookie(parts, name) {
                Some(value) => Some(hash(value.as_bytes())),
                None => {
                    // Without a lifetime nobody asked for cookies to be made.
                    let seconds = (*ttl)?;
                    let value = format!("{:016x}", fastrand::u64(..));
                    let path = if path.is_empty() { String::new() } else { format!("; Path={path}") };
                    let age = if seconds == 0 { String::new() } else { format!("; Max-Age={seconds}") };
                    self.cookie = HeaderValue::from_str(&format!("{name}=\"{value}\"{age}{path}; HttpOnly")).ok();
                    Some(hash(value.as_bytes()))
                }
            },
        }
    }
}

fn cookie<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let lists = parts.headers.get_all(http::header::COOKIE).iter().filter_map(|list| list.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"'))
}
