//! `operator raft|autopilot`: the servers themselves.

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::TIMEOUT;
use super::flags::{given, rest, state, switch, text, with_server};
use super::table::{columns, row};
use super::{Failure, Outcome, Output, api};

const AUTOPILOT: &str = "/v1/operator/autopilot/configuration";
const QUERYING: &str = "Error querying Autopilot configuration";

/// Flag, key of the API, and what a value must be.
const SETTINGS: [(&str, &str, Kind); 8] = [
    ("cleanup-dead-servers", "CleanupDeadServers", Kind::Switch),
    ("disable-upgrade-migration", "DisableUpgradeMigration", Kind::Switch),
    ("last-contact-threshold", "LastContactThreshold", Kind::Duration),
    ("max-trailing-logs", "MaxTrailingLogs", Kind::Number),
    ("min-quorum", "MinQuorum", Kind::Number),
    ("redundancy-zone-tag", "RedundancyZoneTag", Kind::Text),
    ("server-stabilization-time", "ServerStabilizationTime", Kind::Duration),
    ("upgrade-version-tag", "UpgradeVersionTag", Kind::Text),
];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Switch,
    Duration,
    Number,
    Text,
}

pub fn command() -> Command {
    let format = || text("format", "string", "How to print the answer: pretty (the default) or json.");
    let list = with_server(Command::new("list-peers"))
        .about("List the servers")
        .long_about("Lists the servers that keep the state, and which of them leads.")
        .arg(format());
    let remove = with_server(Command::new("remove-peer"))
        .about("Remove a server")
        .long_about("Removes a server that is gone for good.")
        .arg(text("address", "string", "The server's address with its port."))
        .arg(text("id", "string", "The server's id."));
    let raft = Command::new("raft")
        .about("Look after the servers that keep the state")
        .long_about("Shows and removes the servers that keep the state.")
        .subcommands([list.arg(rest("")), remove.arg(rest(""))]);
    Command::new("operator")
        .about("Tools for operators of servers")
        .long_about("Looks after the servers themselves.")
        .subcommands([autopilot(format), raft])
}

