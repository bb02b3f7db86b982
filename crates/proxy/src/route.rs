//! Where a request goes: the first route that matches, one of its targets by weight.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use plan::{Outbound, Retry};
use telemetry::{CellKey, Direction, Peer};

use crate::balance::by_weight;
use crate::connect::{Cluster, Host};
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
    pub prefix: String,
    pub timeout: Option<Duration>,
    pub retry: Retry,
    pub targets: Vec<(u32, Rc<Cluster>)>,
    listener: Arc<str>,
    protocol: model::Protocol,
    /// By host (its address in memory: `targets` keeps it alive); null is "no host".
    cells: RefCell<HashMap<(usize, *const Host), Rc<Cells>>>,
}

impl OutboundRole {
    pub fn new(
        plan: &Outbound,
        source: Option<HeaderValue>,
        cluster: impl Fn(&plan::TargetId) -> Option<Rc<Cluster>>,
    ) -> Self {
        let listener: Arc<str> = plan.name.as_str().into();
        let routes = plan.routes.iter().map(|route| RouteRole {
            name: route.name.as_str().into(),
            prefix: route.path_prefix.clone(),
            timeout: (!route.timeout.is_zero()).then_some(route.timeout),
            retry: route.retry.clone(),
            targets: route.targets.iter().filter_map(|t| Some((t.weight, cluster(&t.target)?))).collect(),
            listener: listener.clone(),
            protocol: plan.protocol,
            cells: RefCell::default(),
        });
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

    pub fn route(&self, path: &str) -> Option<&RouteRole> {
        self.routes.iter().find(|route| path.starts_with(&route.prefix))
    }
}

impl RouteRole {
    pub fn target(&self) -> Option<&Rc<Cluster>> {
        match self.targets.as_slice() {
            [(_, only)] => Some(only),
            many => by_weight(many.iter().map(|(weight, _)| *weight)).map(|index| &many[index].1),
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
