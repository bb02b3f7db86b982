//! A catalog that a test can change.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dns::{Instance, Lookup, Prepared, Source, Subject, View};
use model::{Node, Service, Status};

#[derive(Default)]
pub struct Catalog {
    pub instances: Mutex<Vec<Instance>>,
    pub revision: AtomicU64,
}

impl Catalog {
    /// `many` with so many instances at 10.0.x.y.
    pub fn many(count: u32) -> Self {
        let catalog = Self::default();
        for i in 0..count {
            catalog.add("many", &format!("10.0.{}.{}", i / 250, i % 250 + 1), "", Status::Passing);
        }
        catalog
    }

    pub fn add(&self, service: &str, node: &str, address: &str, status: Status) {
        let mut instances = self.instances.lock().unwrap();
        let name = format!("n{}", instances.len());
        let node = Node { node: name, address: node.to_owned(), ..Node::default() };
        let (service, address) = (service.to_owned(), address.to_owned());
        let service = Service { service, address, port: 80, ..Service::default() };
        instances.push(Instance { node: Arc::new(node), service: Arc::new(service), status });
        self.revision.fetch_add(1, Ordering::Relaxed);
    }
}

impl View for Catalog {
    fn revision(&self, _: &Subject) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    fn instances(&self, lookup: &Lookup) -> Vec<Instance> {
        let Lookup::Service(name) = lookup else { return Vec::new() };
        self.instances.lock().unwrap().iter().filter(|i| i.service.service == *name).cloned().collect()
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.instances.lock().unwrap().iter().find(|i| i.node.node == name).map(|i| Arc::clone(&i.node))
    }

    fn node_at(&self, _: IpAddr) -> Option<Arc<Node>> {
        None
    }

    fn service_at(&self, _: IpAddr) -> Option<String> {
        None
    }

    fn query(&self, _: &str, source: Option<IpAddr>) -> Option<Prepared> {
        let instances = self.instances.lock().unwrap().clone();
        let service = source?.to_string();
        Some(Prepared { service, datacenter: "dc1".to_owned(), ttl: None, instances })
    }
}

/// Shares a catalog with a server.
pub struct Shared(pub Arc<Catalog>);

impl Source for Shared {
    fn view(&self) -> Arc<dyn View> {
        self.0.clone()
    }
}
