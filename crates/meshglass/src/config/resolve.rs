//! Given → meant: defaults, and everything put in its place.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::Action;
use tracing::Level;

use super::authority::CaConfig;
use super::error::ConfigError;
use super::given::Given;
use super::meant::{Acl, AclTokens, Config, Etcd, LogFile, Secret, Telemetry, Ui};
use super::reading::Reading;
use super::{debug, node};

const DATACENTER: &str = "dc1";
const ETCD_PREFIX: &str = "meshglass";
const HTTP_PORT: i64 = 8500;
const DNS_PORT: i64 = 8600;
const GRPC_PORT: i64 = 8502;
const GRPC_TLS_PORT: i64 = -1;
const SERVER_PORT: i64 = 8300;
const SERF_LAN_PORT: i64 = 8301;
const SERF_WAN_PORT: i64 = 8302;
const SIDECAR_PORTS: (i64, i64) = (21000, 21255);
const EXPOSE_PORTS: (i64, i64) = (21500, 21755);
const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(300);
const CHECK_OUTPUT_MAX_SIZE: i64 = 4096;
const LOG_ROTATE_DURATION: Duration = Duration::from_secs(24 * 3600);
const ACL_TTL: Duration = Duration::from_secs(30);
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
    config.node_id = node::id(&config, &given_id)?;
    config.debug["NodeID"] = config.node_id.clone().into();
    Ok((config, lines))
}

pub(super) fn settings(given: Given, dev: bool) -> Result<Settings, ConfigError> {
    let mut read = Reading::new(given.settings);
    read.roles();
    read.durations();
    read.judge(dev);
    let given_id = read.text("node_id");
    let mut config = config_of(&mut read, dev);
    read.distinct_addresses(&config);
    if !read.complaints.is_empty() {
        return Err(ConfigError::Invalid(read.complaints));
    }
    config.services = given.definitions.services;
    config.checks = given.definitions.checks;
    config.bootstrap = given.bootstrap;
    config.debug = debug::config(&read, &config);
    Ok(Settings { config, notes: read.notes, given_id })
}

fn config_of(read: &mut Reading, dev: bool) -> Config {
    let addresses = read.addresses(dev);
    let client = read.client_addresses();
    let acl = read.acl();
    let server = read.boolean("server").unwrap_or(dev);
    Config {
        dev,
        server,
        datacenter: read.datacenter(),
        node_name: read.node_name(),
        node_id: String::new(),
        node_meta: read.node_meta(),
        tagged_addresses: read.map("tagged_addresses"),
        data_dir: read.data_dir(dev),
        etcd: read.etcd(dev),
        snapshot_threshold: read.number("raft_snapshot_threshold").and_then(|n| u64::try_from(n).ok()),
        bind_addr: addresses.bind,
        advertise_addr: addresses.advertise,
        advertise_addr_wan: addresses.advertise_wan,
        http: read.endpoints("http", &client, HTTP_PORT),
        https: read.endpoints("https", &client, -1),
        dns: read.sockets("dns", "dns", &client, DNS_PORT),
        grpc: read.sockets("grpc", "grpc", &client, if dev { GRPC_PORT } else { -1 }),
        grpc_tls: read.sockets("grpc", "grpc_tls", &client, GRPC_TLS_PORT),
        socket_access: read.socket_access(),
        https_tls: read.https_tls(),
        policy: read.policy(),
        limits: read.limits(),
        kv_max_value_size: read.number("limits.kv_max_value_size").and_then(|n| u64::try_from(n).ok()),
        txn_max_req_len: read.number("limits.txn_max_req_len").and_then(|n| u64::try_from(n).ok()),
        server_port: read.port("ports.server", SERVER_PORT).unwrap_or_default(),
        serf_lan_port: read.port("ports.serf_lan", SERF_LAN_PORT).unwrap_or_default(),
        serf_wan_port: read.port("ports.serf_wan", SERF_WAN_PORT).unwrap_or_default(),
        sidecar_ports: read.port_range("sidecar", SIDECAR_PORTS),
        expose_ports: read.port_range("expose", EXPOSE_PORTS),
        log_level: read.log_level(dev),
        log_json: read.on("log_json"),
        log_file: read.log_file(),
        pid_file: read.full_text("pid_file").map(PathBuf::from),
        ui: read.ui(),
        enable_debug: read.boolean("enable_debug").unwrap_or(dev),
        leave_on_terminate: read.boolean("leave_on_terminate").unwrap_or(!server),
        leave_on_interrupt: !read.boolean("skip_leave_on_interrupt").unwrap_or(server),
        check_update_interval: read.duration("check_update_interval", CHECK_UPDATE_INTERVAL),
        check_output_max_size: read.output_max_size(),
        discard_check_output: read.on("discard_check_output"),
        agent_tls_for_checks: read.on("enable_agent_tls_for_checks"),
        scripts: read.scripts(),
        docker_host: std::env::var("DOCKER_HOST").unwrap_or_else(|_| agent::DOCKER_HOST.to_owned()),
        session_ttl_min: read.some_duration("session_ttl_min"),
        disable_remote_exec: read.boolean("disable_remote_exec").unwrap_or(true),
        default_intention_policy: read.default_policy(&acl),
        acl,
        dns_config: read.dns(),
        telemetry: read.telemetry(),
        services: Vec::new(),
        checks: Vec::new(),
        watches: read.json("watches").and_then(serde_json::Value::as_array).cloned().unwrap_or_default(),
        bootstrap: Vec::new(),
        ca_config: read.ca_config(),
        debug: serde_json::Value::Null,
    }
}

