//! Watches: one view of the server, and every change of it. The command `watch` and an agent's `watches` run these.

mod parse;
mod shapes;

use std::time::Duration;

use serde::Serialize;

pub use parse::Handler;

use crate::http::{Client, Error};
use crate::query::{Query, escape};

/// One blocking read.
const WAIT: Duration = Duration::from_secs(300);
/// After the first failed read; grows with the square of the failures in a row.
const RETRY: Duration = Duration::from_secs(5);
const RETRY_LIMIT: Duration = Duration::from_secs(180);

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum View {
    Key(String),
    KeyPrefix(String),
    Services,
    Nodes,
    Service { name: String, tags: Vec<String>, passing_only: bool },
    Checks { service: String, state: String },
    Event { name: String },
    ConnectRoots,
    ConnectLeaf(String),
    AgentService(String),
}

/// A view, and what of it was seen last. Has no `Debug`: it may hold a token.
#[derive(Clone)]
pub struct Watch {
    kind: String,
    token: Option<String>,
    view: View,
    query: Query,
    position: Position,
    last: Option<String>,
    failures: u32,
}

/// Where the next read blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    Start,
    Index(u64),
    Hash(String),
}

/// A view that differs from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it was read: an index, or a hash for what an agent answers of itself.
    pub position: String,
    /// One line of JSON, as Consul's handlers get it.
    pub json: String,
}

/// A read that failed, and when to try again.
#[derive(Debug)]
pub struct Failed {
    pub error: Error,
    pub retry: Duration,
}

impl Watch {
    /// `services`, `key` …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Can be shown by the command too, not only to an agent's handler.
    pub fn is_public(&self) -> bool {
        !matches!(self.view, View::ConnectRoots | View::ConnectLeaf(_) | View::AgentService(_))
    }

    /// Adds parameters to every read.
    pub fn with_query(mut self, more: &Query) -> Self {
        self.query.more.extend(more.more.iter().cloned());
        self
    }

    /// Waits for a view that differs from the last one. After a failure the caller waits before it asks again.
    pub async fn next(&mut self, client: &Client) -> Result<Change, Failed> {
        let own = self.token.as_ref().map(|token| client.clone().with_token(Some(token.clone())));
        let client = own.as_ref().unwrap_or(client);
        loop {
            let read = match self.read(client).await {
                Ok(read) => read,
                Err(error) => {
                    self.failures += 1;
                    let retry = (RETRY * self.failures * self.failures).min(RETRY_LIMIT);
                    return Err(Failed { error, retry });
                }
            };
            self.failures = 0;
            let (position, json) = read;
            let moved = self.position != position;
            // An index that went back says that the server began anew; the next read must not wait for the old one.
            let back = matches!((&self.position, &position), (Position::Index(old), Position::Index(new)) if new < old);
            let shown = match &position {
                Position::Start => String::new(),
                Position::Index(index) => index.to_string(),
                Position::Hash(hash) => hash.clone(),
            };
            self.position = if back && !matches!(self.view, View::Event { .. }) { Position::Start } else { position };
            if moved && self.last.as_ref() != Some(&json) {
                self.last = Some(json.clone());
                return Ok(Change { position: shown, json });
            }
        }
    }

    async fn read(&self, client: &Client) -> Result<(Position, String), Error> {
        let mut query = Query { wait: Some(WAIT), ..self.query.clone() };
        match &self.position {
            Position::Start => {}
            Position::Index(index) => query.index = Some(*index),
            Position::Hash(hash) => query.hash = Some(hash.clone()),
        }
        match &self.view {
            View::Key(key) => client.kv(key, &query).await.map(|answer| (at(answer.index), json(&answer.value))),
            View::KeyPrefix(prefix) => {
                let answer = client.kv_list(prefix, &query).await?;
                // What is not there is null to Consul's client, not a list.
                let value = Some(answer.value).filter(|pairs| !pairs.is_empty());
                Ok((at(answer.index), json(&value)))
            }
            View::Event { name } => self.events(client, name, &query).await,
            View::AgentService(id) => {
                let path = format!("/v1/agent/service/{}", escape(id));
                let raw = client.get_raw(&path, &query).await?;
                let hash = raw.header("x-consul-contenthash").unwrap_or_default().to_owned();
                Ok((Position::Hash(hash), shapes::as_is(&path, &raw.body)?))
            }
            view => {
                let path = view.path();
                let raw = client.get_raw(&path, &view.parameters(query)).await?;
                Ok((at(raw.index()), view.shaped(&path, &raw.body)?))
            }
        }
    }

