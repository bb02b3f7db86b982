//! Can a connection be opened, and with TLS a handshake be made?

use std::time::Duration;

use model::Status;

use super::tls::Trust;

pub(super) async fn probe(address: &str, tls: Option<&Trust<'_>>, limit: Duration) -> (Status, String) {
    match tokio::time::timeout(limit, connect(address, tls, limit)).await {
        Ok(Ok(())) => (Status::Passing, format!("TCP connect {address}: Success")),
        Ok(Err(why)) => (Status::Critical, why),
        Err(_) => (Status::Critical, super::dial_error(address, &std::io::ErrorKind::TimedOut.into())),
    }
}

async fn connect(address: &str, tls: Option<&Trust<'_>>, limit: Duration) -> Result<(), String> {
    let stream = super::dial(address, limit).await?;
    if let Some(trust) = tls {
        super::tls::connect(stream, address, trust, None).await?;
    }
    Ok(())
}
