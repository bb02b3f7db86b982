//! `/v1/operator/…`: what one server without Raft and without gossip can honestly say of itself.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get, put};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Autopilot;

use crate::authorizer::{Resource, Right};
use crate::error::Error;
use crate::filter::parse_bool;
use crate::json::Shape::{self, Any, Object};
use crate::query_options::{Params, QueryOptions};
use crate::request::Payload;
use crate::response;
use crate::server::ServerState;
use crate::v1::wire::several;

/// What clients of Raft's configuration expect to read.
const RAFT_PROTOCOL: &str = "3";

pub(crate) fn router() -> Router<ServerState> {
    Router::new()
        .route("/v1/operator/raft/configuration", get(raft))
        .route("/v1/operator/raft/peer", delete(remove_peer))
        .route("/v1/operator/raft/transfer-leader", put(transfer_leader).post(transfer_leader))
        .route("/v1/operator/autopilot/configuration", get(autopilot).put(configure_autopilot))
        .route("/v1/operator/autopilot/health", get(health))
        .route("/v1/operator/autopilot/state", get(state_of_servers))
        .route("/v1/operator/keyring", get(keys).post(change_keys).put(change_keys).delete(change_keys))
        .route("/v1/operator/usage", get(usage))
}

fn reader(server: &ServerState, options: &QueryOptions) -> Result<(), Error> {
    server.admit(options)?;
    server.authorizer(options)?.check(Resource::Operator, "", Right::Read)
}

