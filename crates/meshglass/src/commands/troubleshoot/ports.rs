//! `troubleshoot ports`: which ports of a server answer.

use std::time::Duration;

use clap::{ArgMatches, Command};
use tokio::net::TcpStream;

use crate::commands::flags::{given, rest, text, with_agent};
use crate::commands::terminal::Colours;
use crate::commands::{Failure, Outcome, Output};

const TIMEOUT: Duration = Duration::from_secs(5);
/// DNS, HTTP, HTTPS, gRPC, gRPC over TLS, gossip, and the servers' own.
const PORTS: &str = "8600,8500,8501,8502,8503,8301,8302,8300";

pub fn command() -> Command {
    with_agent(Command::new("ports"))
        .about("Tell which ports of a server answer")
        .long_about("Connects to the ports of a server over TCP. Exits with 1 when one does not answer.")
        .arg(text("host", "host", "The server. Default: that of -http-addr, else localhost."))
        .arg(text("ports", "list", "The ports, with commas. Default: those of Consul."))
        .arg(rest(""))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let ports = parse(given(matches, "ports").unwrap_or(PORTS)).map_err(Failure::usage)?;
    let host = given(matches, "host").map(str::to_owned).or_else(|| of_address(matches));
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    let (mut out, mut closed, colours) = (String::new(), false, Colours::of_stdout());
    for port in ports {
        let name = host.trim_matches(['[', ']']);
        let answer = tokio::time::timeout(TIMEOUT, TcpStream::connect((name, port))).await;
        closed |= !matches!(answer, Ok(Ok(_)));
        let line = match answer {
            Ok(Ok(_)) => format!("TCP: Port {port} on {host} is {}", colours.good("open")),
            Ok(Err(error)) => format!("TCP: Port {port} on {host} is {}: {error}", colours.bad("closed")),
            Err(_) => format!("TCP: Port {port} on {host} is {}: no answer", colours.bad("closed")),
        };
        out.push_str(&format!("{line}\n"));
    }
    Ok(Output { code: u8::from(closed), ..Output::text(out) })
}

fn parse(list: &str) -> Result<Vec<u16>, String> {
    let port = |text: &str| text.trim().parse().map_err(|_| format!("invalid port \"{text}\" in -ports"));
    list.split(',').map(port).collect()
}

/// The host of `-http-addr` or `CONSUL_HTTP_ADDR`.
fn of_address(matches: &ArgMatches) -> Option<String> {
    let address = given(matches, "http-addr").map(str::to_owned).or_else(|| std::env::var("CONSUL_HTTP_ADDR").ok())?;
    let rest = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
    if address.starts_with("unix://") {
        return None;
    }
    Some(rest.rsplit_once(':').map_or(rest, |(host, _)| host).to_owned()).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_a_list_of_numbers() {
        assert_eq!(parse("1, 65535"), Ok(vec![1, 65535]));
        assert_eq!(parse("1,x"), Err("invalid port \"x\" in -ports".to_owned()));
        assert_eq!(parse(PORTS).map(|ports| ports.len()), Ok(8));
    }
}
