//! From flags and environment to a client of the agent.

use std::time::Duration;

use clap::ArgMatches;
use client::{Client, Query, Server, Tls};

use super::{Failure, flags, open_error};

/// How long a write may take.
pub const TIMEOUT: Duration = Duration::from_secs(60);
const NO_CLIENT: &str = "Error connecting to Consul agent";
const DEFAULT_ADDRESS: &str = "127.0.0.1:8500";

/// A client, and the parameters that every request of this command carries.
pub struct Api {
    pub client: Client,
    query: Query,
}

impl Api {
    pub fn from_flags(matches: &ArgMatches) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let server = server(matches, &environment)?;
        let client = Client::to(&server).map_err(unusable)?;
        Ok(Self { client, query: query(matches, &environment) })
    }

    /// A fresh query with the command's datacenter, consistency and namespace.
    pub fn query(&self) -> Query {
        self.query.clone()
    }

    /// A write's path with the same.
    pub fn path(&self, path: &str) -> String {
        self.query.path(path)
    }
}

/// An address or certificate that no connection can be made with.
fn unusable(error: client::Error) -> Failure {
    match error {
        client::Error::Connect { source, .. } => Failure::new(format!("{NO_CLIENT}: {source}")),
        error => Failure::new(format!("{NO_CLIENT}: {error}")),
    }
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The flag, else the variable; an empty one counts as not given.
fn setting(matches: &ArgMatches, flag: &str, environment: Environment<'_>, variable: &str) -> Option<String> {
    let given = matches.try_get_one::<String>(flag).ok().flatten().cloned().filter(|value| !value.is_empty());
    given.or_else(|| environment(variable).filter(|value| !value.is_empty()))
}

fn server(matches: &ArgMatches, environment: Environment<'_>) -> Result<Server, Failure> {
    let get = |flag, variable| setting(matches, flag, environment, variable);
    let token_file = get("token-file", "CONSUL_HTTP_TOKEN_FILE");
    let mut token = get("token", "CONSUL_HTTP_TOKEN");
    // The flag beats the file, the file beats the environment.
    if let Some(file) = token_file.filter(|_| flags::given(matches, "token").is_none()) {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| Failure::new(format!("{NO_CLIENT}: Error loading token file: {}", open_error(&file, &e))))?;
        token = Some(text.trim().to_owned()).filter(|text| !text.is_empty()).or(token);
    }
    let tls = Tls {
        ca_file: get("ca-file", "CONSUL_CACERT").map(Into::into),
        ca_path: get("ca-path", "CONSUL_CAPATH").map(Into::into),
        client_cert: get("client-cert", "CONSUL_CLIENT_CERT").map(Into::into),
        client_key: get("client-key", "CONSUL_CLIENT_KEY").map(Into::into),
        server_name: get("tls-server-name", "CONSUL_TLS_SERVER_NAME"),
        skip_verify: environment_bool(environment, "CONSUL_HTTP_SSL_VERIFY") == Some(false),
        ..Tls::default()
    };
    Ok(Server {
        address: get("http-addr", "CONSUL_HTTP_ADDR").unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
        ssl: environment_bool(environment, "CONSUL_HTTP_SSL") == Some(true),
        tls,
        token,
        basic_auth: environment("CONSUL_HTTP_AUTH").filter(|pair| !pair.is_empty()),
    })
}

fn environment_bool(environment: Environment<'_>, variable: &str) -> Option<bool> {
    match environment(variable)?.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

fn query(matches: &ArgMatches, environment: Environment<'_>) -> Query {
    let mut query = Query::default();
    if let Some(datacenter) = setting(matches, "datacenter", &|_| None, "") {
        query = query.with("dc", &datacenter);
    }
    if matches!(matches.try_get_one::<bool>("stale"), Ok(Some(true))) {
        query = query.with("stale", "");
    }
    if let Some(namespace) = setting(matches, "namespace", environment, "CONSUL_NAMESPACE") {
        query = query.with("ns", &namespace);
    }
    query
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(words: &[&str]) -> ArgMatches {
        let command = flags::with_namespace(flags::with_server(clap::Command::new("x")));
        command.try_get_matches_from(std::iter::once("x").chain(words.iter().copied())).unwrap()
    }

    #[test]
    fn flags_beat_the_environment() {
        let environment = |name: &str| match name {
            "CONSUL_HTTP_ADDR" => Some("http://10.0.0.1:8500".to_owned()),
            "CONSUL_HTTP_TOKEN" => Some("from-environment".to_owned()),
            "CONSUL_HTTP_SSL_VERIFY" => Some("false".to_owned()),
            _ => None,
        };
        let from_environment = server(&matches(&[]), &environment).unwrap();
        assert_eq!(from_environment.address, "http://10.0.0.1:8500");
        assert_eq!(from_environment.token.as_deref(), Some("from-environment"));
        assert!(from_environment.tls.skip_verify);
        let flags = server(&matches(&["--http-addr=b:1", "--token=t"]), &environment).unwrap();
        assert_eq!((flags.address.as_str(), flags.token.as_deref()), ("b:1", Some("t")));
        assert_eq!(server(&matches(&[]), &|_| None).unwrap().address, DEFAULT_ADDRESS);
        let missing = server(&matches(&["--token-file=/nonexistent"]), &|_| None).err().unwrap();
        assert!(missing.text.ends_with("open /nonexistent: no such file or directory"), "{}", missing.text);
    }

    #[test]
    fn every_request_carries_datacenter_and_consistency() {
        let query = query(&matches(&["--datacenter=dc2", "--stale=true"]), &|_| None);
        assert_eq!(query.path("/v1/x"), "/v1/x?dc=dc2&stale=");
    }
}
