//! Given → meant: defaults, judgement, and what has to be said.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use model::{Action, parse_duration};
use tracing::Level;

use super::authority::CaConfig;
use super::error::{Complaint, ConfigError};
use super::given::{Given, Setting, Value};
use super::keys::Role;
use super::meant::{Config, Etcd, Telemetry};
use super::node;

const DATACENTER: &str = "dc1";
const DOMAIN: &str = "consul.";
const ETCD_PREFIX: &str = "meshglass";
const HTTP_PORT: i64 = 8500;
const DNS_PORT: i64 = 8600;
const GRPC_PORT: i64 = 8502;
const SERVER_PORT: i64 = 8300;
const SERF_LAN_PORT: i64 = 8301;
const SIDECAR_PORTS: (i64, i64) = (21000, 21255);
const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(300);
const CHECK_OUTPUT_MAX_SIZE: i64 = 4096;
const DEFAULT_QUERY_TIME: Duration = Duration::from_secs(300);
const MAX_QUERY_TIME: Duration = Duration::from_secs(600);
const META_PAIRS: usize = 64;

/// Everything judged, the node's id still open.
pub(super) struct Settings {
    config: Config,
    notes: Vec<String>,
    given_id: String,
}

impl Settings {
    /// Adds what the log, or the command line, should say.
    pub fn said(self, lines: &mut Vec<String>) {
        lines.extend(self.notes);
    }
}

pub(super) fn config(mut given: Given, dev: bool) -> Result<(Config, Vec<String>), ConfigError> {
    let mut lines = std::mem::take(&mut given.warnings);
    let Settings { mut config, notes, given_id } = settings(given, dev)?;
    lines.extend(notes);
    if !dev {
        let text = "state is kept in memory only: what is written through the API is gone when the agent ends";
        lines.push(text.to_owned());
    }
    if !config.server {
        lines.push("there is no server to join: this agent serves a catalog of its own, as with -server".to_owned());
    }
    config.node_id = node::id(&config, &given_id)?;
    Ok((config, lines))
}

