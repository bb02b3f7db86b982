//! Running checks: one task per check asks, a threshold decides, the state is told.

mod alias;
mod grpc;
mod http;
mod runner;
mod tcp;
mod thresholds;
mod tls;

use std::time::Duration;

use model::{CheckDefinition, CheckKind, Status};

pub(crate) use runner::Runner;

/// Consul raises shorter intervals to this.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// For checks that name no timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a body kept as output, unless the check says otherwise.
pub(crate) const OUTPUT_LIMIT_BYTES: usize = 4096;

/// One attempt: what it found, in the words Consul has for it.
pub(crate) async fn probe(check: &CheckDefinition) -> (Status, String) {
    let limit = if check.timeout.is_zero() { DEFAULT_TIMEOUT } else { check.timeout };
    match &check.kind {
        CheckKind::Tcp(address) => tcp::probe(address, limit).await,
        CheckKind::Http { url, method, header, body, tls_skip_verify } => {
            let request = http::Request { url, method, header, body, skip_verify: *tls_skip_verify };
            http::probe(&request, limit, output_limit(check)).await
        }
        CheckKind::Grpc { target, tls, tls_skip_verify } => grpc::probe(target, *tls, *tls_skip_verify, limit).await,
        // Nobody asks these: the application reports, and the state settles aliases itself.
        CheckKind::Ttl(_) | CheckKind::Alias { .. } => (Status::Critical, String::new()),
    }
}

fn output_limit(check: &CheckDefinition) -> usize {
    if check.output_max_size == 0 { OUTPUT_LIMIT_BYTES } else { check.output_max_size }
}

/// The start of a text of at most `limit` bytes, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A connection error in the words of Go's `net`, which is what people search their logs for.
fn dial_error(address: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::ConnectionRefused => "connect: connection refused".to_owned(),
        Kind::TimedOut => "i/o timeout".to_owned(),
        Kind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        Kind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

async fn dial(address: &str, limit: Duration) -> Result<tokio::net::TcpStream, String> {
    // `:80` means this host, as in Go.
    let target = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    match tokio::time::timeout(limit, tokio::net::TcpStream::connect(&target)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(dial_error(address, &error)),
        Err(_) => Err(dial_error(address, &std::io::ErrorKind::TimedOut.into())),
    }
}