fn autopilot(format: impl Fn() -> clap::Arg) -> Command {
    let get = with_server(Command::new("get-config"))
        .about("Show the configuration")
        .long_about("Shows how dead servers are cleaned up and when a server counts as healthy.")
        .arg(format());
    let set = with_server(Command::new("set-config"))
        .about("Change the configuration")
        .long_about("Changes what is given and keeps the rest.")
        .arg(switch("cleanup-dead-servers", "Remove dead servers when a new one comes."))
        .arg(switch("disable-upgrade-migration", "Taken for Consul's sake; has no effect on one server."))
        .arg(text("last-contact-threshold", "duration", "A server without contact for this long is unhealthy."))
        .arg(text("max-trailing-logs", "uint", "A server this many entries behind is unhealthy."))
        .arg(text("min-quorum", "uint", "Never remove servers below this number."))
        .arg(text("redundancy-zone-tag", "string", "Key of the node's metadata with its zone."))
        .arg(text("server-stabilization-time", "duration", "How long a new server must be healthy before it votes."))
        .arg(text("upgrade-version-tag", "string", "Key of the node's metadata with its version."));
    let health = with_server(Command::new("state"))
        .about("Show the servers' health")
        .long_about("Shows whether the servers are healthy and how many may fail.")
        .arg(format());
    Command::new("autopilot")
        .about("Say how servers are looked after")
        .long_about("Shows and changes what is done about unhealthy servers.")
        .subcommands([get.arg(rest("")), set.arg(rest("")), health.arg(rest(""))])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let (group, matches) = matches.subcommand().unwrap_or(("", matches));
    match (group, matches.subcommand()) {
        ("raft", Some(("list-peers", matches))) => list_peers(matches).await,
        ("raft", Some(("remove-peer", matches))) => remove_peer(matches).await,
        ("autopilot", Some(("get-config", matches))) => get_config(matches).await,
        ("autopilot", Some(("set-config", matches))) => set_config(matches).await,
        ("autopilot", Some(("state", matches))) => health(matches).await,
        _ => Err(Failure::usage("Must name one of autopilot, raft")),
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Peer {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    address: String,
    leader: bool,
    protocol_version: String,
    voter: bool,
}

async fn list_peers(matches: &ArgMatches) -> Outcome {
    const WHAT: &str = "Error getting peers: Failed to retrieve raft configuration";
    let api = api(matches)?;
    let answer = api.client.get_raw("/v1/operator/raft/configuration", &api.query()).await;
    let answer = answer.map_err(Failure::about(WHAT))?;
    if given(matches, "format") == Some("json") {
        return Ok(Output::line(super::json::indent(&answer.text(), "    ")));
    }
    let document: Value =
        serde_json::from_slice(&answer.body).map_err(|error| Failure::new(format!("{WHAT}: {error}")))?;
    let peers: Vec<Peer> = serde_json::from_value(document["Servers"].clone())
        .map_err(|error| Failure::new(format!("{WHAT}: {error}")))?;
    Ok(Output::text(peers_table(&peers)))
}

fn peers_table(peers: &[Peer]) -> String {
    let mut rows = vec![row(["Node", "ID", "Address", "State", "Voter", "RaftProtocol"])];
    for peer in peers {
        let protocol = if peer.protocol_version.is_empty() { "<=1" } else { &peer.protocol_version };
        let state = if peer.leader { "leader" } else { "follower" };
        rows.push(row([&peer.node, &peer.id, &peer.address, state, &peer.voter.to_string(), protocol]));
    }
    columns(&rows)
}

async fn remove_peer(matches: &ArgMatches) -> Outcome {
    let failed = |why: &str| Failure::new(format!("Error removing peer: {why}"));
    let (name, value) = match (given(matches, "address"), given(matches, "id")) {
        (None, None) => return Err(failed("an address or id is required for the peer to remove")),
        (Some(_), Some(_)) => return Err(failed("cannot give both an address and id")),
        (Some(address), None) => ("address", address),
        (None, Some(id)) => ("id", id),
    };
    let api = api(matches)?;
    let path = api.query().with(name, value).path("/v1/operator/raft/peer");
    let answer = api.client.send(Method::DELETE, &path, Bytes::new(), TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about("Error removing peer"))?;
    Ok(Output::line(match name {
        "id" => format!("Removed peer with id \"{value}\""),
        _ => format!("Removed peer with address \"{value}\""),
    }))
}

async fn get_config(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let answer = api.client.get_raw(AUTOPILOT, &api.query()).await.map_err(Failure::about(QUERYING))?;
    if given(matches, "format") == Some("json") {
        return Ok(Output::line(super::json::indent(&answer.text(), "    ")));
    }
    let config: Value =
        serde_json::from_slice(&answer.body).map_err(|error| Failure::new(format!("{QUERYING}: {error}")))?;
    Ok(Output::text(settings(&config)))
}

fn settings(config: &Value) -> String {
    const ORDER: [&str; 8] = [
        "CleanupDeadServers",
        "LastContactThreshold",
        "MaxTrailingLogs",
        "MinQuorum",
        "ServerStabilizationTime",
        "RedundancyZoneTag",
        "DisableUpgradeMigration",
        "UpgradeVersionTag",
    ];
    let quoted = |name: &str| name.ends_with("Tag");
    let line = |name: &str| match &config[name] {
        Value::String(text) if !quoted(name) => format!("{name} = {text}\n"),
        Value::Null if quoted(name) => format!("{name} = \"\"\n"),
        Value::Null if name == "DisableUpgradeMigration" => format!("{name} = false\n"),
        Value::Null => format!("{name} = 0\n"),
        value => format!("{name} = {value}\n"),
    };
    ORDER.into_iter().map(line).collect()
}

async fn set_config(matches: &ArgMatches) -> Outcome {
    let wanted = wanted(matches)?;
    let api = api(matches)?;
    let answer = api.client.get::<Value>(AUTOPILOT, &api.query()).await;
    let mut config = answer.map_err(Failure::about(QUERYING))?.value;
    for (name, value) in wanted {
        config[name] = value;
    }
    let index = config["ModifyIndex"].as_u64().unwrap_or(0).to_string();
    let path = api.query().with("cas", &index).path(AUTOPILOT);
    let answer = api.client.send(Method::PUT, &path, config.to_string().into(), TIMEOUT).await;
    let answer = answer.and_then(client::Raw::success);
    let answer = answer.map_err(Failure::about("Error setting Autopilot configuration"))?;
    match answer.text().contains("true") {
        true => Ok(Output::line("Configuration updated!")),
        false => {
            Ok(Output { code: 1, ..Output::line("Configuration could not be atomically updated, please try again") })
        }
    }
}

/// What the flags ask for, by the API's keys.
fn wanted(matches: &ArgMatches) -> Result<Vec<(&'static str, Value)>, Failure> {
    let mut out = Vec::new();
    for (flag, key, kind) in SETTINGS {
        if let Kind::Switch = kind {
            out.extend(state(matches, flag).map(|on| (key, json!(on))));
            continue;
        }
        // An empty text is a value too: it takes the tag away.
        let Some(text) = matches.get_one::<String>(flag) else { continue };
        let bad = |why: String| Failure::usage(format!("invalid value \"{text}\" for flag -{flag}: {why}"));
        out.push(match kind {
            Kind::Duration => match model::parse_duration(text) {
                Ok(_) => (key, json!(text)),
                Err(_) => return Err(bad(format!("time: invalid duration \"{text}\""))),
            },
            Kind::Number => match text.parse::<u64>() {
                Ok(number) => (key, json!(number)),
                Err(_) => return Err(bad(format!("strconv.ParseUint: parsing \"{text}\": invalid syntax"))),
            },
            Kind::Switch | Kind::Text => (key, json!(text)),
        });
    }
    Ok(out)
}

async fn health(matches: &ArgMatches) -> Outcome {
    const WHAT: &str = "Error querying Autopilot state";
    let api = api(matches)?;
    let answer = match api.client.get_raw("/v1/operator/autopilot/state", &api.query()).await {
        // Servers before 1.9 tell the same under another name.
        Err(error) if error.status() == Some(http::StatusCode::NOT_FOUND) => {
            api.client.get_raw("/v1/operator/autopilot/health", &api.query()).await
        }
        answer => answer,
    };
    let answer = answer.map_err(Failure::about(WHAT))?;
    if given(matches, "format") == Some("json") {
        return Ok(Output::line(super::json::indent(&answer.text(), "    ")));
    }
    let state: Value =
        serde_json::from_slice(&answer.body).map_err(|error| Failure::new(format!("{WHAT}: {error}")))?;
    Ok(Output::text(health_text(&state)))
}

fn health_text(state: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut out = format!(
        "Healthy:           {}\nFailure Tolerance: {}\n",
        text(&state["Healthy"]),
        text(&state["FailureTolerance"])
    );
    let servers: Vec<&Value> = match &state["Servers"] {
        Value::Array(list) => list.iter().collect(),
        Value::Object(by_id) => by_id.values().collect(),
        _ => Vec::new(),
    };
    let mut rows = vec![row(["Node", "ID", "Address", "Status", "Healthy", "Voter"])];
    for server in servers {
        let get = |name: &str| if server[name].is_null() { String::new() } else { text(&server[name]) };
        let status = if get("Status").is_empty() { get("SerfStatus") } else { get("Status") };
        let voter = match (server["Voter"].as_bool(), status.as_str()) {
            (Some(voter), _) => voter,
            (None, status) => matches!(status, "leader" | "voter"),
        };
        let cells = [get("Name"), get("ID"), get("Address"), status, get("Healthy"), voter.to_string()];
        rows.push(cells.to_vec());
    }
    out.push_str(&columns(&rows));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_shown_as_consul_shows_it() {
        let config = json!({"CleanupDeadServers": true, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250,
            "ServerStabilizationTime": "10s", "RedundancyZoneTag": "z"});
        assert_eq!(
            settings(&config),
            "CleanupDeadServers = true\nLastContactThreshold = 200ms\nMaxTrailingLogs = 250\nMinQuorum = 0\n\
             ServerStabilizationTime = 10s\nRedundancyZoneTag = \"z\"\nDisableUpgradeMigration = false\n\
             UpgradeVersionTag = \"\"\n"
        );
    }

    #[test]
    fn only_what_is_given_is_changed() {
        let read = |words: &[&str]| {
            let root = command();
            let words = ["operator", "autopilot", "set-config"].iter().chain(words).copied();
            let matches = root.try_get_matches_from(words).ok()?;
            let matches = matches.subcommand()?.1.subcommand()?.1.clone();
            Some(wanted(&matches).map_err(|failure| failure.text))
        };
        let given = read(&["--cleanup-dead-servers=false", "--min-quorum=3", "--redundancy-zone-tag="]);
        let keys = [("CleanupDeadServers", json!(false)), ("MinQuorum", json!(3)), ("RedundancyZoneTag", json!(""))];
        assert_eq!(given, Some(Ok(keys.to_vec())));
        let said = "invalid value \"x\" for flag -min-quorum: strconv.ParseUint: parsing \"x\": invalid syntax";
        assert_eq!(read(&["--min-quorum=x"]), Some(Err(said.to_owned())));
    }

    #[test]
    fn health_is_told_by_server_in_both_shapes() {
        let old = json!({"Healthy": true, "FailureTolerance": 0, "Servers":
            [{"ID": "i", "Name": "n", "Address": "a:1", "SerfStatus": "alive", "Healthy": true, "Voter": true}]});
        let new = json!({"Healthy": true, "FailureTolerance": 0, "Servers":
            {"i": {"ID": "i", "Name": "n", "Address": "a:1", "Status": "leader", "Healthy": true}}});
        assert!(health_text(&old).ends_with("n     i   a:1      alive   true     true\n"), "{}", health_text(&old));
        assert!(health_text(&new).ends_with("n     i   a:1      leader  true     true\n"), "{}", health_text(&new));
    }
}
