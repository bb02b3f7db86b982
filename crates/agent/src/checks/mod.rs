//! Running checks: one task per check asks, a threshold decides, the state is told.

mod alias;
mod docker;
mod grpc;
mod h2ping;
mod http;
mod os_service;
mod output;
mod runner;
mod script;
mod tcp;
mod thresholds;
mod tls;
mod udp;

use std::time::Duration;

use model::{CheckDefinition, CheckKind, Status};

use crate::config::Config;
use tls::Trust;

pub(crate) use runner::Runner;

/// Consul raises shorter intervals to this.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// For checks that name no timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// One attempt: what it found, in the words Consul has for it.
pub(crate) async fn probe(check: &CheckDefinition, config: &Config) -> (Status, String) {
    let limit = timeout(check);
    let output = output_limit(check, config);
    let trust = Trust { skip_verify: check.tls_skip_verify, server_name: &check.tls_server_name };
    let secure = |tls: bool| tls.then_some(&trust);
    match &check.kind {
        CheckKind::Tcp { address, tls } => tcp::probe(address, secure(*tls), limit).await,
        CheckKind::Udp(address) => udp::probe(address, limit).await,
        CheckKind::Http(request) => http::probe(request, &trust, limit, output).await,
        CheckKind::Grpc { target, tls } => grpc::probe(target, secure(*tls), limit).await,
        CheckKind::H2Ping { address, tls } => h2ping::probe(address, secure(*tls), limit).await,
        CheckKind::Script(args) => script::probe(args, limit, output).await,
        CheckKind::Docker(command) => docker::probe(&config.docker_host, command, limit, output).await,
        CheckKind::OsService(name) => os_service::probe(name, limit).await,
        // Nobody asks these: the application reports, and the state settles aliases itself.
        CheckKind::Ttl(_) | CheckKind::Alias { .. } => (Status::Critical, String::new()),
    }
}

fn timeout(check: &CheckDefinition) -> Duration {
    match check.timeout {
        Duration::ZERO if check.kind.runs_programs() => script::DEFAULT_TIMEOUT,
        Duration::ZERO => DEFAULT_TIMEOUT,
        timeout => timeout,
    }
}

/// A check may keep less than its agent does, never more.
pub(crate) fn output_limit(check: &CheckDefinition, config: &Config) -> usize {
    match check.output_max_size {
        0 => config.check_output_max_size,
        own => own.min(config.check_output_max_size),
    }
}

/// The start of a text of at most `limit` bytes, cut between characters.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// A connection error in the words of Go's `net`, which is what people search their logs for.
fn net_error(network: &str, address: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::ConnectionRefused => "connect: connection refused".to_owned(),
        Kind::TimedOut => "i/o timeout".to_owned(),
        Kind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        Kind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    };
    format!("dial {network} {address}: {why}")
}

fn dial_error(address: &str, error: &std::io::Error) -> String {
    net_error("tcp", address, error)
}

/// `:80` means this host, as in Go.
fn local(address: &str) -> String {
    if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() }
}

async fn dial(address: &str, limit: Duration) -> Result<tokio::net::TcpStream, String> {
    match tokio::time::timeout(limit, tokio::net::TcpStream::connect(local(address))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(dial_error(address, &error)),
        Err(_) => Err(dial_error(address, &std::io::ErrorKind::TimedOut.into())),
    }
}
