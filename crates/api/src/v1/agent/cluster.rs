//! Whom this agent knows. There is no gossip: agents are given their servers.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpStream, lookup_host};

use super::{AgentState, JOIN_TIMEOUT};
use crate::authorizer::Resource;
use crate::error::Error;
use crate::query_options::QueryOptions;
use crate::request::Rest;
use crate::response::{empty, json, text};

const ALIVE: u8 = 1;

pub(super) async fn members(State(state): State<AgentState>, options: QueryOptions) -> Result<Response, Error> {
    // `_all` is what the command line asks for; without segments it is everybody.
    if !["", "_all"].contains(&options.params.text("segment")) {
        let text = "Network segments are not supported in this version of Consul";
        return Err(Error::Refused(text.to_owned()));
    }
    let sees = state.access.authorizer(&options)?.sees(Resource::Node, &state.agent.config().node.node);
    let members: Vec<_> = sees.then(|| member(&state, options.params.has("wan"))).into_iter().collect();
    json(&members)
}

/// The numbers of protocol versions are those of a Consul 1.8 agent: tools read them, nothing here speaks them.
pub(super) fn member(state: &AgentState, wan: bool) -> Value {
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

/// An agent that is told to join itself has done so. What Consul says when nobody answers holds all the more here.
pub(super) async fn join(State(state): State<AgentState>, Rest(address): Rest, options: QueryOptions) -> Response {
    let port = if options.params.has("wan") { state.serf_wan_port } else { state.serf_lan_port };
    let (host, port) = split(&address, port);
    match tokio::time::timeout(JOIN_TIMEOUT, reach(&state, host, port)).await {
        Ok(Ok(())) => empty(),
        Ok(Err(why)) => refusal(host, &why),
        Err(_) => refusal(host, &format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

fn refusal(host: &str, why: &str) -> Response {
    let complaint = format!("1 error occurred:\n\t* Failed to join {host}: {why}\n\n");
    text(StatusCode::INTERNAL_SERVER_ERROR, complaint)
}

/// `host`, `host:port`, `[::1]` and `[::1]:port`.
fn split(address: &str, default_port: u16) -> (&str, u16) {
    if address.parse::<IpAddr>().is_ok() {
        return (address, default_port);
    }
    let (host, port) = match address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some(both) => both,
        None => (address, default_port),
    };
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

async fn reach(state: &AgentState, host: &str, port: u16) -> Result<(), String> {
    let own = state.agent.config().node.address.parse::<IpAddr>().ok();
    let found = lookup_host((host, port)).await.map_err(|error| format!("{host}: {error}"))?;
    let addresses: Vec<_> = found.collect();
    let ours = [state.serf_lan_port, state.serf_wan_port].contains(&port);
    if ours && addresses.iter().any(|address| address.ip().is_loopback() || Some(address.ip()) == own) {
        return Ok(());
    }
    match TcpStream::connect(&addresses[..]).await {
        Ok(_) => Err("this agent does not gossip; give it its servers by configuration".to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(format!("dial tcp {host}:{port}: connect: connection refused"))
        }
        Err(error) => Err(format!("dial tcp {host}:{port}: {error}")),
    }
}

/// Of a member that is alive Consul forgets the request again; and this agent is.
pub(super) async fn force_leave(State(state): State<AgentState>, Rest(name): Rest, _: QueryOptions) -> Response {
    let node = &state.agent.config().node;
    if name == node.node || name == format!("{}.{}", node.node, node.datacenter) {
        return empty();
    }
    text(StatusCode::INTERNAL_SERVER_ERROR, format!("agent: No node found with name '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_address_may_lack_its_port() {
        for (address, host, port) in [
            ("127.0.0.1", "127.0.0.1", 8301),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("::1", "::1", 8301),
            ("[::1]:1", "::1", 1),
            ("[::1]", "::1", 8301),
            ("n1.example", "n1.example", 8301),
        ] {
            assert_eq!(split(address, 8301), (host, port), "{address}");
        }
    }
}
