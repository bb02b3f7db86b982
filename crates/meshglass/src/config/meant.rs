//! The configuration as meant.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use model::{Action, CheckDefinition, ConfigEntry, ServiceDefinition};
use serde_json::{Value, json};
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
    pub domain: String,
    pub bind_addr: IpAddr,
    pub advertise_addr: IpAddr,
    /// Where to listen; empty when the port is switched off.
    pub http: Vec<SocketAddr>,
    pub dns: Vec<SocketAddr>,
    pub grpc: Vec<SocketAddr>,
    /// Ports the node tells others about, though nobody listens on them yet.
    pub server_port: u16,
    pub serf_lan_port: u16,
    pub sidecar_ports: RangeInclusive<u16>,
    pub log_level: Level,
    pub log_json: bool,
    pub log_file: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub ui: bool,
    pub check_update_interval: Duration,
    pub check_output_max_size: usize,
    pub scripts: agent::Scripts,
    /// `DOCKER_HOST`, as the Docker command line reads it.
    pub docker_host: String,
    pub default_query_time: Duration,
    pub max_query_time: Duration,
    /// What decides over a call that no intention matches.
    pub default_intention_policy: Action,
    pub telemetry: Telemetry,
    pub services: Vec<ServiceDefinition>,
    /// Checks that stand on their own.
    pub checks: Vec<CheckDefinition>,
    /// `config_entries { bootstrap }`: written at the first start.
    pub bootstrap: Vec<ConfigEntry>,
    /// What the first root is made by.
    pub ca_config: CaConfig,
}

/// An etcd cluster and the place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etcd {
    pub endpoints: Vec<String>,
    pub prefix: String,
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

impl Config {
    /// `DebugConfig` of `/v1/agent/self`. Holds no secret: what could be one is not part of this type's settings.
    pub fn debug_config(&self) -> Value {
        let addresses = |list: &[SocketAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let port = |list: &[SocketAddr]| list.first().map_or(-1, |address| i32::from(address.port()));
        let seconds = |duration: Duration| model::format_duration(duration);
        json!({
            "AdvertiseAddrLAN": self.advertise_addr.to_string(),
            "BindAddr": self.bind_addr.to_string(),
            "CheckOutputMaxSize": self.check_output_max_size,
            "CheckUpdateInterval": seconds(self.check_update_interval),
            "ConnectEnabled": true,
            "ConnectSidecarMaxPort": self.sidecar_ports.end(),
            "ConnectSidecarMinPort": self.sidecar_ports.start(),
            "DataDir": self.data_dir.as_ref().map_or_else(String::new, |path| path.display().to_string()),
            "Datacenter": self.datacenter,
            "DefaultQueryTime": seconds(self.default_query_time),
            "DevMode": self.dev,
            "DNSAddrs": addresses(&self.dns),
            "DNSDomain": self.domain,
            "DNSPort": port(&self.dns),
            "EnableCentralServiceConfig": true,
            "EnableLocalScriptChecks": self.scripts != agent::Scripts::Nobody,
            "EnableRemoteScriptChecks": self.scripts == agent::Scripts::Everybody,
            "EnableUI": self.ui,
            "GRPCAddrs": addresses(&self.grpc),
            "GRPCPort": port(&self.grpc),
            "HTTPAddrs": addresses(&self.http),
            "HTTPPort": port(&self.http),
            "LogJSON": self.log_json,
            "LogLevel": self.log_level.to_string(),
            "MaxQueryTime": seconds(self.max_query_time),
            "NodeID": self.node_id,
            "NodeMeta": self.node_meta,
            "NodeName": self.node_name,
            "SerfPortLAN": self.serf_lan_port,
            "ServerMode": self.server,
            "ServerPort": self.server_port,
            "Telemetry": {
                "DisableHostname": self.telemetry.disable_hostname,
                "DogstatsdAddr": self.telemetry.dogstatsd_addr,
                "DogstatsdTags": self.telemetry.dogstatsd_tags,
                "FilterDefault": self.telemetry.filter_default,
                "MetricsPrefix": self.telemetry.metrics_prefix,
                "PrometheusRetentionTime": seconds(self.telemetry.prometheus_retention_time),
                "StatsdAddr": self.telemetry.statsd_address,
            },
        })
    }
}
