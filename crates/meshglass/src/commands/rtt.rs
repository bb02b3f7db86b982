//! `rtt`: the round trip between two nodes, as their coordinates tell it.

use clap::{ArgMatches, Command};
use serde::Deserialize;
use serde_json::Value;

use super::connection::Api;
use super::flags::{arguments, on, rest, switch, with_agent};
use super::{Failure, Outcome, Output, api};

const COUNT: &str = "One or two node names must be specified\n";
const WAN_NAMES: &str = "Node names must be specified as <node name>.<datacenter> with -wan";

pub fn command() -> Command {
    with_agent(Command::new("rtt"))
        .about("Estimate the round trip between two nodes")
        .long_about(
            "Estimates the time of a round trip between two nodes from their network coordinates. Without a second \
             name it is the agent's own node.",
        )
        .arg(switch("wan", "The names are `<node>.<datacenter>` of servers."))
        .arg(rest("node1 [node2]"))
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Coordinate {
    vec: Vec<f64>,
    height: f64,
    adjustment: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    node: String,
    coord: Option<Coordinate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Area {
    datacenter: String,
    #[serde(rename = "AreaID", default)]
    area_id: String,
    #[serde(default)]
    coordinates: Vec<Entry>,
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let names = arguments(matches);
    if !(1..=2).contains(&names.len()) {
        return Err(Failure::usage(COUNT));
    }
    let wan = on(matches, "wan");
    if wan && !names.iter().all(|name| name.contains('.')) {
        return Err(Failure::new(WAN_NAMES));
    }
    let api = api(matches)?;
    let other = match names.get(1) {
        Some(name) => name.clone(),
        None => own_name(&api, wan).await?,
    };
    let (first, second, source) =
        if wan { in_areas(&api, &names[0], &other).await? } else { in_datacenter(&api, &names[0], &other).await? };
    let missing = |name: &str| Failure::new(format!("Could not find a coordinate for node \"{name}\""));
    let first = first.ok_or_else(|| missing(&names[0]))?;
    let second = second.ok_or_else(|| missing(&other))?;
    let milliseconds = seconds(&first, &second) * 1e3;
    Ok(Output::line(format!(
        "Estimated {} <-> {other} rtt: {milliseconds:.3} ms (using {source} coordinates)",
        names[0]
    )))
}

async fn own_name(api: &Api, wan: bool) -> Result<String, Failure> {
    let answer = api.client.get::<Value>("/v1/agent/self", &api.query()).await;
    let own = answer.map_err(Failure::about("Unable to look up agent info"))?.value;
    let text = |name: &str| own["Config"][name].as_str().unwrap_or_default().to_owned();
    Ok(if wan { format!("{}.{}", text("NodeName"), text("Datacenter")) } else { text("NodeName") })
}

type Found = (Option<Coordinate>, Option<Coordinate>, String);

async fn in_datacenter(api: &Api, first: &str, second: &str) -> Result<Found, Failure> {
    let entries = api.client.get::<Vec<Entry>>("/v1/coordinate/nodes", &api.query()).await;
    let entries = entries.map_err(Failure::about("Error getting coordinates"))?.value;
    let find = |name: &str| entries.iter().find(|entry| entry.node == name).and_then(|entry| entry.coord.clone());
    Ok((find(first), find(second), "LAN".to_owned()))
}

async fn in_areas(api: &Api, first: &str, second: &str) -> Result<Found, Failure> {
    let areas = api.client.get::<Vec<Area>>("/v1/coordinate/datacenters", &api.query()).await;
    let areas = areas.map_err(Failure::about("Error getting coordinates"))?.value;
    let find = |name: &str, id: &str| {
        let (node, datacenter) = name.rsplit_once('.')?;
        let mut entries = areas
            .iter()
            .filter(|area| area.datacenter == datacenter && area.area_id == id)
            .flat_map(|area| &area.coordinates);
        entries.find(|entry| entry.node == node)?.coord.clone()
    };
    let mut ids: Vec<&str> = areas.iter().map(|area| area.area_id.as_str()).collect();
    ids.dedup();
    let both = ids.iter().find(|id| find(first, id).is_some() && find(second, id).is_some());
    let id = both.or(ids.first()).copied().unwrap_or("wan");
    let source = if id == "wan" { "WAN".to_owned() } else { format!("area \"{id}\"") };
    Ok((find(first, id), find(second, id), source))
}

/// Vivaldi: the distance of the vectors, both heights, and both corrections unless they would make it negative.
fn seconds(a: &Coordinate, b: &Coordinate) -> f64 {
    let square: f64 = a.vec.iter().zip(&b.vec).map(|(a, b)| (a - b).powi(2)).sum();
    let plain = square.sqrt() + a.height + b.height;
    let adjusted = plain + a.adjustment + b.adjustment;
    if adjusted > 0.0 { adjusted } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_vivaldi_s() {
        let a = Coordinate { vec: vec![0.0, 0.003], height: 0.001, adjustment: 0.0 };
        let b = Coordinate { vec: vec![0.004, 0.0], height: 0.001, adjustment: 0.0005 };
        assert!((seconds(&a, &b) - 0.0075).abs() < 1e-9);
        let negative = Coordinate { adjustment: -1.0, ..b };
        assert!((seconds(&a, &negative) - 0.007).abs() < 1e-9);
    }
}
