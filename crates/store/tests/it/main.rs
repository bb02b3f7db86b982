//! The store from outside: what is written, who is woken, what survives a conflict.
#![allow(clippy::unwrap_used)]

mod acl;
mod backends;
mod blocking;
mod sessions;
mod txn;
mod writing;

use model::{HealthCheck, Node, Service, ServiceKind, Status};
use store::{CheckFact, Memory, Registration, Store};

async fn store() -> Store {
    Store::open(Memory::new()).await.expect("memory always opens")
}

fn node(name: &str) -> Node {
    Node { node: name.to_owned(), address: "192.0.2.1".to_owned(), ..Node::default() }
}

fn service(name: &str, id: &str) -> Service {
    Service { service: name.to_owned(), id: id.to_owned(), ..Service::default() }
}

fn proxy_of(destination: &str, id: &str) -> Service {
    let proxy = model::ProxyConfig { destination_service_name: destination.to_owned(), ..Default::default() };
    Service { kind: ServiceKind::ConnectProxy, proxy: Some(proxy), ..service(id, id) }
}

fn check(id: &str, service_id: &str, status: Status) -> CheckFact {
    let check = HealthCheck {
        check_id: id.to_owned(),
        name: id.to_owned(),
        service_id: service_id.to_owned(),
        status,
        ..HealthCheck::default()
    };
    CheckFact { check, ..CheckFact::default() }
}

fn with_service(on: &str, service: Service) -> Registration {
    Registration { node: node(on), service: Some(service), ..Registration::default() }
}

fn with_check(on: &str, check: CheckFact) -> Registration {
    Registration { node: node(on), checks: vec![check], ..Registration::default() }
}