fn writer(server: &ServerState, options: &QueryOptions) -> Result<(), Error> {
    server.admit_write(options, "")?;
    server.authorizer(options)?.check(Resource::Operator, "", Right::Write)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RaftServer<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: &'a str,
    leader: bool,
    protocol_version: &'static str,
    voter: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RaftConfiguration<'a> {
    servers: [RaftServer<'a>; 1],
    index: u64,
}

async fn raft(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    reader(&server, &options)?;
    let own = RaftServer {
        id: server.node_id(),
        node: server.node_name(),
        address: server.peer(),
        leader: true,
        protocol_version: RAFT_PROTOCOL,
        voter: true,
    };
    response::json(&RaftConfiguration { servers: [own], index: 0 })
}

async fn remove_peer(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    writer(&server, &options)?;
    let (id, address) = (options.params.text("id"), options.params.text("address"));
    let (what, name, own) = match (id.is_empty(), address.is_empty()) {
        (true, true) => {
            return Err(Error::BadRequest(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove".to_owned(),
            ));
        }
        (false, false) => return Err(Error::BadRequest("Must specify only one of ?id or ?address".to_owned())),
        (false, true) => ("id", id, server.node_id()),
        (true, false) => ("address", address, server.peer()),
    };
    if name == own {
        return Err(Error::Refused("the only server cannot be removed".to_owned()));
    }
    Err(Error::Refused(format!("{what} {name:?} was not found in the Raft configuration")))
}

async fn transfer_leader(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    writer(&server, &options)?;
    Err(Error::Refused("cannot find peer".to_owned()))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AutopilotShape<'a> {
    cleanup_dead_servers: bool,
    last_contact_threshold: String,
    max_trailing_logs: u64,
    min_quorum: u64,
    server_stabilization_time: String,
    redundancy_zone_tag: &'a str,
    disable_upgrade_migration: bool,
    upgrade_version_tag: &'a str,
    create_index: u64,
    modify_index: u64,
}

async fn autopilot(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    reader(&server, &options)?;
    let state = server.store.state();
    let default = Autopilot::default();
    let (config, create_index, modify_index) = match state.autopilot() {
        Some(stored) => (&*stored.value, stored.create_index, stored.modify_index),
        None => (&default, 1, 1),
    };
    response::json(&AutopilotShape {
        cleanup_dead_servers: config.cleanup_dead_servers,
        last_contact_threshold: model::format_duration(config.last_contact_threshold),
        max_trailing_logs: config.max_trailing_logs,
        min_quorum: config.min_quorum,
        server_stabilization_time: model::format_duration(config.server_stabilization_time),
        redundancy_zone_tag: &config.redundancy_zone_tag,
        disable_upgrade_migration: config.disable_upgrade_migration,
        upgrade_version_tag: &config.upgrade_version_tag,
        create_index,
        modify_index,
    })
}

const AUTOPILOT: Shape = Object(&[
    ("CleanupDeadServers", Any),
    ("LastContactThreshold", Any),
    ("MaxTrailingLogs", Any),
    ("MinQuorum", Any),
    ("ServerStabilizationTime", Any),
    ("RedundancyZoneTag", Any),
    ("DisableUpgradeMigration", Any),
    ("UpgradeVersionTag", Any),
    ("CreateIndex", Any),
    ("ModifyIndex", Any),
]);

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct AutopilotWire {
    cleanup_dead_servers: bool,
    last_contact_threshold: Value,
    max_trailing_logs: u64,
    min_quorum: u64,
    server_stabilization_time: Value,
    redundancy_zone_tag: String,
    disable_upgrade_migration: bool,
    upgrade_version_tag: String,
}

async fn configure_autopilot(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    writer(&server, &options)?;
    let refused = |why: String| Error::BadRequest(format!("Error parsing autopilot config: {why}"));
    let wire: AutopilotWire = crate::json::decode(&body, &AUTOPILOT, "api.AutopilotConfiguration").map_err(refused)?;
    let duration = |value: &Value| match value {
        Value::String(text) if !text.is_empty() => {
            model::parse_duration(text).map_err(|_| refused(format!("time: invalid duration {text:?}")))
        }
        Value::Number(nanos) => Ok(Duration::from_nanos(nanos.as_u64().unwrap_or_default())),
        _ => Ok(Duration::ZERO),
    };
    let autopilot = Autopilot {
        cleanup_dead_servers: wire.cleanup_dead_servers,
        last_contact_threshold: duration(&wire.last_contact_threshold)?,
        max_trailing_logs: wire.max_trailing_logs,
        min_quorum: wire.min_quorum,
        server_stabilization_time: duration(&wire.server_stabilization_time)?,
        redundancy_zone_tag: wire.redundancy_zone_tag,
        disable_upgrade_migration: wire.disable_upgrade_migration,
        upgrade_version_tag: wire.upgrade_version_tag,
    };
    let cas = match options.params.text("cas") {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            Error::BadRequest(format!("Error parsing cas value: strconv.ParseUint: parsing {text:?}: invalid syntax"))
        })?),
    };
    response::json(&server.store.put_autopilot(autopilot, cas).await?)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServerHealth<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    serf_status: &'static str,
    version: &'static str,
    leader: bool,
    last_contact: &'static str,
    last_term: u64,
    last_index: u64,
    healthy: bool,
    voter: bool,
    stable_since: String,
}

fn own_health(server: &ServerState) -> ServerHealth<'_> {
    ServerHealth {
        id: server.node_id(),
        name: server.node_name(),
        address: server.peer(),
        serf_status: "alive",
        version: env!("CARGO_PKG_VERSION"),
        leader: true,
        last_contact: "0s",
        // There are no elections here; Consul's first leader has the second term.
        last_term: 2,
        last_index: server.store.state().index(),
        healthy: true,
        voter: true,
        stable_since: ca::rfc3339(server.started()),
    }
}

async fn health(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    reader(&server, &options)?;
    let own = serde_json::to_value(own_health(&server)).map_err(|error| Error::Refused(error.to_string()))?;
    response::json(&json!({ "Healthy": true, "FailureTolerance": 0, "Servers": [own] }))
}

