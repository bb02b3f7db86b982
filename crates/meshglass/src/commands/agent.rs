//! `agent`

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use super::flags::{arguments, every, given, list, on, rest, switch, text};
use super::{Failure, with_place};
use crate::config::AgentFlags;

pub fn command() -> Command {
    Command::new("agent")
        .about("Run an agent")
        .long_about(
            "Runs the agent of this machine until it is told to end. With -dev it is a whole mesh in one process that \
             keeps nothing.\n\n    $ consul agent -dev\n    $ consul agent -dev -config-dir ./services",
        )
        .args(switches())
        .args(lists())
        .args(values())
        .arg(rest(""))
}

fn switches() -> [Arg; 14] {
    [
        switch("auto-reload-config", "Read the files again when they change (newer versions)."),
        switch("bootstrap", "Be the only server there is."),
        switch("dev", "Development: one server, state in memory, answers on loopback, indented JSON."),
        switch("disable-host-node-id", "Make a random node id (the default)."),
        switch("disable-keyring-file", "Do not write gossip keys to a file."),
        switch("enable-local-script-checks", "Allow script checks of configuration files."),
        switch("enable-script-checks", "Allow script checks."),
        switch("log-json", "Write the log as JSON."),
        switch("non-voting-server", "Be a server without a vote."),
        switch("read-replica", "Be a server without a vote (newer versions)."),
        switch("rejoin", "Join the cluster again after having left it."),
        switch("server", "Be a server."),
        switch("syslog", "Write the log to syslog as well."),
        switch("ui", "Serve the page /ui (it always is)."),
    ]
}

fn lists() -> [Arg; 14] {
    [
        list("allow-write-http-from", "network", "Let only these networks write over HTTP."),
        list("config-dir", "path", "Directory with .hcl and .json files to read, in the order of their names."),
        list("config-file", "path", "File or directory to read."),
        list("hcl", "hcl", "Configuration right here, in HCL."),
        list("join", "address", "Member to join at start."),
        list("join-wan", "address", "Server of another datacenter to join at start."),
        list("node-meta", "key:value", "Metadata of the node."),
        list("primary-gateway", "address", "Gateway of the primary datacenter."),
        list("etcd", "url", "Keep everything in this etcd cluster (http://host:port, several with commas)."),
        list("recursor", "address", "DNS server to ask about other domains."),
        list("retry-join", "address", "Member to join, again and again until it answers."),
        list("retry-join-wan", "address", "The same for servers of other datacenters."),
        list("serf-lan-allowed-cidrs", "network", "Networks that members may come from."),
        list("serf-wan-allowed-cidrs", "network", "Networks that servers of other datacenters may come from."),
    ]
}

fn values() -> [Arg; 42] {
    [
        text("advertise", "address", "The address that other nodes are told."),
        text("advertise-wan", "address", "The address that other datacenters are told."),
        text("alt-domain", "domain", "A second domain for DNS."),
        text("bind", "address", "The address to listen on for other nodes."),
        text("bootstrap-expect", "int", "How many servers to wait for."),
        text("check_output_max_size", "bytes", "How much of a check's output is kept."),
        text("client", "address", "The address to listen on for HTTP and DNS."),
        text("config-format", "string", "The format of all files: hcl or json. Default: by their names."),
        text("data-dir", "path", "Directory for what the agent keeps."),
        text("datacenter", "name", "The datacenter. Default: dc1."),
        text("default-query-time", "duration", "How long a blocking query waits when it does not say."),
        text("dns-port", "port", "The port for DNS."),
        text("domain", "domain", "The domain for DNS. Default: consul."),
        text("encrypt", "key", "The gossip key."),
        text("grpc-port", "port", "The port for gRPC."),
        text("grpc-tls-port", "port", "The port for gRPC over TLS (newer versions)."),
        text("http-port", "port", "The port for HTTP. Default: 8500."),
        text("https-port", "port", "The port for HTTPS."),
        text("log-file", "path", "Write the log to this file as well."),
        text("log-level", "string", "The least level to log: trace, debug, info (the default), warn or err."),
        text("log-rotate-bytes", "int", "Begin a new log file after this many bytes."),
        text("log-rotate-duration", "duration", "Begin a new log file after this time."),
        text("log-rotate-max-files", "int", "How many old log files to keep."),
        text("max-query-time", "duration", "How long a blocking query may wait."),
        text("node", "name", "The node's name. Default: the machine's."),
        text("node-id", "uuid", "The node's id."),
        text("partition", "name", "The admin partition (newer versions)."),
        text("pid-file", "path", "Write the process id to this file."),
        text("protocol", "int", "Version of the gossip protocol."),
        text("raft-protocol", "int", "Version of the Raft protocol."),
        text("retry-interval", "duration", "Time between attempts to join."),
        text("retry-interval-wan", "duration", "The same for other datacenters."),
        text("retry-max", "int", "How many attempts to join."),
        text("retry-max-wan", "int", "The same for other datacenters."),
        text("segment", "name", "The network segment."),
        text("serf-lan-bind", "address", "The address for gossip."),
        text("serf-lan-port", "port", "The port for gossip."),
        text("serf-wan-bind", "address", "The address for gossip with other datacenters."),
        text("serf-wan-port", "port", "The port for gossip with other datacenters."),
        text("server-port", "port", "The port for servers."),
        text("ui-content-path", "path", "The path of the page. Default: /ui/."),
        text("ui-dir", "path", "Directory with another page."),
    ]
}

