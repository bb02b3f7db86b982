//! The configuration as meant.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use api::listen::{Endpoint, Limits, SocketAccess};
use api::policy::Policy;
use api::tls::TlsSettings;
use model::{Action, CheckDefinition, ConfigEntry, ServiceDefinition};
use serde_json::Value;
use tracing::Level;

use super::authority::CaConfig;

/// What an agent is to be.
#[derive(Debug, Clone)]
pub struct Config {
    pub dev: bool,
    pub server: bool,
    pub datacenter: String,
    pub node_name: String,
    pub node_id: String,
    pub node_meta: BTreeMap<String, String>,
    pub tagged_addresses: BTreeMap<String, String>,
    /// `None` with `-dev`, which keeps nothing.
    pub data_dir: Option<PathBuf>,
    /// The cluster that keeps a server's facts instead of the data directory.
    pub etcd: Option<Etcd>,
    /// Writes after which the log in the data directory gives way to a snapshot.
    pub snapshot_threshold: Option<u64>,
    pub bind_addr: IpAddr,
    pub advertise_addr: IpAddr,
    pub advertise_addr_wan: IpAddr,
    /// Where to listen; empty when the port is switched off.
    pub http: Vec<Endpoint>,
    pub https: Vec<Endpoint>,
    pub dns: Vec<SocketAddr>,
    pub grpc: Vec<SocketAddr>,
    pub grpc_tls: Vec<SocketAddr>,
    pub socket_access: SocketAccess,
    pub https_tls: TlsSettings,
    pub policy: Policy,
    pub limits: Limits,
    /// `limits.kv_max_value_size` and `limits.txn_max_req_len`; `None` as the API has it.
    pub kv_max_value_size: Option<u64>,
    pub txn_max_req_len: Option<u64>,
    /// Ports the node tells others about, though nobody listens on them yet.
    pub server_port: u16,
    pub serf_lan_port: u16,
    pub serf_wan_port: u16,
    pub sidecar_ports: RangeInclusive<u16>,
    pub expose_ports: RangeInclusive<u16>,
    pub log_level: Level,
    pub log_json: bool,
    pub log_file: Option<LogFile>,
    pub pid_file: Option<PathBuf>,
    pub ui: Ui,
    pub enable_debug: bool,
    /// Leave the cluster on SIGTERM, and on SIGINT.
    pub leave_on_terminate: bool,
    pub leave_on_interrupt: bool,
    pub check_update_interval: Duration,
    pub check_output_max_size: usize,
    pub discard_check_output: bool,
    /// Checks over TLS show the agent's certificate.
    pub agent_tls_for_checks: bool,
    pub scripts: agent::Scripts,
    /// `DOCKER_HOST`, as the Docker command line reads it.
    pub docker_host: String,
    /// `None`: as the API has it.
    pub session_ttl_min: Option<Duration>,
    pub disable_remote_exec: bool,
    /// What decides over a call that no intention matches.
    pub default_intention_policy: Action,
    pub acl: Acl,
    pub dns_config: Dns,
    pub telemetry: Telemetry,
    pub services: Vec<ServiceDefinition>,
    /// Checks that stand on their own.
    pub checks: Vec<CheckDefinition>,
    /// `watches`, as written.
    pub watches: Vec<Value>,
    /// `config_entries { bootstrap }`: written at the first start.
    pub bootstrap: Vec<ConfigEntry>,
    /// What the first root is made by.
    pub ca_config: CaConfig,
    /// `DebugConfig` of `/v1/agent/self`: everything above and what was taken without effect, secrets hidden.
    pub debug: Value,
}

/// An etcd cluster and the place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    pub endpoints: Vec<String>,
    pub prefix: String,
}

/// `log_file`, and when a new one is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    pub path: PathBuf,
    /// `None`: however large it gets.
    pub rotate_bytes: Option<u64>,
    pub rotate_duration: Duration,
    /// Old files that are kept; `None` is all, 0 is none.
    pub max_files: Option<usize>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ui {
    pub enabled: bool,
    /// Between slashes.
    pub content_path: String,
    /// Another page than the built-in one.
    pub dir: Option<PathBuf>,
}

/// A text that no log and no answer shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self(text))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// `acl { … }` and its forerunners.
#[derive(Debug, Clone)]
pub struct Acl {
    pub enabled: bool,
    pub default_policy: Action,
    /// `allow`, `deny`, `extend-cache` or `async-cache`.
    pub down_policy: String,
    pub policy_ttl: Duration,
    pub role_ttl: Duration,
    pub token_ttl: Duration,
    pub enable_key_list_policy: bool,
    pub enable_token_persistence: bool,
    pub enable_token_replication: bool,
    pub tokens: AclTokens,
}

/// `acl { tokens { … } }`
#[derive(Debug, Clone, Default)]
pub struct AclTokens {
    pub initial_management: Option<Secret>,
    pub agent_recovery: Option<Secret>,
    pub agent: Option<Secret>,
    pub default: Option<Secret>,
    pub replication: Option<Secret>,
    pub dns: Option<Secret>,
    pub config_file_service_registration: Option<Secret>,
}

/// What the DNS port answers, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    pub domain: String,
    pub alt_domain: String,
    pub recursors: Vec<String>,
    /// `sequential` or `random`.
    pub recursor_strategy: String,
    pub recursor_timeout: Duration,
    pub allow_stale: bool,
    pub max_stale: Duration,
    pub node_ttl: Duration,
    /// By service name; `*` is every other, `web*` a prefix.
    pub service_ttl: BTreeMap<String, Duration>,
    pub only_passing: bool,
    pub udp_answer_limit: usize,
    pub a_record_limit: usize,
    pub enable_truncate: bool,
    pub disable_compression: bool,
    pub node_meta_txt: bool,
    pub use_cache: bool,
    pub cache_max_age: Duration,
    pub soa: Soa,
}

/// Seconds of the zone's SOA record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Soa {
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub min_ttl: u32,
}

/// The agent's own metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telemetry {
    pub statsd_address: String,
    pub dogstatsd_addr: String,
    pub dogstatsd_tags: Vec<String>,
    pub prometheus_retention_time: Duration,
    pub disable_hostname: bool,
    pub metrics_prefix: String,
    pub prefix_filter: Vec<String>,
    pub filter_default: bool,
}
