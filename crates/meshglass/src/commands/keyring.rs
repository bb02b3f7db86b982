//! `keygen` and `keyring`: the keys that encrypt gossip.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::connection::{Api, TIMEOUT};
use super::flags::{given, number, on, rest, switch, text, with_agent};
use super::{Failure, Outcome, Output, api, base64, help};

const KEY_BYTES: usize = 32;
const PATH: &str = "/v1/operator/keyring";
const RELAY_LIMIT: i64 = 5;

pub fn keygen_command() -> Command {
    Command::new("keygen")
        .about("Make a key for gossip")
        .long_about("Prints a new random key of 32 bytes, in Base64, for an agent's `encrypt`.")
        .arg(rest(""))
}

pub fn keyring_command() -> Command {
    with_agent(Command::new("keyring"))
        .about("Keep the keys that encrypt gossip")
        .long_about("Lists, installs, changes and removes the keys that encrypt gossip, on all members.")
        .arg(text("install", "key", "Install this key beside the others."))
        .arg(switch("list", "List the installed keys, and on how many members each is."))
        .arg(switch("list-primary", "List the keys in use."))
        .arg(switch("local-only", "With -list: ask the local datacenter only."))
        .arg(number("relay-factor", "Let this many other members carry each answer too, 0 to 5. Default: 0."))
        .arg(text("remove", "key", "Remove this key; one in use cannot be removed."))
        .arg(text("use", "key", "Use this key from now on; it must be installed."))
        .arg(rest(""))
}

pub fn keygen() -> Outcome {
    let mut key = [0; KEY_BYTES];
    aws_lc_rs::rand::fill(&mut key).map_err(|_| Failure::new("Error reading random data: no randomness"))?;
    Ok(Output::line(base64::encode(&key)))
}

/// What one datacenter answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ring {
    #[serde(rename = "WAN", default)]
    wan: bool,
    #[serde(default)]
    datacenter: String,
    #[serde(default)]
    segment: String,
    #[serde(default)]
    keys: BTreeMap<String, u32>,
    #[serde(default)]
    primary_keys: BTreeMap<String, u32>,
    #[serde(default)]
    num_nodes: u32,
}

pub async fn keyring(root: &Command, matches: &ArgMatches) -> Outcome {
    let lists = [on(matches, "list"), on(matches, "list-primary")];
    let writes = [("install", Method::POST), ("use", Method::PUT), ("remove", Method::DELETE)];
    let wanted: Vec<_> =
        writes.into_iter().filter_map(|(flag, method)| given(matches, flag).map(|key| (flag, method, key))).collect();
    match lists.iter().filter(|list| **list).count() + wanted.len() {
        0 => {
            let stderr = help::render(root, &["keyring".to_owned()]);
            return Ok(Output { code: 1, stderr, ..Output::default() });
        }
        1 => {}
        _ => return Err(Failure::new("Only a single action is allowed")),
    }
    let relay = matches.get_one::<i64>("relay-factor").copied().unwrap_or(0);
    if !(0..=RELAY_LIMIT).contains(&relay) {
        return Err(Failure::new("Error parsing relay factor: Relay factor must be in range: [0, 5]"));
    }
    if on(matches, "local-only") && !wanted.is_empty() {
        let why = "local-only can only be set for list requests";
        return Err(Failure::new(format!("Error validating local-only: {why}")));
    }
    let api = api(matches)?;
    let doing = format!("==> {}...\n", doing(&wanted, lists[1]));
    let fail = |error: client::Error| Failure { done: doing.clone(), ..Failure::new(format!("error: {error}")) };
    match wanted.first() {
        Some((_, method, key)) => write(&api, method, key, relay).await.map_err(fail)?,
        None => {
            let rings = rings(&api, relay, on(matches, "local-only")).await.map_err(fail)?;
            return Ok(Output::text(doing.clone() + &shown(&rings, lists[1])));
        }
    }
    Ok(Output::text(doing))
}

fn doing(wanted: &[(&str, Method, &str)], primary: bool) -> &'static str {
    match wanted.first() {
        Some(("install", ..)) => "Installing new gossip encryption key",
        Some(("use", ..)) => "Changing primary gossip encryption key",
        Some(_) => "Removing gossip encryption key",
        None if primary => "Gathering installed primary encryption keys",
        None => "Gathering installed encryption keys",
    }
}

fn relayed(api: &Api, relay: i64) -> client::Query {
    if relay == 0 { api.query() } else { api.query().with("relay-factor", &relay.to_string()) }
}

async fn write(api: &Api, method: &Method, key: &str, relay: i64) -> Result<(), client::Error> {
    let body = json!({ "Key": key }).to_string().into();
    api.client.send(method.clone(), &relayed(api, relay).path(PATH), body, TIMEOUT).await?.success().map(drop)
}

async fn rings(api: &Api, relay: i64, local: bool) -> Result<Vec<Ring>, client::Error> {
    let query = relayed(api, relay);
    let query = if local { query.with("local-only", "true") } else { query };
    Ok(api.client.get::<Vec<Ring>>(PATH, &query).await?.value)
}

fn shown(rings: &[Ring], primary: bool) -> String {
    let mut out = String::new();
    for ring in rings {
        let pool = if ring.wan { "WAN".to_owned() } else { format!("{} (LAN)", ring.datacenter) };
        let segment = if ring.segment.is_empty() { String::new() } else { format!(" [{}]", ring.segment) };
        out.push_str(&format!("\n{pool}{segment}:\n"));
        for (key, count) in if primary { &ring.primary_keys } else { &ring.keys } {
            out.push_str(&format!("  {key} [{count}/{}]\n", ring.num_nodes));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_shown_by_pool() {
        let ring = |wan| Ring {
            wan,
            datacenter: "dc1".to_owned(),
            segment: String::new(),
            keys: [("k=".to_owned(), 1)].into(),
            primary_keys: BTreeMap::new(),
            num_nodes: 2,
        };
        let text = shown(&[ring(true), ring(false)], false);
        assert_eq!(text, "\nWAN:\n  k= [1/2]\n\ndc1 (LAN):\n  k= [1/2]\n");
    }
}
