//! `connect proxy -service …`: a proxy made of flags. It is registered for as long as it runs, so that its plan comes
//! from the agent like every other.

use std::net::{Ipv4Addr, TcpListener};

use clap::ArgMatches;
use client::Client;
use http::Method;
use serde_json::{Value, json};

use super::Failure;
use super::connection::TIMEOUT;
use super::flags::{every, given, on};

/// The registration of a proxy that exists only while its process does.
#[derive(Debug, PartialEq, Eq)]
pub struct Registration {
    pub id: String,
    service: String,
    upstreams: Vec<Upstream>,
    listen: Option<Listen>,
    /// Where the agent believes the proxy to be.
    address: String,
    port: u16,
    /// Others may find it.
    found: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Upstream {
    name: String,
    host: String,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
struct Listen {
    at: String,
    application: (String, u16),
}

pub fn from_flags(matches: &ArgMatches) -> Result<Registration, Failure> {
    let service = given(matches, "service").unwrap_or_default().to_owned();
    let upstreams = every(matches, "upstream").iter().map(|text| upstream(text)).collect::<Result<_, _>>()?;
    let listen = match (given(matches, "listen"), given(matches, "service-addr")) {
        (None, _) => None,
        (Some(_), None) => {
            return Err(Failure::new(
                "-service-addr must be specified with -listen so the proxy knows the backend service address.",
            ));
        }
        (Some(at), Some(application)) => {
            Some(Listen { at: at.to_owned(), application: host_port(application, "-service-addr")? })
        }
    };
    let (address, port) = match &listen {
        Some(listen) => host_port(&listen.at, "-listen")?,
        None => (Ipv4Addr::LOCALHOST.to_string(), free_port()?),
    };
    // Two that only call out must not overwrite each other's registration.
    let suffix = match (given(matches, "register-id"), on(matches, "register")) {
        (Some(suffix), _) => format!("-{suffix}"),
        (None, true) => String::new(),
        (None, false) => format!("-{}", std::process::id()),
    };
    let found = on(matches, "register") && listen.is_some();
    Ok(Registration { id: format!("{service}-proxy{suffix}"), service, upstreams, listen, address, port, found })
}

/// `db:8181` or `db:127.0.0.1:8181`
fn upstream(text: &str) -> Result<Upstream, Failure> {
    let bad = || {
        let why = format!("Upstream value should be name:addr in \"{text}\"");
        Failure::usage(format!("invalid value \"{text}\" for flag -upstream: {why}"))
    };
    let (name, address) = text.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or_else(bad)?;
    let (host, port) = address.rsplit_once(':').unwrap_or(("", address));
    let port = port.parse().map_err(|_| bad())?;
    Ok(Upstream { name: name.to_owned(), host: host.to_owned(), port })
}

fn host_port(text: &str, flag: &str) -> Result<(String, u16), Failure> {
    let bad = || Failure::new(format!("{flag} {text}: expected host:port"));
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    Ok((host.trim_matches(['[', ']']).to_owned(), port.parse().map_err(|_| bad())?))
}

/// Every proxy service must have a port; this one's is used by nobody.
fn free_port() -> Result<u16, Failure> {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.port()).map_err(|e| Failure::new(format!("no free port: {e}")))
}

impl Registration {
    pub fn summary(&self) -> String {
        let mut out = format!("    Configuration mode: Flags\n               Service: {}\n", self.service);
        for Upstream { name, host, port } in &self.upstreams {
            out.push_str(&format!("              Upstream: {name} => {host}:{port}\n"));
        }
        if let Some(Listen { at, application: (host, port) }) = &self.listen {
            out.push_str(&format!("       Public listener: {at} => {host}:{port}\n"));
        }
        out
    }

