//! What DNS reads of the catalog.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{Node, Service, Status};

/// Gives the catalog as it is now. Asked once for every query.
pub trait Source: Send + Sync {
    fn view(&self) -> Arc<dyn View>;
}

/// The catalog at one moment, and only what the agent's token may read: whoever implements it filters. Names come in
/// lower case and are compared without case.
pub trait View: Send + Sync {
    /// Another number whenever an answer about `subject` may have become another one, for whatever reason: a change of
    /// the catalog, of a policy, of the token.
    fn revision(&self, subject: &Subject) -> u64;

    fn instances(&self, lookup: &Lookup) -> Vec<Instance>;

    fn node(&self, name: &str) -> Option<Arc<Node>>;

    fn node_at(&self, address: IpAddr) -> Option<Arc<Node>>;

    /// The name of a service with an instance at this address of its own.
    fn service_at(&self, address: IpAddr) -> Option<String>;

    /// Runs the prepared query of this name or id, or the template that fits. `source` is who asks, or the network for
    /// which a resolver asks (EDNS client subnet). `None` when there is none.
    fn query(&self, name: &str, source: Option<IpAddr>) -> Option<Prepared>;
}

/// Which instances.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lookup {
    Service(String),
    /// The proxies and native instances that speak for a service.
    Connect(String),
    /// The ingress gateways through which a service is reached.
    Ingress(String),
}

/// What an answer depends on, for those that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    Lookup(Lookup),
    /// The addresses of all nodes and services.
    Addresses,
}

/// A service instance, its node, and the worst of the checks that decide over it.
#[derive(Debug, Clone)]
pub struct Instance {
    pub node: Arc<Node>,
    pub service: Arc<Service>,
    pub status: Status,
}

/// What a prepared query found: its instances are those to give, in this order.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub service: String,
    pub datacenter: String,
    /// `None`: as for the service.
    pub ttl: Option<Duration>,
    pub instances: Vec<Instance>,
}
