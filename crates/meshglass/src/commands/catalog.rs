//! `catalog datacenters|nodes|services`

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use client::{CatalogNode, Query};

use super::connection::Api;
use super::flags::{given, list, on, pairs, rest, switch, text, with_namespace, with_server};
use super::table::{aligned, columns, row};
use super::{Failure, Outcome, Output, api, no_arguments};

/// Between the names and the tags of `catalog services -tags`.
const TAGS_GAP: usize = 6;
/// Characters of a node's id in the short table.
const SHORT_ID: usize = 8;

pub fn command() -> Command {
    let format = || text("format", "string", "How to print the answer: pretty (the default) or json.");
    let meta = || list("node-meta", "key=value", "Only nodes with this in their metadata.");
    let datacenters = with_server(Command::new("datacenters"))
        .about("List the known datacenters")
        .long_about("Lists the known datacenters, the nearest first.")
        .arg(format());
    let nodes = with_server(Command::new("nodes"))
        .about("List the nodes of a datacenter")
        .long_about("Lists the nodes of a datacenter, all of them or those that the options leave.")
        .arg(switch("detailed", "Show whole ids, every address and the metadata."))
        .arg(text("filter", "string", "Only nodes for which this expression is true."))
        .arg(text("near", "string", "Sort by distance from this node; `_agent` is the agent's own."))
        .arg(meta())
        .arg(text("service", "name", "Only nodes that run this service."))
        .arg(format());
    let services = with_namespace(with_server(Command::new("services")))
        .about("List the services of a datacenter")
        .long_about("Lists the names of the registered services, all of them or those of one node.")
        .arg(text("node", "name", "Only services of this node, by id or name."))
        .arg(meta())
        .arg(switch("tags", "Show the tags too."))
        .arg(format());
    Command::new("catalog")
        .about("Look into the catalog")
        .long_about("Shows what is registered: datacenters, nodes and services.")
        .subcommand(datacenters.arg(rest("")))
        .subcommand(nodes.arg(rest("")))
        .subcommand(services.arg(rest("")))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("datacenters", matches)) => datacenters(matches).await,
        Some(("nodes", matches)) => nodes(matches).await,
        Some(("services", matches)) => services(matches).await,
        _ => Err(Failure::usage("Must name one of datacenters, nodes, services")),
    }
}

/// The answer as it came, when that is wanted.
async fn as_json(
    matches: &ArgMatches,
    api: &Api,
    path: &str,
    query: &Query,
    what: &str,
) -> Result<Option<Output>, Failure> {
    if given(matches, "format") != Some("json") {
        return Ok(None);
    }
    let raw = api.client.get_raw(path, query).await.map_err(Failure::about(what))?;
    Ok(Some(Output::line(super::json::indent(&raw.text(), "    "))))
}

async fn datacenters(matches: &ArgMatches) -> Outcome {
    const LISTING: &str = "Error listing datacenters";
    no_arguments(matches)?;
    let (api, path) = (api(matches)?, "/v1/catalog/datacenters");
    if let Some(output) = as_json(matches, &api, path, &api.query(), LISTING).await? {
        return Ok(output);
    }
    let answer = api.client.get::<Vec<String>>(path, &api.query()).await.map_err(Failure::about(LISTING))?;
    Ok(Output::text(answer.value.iter().map(|name| format!("{name}\n")).collect::<String>()))
}

async fn nodes(matches: &ArgMatches) -> Outcome {
    const LISTING: &str = "Error listing nodes";
    no_arguments(matches)?;
    let metas = pairs(matches, "node-meta")?;
    let api = api(matches)?;
    let mut query = api.query();
    for (flag, parameter) in [("near", "near"), ("filter", "filter")] {
        if let Some(value) = given(matches, flag) {
            query = query.with(parameter, value);
        }
    }
    query = with_metas(query, &metas);
    let path = match given(matches, "service") {
        Some(service) => format!("/v1/catalog/service/{}", escaped(service)),
        None => "/v1/catalog/nodes".to_owned(),
    };
    if let Some(output) = as_json(matches, &api, &path, &query, LISTING).await? {
        return Ok(output);
    }
    let answer = api.client.get::<Option<Vec<CatalogNode>>>(&path, &query).await.map_err(Failure::about(LISTING))?;
    let mut nodes = answer.value.unwrap_or_default();
    // A service has one entry for each of its instances.
    let mut seen = std::collections::BTreeSet::new();
    nodes.retain(|node| seen.insert((node.node.clone(), node.datacenter.clone())));
    if nodes.is_empty() {
        return Ok(nothing("nodes"));
    }
    Ok(Output::text(nodes_table(&nodes, on(matches, "detailed"))))
}

