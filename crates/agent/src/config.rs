//! What an agent is told when it starts.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Action, Node};

use crate::tokens::Tokens;

/// Consul hands sidecars the ports 21000 to 21255.
pub const SIDECAR_PORTS: RangeInclusive<u16> = 21000..=21255;
/// Output that changes while the status stays is written to the catalog at most this often.
pub const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The whole local state is compared with the catalog this often, plus a random part of it.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(60);
/// How often critical checks are looked through for services to deregister.
pub const REAP_INTERVAL: Duration = Duration::from_secs(30);

/// Bytes of a check's output that are kept.
pub const CHECK_OUTPUT_MAX_SIZE: usize = 4096;
/// `deregister_critical_service_after` below this is raised to it.
pub const SHORTEST_DEREGISTER: Duration = Duration::from_secs(60);
/// Where the Docker engine listens unless `DOCKER_HOST` says otherwise.
pub const DOCKER_HOST: &str = "unix:///var/run/docker.sock";

/// How an agent runs: who it is and its limits.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name, id, address, datacenter, tagged addresses and meta of this node.
    pub node: Node,
    /// Set on an agent that is a server too: the port of the `consul` service it stands for.
    pub server_port: Option<u16>,
    /// The version said in the `consul` service's meta and in member tags.
    pub version: String,
    pub sidecar_ports: RangeInclusive<u16>,
    pub check_update_interval: Duration,
    pub sync_interval: Duration,
    pub reap_interval: Duration,
    pub shortest_deregister: Duration,
    pub check_output_max_size: usize,
    /// Checks keep their status only.
    pub discard_check_output: bool,
    /// Where the agent says what it did.
    pub metrics: telemetry::Metrics,
    /// Who is sent them.
    pub push_metrics_to: Vec<telemetry::PushTo>,
    /// Who may define checks that run programs.
    pub scripts: Scripts,
    /// `unix:///path` or `tcp://address:port`
    pub docker_host: String,
    /// Where registrations are kept; `None`: nowhere.
    pub data_dir: Option<PathBuf>,
    /// What this agent acts with when access control is on.
    pub tokens: Arc<Tokens>,
    /// What decides over a call that no intention matches.
    pub default_policy: Action,
    /// True when access control is on: then the default policy is said to come from it.
    pub acl_enabled: bool,
}

/// Whose checks may run programs: whoever defines one runs what he likes with the agent's rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    Nobody,
    /// `enable_local_script_checks`
    Files,
    /// `enable_script_checks`: the HTTP API too.
    Everybody,
}

impl Config {
    pub fn new(node: Node) -> Self {
        Self {
            node,
            server_port: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sidecar_ports: SIDECAR_PORTS,
            check_update_interval: CHECK_UPDATE_INTERVAL,
            sync_interval: SYNC_INTERVAL,
            reap_interval: REAP_INTERVAL,
            shortest_deregister: SHORTEST_DEREGISTER,
            check_output_max_size: CHECK_OUTPUT_MAX_SIZE,
            discard_check_output: false,
            metrics: telemetry::Metrics::default(),
            push_metrics_to: Vec::new(),
            scripts: Scripts::Nobody,
            docker_host: DOCKER_HOST.to_owned(),
            data_dir: None,
            tokens: Arc::default(),
            default_policy: Action::Allow,
            acl_enabled: false,
        }
    }

    /// The words for a decision that no intention made.
    pub fn default_reason(&self) -> &'static str {
        if self.acl_enabled {
            "Default behavior configured by ACLs"
        } else {
            "ACLs disabled, access is allowed by default"
        }
    }
}