pub fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let failed = |text: String| Failure::new(format!("==> {text}"));
    let extra = arguments(matches);
    if !extra.is_empty() {
        return Err(failed(format!("Unexpected extra arguments: [{}]", extra.join(" "))));
    }
    let outcome = super::runtime()?.block_on(crate::dev::run_agent(typed(matches)));
    outcome.map_err(|error| failed(with_place(error.consul_text(), &error.to_string())))
}

/// The flags as the configuration wants them.
fn typed(matches: &ArgMatches) -> AgentFlags {
    let settings = AgentFlags::names().flat_map(|name| {
        let switched = matches.try_get_one::<bool>(name).ok().flatten().map(ToString::to_string);
        let texts = matches.try_get_many::<String>(name).ok().flatten().into_iter().flatten().cloned();
        switched.into_iter().chain(texts).map(move |value| (name.to_owned(), value))
    });
    AgentFlags {
        dev: on(matches, "dev"),
        config_files: config_files(matches),
        config_format: given(matches, "config-format").map(str::to_owned),
        hcl: every(matches, "hcl"),
        settings: settings.collect(),
    }
}

/// Both flags in the order in which they were typed: of a value set twice the last counts.
fn config_files(matches: &ArgMatches) -> Vec<String> {
    let mut places: Vec<(usize, &String)> = ["config-file", "config-dir"]
        .into_iter()
        .filter_map(|flag| Some(matches.indices_of(flag)?.zip(matches.get_many::<String>(flag)?)))
        .flatten()
        .collect();
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, path)| path.clone()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(words: &[&str]) -> AgentFlags {
        typed(&command().try_get_matches_from(std::iter::once("agent").chain(words.iter().copied())).unwrap())
    }

    #[test]
    fn files_keep_their_order_and_settings_their_names() {
        let flags = read(&[
            "--config-dir=b",
            "--config-file=a",
            "--dev=true",
            "--config-dir=c",
            "--http-port=8501",
            "--server=false",
            "--node-meta=a:b",
            "--node-meta=c:d",
            "--hcl=x = 1",
        ]);
        assert_eq!(flags.config_files, ["b", "a", "c"]);
        assert!(flags.dev);
        assert_eq!(flags.hcl, ["x = 1"]);
        let mut settings: Vec<String> = flags.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        settings.sort();
        assert_eq!(settings, ["http-port=8501", "node-meta=a:b", "node-meta=c:d", "server=false"]);
    }

    /// No flag is offered that nobody reads.
    #[test]
    fn every_flag_has_a_reader() {
        let read: Vec<&str> =
            AgentFlags::names().chain(["dev", "config-file", "config-dir", "config-format", "hcl"]).collect();
        let mut offered: Vec<String> =
            command().get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
        offered.retain(|flag| !read.contains(&flag.as_str()));
        assert!(offered.is_empty(), "{offered:?}");
        for flag in read {
            assert!(command().get_arguments().any(|arg| arg.get_long() == Some(flag)), "-{flag}");
        }
    }
}