pub(super) fn settings(given: Given, dev: bool) -> Result<Settings, ConfigError> {
    let mut read = Reading { settings: given.settings, complaints: Vec::new(), notes: Vec::new() };
    read.roles();
    read.clustering(dev);
    read.protections();
    let (bind_addr, advertise_addr) = read.addresses(dev);
    let client = read.listen_addresses("client_addr", vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let given_id = read.text("node_id");
    let config = Config {
        dev,
        server: read.boolean("server").unwrap_or(dev),
        datacenter: read.datacenter(),
        node_name: read.node_name(),
        node_id: String::new(),
        node_meta: read.node_meta(),
        tagged_addresses: read.map("tagged_addresses"),
        data_dir: read.data_dir(dev),
        etcd: read.etcd(dev),
        domain: read.some_text("domain").unwrap_or_else(|| DOMAIN.to_owned()),
        bind_addr,
        advertise_addr,
        http: read.listeners("http", &client, HTTP_PORT),
        dns: read.listeners("dns", &client, DNS_PORT),
        grpc: read.listeners("grpc", &client, if dev { GRPC_PORT } else { -1 }),
        server_port: read.port("ports.server", SERVER_PORT).unwrap_or_default(),
        serf_lan_port: read.port("ports.serf_lan", SERF_LAN_PORT).unwrap_or_default(),
        sidecar_ports: read.sidecar_ports(),
        log_level: read.log_level(dev),
        log_json: read.boolean("log_json").unwrap_or_default(),
        log_file: read.some_text("log_file").map(PathBuf::from),
        pid_file: read.some_text("pid_file").map(PathBuf::from),
        ui: read.boolean("ui").or(read.boolean("ui_config.enabled")).unwrap_or(true),
        check_update_interval: read.duration("check_update_interval", CHECK_UPDATE_INTERVAL),
        check_output_max_size: read.output_max_size(),
        scripts: read.scripts(),
        docker_host: std::env::var("DOCKER_HOST").unwrap_or_else(|_| agent::DOCKER_HOST.to_owned()),
        default_query_time: read.duration("default_query_time", DEFAULT_QUERY_TIME),
        max_query_time: read.duration("max_query_time", MAX_QUERY_TIME),
        default_intention_policy: read.default_policy(),
        telemetry: read.telemetry(),
        services: given.definitions.services,
        checks: given.definitions.checks,
        bootstrap: given.bootstrap,
        ca_config: read.ca_config(),
    };
    if !read.complaints.is_empty() {
        return Err(ConfigError::Invalid(read.complaints));
    }
    Ok(Settings { config, notes: read.notes, given_id })
}

struct Reading {
    settings: BTreeMap<&'static str, Setting>,
    complaints: Vec<Complaint>,
    notes: Vec<String>,
}

impl Reading {
    fn complain(&mut self, path: &str, text: impl Into<String>) {
        let origin = self.settings.get(path).map(|setting| setting.origin.clone()).unwrap_or_default();
        self.complaints.push(Complaint { origin, text: text.into() });
    }

    fn note(&mut self, path: &str, text: &str) {
        let origin = self.settings.get(path).map(|setting| setting.origin.as_str()).unwrap_or_default();
        self.notes.push(if origin.is_empty() { text.to_owned() } else { format!("{origin}: {text}") });
    }

    fn some_text(&self, path: &str) -> Option<String> {
        match &self.settings.get(path)?.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn text(&self, path: &str) -> String {
        self.some_text(path).unwrap_or_default()
    }

    fn boolean(&self, path: &str) -> Option<bool> {
        match self.settings.get(path)?.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    fn number(&self, path: &str) -> Option<i64> {
        match self.settings.get(path)?.value {
            Value::Number(n) => Some(n),
            _ => None,
        }
    }

    fn texts(&self, path: &str) -> Vec<String> {
        match self.settings.get(path).map(|setting| &setting.value) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }

    fn map(&self, path: &str) -> BTreeMap<String, String> {
        match self.settings.get(path).map(|setting| &setting.value) {
            Some(Value::Map(map)) => map.clone(),
            _ => BTreeMap::new(),
        }
    }

    fn duration(&mut self, path: &str, default: Duration) -> Duration {
        let Some(text) = self.some_text(path) else { return default };
        parse_duration(&text).unwrap_or_else(|_| {
            self.complain(path, format!("{path}: invalid duration: {text:?}, expected one such as \"10s\""));
            default
        })
    }

    /// Says what has no effect, and refuses what must not be ignored. A switch that is off asks for nothing.
    fn roles(&mut self) {
        let mut complaints = Vec::new();
        for (path, Setting { value, origin, role }) in &self.settings {
            let asks = match value {
                Value::Bool(on) => *on,
                Value::Text(text) => !text.is_empty(),
                Value::Number(_) => true,
                Value::Texts(texts) => !texts.is_empty(),
                Value::Map(map) => !map.is_empty(),
                Value::Any(object) => !object.is_empty(),
            };
            match role {
                Role::Used => {}
                Role::NoEffect => self.notes.push(format!("{origin}: {path} is accepted and has no effect yet")),
                Role::Loud(why) if asks => self.notes.push(format!("{origin}: {path} has no effect: {why}")),
                Role::Refused(why) if asks => {
                    let text = format!("{path} is set, but {why}; take it out to start without");
                    complaints.push(Complaint { origin: origin.clone(), text });
                }
                Role::Loud(_) | Role::Refused(_) => {}
            }
        }
        self.complaints.append(&mut complaints);
    }

    /// Keys whose values decide whether ignoring them would be a hole.
    fn protections(&mut self) {
        for path in ["acl_default_policy", "acl.default_policy"] {
            let policy = self.text(path);
            if !["", "allow"].contains(&policy.as_str()) {
                self.complain(path, format!("{path} is {policy:?}, but access control is not there yet"));
            }
        }
        for path in ["ports.https", "ports.grpc_tls"] {
            if self.number(path).is_some_and(|port| port > 0) {
                self.complain(path, format!("{path} is set, but the agent's ports do not speak TLS yet"));
            }
        }
        if self.boolean("connect.enabled") == Some(false) {
            self.note("connect.enabled", "connect.enabled = false has no effect: the mesh is always on");
        }
        let provider = self.text("connect.ca_provider");
        if !["", "consul"].contains(&provider.as_str()) {
            let text =
                format!("connect.ca_provider is {provider:?}; only the built-in authority (\"consul\") is there yet");
            self.complain("connect.ca_provider", text);
        }
    }

    /// One agent is a whole mesh for now; a configuration that needs others cannot be met.
    fn clustering(&mut self, dev: bool) {
        let expect = self.number("bootstrap_expect").unwrap_or_default();
        let server = self.boolean("server").unwrap_or(dev);
        if expect > 0 && !server {
            self.complain("bootstrap_expect", "'bootstrap_expect > 0' requires 'server = true'");
        } else if expect > 0 && self.boolean("bootstrap") == Some(true) {
            self.complain("bootstrap_expect", "'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive");
        } else if expect > 1 {
            self.complain("bootstrap_expect", format!("bootstrap_expect is {expect}; only one server is there yet"));
        }
        for path in ["retry_join", "start_join", "retry_join_wan", "start_join_wan"] {
            if !self.texts(path).is_empty() {
                self.complain(path, format!("{path}: joining other agents is not there yet"));
            }
        }
    }

    fn datacenter(&mut self) -> String {
        let name = self.some_text("datacenter").unwrap_or_else(|| DATACENTER.to_owned()).to_lowercase();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            let text = format!(
                "datacenter cannot be {name:?}. Please use only [a-z0-9-_]: it is part of every identity in the mesh"
            );
            self.complain("datacenter", text);
        }
        name
    }

    fn node_name(&mut self) -> String {
        let name = self.some_text("node_name").unwrap_or_else(node::host_name);
        if name.is_empty() {
            self.complain("node_name", "node_name cannot be empty");
        }
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            let text = format!(
                "Node name {name:?} will not be discoverable via DNS due to invalid characters. Valid characters \
                 include all alpha-numerics and dashes."
            );
            self.notes.push(text);
        }
        name
    }

    fn node_meta(&mut self) -> BTreeMap<String, String> {
        let meta = self.map("node_meta");
        if meta.len() > META_PAIRS {
            self.complain("node_meta", format!("node_meta holds {} pairs, at most {META_PAIRS} may be", meta.len()));
        }
        for (key, value) in &meta {
            let reason = if key.is_empty() {
                "Key cannot be blank"
            } else if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
                "Key contains invalid characters"
            } else if key.len() > 128 {
                "Key is too long (limit: 128 characters)"
            } else if value.len() > 512 {
                "Value is too long (limit: 512 characters)"
            } else {
                continue;
            };
            let text = format!("node_meta invalid: Couldn't load metadata pair ('{key}', '{value}'): {reason}");
            self.complain("node_meta", text);
        }
        meta
    }

    fn data_dir(&mut self, dev: bool) -> Option<PathBuf> {
        let path = self.text("data_dir");
        if path.is_empty() && !dev {
            self.complain("data_dir", "data_dir cannot be empty");
        }
        // Consul's -dev ignores a data directory as well.
        (!path.is_empty() && !dev).then(|| PathBuf::from(path))
    }

    /// As a data directory, a cluster is for agents that keep something.
    fn etcd(&mut self, dev: bool) -> Option<Etcd> {
        let texts = self.texts("etcd.endpoints");
        let endpoints: Vec<String> =
            texts.iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect();
        if endpoints.is_empty() || dev {
            return None;
        }
        let prefix = self.some_text("etcd.prefix").unwrap_or_else(|| ETCD_PREFIX.to_owned());
        Some(Etcd { endpoints, prefix })
    }

    /// Where to listen for the mesh, and the address others are told.
    fn addresses(&mut self, dev: bool) -> (IpAddr, IpAddr) {
        let default = if dev { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
        let bind = self.address("bind_addr").unwrap_or(IpAddr::V4(default));
        let path = if self.text("advertise_addr").is_empty() { "advertise_addr_ipv4" } else { "advertise_addr" };
        let advertise = match self.address(path) {
            Some(address) if address.is_unspecified() => {
                self.complain(path, "Advertise address cannot be 0.0.0.0, :: or [::]");
                address
            }
            Some(address) => address,
            None if bind.is_unspecified() => node::own_address(),
            None => bind,
        };
        (bind, advertise)
    }

    fn address(&mut self, path: &str) -> Option<IpAddr> {
        let text = self.some_text(path).filter(|text| !text.is_empty())?;
        let address = ip(&text);
        if address.is_none() {
            self.complain(path, format!("{path}: expected an IP address, got {text:?}{}", hint(&text)));
        }
        address
    }

    /// One or several addresses, parted by blanks.
    fn listen_addresses(&mut self, path: &str, default: Vec<IpAddr>) -> Vec<IpAddr> {
        let text = self.text(path);
        if text.trim().is_empty() {
            return default;
        }
        if text.contains("unix://") {
            self.complain(
                path,
                format!("{path}: sockets in the file system are not there yet, expected an IP address"),
            );
            return default;
        }
        if text.contains("{{") {
            self.complain(path, format!("{path}: expected IP addresses, got {text:?}{}", hint(&text)));
            return default;
        }
        let mut out = Vec::new();
        for word in text.split_whitespace() {
            match ip(word) {
                Some(address) => out.push(address),
                None => self.complain(path, format!("{path}: expected an IP address, got {word:?}")),
            }
        }
        out
    }

    fn listeners(&mut self, name: &str, client: &[IpAddr], default: i64) -> Vec<SocketAddr> {
        let port = self.port(&format!("ports.{name}"), default);
        let addresses = self.listen_addresses(&format!("addresses.{name}"), client.to_vec());
        port.map(|port| addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()).unwrap_or_default()
    }

    /// Zero and less switch a port off, as in Consul.
    fn port(&mut self, path: &str, default: i64) -> Option<u16> {
        let number = self.number(path).unwrap_or(default);
        let port = u16::try_from(number).ok().filter(|port| *port > 0);
        if port.is_none() && number > 0 {
            self.complain(path, format!("{path}: invalid port: {number}, expected a whole number up to 65535"));
        }
        port
    }

    fn sidecar_ports(&mut self) -> std::ops::RangeInclusive<u16> {
        let low = self.port("ports.sidecar_min_port", SIDECAR_PORTS.0).unwrap_or_default();
        let high = self.port("ports.sidecar_max_port", SIDECAR_PORTS.1).unwrap_or_default();
        if high < low || (low == 0) != (high == 0) {
            let text = "sidecar_min_port must be less than sidecar_max_port. To disable, set both to zero.";
            self.complain("ports.sidecar_min_port", text);
        }
        // Both zero: a range that holds nothing.
        let (low, high) = if high == 0 { (1, 0) } else { (low, high) };
        low..=high
    }

    fn log_level(&mut self, dev: bool) -> Level {
        let default = if dev { Level::DEBUG } else { Level::INFO };
        let Some(text) = self.some_text("log_level") else { return default };
        crate::logging::parse_level(&text).unwrap_or_else(|| {
            let text = format!("log_level: expected trace, debug, info, warn or err, got {text:?}");
            self.complain("log_level", text);
            default
        })
    }

    fn output_max_size(&mut self) -> usize {
        let size = self.number("check_output_max_size").unwrap_or(CHECK_OUTPUT_MAX_SIZE);
        if size < 1 {
            self.complain(
                "check_output_max_size",
                "check_output_max_size must be positive, to discard output set discard_check_output",
            );
        }
        usize::try_from(size).unwrap_or_default()
    }

    fn ca_config(&self) -> CaConfig {
        match self.settings.get("connect.ca_config").map(|setting| &setting.value) {
            Some(Value::Any(written)) => CaConfig::read(written),
            _ => CaConfig::default(),
        }
    }

    fn scripts(&self) -> agent::Scripts {
        match (self.boolean("enable_script_checks"), self.boolean("enable_local_script_checks")) {
            (Some(true), _) => agent::Scripts::Everybody,
            (_, Some(true)) => agent::Scripts::Files,
            _ => agent::Scripts::Nobody,
        }
    }

    fn default_policy(&mut self) -> Action {
        match self.text("default_intention_policy").as_str() {
            "" | "allow" => Action::Allow,
            "deny" => Action::Deny,
            other => {
                let text = format!("default_intention_policy: expected allow or deny, got {other:?}");
                self.complain("default_intention_policy", text);
                Action::Deny
            }
        }
    }

    fn telemetry(&mut self) -> Telemetry {
        Telemetry {
            statsd_address: self.text("telemetry.statsd_address"),
            dogstatsd_addr: self.text("telemetry.dogstatsd_addr"),
            dogstatsd_tags: self.texts("telemetry.dogstatsd_tags"),
            prometheus_retention_time: self.duration("telemetry.prometheus_retention_time", Duration::ZERO),
            disable_hostname: self.boolean("telemetry.disable_hostname").unwrap_or_default(),
            metrics_prefix: self.some_text("telemetry.metrics_prefix").unwrap_or_else(|| "consul".to_owned()),
            prefix_filter: self.texts("telemetry.prefix_filter"),
            filter_default: self.boolean("telemetry.filter_default").unwrap_or(true),
        }
    }
}

fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if text == "localhost" {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

fn hint(text: &str) -> &'static str {
    if text.contains("{{") { "; templates are not there yet, write the address itself" } else { "" }
}
