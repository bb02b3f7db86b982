//! Does an HTTP/2 server answer a ping?

use std::time::Duration;

use h2::Ping;
use model::Status;
use tokio::io::{AsyncRead, AsyncWrite};

use super::tls::Trust;

pub(super) async fn probe(address: &str, tls: Option<&Trust<'_>>, limit: Duration) -> (Status, String) {
    let verdict = match tokio::time::timeout(limit, ask(address, tls, limit)).await {
        Ok(Ok(())) => return (Status::Passing, "HTTP2 ping was successful".to_owned()),
        Ok(Err(why)) => why,
        Err(_) => "HTTP2 ping failed: context deadline exceeded".to_owned(),
    };
    (Status::Critical, verdict)
}

async fn ask(address: &str, tls: Option<&Trust<'_>>, limit: Duration) -> Result<(), String> {
    let failed = |why: String| format!("Failed to dial to {address}: {why}");
    let stream = super::dial(address, limit).await.map_err(failed)?;
    match tls {
        Some(trust) => ping(super::tls::connect(stream, address, trust, Some(b"h2")).await.map_err(failed)?).await,
        None => ping(stream).await,
    }
}

async fn ping(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<(), String> {
    let failed = |error: h2::Error| format!("HTTP2 ping failed: {error}");
    let (sender, mut connection) = h2::client::handshake(stream).await.map_err(failed)?;
    let mut pings = connection.ping_pong().ok_or("HTTP2 ping failed: no pings on this connection")?;
    let running = async {
        match connection.await {
            Ok(()) => Err("HTTP2 ping failed: the connection was closed".to_owned()),
            Err(error) => Err(failed(error)),
        }
    };
    let answer = tokio::select! {
        answer = pings.ping(Ping::opaque()) => answer.map(drop).map_err(failed),
        ended = running => ended,
    };
    // Without a sender the connection would end itself before the answer.
    drop(sender);
    answer
}
