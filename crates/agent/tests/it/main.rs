//! An agent before a server of the same process.
#![allow(clippy::unwrap_used)]

mod checks;
mod following;
mod kinds;
mod routes;
mod storage;
mod sync;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, Config};
use api::server::{Identity, ServerState};
use client::{Client, Query};
use model::{CheckDefinition, Node, ServiceDefinition};
use serde_json::Value;

/// Whatever is waited for comes long before this, or not at all.
const DEADLINE: Duration = Duration::from_secs(10);

/// A server with an empty store, as its client sees it.
pub async fn server() -> Client {
    let store = store::Store::open(store::Memory::new()).await.unwrap();
    let identity = Identity { node_name: "server".into(), ..Identity::default() };
    let server = ServerState::start(store, &identity).await.unwrap();
    api::in_process(api::App::new(false).merge(api::server::router(server)).into_router())
}

pub fn config() -> Config {
    Config::new(Node {
        id: "11111111-2222-3333-4444-555555555555".into(),
        node: "n1".into(),
        address: "127.0.0.1".into(),
        datacenter: "dc1".into(),
        ..Node::default()
    })
}

pub async fn agent() -> (Arc<Agent>, Client) {
    let server = server().await;
    (Agent::start(config(), server.clone()), server)
}

pub fn service(name: &str, port: u16) -> ServiceDefinition {
    let mut definition = ServiceDefinition::default();
    definition.service.service = name.into();
    definition.service.port = port;
    definition
}

pub fn with_sidecar(name: &str) -> ServiceDefinition {
    ServiceDefinition { sidecar: Some(Box::default()), ..service(name, 80) }
}

pub fn with_check(name: &str, check: CheckDefinition) -> ServiceDefinition {
    ServiceDefinition { checks: vec![check], ..service(name, 80) }
}

/// Asks until the answer is there.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn get(client: &Client, path: &str) -> Value {
    client.get::<Value>(path, &Query::default()).await.unwrap().value
}
