//! `members`

use clap::{ArgMatches, Command};
use client::Member;

use super::flags::{given, on, switch, text, with_agent};
use super::status_pattern::StatusPattern;
use super::table::{columns, row};
use super::{Failure, Outcome, Output, api};

/// There is no member to show: silent, and neither success nor a failure.
const NONE: u8 = 2;

pub fn command() -> Command {
    with_agent(Command::new("members"))
        .about("List the members of the cluster")
        .long_about("Lists the members that the agent knows, with their addresses and states.")
        .arg(switch("detailed", "Show every tag of every member."))
        .arg(text("format", "string", "How to print them: pretty (the default) or json."))
        .arg(text("segment", "string", "Only members of this network segment; here there is one."))
        .arg(text("status", "string", "Only members whose status matches this pattern, as in `alive|failed`."))
        .arg(switch("wan", "List the servers of every datacenter instead."))
        .arg(super::flags::rest(""))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let pattern = StatusPattern::parse(given(matches, "status").unwrap_or(".*"))
        .map_err(|e| Failure::new(format!("Failed to compile status regexp: {e}")))?;
    let api = api(matches)?;
    let mut query = api.query().with("segment", given(matches, "segment").unwrap_or("_all"));
    if on(matches, "wan") {
        query = api.query().with("wan", "1");
    }
    if given(matches, "format") == Some("json") {
        let raw = api.client.get_raw("/v1/agent/members", &query).await.map_err(Failure::about(RETRIEVING))?;
        return Ok(Output::line(super::json::indent(&raw.text(), "    ")));
    }
    let mut members = api.client.members(&query).await.map_err(Failure::about(RETRIEVING))?;
    members.retain(|member| pattern.matches(status(member)));
    if members.is_empty() {
        return Ok(Output { code: NONE, ..Output::default() });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Output::text(if on(matches, "detailed") { detailed(&members) } else { standard(&members) }))
}

const RETRIEVING: &str = "Error retrieving members";

fn status(member: &Member) -> &'static str {
    match member.status {
        1 => "alive",
        2 => "leaving",
        3 => "left",
        4 => "failed",
        _ => "none",
    }
}

fn address(member: &Member) -> String {
    let Member { addr, port, .. } = member;
    if addr.contains(':') { format!("[{addr}]:{port}") } else { format!("{addr}:{port}") }
}

fn tag<'a>(member: &'a Member, name: &str) -> &'a str {
    member.tags.get(name).map_or("", String::as_str)
}

/// Servers belong to every segment, clients to the one they name.
fn segment(member: &Member) -> &str {
    match (tag(member, "role"), tag(member, "segment")) {
        ("consul", _) => "<all>",
        (_, "") => "<default>",
        (_, segment) => segment,
    }
}

fn standard(members: &[Member]) -> String {
    let mut rows = vec![row(["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Segment"])];
    for member in members {
        let kind = match tag(member, "role") {
            "consul" => "server",
            "node" => "client",
            _ => "unknown",
        };
        let build = tag(member, "build").split(':').next().filter(|build| !build.is_empty()).unwrap_or("< 0.3");
        let (address, protocol) = (address(member), member.protocol_cur.to_string());
        let dc = tag(member, "dc");
        rows.push(row([&member.name, &address, status(member), kind, build, &protocol, dc, segment(member)]));
    }
    columns(&rows)
}

fn detailed(members: &[Member]) -> String {
    let mut rows = vec![row(["Node", "Address", "Status", "Tags"])];
    for member in members {
        let mut tags = member.tags.clone();
        tags.insert("segment".to_owned(), segment(member).to_owned());
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        rows.push(row([&member.name, &address(member), status(member), &tags.join(",")]));
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, role: &str) -> Member {
        let tags = [("role", role), ("build", "1.8.7:"), ("dc", "dc1")];
        Member {
            name: name.to_owned(),
            addr: "127.0.0.1".to_owned(),
            port: 8301,
            tags: tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            status: 1,
            protocol_cur: 2,
        }
    }

    #[test]
    fn the_tables_are_consul_s() {
        assert_eq!(
            standard(&[member("conf-node", "consul"), member("c", "node")]),
            "Node       Address         Status  Type    Build  Protocol  DC   Segment\n\
             conf-node  127.0.0.1:8301  alive   server  1.8.7  2         dc1  <all>\n\
             c          127.0.0.1:8301  alive   client  1.8.7  2         dc1  <default>\n"
        );
        assert_eq!(
            detailed(&[member("n", "consul")]),
            "Node  Address         Status  Tags\n\
             n     127.0.0.1:8301  alive   build=1.8.7:,dc=dc1,role=consul,segment=<all>\n"
        );
    }
}
