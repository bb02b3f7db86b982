//! The server routes from outside, through the whole application and a client of this process.
#![allow(clippy::unwrap_used)]

mod absurd;
mod blocking;
mod routes;

use std::time::Duration;

use api::App;
use api::server::{Identity, ServerState, router};
use bytes::Bytes;
use client::{Client, Raw};
use http::Method;
use serde_json::Value;
use store::{Memory, Store};

/// Nothing here takes this long unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

async fn server() -> Client {
    let store = Store::open(Memory::new()).await.unwrap();
    let identity = Identity { node_name: "node-1".to_owned(), ..Identity::default() };
    let state = ServerState::start(store, &identity).await.unwrap();
    api::in_process(App::new(false).merge(router(state)).into_router())
}

async fn call(client: &Client, method: Method, path: &str, body: &str) -> Raw {
    client.send(method, path, Bytes::from(body.to_owned()), DEADLINE).await.unwrap()
}

async fn get(client: &Client, path: &str) -> Raw {
    call(client, Method::GET, path, "").await
}

async fn put(client: &Client, path: &str, body: &str) -> Raw {
    let answer = call(client, Method::PUT, path, body).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

fn json(answer: &Raw) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}
