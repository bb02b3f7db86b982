//! What an agent is told when it starts.

use std::ops::RangeInclusive;
use std::time::Duration;

use model::{Action, Node};

/// Consul hands sidecars the ports 21000 to 21255.
pub const SIDECAR_PORTS: RangeInclusive<u16> = 21000..=21255;
/// Output that changes while the status stays is written to the catalog at most this often.
pub const CHECK_UPDATE_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// The whole local state is compared with the catalog this often, plus a random part of it.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(60);
/// How often critical checks are looked through for services to deregister.
pub const REAP_INTERVAL: Duration = Duration::from_secs(30);

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
    /// What decides over a call that no intention matches.
    pub default_policy: Action,
    /// True when access control is on: then the default policy is said to come from it.
    pub acl_enabled: bool,
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