impl Reading {
    fn datacenter(&mut self) -> String {
        let name = self.some_text("datacenter").unwrap_or_else(|| DATACENTER.to_owned()).to_lowercase();
        if name.is_empty() {
            self.complain("datacenter", "datacenter cannot be empty");
        } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            let text = format!(
                "datacenter cannot be {name:?}. Please use only [a-z0-9-_]: it is part of every identity in the mesh"
            );
            self.complain("datacenter", text);
        }
        name
    }

    fn node_name(&mut self) -> String {
        // As in Consul, an empty name is the machine's.
        let name = self.full_text("node_name").unwrap_or_else(node::host_name);
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

    fn log_level(&mut self, dev: bool) -> Level {
        let default = if dev { Level::DEBUG } else { Level::INFO };
        let Some(text) = self.some_text("log_level") else { return default };
        crate::logging::parse_level(&text).unwrap_or_else(|| {
            let text = format!("log_level: expected trace, debug, info, warn or err, got {text:?}");
            self.complain("log_level", text);
            default
        })
    }

    /// A directory gets a `consul.log`, a name without an ending a `.log`.
    fn log_file(&mut self) -> Option<LogFile> {
        let given = self.full_text("log_file")?;
        let mut path = PathBuf::from(&given);
        if given.ends_with('/') {
            path.push("consul.log");
        } else if path.extension().is_none() {
            path.set_extension("log");
        }
        Some(LogFile {
            path,
            rotate_bytes: self.number("log_rotate_bytes").and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
            rotate_duration: self.duration("log_rotate_duration", LOG_ROTATE_DURATION),
            max_files: match self.number("log_rotate_max_files") {
                None | Some(0) => None,
                Some(number) => Some(usize::try_from(number).unwrap_or(0)),
            },
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

    fn scripts(&self) -> agent::Scripts {
        match (self.boolean("enable_script_checks"), self.boolean("enable_local_script_checks")) {
            (Some(true), _) => agent::Scripts::Everybody,
            (_, Some(true)) => agent::Scripts::Files,
            _ => agent::Scripts::Nobody,
        }
    }

    fn ui(&mut self) -> Ui {
        let given = self.full_text("ui_config.content_path").unwrap_or_else(|| "ui".to_owned());
        let content_path = match given.trim_matches('/') {
            "" => "/".to_owned(),
            path => format!("/{path}/"),
        };
        if !content_path.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c)) {
            let text = format!("ui-content-path can only contain alphanumeric, -, _, or /. received: {content_path}");
            self.complain("ui_config.content_path", text);
        }
        if content_path != "/ui/" {
            self.note("ui_config.content_path", "ui_config.content_path has no effect yet: the page is at /ui/");
        }
        let dir = self.full_text("ui_config.dir").map(PathBuf::from);
        if dir.is_some() {
            self.note("ui_config.dir", "ui_config.dir has no effect yet: the built-in page is served");
        }
        if dir.is_some() && self.on("ui_config.enabled") {
            let text = "Both the ui and ui-dir flags were specified, please provide only one.";
            self.complain("ui_config.dir", text);
        }
        Ui { enabled: self.boolean("ui_config.enabled").unwrap_or(true), content_path, dir }
    }

    fn ca_config(&self) -> CaConfig {
        let written = self.json("connect.ca_config").and_then(serde_json::Value::as_object);
        written.map(CaConfig::read).unwrap_or_default()
    }

    fn policy_word(&mut self, path: &str) -> Action {
        match self.text(path).as_str() {
            "" | "allow" => Action::Allow,
            "deny" => Action::Deny,
            other => {
                self.complain(path, format!("{path}: expected allow or deny, got {other:?}"));
                Action::Deny
            }
        }
    }

    /// Unless it is said the default of access control holds for calls too.
    fn default_policy(&mut self, acl: &Acl) -> Action {
        let path = "default_intention_policy";
        if acl.enabled && self.text(path).is_empty() { acl.default_policy } else { self.policy_word(path) }
    }

    fn acl(&mut self) -> Acl {
        let down_policy = self.full_text("acl.down_policy").unwrap_or_else(|| "extend-cache".to_owned());
        if !["allow", "deny", "extend-cache", "async-cache"].contains(&down_policy.as_str()) {
            let text =
                format!("acl.down_policy: expected allow, deny, extend-cache or async-cache, got {down_policy:?}");
            self.complain("acl.down_policy", text);
        }
        let token = |name: &str| Secret::new(self.text(&format!("acl.tokens.{name}")));
        let tokens = AclTokens {
            initial_management: token("initial_management"),
            agent_recovery: token("agent_recovery"),
            agent: token("agent"),
            default: token("default"),
            replication: token("replication"),
            dns: token("dns"),
            config_file_service_registration: token("config_file_service_registration"),
        };
        let default_policy = self.policy_word("acl.default_policy");
        Acl {
            enabled: self.on("acl.enabled"),
            default_policy,
            down_policy,
            policy_ttl: self.duration("acl.policy_ttl", ACL_TTL),
            role_ttl: self.duration("acl.role_ttl", ACL_TTL),
            token_ttl: self.duration("acl.token_ttl", ACL_TTL),
            enable_key_list_policy: self.on("acl.enable_key_list_policy"),
            enable_token_persistence: self.on("acl.enable_token_persistence"),
            enable_token_replication: self.on("acl.enable_token_replication"),
            tokens,
        }
    }

    fn telemetry(&mut self) -> Telemetry {
        let prefix_filter = self.texts("telemetry.prefix_filter");
        for rule in prefix_filter.iter().filter(|rule| !rule.starts_with(['+', '-'])) {
            let text = format!("Filter rule must begin with either '+' or '-': {rule:?}");
            self.note("telemetry.prefix_filter", &text);
        }
        Telemetry {
            statsd_address: self.text("telemetry.statsd_address"),
            dogstatsd_addr: self.text("telemetry.dogstatsd_addr"),
            dogstatsd_tags: self.texts("telemetry.dogstatsd_tags"),
            prometheus_retention_time: self.duration("telemetry.prometheus_retention_time", Duration::ZERO),
            disable_hostname: self.on("telemetry.disable_hostname"),
            metrics_prefix: self.some_text("telemetry.metrics_prefix").unwrap_or_else(|| "consul".to_owned()),
            prefix_filter,
            filter_default: self.boolean("telemetry.filter_default").unwrap_or(true),
        }
    }
}