    fn body(&self) -> Value {
        let upstreams: Vec<Value> = self
            .upstreams
            .iter()
            .map(|Upstream { name, host, port }| {
                json!({ "DestinationName": name, "LocalBindAddress": host, "LocalBindPort": port })
            })
            .collect();
        let mut proxy = json!({ "DestinationServiceName": self.service, "Upstreams": upstreams });
        let loopback = || Ipv4Addr::LOCALHOST.to_string();
        let bind = match &self.listen {
            Some(Listen { application: (host, port), .. }) => {
                let host = if host.is_empty() { loopback() } else { host.clone() };
                proxy["LocalServiceAddress"] = json!(host);
                proxy["LocalServicePort"] = json!(port);
                if self.address.is_empty() { Ipv4Addr::UNSPECIFIED.to_string() } else { self.address.clone() }
            }
            None => loopback(),
        };
        proxy["Config"] = json!({ "bind_address": bind });
        json!({
            "Kind": "connect-proxy", "ID": self.id, "Name": format!("{}-proxy", self.service),
            "Address": self.address, "Port": self.port, "Proxy": proxy, "Checks": [self.check()],
        })
    }

    /// A proxy that nobody is to find has a check that never passes.
    fn check(&self) -> Value {
        if self.found {
            let host = if self.address.is_empty() { Ipv4Addr::LOCALHOST.to_string() } else { self.address.clone() };
            let address = format!("{host}:{}", self.port);
            return json!({ "Name": "Connect Proxy Listening", "TCP": address, "Interval": "10s" });
        }
        json!({ "Name": "Connect Proxy Not Offered", "TTL": "87600h", "Status": "critical" })
    }

    pub async fn register(&self, client: &Client) -> Result<(), client::Error> {
        client.put("/v1/agent/service/register", &self.body()).await.map(drop)
    }

    pub async fn deregister(&self, client: &Client) -> Result<(), client::Error> {
        let path = format!("/v1/agent/service/deregister/{}", client::escape(&self.id));
        client.send(Method::PUT, &path, bytes::Bytes::new(), TIMEOUT).await?.success().map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(words: &[&str]) -> Result<Registration, Failure> {
        let command = super::super::connect::command().find_subcommand("proxy").unwrap().clone();
        from_flags(&command.try_get_matches_from(std::iter::once("proxy").chain(words.iter().copied())).unwrap())
    }

    #[test]
    fn a_proxy_of_flags_is_a_registration() {
        let words =
            ["--service=x", "--service-addr=:80", "--listen=127.0.0.1:9999", "--upstream=db:9292", "--register=true"];
        let registration = parse(&words).unwrap();
        assert_eq!(
            registration.summary(),
            "    Configuration mode: Flags\n               Service: x\n              Upstream: db => :9292\n       \
             Public listener: 127.0.0.1:9999 => :80\n"
        );
        let body = registration.body();
        assert_eq!((&body["ID"], &body["Port"]), (&json!("x-proxy"), &json!(9999)));
        assert_eq!(body["Proxy"]["LocalServiceAddress"], "127.0.0.1");
        assert_eq!(body["Proxy"]["Upstreams"][0]["LocalBindPort"], 9292);
        assert_eq!(body["Checks"][0]["TCP"], "127.0.0.1:9999");
    }

    #[test]
    fn a_caller_is_found_by_nobody() {
        let registration = parse(&["--service=x", "--upstream=db:127.0.0.1:9292"]).unwrap();
        assert_eq!(registration.upstreams[0].host, "127.0.0.1");
        assert_eq!(registration.body()["Checks"][0]["Status"], "critical");
    }

    #[test]
    fn mistakes_name_the_flag() {
        let text = |words: &[&str]| parse(words).unwrap_err().text;
        assert!(text(&["--service=x", "--upstream=db"]).contains("name:addr in \"db\""));
        assert!(text(&["--service=x", "--listen=:1"]).starts_with("-service-addr must be specified"));
        assert!(text(&["--service=x", "--listen=1", "--service-addr=:2"]).starts_with("-listen 1:"));
    }
}
