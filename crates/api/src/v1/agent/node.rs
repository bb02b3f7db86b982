//! The agent itself: who it is, whom it knows, and being told to reload or to leave.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

use super::{AgentState, JOIN_TIMEOUT, enable, refused};
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::Rest;
use crate::response::{empty, json, text};

const ALIVE: u8 = 1;

pub(super) async fn about(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    let config = state.agent.config();
    let node = &config.node;
    let (ttls, monitors) = state.agent.check_counts();
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
        "Stats": {
            "agent": {
                "check_monitors": monitors.to_string(),
                "check_ttls": ttls.to_string(),
                "checks": state.agent.checks().len().to_string(),
                "services": state.agent.services().len().to_string(),
            },
            "build": { "prerelease": "", "revision": "", "version": config.version },
            "consul": { "acl": acl(config.acl_enabled), "leader": server.to_string(), "server": server.to_string() },
            "runtime": { "arch": std::env::consts::ARCH, "os": std::env::consts::OS },
        },
        "Meta": node.meta,
        "xDS": { "SupportedProxies": { "envoy": ["1.14.5", "1.13.6", "1.12.7", "1.11.2"] } },
    }))
}

fn acl(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

pub(super) async fn members(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    // `_all` is what the command line asks for; without segments it is everybody.
    if !["", "_all"].contains(&options.params.text("segment")) {
        let text = "Network segments are not supported in this version of Consul";
        return Err(Error::Refused(text.to_owned()));
    }
    json(&[member(&state, options.params.has("wan"))])
}

/// The numbers of protocol versions are those of a Consul 1.8 agent: tools read them, nothing here speaks them.
fn member(state: &AgentState, wan: bool) -> Value {
    let config = state.agent.config();
    let node = &config.node;
    let name = if wan { format!("{}.{}", node.node, node.datacenter) } else { node.node.clone() };
    let port = if wan { state.serf_wan_port } else { state.serf_lan_port };
    let mut tags = json!({
        "acls": if config.acl_enabled { "1" } else { "0" },
        "build": config.version,
        "dc": node.datacenter,
        "id": node.id,
        "role": if config.server_port.is_some() { "consul" } else { "node" },
        "segment": "",
        "vsn": "2",
        "vsn_max": "3",
        "vsn_min": "2",
    });
    if let Some(server_port) = config.server_port {
        tags["ft_fs"] = "1".into();
        tags["port"] = server_port.to_string().into();
        tags["raft_vsn"] = "3".into();
        if !wan {
            tags["wan_join_port"] = state.serf_wan_port.to_string().into();
        }
    }
    json!({
        "Name": name,
        "Addr": node.address,
        "Port": port,
        "Tags": tags,
        "Status": ALIVE,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// Gauges of what this agent holds, in the form of Consul's in-memory sink.
pub(super) async fn metrics(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    if options.params.text("format") == "prometheus" {
        let text = "Prometheus is not enabled since its retention time is not positive";
        return Err(Error::Status { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, text: text.to_owned() });
    }
    let checks = state.agent.checks();
    let passing = checks.values().filter(|check| check.status == model::Status::Passing).count();
    let gauge =
        |name: &str, value: usize| json!({"Name": format!("consul.agent.{name}"), "Value": value, "Labels": {}});
    json(&json!({
        "Timestamp": ca::rfc3339(std::time::SystemTime::now()),
        "Gauges": [
            gauge("checks", checks.len()),
            gauge("checks.passing", passing),
            gauge("services", state.agent.services().len()),
        ],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }))
}

pub(super) async fn host(State(state): State<AgentState>, _: QueryOptions) -> Result<Response, Error> {
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |key: &str| {
        let line = memory.lines().find(|line| line.starts_with(key));
        let number = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|n| n.parse::<u64>().ok());
        number.unwrap_or_default() * 1024
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    json(&json!({
        "Memory": { "total": kib("MemTotal:"), "available": kib("MemAvailable:"), "free": kib("MemFree:") },
        "CPU": (0..cpus).map(|cpu| json!({ "cpu": cpu })).collect::<Vec<_>>(),
        "Host": {
            "hostname": state.agent.config().node.node,
            "os": std::env::consts::OS,
            "kernelArch": std::env::consts::ARCH,
        },
        "Disk": Value::Null,
        "CollectionTime": now.as_nanos() as u64,
        "Errors": Value::Null,
    }))
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

/// There is no gossip: agents are given their servers. What Consul says when nobody answers holds all the more here.
pub(super) async fn join(Rest(address): Rest, _: QueryOptions) -> Response {
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    let why = match tokio::time::timeout(JOIN_TIMEOUT, tokio::net::TcpStream::connect(&address)).await {
        Ok(Ok(_)) => "this agent does not gossip; give it its servers by configuration".to_owned(),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("dial tcp {address}: connect: connection refused")
        }
        Ok(Err(error)) => format!("dial tcp {address}: {error}"),
        Err(_) => format!("dial tcp {address}: i/o timeout"),
    };
    let complaint = format!("1 error occurred:\n\t* Failed to join {host}: {why}\n\n");
    text(StatusCode::INTERNAL_SERVER_ERROR, complaint)
}

pub(super) async fn force_leave(Rest(name): Rest, _: QueryOptions) -> Response {
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("agent: No node found with name '{name}'"))
}

pub(super) async fn token(Rest(_): Rest, _: QueryOptions) -> Response {
    text(StatusCode::UNAUTHORIZED, "ACL support disabled".to_owned())
}