fn with_metas(query: Query, metas: &BTreeMap<String, String>) -> Query {
    metas.iter().fold(query, |query, (key, value)| query.with("node-meta", &format!("{key}:{value}")))
}

fn nothing(what: &str) -> Output {
    let stderr = format!("No {what} match the given query - try expanding your search.\n");
    Output { stderr, ..Output::default() }
}

fn nodes_table(nodes: &[CatalogNode], detailed: bool) -> String {
    let joined = |map: &BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
    };
    let mut rows = vec![row(["Node", "ID", "Address", "DC"])];
    if detailed {
        rows[0].extend(row(["TaggedAddresses", "Meta"]));
    }
    for node in nodes {
        let id: String = if detailed { node.id.clone() } else { node.id.chars().take(SHORT_ID).collect() };
        let mut cells = row([&node.node, &id, &node.address, &node.datacenter]);
        if detailed {
            cells.extend([joined(&node.tagged_addresses), joined(&node.meta)]);
        }
        rows.push(cells);
    }
    columns(&rows)
}

async fn services(matches: &ArgMatches) -> Outcome {
    no_arguments(matches)?;
    let metas = pairs(matches, "node-meta")?;
    let api = api(matches)?;
    let query = with_metas(api.query(), &metas);
    let services = match given(matches, "node") {
        Some(node) => {
            let (path, what) = (format!("/v1/catalog/node/{}", escaped(node)), "Error listing services for node");
            if let Some(output) = as_json(matches, &api, &path, &query, what).await? {
                return Ok(output);
            }
            let answer = api.client.get(&path, &query).await.map_err(Failure::about(what))?;
            of_node(&answer.value)
        }
        None => {
            let (path, what) = ("/v1/catalog/services", "Error listing services");
            if let Some(output) = as_json(matches, &api, path, &query, what).await? {
                return Ok(output);
            }
            let answer = api.client.get::<Services>(path, &query).await.map_err(Failure::about(what))?;
            answer.value.into_iter().map(|(name, tags)| (name, tags.unwrap_or_default())).collect()
        }
    };
    if services.is_empty() {
        return Ok(nothing("services"));
    }
    Ok(Output::text(services_list(services, on(matches, "tags"))))
}

type Services = BTreeMap<String, Option<Vec<String>>>;

/// The services in an answer of `/v1/catalog/node/X`, which is `null` for an unknown node.
fn of_node(answer: &serde_json::Value) -> BTreeMap<String, Vec<String>> {
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for service in answer["Services"].as_object().into_iter().flat_map(|services| services.values()) {
        let tags = service["Tags"].as_array().map(Vec::as_slice).unwrap_or_default();
        let tags = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned));
        out.entry(service["Service"].as_str().unwrap_or_default().to_owned()).or_default().extend(tags);
    }
    out
}

fn services_list(services: BTreeMap<String, Vec<String>>, tags: bool) -> String {
    if !tags {
        return services.into_keys().map(|name| format!("{name}\n")).collect();
    }
    let rows: Vec<Vec<String>> = services
        .into_iter()
        .map(|(name, mut tags)| {
            tags.sort();
            tags.dedup();
            vec![name, tags.join(",")]
        })
        .collect();
    aligned(&rows, TAGS_GAP)
}

/// A name as one segment of a path.
fn escaped(name: &str) -> String {
    client::escape(name).replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_consul_s() {
        let node = CatalogNode {
            id: "8f8eab47-5fcc-7998-4af1-32c06ce77e16".to_owned(),
            node: "conf-node".to_owned(),
            address: "127.0.0.1".to_owned(),
            datacenter: "dc1".to_owned(),
            tagged_addresses: [("lan".to_owned(), "127.0.0.1".to_owned()), ("wan".to_owned(), "1.1.1.1".to_owned())]
                .into(),
            meta: [("zone".to_owned(), "a".to_owned())].into(),
        };
        assert_eq!(
            nodes_table(std::slice::from_ref(&node), false),
            "Node       ID        Address    DC\nconf-node  8f8eab47  127.0.0.1  dc1\n"
        );
        let table = nodes_table(&[node], true);
        assert!(table.ends_with("  dc1  lan=127.0.0.1, wan=1.1.1.1  zone=a\n"), "{table}");
        let services = BTreeMap::from([
            ("api".to_owned(), vec![]),
            ("db-sidecar-proxy".to_owned(), vec![]),
            ("web".to_owned(), vec!["v2".to_owned(), "v1".to_owned()]),
        ]);
        assert_eq!(services_list(services.clone(), false), "api\ndb-sidecar-proxy\nweb\n");
        assert_eq!(
            services_list(services, true),
            "api                   \ndb-sidecar-proxy      \nweb                   v1,v2\n"
        );
    }
}
