//! The agent itself: who it is, and being told to reload, to rest or to leave.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::cluster::member;
use super::{AgentState, enable, refused};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::response::{empty, json};

pub(super) async fn about(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    let config = state.agent.config();
    let node = &config.node;
    let server = config.server_port.is_some();
    json(&json!({
        "Config": {
            "Datacenter": node.datacenter,
            "NodeName": node.node,
            "NodeID": node.id,
            "Revision": "",
            "Server": server,
            "Version": config.version,
        },
        "DebugConfig": *state.debug_config,
        "Coord": { "Vec": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "Error": 1.5, "Adjustment": 0, "Height": 1e-05 },
        "Member": member(&state, false),
        "Stats": stats(&state),
        "Meta": node.meta,
        "xDS": { "SupportedProxies": { "envoy": ["1.14.5", "1.13.6", "1.12.7", "1.11.2"] } },
    }))
}

/// What `info` prints: texts, as Consul has them.
fn stats(state: &AgentState) -> Value {
    let config = state.agent.config();
    let (ttls, monitors) = state.agent.check_counts();
    let server = config.server_port.is_some();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let mut consul = json!({ "acl": acl(config.acl_enabled), "server": server.to_string() });
    if let Some(port) = config.server_port {
        consul["bootstrap"] = "false".into();
        consul["known_datacenters"] = "1".into();
        consul["leader"] = "true".into();
        consul["leader_addr"] = format!("{}:{port}", config.node.address).into();
    }
    // One server leads itself and has nobody to gossip with; figures that would be made up are left out.
    let pool = json!({ "encrypted": "false", "failed": "0", "left": "0", "members": "1" });
    let mut stats = json!({
        "agent": {
            "check_monitors": monitors.to_string(),
            "check_ttls": ttls.to_string(),
            "checks": state.agent.checks().len().to_string(),
            "services": state.agent.services().len().to_string(),
        },
        "build": { "prerelease": "", "revision": "", "version": config.version },
        "consul": consul,
        "runtime": {
            "arch": std::env::consts::ARCH,
            "cpu_count": cpus,
            "goroutines": tokio::runtime::Handle::current().metrics().num_alive_tasks().to_string(),
            "max_procs": cpus,
            "os": std::env::consts::OS,
            "version": concat!("meshglass-", env!("CARGO_PKG_VERSION")),
        },
        "serf_lan": pool,
    });
    if server {
        stats["raft"] = json!({ "last_contact": "0", "num_peers": "0", "state": "Leader" });
        stats["serf_wan"] = pool;
    }
    stats
}

/// As later versions of Consul answer it. There is one build of a version, so that it has no date and no revision.
pub(super) async fn version(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    let human = &state.agent.config().version;
    json(&json!({ "SHA": "", "BuildDate": "0001-01-01T00:00:00Z", "HumanVersion": human, "FIPS": "" }))
}

fn acl(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

pub(super) async fn reload(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    (state.reload)().await.map_err(Error::Refused)?;
    Ok(empty())
}

/// Answers when the node is out of the catalog; the process ends after that.
pub(super) async fn leave(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    state.agent.leave().await.map_err(refused)?;
    (state.leave)().await.map_err(Error::Refused)?;
    Ok(empty())
}

pub(super) async fn maintenance(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    let on = enable(&options.params)?;
    state.agent.node_maintenance(on, options.params.text("reason")).map_err(refused)?;
    Ok(empty())
}