    /// The events after the last one seen.
    async fn events(&self, client: &Client, name: &str, query: &Query) -> Result<(Position, String), Error> {
        let mut answer = client.event_list(name, query).await?;
        if let Position::Index(index) = self.position
            && let Some(seen) = answer.value.iter().position(|event| event.index() == index)
        {
            answer.value.drain(..=seen);
        }
        Ok((at(answer.index), json(&answer.value)))
    }
}

fn at(index: u64) -> Position {
    if index == 0 { Position::Start } else { Position::Index(index) }
}

fn json<T: Serialize>(value: &T) -> String {
    shapes::go(&serde_json::to_string(value).unwrap_or_default())
}

impl View {
    fn path(&self) -> String {
        match self {
            Self::Services => "/v1/catalog/services".to_owned(),
            Self::Nodes => "/v1/catalog/nodes".to_owned(),
            Self::Service { name, .. } => format!("/v1/health/service/{}", escape(name)),
            Self::Checks { service, .. } if !service.is_empty() => format!("/v1/health/checks/{}", escape(service)),
            Self::Checks { state, .. } => format!("/v1/health/state/{}", escape(state)),
            Self::ConnectRoots => "/v1/agent/connect/ca/roots".to_owned(),
            Self::ConnectLeaf(service) => format!("/v1/agent/connect/ca/leaf/{}", escape(service)),
            // Read by calls of their own.
            Self::Key(_) | Self::KeyPrefix(_) | Self::Event { .. } | Self::AgentService(_) => String::new(),
        }
    }

    fn parameters(&self, query: Query) -> Query {
        let Self::Service { tags, passing_only, .. } = self else { return query };
        let query = tags.iter().fold(query, |query, tag| query.with("tag", tag));
        if *passing_only { query.with("passing", "1") } else { query }
    }

    fn shaped(&self, path: &str, body: &[u8]) -> Result<String, Error> {
        match self {
            Self::Service { .. } => shapes::health_entries(path, body),
            Self::Checks { .. } => shapes::checks(path, body),
            _ => shapes::as_is(path, body),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use bytes::Bytes;
    use http::{Request, Response};
    use serde_json::json;

    use super::*;

    fn answers(bodies: Vec<(u64, &'static str)>) -> Client {
        let bodies = Mutex::new(bodies.into_iter());
        Client::in_process(move |_: Request<Bytes>| {
            let next = bodies.lock().unwrap().next();
            let response = match next {
                Some((index, body)) => Response::builder().header("x-consul-index", index).body(body.into()),
                None => Response::builder().status(500).body(Bytes::new()),
            };
            std::future::ready(response.unwrap())
        })
    }

    fn watch(params: &serde_json::Value) -> Watch {
        Watch::parse(params.as_object().unwrap()).unwrap().0
    }

    #[tokio::test]
    async fn only_what_differs_is_told_and_a_failure_waits_longer_each_time() {
        let client = answers(vec![(5, r#"{"a":[]}"#), (6, r#"{"a":[]}"#), (7, r#"{"b":["<"]}"#), (3, r#"{"b":[]}"#)]);
        let mut watch = watch(&json!({"type": "services"}));
        let mut told = Vec::new();
        for _ in 0..3 {
            let change = watch.next(&client).await.unwrap();
            told.push((change.position, change.json));
        }
        let wanted = [("5", r#"{"a":[]}"#), ("7", "{\"b\":[\"\\u003c\"]}"), ("3", r#"{"b":[]}"#)];
        assert_eq!(told, wanted.map(|(index, json)| (index.to_owned(), json.to_owned())));
        assert_eq!(watch.position, Position::Start);
        assert_eq!(watch.next(&client).await.unwrap_err().retry, RETRY);
        assert_eq!(watch.next(&client).await.unwrap_err().retry, RETRY * 4);
    }

    #[tokio::test]
    async fn only_new_events_are_told() {
        let old = r#"[{"ID":"00000000-0000-0000-0000-000000000005","Name":"a","Payload":null}]"#;
        let both = r#"[{"ID":"00000000-0000-0000-0000-000000000005","Name":"a"},
                       {"ID":"00000000-0000-0000-0000-000000000004","Name":"b"}]"#;
        let client = answers(vec![(5, old), (4, both)]);
        let mut watch = watch(&json!({"type": "event"}));
        assert!(watch.next(&client).await.unwrap().json.contains(r#""Name":"a""#));
        let change = watch.next(&client).await.unwrap();
        assert!(change.json.contains(r#""Name":"b""#) && !change.json.contains(r#""Name":"a""#), "{}", change.json);
    }
}
