//! What is understood and cannot be, and what the log should say about the rest.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use api::listen::Endpoint;
use model::parse_duration;

use super::given::Value;
use super::keys::Kind;
use super::meant::Config;
use super::reading::Reading;

/// Not alone: what a configuration of several servers or datacenters asks for.
const ALONE: &str = "this server is on its own for now: it shares nothing with others";

impl Reading {
    /// Every duration is read, those of keys without effect too: `5` without a unit is a mistake wherever it stands.
    pub fn durations(&mut self) {
        let bad = |text: &String| !text.is_empty() && parse_duration(text.trim_start_matches('-')).is_err();
        let wrong: Vec<(&'static str, String, String)> = self
            .settings
            .iter()
            .flat_map(|(path, setting)| match &setting.value {
                Value::Text(text) if setting.kind == Kind::Duration && bad(text) => {
                    vec![(*path, (*path).to_owned(), text.clone())]
                }
                Value::Map(map) if setting.kind == Kind::DurationMap => {
                    let wrong = map.iter().filter(|(_, text)| bad(text));
                    wrong.map(|(key, text)| (*path, format!("{path}[{key:?}]"), text.clone())).collect()
                }
                _ => Vec::new(),
            })
            .collect();
        for (path, name, text) in wrong {
            self.bad_duration(path, &name, &text);
        }
    }

    pub fn judge(&mut self, dev: bool) {
        let server = self.boolean("server").unwrap_or(dev);
        self.bootstrapping(server, dev);
        self.clustering(server);
        self.ranges();
        self.gossip_key();
        self.mesh(server);
        self.certificates();
    }

    fn bootstrapping(&mut self, server: bool, dev: bool) {
        let expect = self.number("bootstrap_expect").unwrap_or_default();
        let bootstrap = self.on("bootstrap");
        if expect < 0 {
            let text = format!("bootstrap_expect cannot be {expect}. Must be greater than or equal to zero");
            self.complain("bootstrap_expect", text);
        } else if bootstrap && !server {
            self.complain("bootstrap", "'bootstrap = true' requires 'server = true'");
        } else if expect > 0 && !server {
            self.complain("bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true'");
        } else if expect > 0 && dev {
            self.complain("bootstrap_expect", "'bootstrap_expect > 0' not allowed in dev mode");
        } else if expect > 0 && bootstrap {
            self.complain("bootstrap_expect", "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
        } else if expect > 1 {
            self.note("bootstrap_expect", &format!("bootstrap_expect = {expect}: nobody is waited for, {ALONE}"));
        }
    }

    fn clustering(&mut self, server: bool) {
        for path in ["retry_join", "retry_join_wan"] {
            let others = self.texts(path).join(", ");
            if !others.is_empty() && server {
                self.note(path, &format!("{path}: nobody is joined ({others}), {ALONE}"));
            }
        }
        let primary = self.text("primary_datacenter");
        if !primary.is_empty() && !primary.eq_ignore_ascii_case(&self.full_text("datacenter").unwrap_or("dc1".into())) {
            self.note("primary_datacenter", &format!("primary_datacenter = {primary:?} has no effect: {ALONE}"));
        }
        for path in ["segments", "segment"] {
            if self.json(path).is_some_and(|json| json.as_array().is_some_and(|all| !all.is_empty()))
                || self.full_text(path).is_some()
            {
                self.complain(path, "Network segments are not supported in this version of Consul");
            }
        }
    }

    fn ranges(&mut self) {
        for (path, range) in [("performance.raft_multiplier", 1..=10)] {
            if let Some(number) = self.number(path).filter(|number| !range.contains(number)) {
                let (low, high) = (range.start(), range.end());
                self.complain(path, format!("{path} cannot be {number}. Must be between {low} and {high}"));
            }
        }
        for path in ["autopilot.max_trailing_logs", "autopilot.min_quorum", "dns_config.soa.refresh"] {
            self.count(path, 0);
        }
        for path in ["serf_lan_allowed_cidrs", "serf_wan_allowed_cidrs"] {
            for text in self.texts(path) {
                if api::policy::Network::parse(&text).is_none() {
                    self.complain(path, format!("{path}: invalid cidr: {text}"));
                }
            }
        }
    }

    /// A key that is none would be found out only on the day it is needed.
    fn gossip_key(&mut self) {
        use base64::Engine as _;
        let key = self.text("encrypt");
        if key.is_empty() {
            return;
        }
        let reason = match base64::engine::general_purpose::STANDARD.decode(&key) {
            Err(_) => "it is not base64",
            Ok(bytes) if ![16, 24, 32].contains(&bytes.len()) => "key size must be 16, 24 or 32 bytes",
            Ok(_) => return,
        };
        self.complain("encrypt", format!("encrypt has invalid key: {reason}"));
    }

    fn mesh(&mut self, server: bool) {
        if self.boolean("connect.enabled") == Some(false) {
            self.note("connect.enabled", "connect.enabled = false has no effect: the mesh is always on");
        }
        if self.boolean("enable_central_service_config") == Some(false) {
            let text = "enable_central_service_config = false has no effect: central configuration is always on";
            self.note("enable_central_service_config", text);
        }
        let provider = self.text("connect.ca_provider");
        if !["", "consul"].contains(&provider.as_str()) {
            let text =
                format!("connect.ca_provider is {provider:?}; only the built-in authority (\"consul\") is there yet");
            self.complain("connect.ca_provider", text);
        }
        for (path, asks) in [
            ("auto_encrypt.allow_tls", self.on("auto_encrypt.allow_tls")),
            ("primary_gateways", !self.texts("primary_gateways").is_empty()),
            ("connect.enable_mesh_gateway_wan_federation", self.on("connect.enable_mesh_gateway_wan_federation")),
        ] {
            if asks && !server {
                self.complain(path, format!("{path} can only be used on a server."));
            }
        }
    }

    fn certificates(&mut self) {
        if self.number("ports.grpc_tls").is_some_and(|port| port > 0) {
            self.note("ports.grpc_tls", "ports.grpc_tls has no effect yet: there is no gRPC port");
        }
        if self.on("tls.grpc.verify_incoming") {
            self.note("tls.grpc.verify_incoming", "tls.grpc has no effect yet: there is no gRPC port");
        }
    }

    /// Two listeners on one address: the second could not be bound.
    pub fn distinct_addresses(&mut self, config: &Config) {
        let mut taken: BTreeMap<SocketAddr, &str> = BTreeMap::new();
        let of = |endpoints: &[Endpoint]| endpoints.iter().filter_map(Endpoint::tcp).collect::<Vec<_>>();
        let listeners = [("DNS", config.dns.clone()), ("HTTP", of(&config.http)), ("HTTPS", of(&config.https))];
        for (what, addresses) in listeners {
            for address in addresses {
                if let Some(other) = taken.insert(address, what) {
                    let path = format!("ports.{}", what.to_ascii_lowercase());
                    self.complain(&path, format!("{what} address {address} already configured for {other}"));
                }
            }
        }
    }
}
