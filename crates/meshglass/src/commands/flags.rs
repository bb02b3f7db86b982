//! The flags commands are made of, and how their values are read back.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Failure;

pub const HTTP_OPTIONS: &str = "HTTP API Options";

/// `-name`, also `-name=false`: Go knows three states of a flag (on, off, not given), so this is no plain switch.
pub fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .help(help)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .value_parser(clap::value_parser!(bool))
        .hide_possible_values(true)
        .action(ArgAction::Set)
}

/// `-name=<value>`; the last one counts.
pub fn text(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).num_args(1).allow_hyphen_values(true).action(ArgAction::Set)
}

/// `-name=<value>`, as often as wanted.
pub fn list(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    text(name, value, help).action(ArgAction::Append)
}

/// A whole number in the range of its type.
pub fn number(name: &'static str, help: &'static str) -> Arg {
    text(name, "int", help).value_parser(clap::value_parser!(i64))
}

/// A whole number that is not negative.
pub fn unsigned(name: &'static str, help: &'static str) -> Arg {
    text(name, "uint", help).value_parser(clap::value_parser!(u64))
}

/// The arguments after the flags.
pub fn rest(value: &'static str) -> Arg {
    Arg::new("arguments").value_name(value).num_args(0..).hide(true)
}

/// Flags of every command that talks to an agent.
pub fn with_agent(command: Command) -> Command {
    command
        .next_help_heading(HTTP_OPTIONS)
        .arg(text("ca-file", "value", "File with the certificate authorities to trust (PEM). Also: CONSUL_CACERT."))
        .arg(text("ca-path", "value", "Directory of such files. Also: CONSUL_CAPATH."))
        .arg(text("client-cert", "value", "Certificate to show to the agent (PEM). Also: CONSUL_CLIENT_CERT."))
        .arg(text("client-key", "value", "The key of that certificate. Also: CONSUL_CLIENT_KEY."))
        .arg(text(
            "http-addr",
            "address",
            "Where the agent listens: host:port, http://, https:// or unix://. Also: CONSUL_HTTP_ADDR. \
             Default: http://127.0.0.1:8500.",
        ))
        .arg(text(
            "tls-server-name",
            "value",
            "The name the agent's certificate carries. Also: CONSUL_TLS_SERVER_NAME.",
        ))
        .arg(text("token", "value", "ACL token to send. Also: CONSUL_HTTP_TOKEN."))
        .arg(text("token-file", "value", "File that holds the ACL token. Also: CONSUL_HTTP_TOKEN_FILE."))
        .next_help_heading(None)
}

/// Those, and the ones of every command that a server answers.
pub fn with_server(command: Command) -> Command {
    with_datacenter(with_agent(command))
        .next_help_heading(HTTP_OPTIONS)
        .arg(switch("stale", "Let any server answer, not only the leader."))
        .next_help_heading(None)
}

pub fn with_datacenter(command: Command) -> Command {
    let datacenter = text("datacenter", "value", "The datacenter to ask. Default: the agent's own.");
    command.arg(datacenter.help_heading(HTTP_OPTIONS))
}

pub fn with_namespace(command: Command) -> Command {
    command.arg(text("namespace", "value", "Namespace; only `default` exists here.").help_heading(HTTP_OPTIONS))
}

/// True when the switch is on.
pub fn on(matches: &ArgMatches, name: &str) -> bool {
    state(matches, name).unwrap_or(false)
}

/// What the switch was set to, if it was.
pub fn state(matches: &ArgMatches, name: &str) -> Option<bool> {
    matches.get_one::<bool>(name).copied()
}

/// The value, unless it is empty or was not given: to Consul these are the same.
pub fn given<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// A duration as Go writes one.
pub fn duration(matches: &ArgMatches, name: &str, default: Duration) -> Result<Duration, Failure> {
    let Some(text) = given(matches, name) else { return Ok(default) };
    // A negative one is as short as none.
    if text.strip_prefix('-').is_some_and(|text| model::parse_duration(text).is_ok()) {
        return Ok(Duration::ZERO);
    }
    model::parse_duration(text)
        .map_err(|_| Failure::usage(format!("invalid value \"{text}\" for flag -{name}: parse error")))
}

pub fn every(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).map(|values| values.cloned().collect()).unwrap_or_default()
}

pub fn arguments(matches: &ArgMatches) -> Vec<String> {
    every(matches, "arguments")
}

/// `-meta a=b -meta c=d`
pub fn pairs(matches: &ArgMatches, name: &str) -> Result<BTreeMap<String, String>, Failure> {
    every(matches, name).into_iter().map(|text| pair(&text, name)).collect()
}

fn pair(text: &str, name: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Failure::usage(format!(
            "invalid value \"{text}\" for flag -{name}: Missing \"=\" value in argument: {text}"
        ))),
    }
}
