//! `agent`, from its configuration to its end: banner, definitions, managed proxies, signals, reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use agent::Agent;
use api::listen::Endpoint;
use api::tls::ServerTls;
use model::Node;
use proxy::Sidecar;
use store::FileOptions;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::access;
use crate::assemble::{self, Member, Mesh, Options, Storage, action};
use crate::commands::SPEAKS_CONSUL;
use crate::config::{self, AgentFlags, Config, Etcd, LogFile};
use crate::dns_settings;
use crate::duties::Duties;
use crate::logging::{self, RotatingFile};
use crate::signals::{End, Reloader, Signals};

/// Why an agent did not start; one line for the terminal.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    #[error(transparent)]
    Mesh(#[from] assemble::Error),
    #[error("{what} {path}: {source}")]
    File { what: &'static str, path: String, source: std::io::Error },
    #[error("HTTPS: {0}")]
    Tls(#[from] api::tls::TlsError),
    /// Of the configuration's `watches`.
    #[error("{0}")]
    Watch(String),
    #[error("waiting for signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Dns(#[from] dns::Error),
    #[error("a client agent of another server is not available yet: start with -dev, or with -server for one server")]
    ClientAgent,
}

impl StartError {
    /// As Consul's command line says it.
    pub fn consul_text(&self) -> String {
        match self {
            Self::Config(error) => error.consul_text(),
            other => other.to_string(),
        }
    }
}

/// Runs an agent until it is told to end.
///
/// # Errors
/// The configuration, a port or a definition cannot be used.
pub async fn run_agent(flags: AgentFlags) -> Result<ExitCode, StartError> {
    let (config, warnings) = config::load(&flags)?;
    if !config.server && !config.dev {
        return Err(StartError::ClientAgent);
    }
    let signals = Signals::catch().map_err(StartError::Signals)?;
    println!("==> Starting Consul agent...");
    let file = config.log_file.clone().map(open_log).transpose()?;
    let logs = logging::start_into(config.log_level, config.log_json, file);
    let (left, leaving) = watch::channel(false);
    let (reload, reloads) = watch::channel(0_u64);
    let mut options = Options::new(agent_config(&config), logs);
    options.storage = storage(&config);
    serving(&mut options, &config)?;
    options.dev = config.dev;
    options.left = left;
    options.debug_config = config.debug.clone();
    options.serf_lan_port = config.serf_lan_port;
    options.prometheus = !config.telemetry.prometheus_retention_time.is_zero();
    options.serf_wan_port = config.serf_wan_port;
    options.entries = config.bootstrap.clone();
    options.ca_config = config.ca_config.0.clone();
    options.acl = access::control(&config, &options.agent.tokens);
    options.services = config.services.clone();
    options.checks = config.checks.clone();
    let reloader = Arc::new(Reloader {
        flags,
        slot: OnceLock::new(),
        names: OnceLock::new(),
        duties: OnceLock::new(),
        tls: options.tls.clone(),
        counter: reload,
    });
    let again = Arc::clone(&reloader);
    options.reload = action(move || {
        let result = again.reload();
        async move { result }
    });
    let mesh = Mesh::start(options).await?;
    let agent = Arc::clone(&mesh.member().agent);
    let _ = reloader.slot.set(Arc::clone(&agent));
    let names = dns_settings::serve(&config, mesh.store(), mesh.access())?;
    print!("{}", banner(&config, mesh.http_addr(), names.addresses().first().copied()));
    let _ = reloader.names.set(names);
    for warning in warnings {
        warn!("{warning}");
    }
    if let Some(address) = mesh.http_addr() {
        info!(%address, network = "tcp", "Started HTTP server");
    }
    let pid = PidFile::write(config.pid_file.as_deref())?;
    let _ = reloader.duties.set(Duties::start(&config, mesh.member()).map_err(StartError::Watch)?);
    let managed = tokio::spawn(managed_proxies(mesh.member().clone(), reloads));
    let end = signals.end(leaving, &reloader).await;
    let code = leave(end, &config, &agent).await;
    managed.abort();
    let _ = managed.await;
    mesh.stop().await;
    drop(pid);
    info!("Exit code: code={code}");
    Ok(ExitCode::from(code))
}

/// Takes the node out of the catalog where the configuration says so. As in Consul, an agent that was ended by a signal
/// without having left exits with 1.
async fn leave(end: End, config: &Config, agent: &Agent) -> u8 {
    let leaves = match end {
        End::Left => return 0,
        End::Interrupted => config.leave_on_interrupt,
        End::Terminated => config.leave_on_terminate,
    };
    if !leaves {
        return 1;
    }
    info!("Gracefully shutting down agent...");
    match agent.leave().await {
        Ok(()) => 0,
        Err(problem) => {
            error!("leaving failed: {problem}");
            1
        }
    }
}

/// The server's part of the data directory.
const STORE_DIR: &str = "meshglass/store";

/// Only `-dev` goes without a data directory.
fn storage(config: &Config) -> Storage {
    if let Some(Etcd { endpoints, prefix }) = config.etcd.clone() {
        return Storage::Etcd { endpoints, prefix };
    }
    let Some(path) = &config.data_dir else { return Storage::Memory };
    let mut options = FileOptions::default();
    if let Some(batches) = config.snapshot_threshold.filter(|batches| *batches > 0) {
        options.compact_from_batches = batches;
    }
    Storage::Directory(path.join(STORE_DIR), options)
}

/// How the API is served.
fn serving(options: &mut Options, config: &Config) -> Result<(), StartError> {
    if !config.https.is_empty() {
        options.tls = Some(ServerTls::load(&config.https_tls)?);
    }
    options.http = config.http.clone();
    options.https = config.https.clone();
    options.socket_access = config.socket_access;
    options.limits = config.limits;
    options.policy = config.policy.clone();
    options.ui = config.ui.enabled;
    options.kv = server_limits(config);
    Ok(())
}

/// What an operator may set about keys and sessions.
fn server_limits(config: &Config) -> api::server::Limits {
    let default = api::server::Limits::default();
    let bytes = |given: Option<u64>, default| given.map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX));
    api::server::Limits {
        kv_value_bytes: bytes(config.kv_max_value_size, default.kv_value_bytes),
        txn_bytes: bytes(config.txn_max_req_len, default.txn_bytes),
        session_ttl_min: config.session_ttl_min.unwrap_or(default.session_ttl_min),
        key_list_policy: config.acl.enable_key_list_policy,
    }
}