/// As newer versions have it.
async fn state_of_servers(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    reader(&server, &options)?;
    let id = server.node_id().to_owned();
    let health = own_health(&server);
    response::json(&json!({
        "Healthy": true,
        "FailureTolerance": 0,
        "OptimisticFailureTolerance": 0,
        "Servers": { &id: {
            "ID": &id,
            "Name": health.name,
            "Address": health.address,
            "NodeStatus": health.serf_status,
            "Version": health.version,
            "LastContact": health.last_contact,
            "LastTerm": health.last_term,
            "LastIndex": health.last_index,
            "Healthy": true,
            "StableSince": health.stable_since,
            "ReadReplica": false,
            "Status": "leader",
            "Meta": null,
            "NodeType": "voter",
        }},
        "Leader": &id,
        "Voters": [&id],
    }))
}

/// Gossip is not there, so neither are its keys: what a Consul without gossip encryption answers.
async fn keys(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    let lan_only = keyring_options(&options.params)?;
    server.authorizer(&options)?.check(Resource::Keyring, "", Right::Read)?;
    Err(no_keyring(&server, lan_only, "Keyring is empty (encryption not enabled)"))
}

async fn change_keys(
    State(server): State<ServerState>,
    options: QueryOptions,
    Payload(body): Payload,
) -> Result<Response, Error> {
    let lan_only = keyring_options(&options.params)?;
    server.authorizer(&options)?.check(Resource::Keyring, "", Right::Write)?;
    crate::json::parse(&body).map_err(|why| Error::BadRequest(format!("Request decode failed: {why}")))?;
    Err(no_keyring(&server, lan_only, "No keyring to modify (encryption not enabled)"))
}

fn keyring_options(params: &Params) -> Result<bool, Error> {
    let relay = params.text("relay-factor");
    if !relay.is_empty() && !relay.parse::<u8>().is_ok_and(|factor| factor <= 5) {
        return Err(Error::BadRequest("Invalid relay-factor: Relay factor must be in range: [0, 5]".to_owned()));
    }
    match params.text("local-only") {
        "" => Ok(false),
        text => parse_bool(text).ok_or_else(|| {
            let why = format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
            Error::BadRequest(format!("Error parsing local-only: {why}"))
        }),
    }
}

fn no_keyring(server: &ServerState, lan_only: bool, why: &str) -> Error {
    let (node, dc) = (server.node_name(), &server.datacenter);
    let failed = "1/1 nodes reported failure";
    let wan = [format!("WAN error: {failed}"), format!("{node}.{dc}: {why}")];
    let lan = [format!("{dc} (LAN) error: {failed}"), format!("{node}: {why}")];
    let lines: Vec<String> = if lan_only { lan.into() } else { wan.into_iter().chain(lan).collect() };
    Error::Refused(several(&lines))
}

/// As newer versions have it.
async fn usage(State(server): State<ServerState>, options: QueryOptions) -> Result<Response, Error> {
    reader(&server, &options)?;
    let state = server.store.state();
    let services: Vec<_> = state.nodes().flat_map(|node| state.services_of(&node.node)).collect();
    let kind = |kind: model::ServiceKind| services.iter().filter(|service| service.kind == kind).count();
    let native = services.iter().filter(|service| service.connect.native).count();
    let billable = services
        .iter()
        .filter(|service| service.kind == model::ServiceKind::Typical && service.service != "consul")
        .count();
    let connect = json!({
        "connect-native": native,
        "connect-proxy": kind(model::ServiceKind::ConnectProxy),
        "ingress-gateway": kind(model::ServiceKind::IngressGateway),
        "mesh-gateway": kind(model::ServiceKind::MeshGateway),
        "terminating-gateway": kind(model::ServiceKind::TerminatingGateway),
    });
    let index = state.index();
    response::json(&json!({
        "Usage": { &*server.datacenter: {
            "Nodes": state.nodes().count(),
            "Services": state.service_tags(|_| true).len(),
            "ServiceInstances": services.len(),
            "ConnectServiceInstances": connect,
            "BillableServiceInstances": billable,
        }},
        "Index": index,
        "LastContact": 0,
        "KnownLeader": true,
        "ConsistencyLevel": "leader",
        "NotModified": false,
        "Backend": 0,
        "ResultsFilteredByACLs": false,
    }))
}
