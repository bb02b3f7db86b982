//! Asking others over HTTP, with nobody trusted who was not named.

use std::time::Duration;

use bytes::Bytes;
use client::{Client, Raw, Server, Tls};
use http::Method;

/// Nobody waits longer for an identity provider.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one host, and the path of `url` on it.
pub(crate) fn client_of(url: &str, ca_pem: &str) -> Result<(Client, String), String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("unsupported protocol scheme in {url:?}"))?;
    let (host, path) = rest.split_once('/').map_or((rest, String::new()), |(host, path)| (host, format!("/{path}")));
    let tls = Tls { ca_pem: Some(ca_pem.to_owned()).filter(|pem| !pem.is_empty()), ..Tls::default() };
    let server = Server { address: format!("{scheme}://{host}"), tls, ..Server::default() };
    let client = Client::to(&server).map_err(|error| error.to_string())?;
    Ok((client, if path.is_empty() { "/".to_owned() } else { path }))
}

pub(crate) async fn get(url: &str, ca_pem: &str) -> Result<Bytes, String> {
    let (client, path) = client_of(url, ca_pem)?;
    let answer = client.send(Method::GET, &path, Bytes::new(), TIMEOUT).await;
    success(answer).map(|answer| answer.body)
}

pub(crate) async fn send(client: &Client, method: Method, path: &str, body: Bytes) -> Result<Raw, String> {
    success(client.send(method, path, body, TIMEOUT).await)
}

/// The body of a refusal is not told on: it could quote a token.
fn success(answer: Result<Raw, client::Error>) -> Result<Raw, String> {
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status.is_success() { Ok(answer) } else { Err(format!("unexpected status: {}", answer.status)) }
}