fn open_log(settings: LogFile) -> Result<RotatingFile, StartError> {
    let path = settings.path.display().to_string();
    RotatingFile::open(settings).map_err(|source| StartError::File { what: "log file", path, source })
}

/// The file of `-pid-file`, removed at the end.
struct PidFile(Option<std::path::PathBuf>);

impl PidFile {
    fn write(path: Option<&std::path::Path>) -> Result<Self, StartError> {
        if let Some(path) = path {
            std::fs::write(path, std::process::id().to_string()).map_err(|source| StartError::File {
                what: "pid file",
                path: path.display().to_string(),
                source,
            })?;
        }
        Ok(Self(path.map(Into::into)))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn agent_config(config: &Config) -> agent::Config {
    let address = config.advertise_addr.to_string();
    let family = |address: std::net::IpAddr| if address.is_ipv4() { "ipv4" } else { "ipv6" };
    let mut tagged_addresses = BTreeMap::new();
    for (kind, address) in [("lan", config.advertise_addr), ("wan", config.advertise_addr_wan)] {
        tagged_addresses.insert(kind.to_owned(), address.to_string());
        tagged_addresses.insert(format!("{kind}_{}", family(address)), address.to_string());
    }
    tagged_addresses.extend(config.tagged_addresses.clone());
    let mut meta = config.node_meta.clone();
    meta.entry("consul-network-segment".to_owned()).or_default();
    let node = Node {
        id: config.node_id.clone(),
        node: config.node_name.clone(),
        address,
        datacenter: config.datacenter.clone(),
        tagged_addresses,
        meta,
    };
    agent::Config {
        server_port: Some(config.server_port),
        version: SPEAKS_CONSUL.to_owned(),
        sidecar_ports: config.sidecar_ports.clone(),
        check_update_interval: config.check_update_interval,
        default_policy: config.default_intention_policy,
        metrics: telemetry::Metrics::new(&config.telemetry.metrics_prefix)
            .filtered(&config.telemetry.prefix_filter, config.telemetry.filter_default),
        push_metrics_to: metric_servers(&config.telemetry),
        check_output_max_size: config.check_output_max_size,
        discard_check_output: config.discard_check_output,
        scripts: config.scripts,
        docker_host: config.docker_host.clone(),
        data_dir: config.data_dir.clone(),
        acl_enabled: config.acl.enabled,
        tokens: access::tokens(config),
        ..agent::Config::new(node)
    }
}

fn metric_servers(telemetry: &config::Telemetry) -> Vec<telemetry::PushTo> {
    let given = |address: &String| (!address.is_empty()).then(|| address.clone());
    let statsd = given(&telemetry.statsd_address).map(telemetry::PushTo::StatsD);
    let tags = || telemetry.dogstatsd_tags.clone();
    let dog = given(&telemetry.dogstatsd_addr).map(|address| telemetry::PushTo::DogStatsD(address, tags()));
    statsd.into_iter().chain(dog).collect()
}

fn banner(config: &Config, http: Option<SocketAddr>, dns: Option<SocketAddr>) -> String {
    let clients = config.http.iter().filter_map(Endpoint::tcp);
    let client = clients.map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ");
    let port = |address: Option<SocketAddr>| address.map_or(-1, |address| i32::from(address.port()));
    let (http, https, dns) = (port(http), port(config.https.iter().find_map(Endpoint::tcp)), port(dns));
    let tls_incoming = config.https_tls.verify_incoming;
    let rows = [
        ("Version", format!("'{}' (Meshglass {})", SPEAKS_CONSUL, env!("CARGO_PKG_VERSION"))),
        ("Node ID", format!("'{}'", config.node_id)),
        ("Node name", format!("'{}'", config.node_name)),
        ("Datacenter", format!("'{}' (Segment: '<all>')", config.datacenter)),
        ("Server", format!("{} (Bootstrap: false)", config.server || config.dev)),
        ("Client Addr", format!("[{client}] (HTTP: {http}, HTTPS: {https}, gRPC: -1, DNS: {dns})")),
        ("Cluster Addr", format!("{} (LAN: -1, WAN: -1)", config.advertise_addr)),
        (
            "Encrypt",
            format!("Gossip: false, TLS-Outgoing: false, TLS-Incoming: {tls_incoming}, Auto-Encrypt-TLS: false"),
        ),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("{name:>18}: {value}\n")).collect();
    format!("{rows}\n==> Log data will now stream in as it occurs:\n\n")
}

/// Runs a sidecar in this process for each service that was written in the removed managed form.
async fn managed_proxies(member: Member, mut reloads: watch::Receiver<u64>) {
    let mut local = member.agent.watch_local();
    let mut running: BTreeMap<String, Sidecar> = BTreeMap::new();
    loop {
        let wanted = member.agent.managed_proxies();
        let gone: Vec<String> = running.keys().filter(|id| !wanted.contains(id)).cloned().collect();
        for id in gone {
            if let Some(sidecar) = running.remove(&id) {
                sidecar.drain().await;
            }
        }
        for id in wanted {
            if running.contains_key(&id) {
                continue;
            }
            info!(proxy = %id, "starting the proxy of a managed definition");
            match Sidecar::start(proxy::Config::agent(&id, member.client.clone())) {
                Ok(sidecar) => drop(running.insert(id, sidecar)),
                Err(problem) => error!(proxy = %id, %problem, "the managed proxy did not start"),
            }
        }
        if !changed(&mut local, &mut reloads).await {
            return;
        }
    }
}

async fn changed(local: &mut watch::Receiver<u64>, reloads: &mut watch::Receiver<u64>) -> bool {
    tokio::select! {
        changed = local.changed() => changed.is_ok(),
        changed = reloads.changed() => changed.is_ok(),
    }
}
