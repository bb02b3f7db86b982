//! Sessions: `/v1/session`, and one that is kept alive.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::http::{Client, Error, WRITE_TIMEOUT, decode};
use crate::query::Query;

/// What a session is made with. An empty text is left to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewSession {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// `release` or `delete`: what becomes of the keys it holds.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub behavior: String,
    #[serde(rename = "TTL", serialize_with = "in_seconds")]
    pub ttl: Duration,
    /// `None` is the default check, an empty list means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Vec<String>>,
}

fn in_seconds<S: serde::Serializer>(ttl: &Duration, output: S) -> Result<S::Ok, S::Error> {
    output.serialize_str(&model::format_duration(*ttl))
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

impl Client {
    /// Makes a session and gives its id.
    pub async fn session_create(&self, session: &NewSession, query: &Query) -> Result<String, Error> {
        let path = query.path("/v1/session/create");
        let answer = self.put(&path, session).await?;
        Ok(decode::<Created>(&path, &answer.body)?.id)
    }

    /// False when the session is no more.
    pub async fn session_renew(&self, id: &str, query: &Query) -> Result<bool, Error> {
        let path = query.path(&format!("/v1/session/renew/{id}"));
        let answer = self.send(Method::PUT, &path, Bytes::new(), WRITE_TIMEOUT).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        answer.success().map(|_| true)
    }

    pub async fn session_destroy(&self, id: &str, query: &Query) -> Result<(), Error> {
        let path = query.path(&format!("/v1/session/destroy/{id}"));
        self.send(Method::PUT, &path, Bytes::new(), WRITE_TIMEOUT).await?.success().map(drop)
    }
}

/// A session that is renewed at half its time to live until it is ended or dropped.
pub struct KeptSession {
    pub id: String,
    client: Client,
    query: Query,
    renewing: JoinHandle<()>,
}

impl KeptSession {
    pub async fn create(client: &Client, session: &NewSession, query: &Query) -> Result<Self, Error> {
        let id = client.session_create(session, query).await?;
        let renewing = tokio::spawn(renew(client.clone(), id.clone(), session.ttl / 2, query.clone()));
        Ok(Self { id, client: client.clone(), query: query.clone(), renewing })
    }

    /// Destroys it on the server too.
    pub async fn end(self) -> Result<(), Error> {
        self.renewing.abort();
        self.client.session_destroy(&self.id, &self.query).await
    }
}

impl Drop for KeptSession {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

async fn renew(client: Client, id: String, period: Duration, query: Query) {
    const RETRY: Duration = Duration::from_secs(1);
    let mut wait = period;
    loop {
        tokio::time::sleep(wait).await;
        wait = match client.session_renew(&id, &query).await {
            Ok(true) => period,
            Ok(false) => return,
            // The server is away: its clock of the session stands still too, so trying on is right.
            Err(error) => {
                tracing::debug!(%error, "session not renewed");
                RETRY
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_not_said_is_not_sent() {
        let session = NewSession { name: "x".to_owned(), ttl: Duration::from_secs(15), ..NewSession::default() };
        assert_eq!(serde_json::to_string(&session).unwrap(), r#"{"Name":"x","TTL":"15s"}"#);
    }
}
