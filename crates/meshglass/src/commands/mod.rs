//! The command line. One file per group of commands; the words, texts and exit codes are Consul's.

mod acl;
mod agent;
mod archive;
mod base64;
mod catalog;
mod config;
mod connect;
mod connect_ca;
mod connection;
mod debug;
mod definitions;
mod demo;
mod entry_text;
mod event;
mod exec;
mod expose;
pub(crate) mod flags;
mod help;
mod intention;
mod json;
mod keyring;
mod kv;
mod kv_transfer;
mod lock;
mod maint;
mod members;
mod membership;
mod operate;
mod operator;
mod pattern;
mod preview;
mod proxy_flags;
mod rtt;
mod services;
mod shell;
mod snapshot;
mod status_pattern;
mod table;
mod terminal;
mod tls;
mod troubleshoot;
mod validate;
mod version;
mod watch;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

use crate::arguments::{Request, normalise};
use connection::Api;
pub(crate) use version::SPEAKS_CONSUL;

/// No or an unknown command: what shells say of a program that does not exist, and what Consul says here.
const UNKNOWN_COMMAND: u8 = 127;

/// Commands of Consul that are yet to come. Saying so is better than denying that they exist.
#[rustfmt::skip]
const LATER: [&str; 6] = [
    "connect envoy", "connect redirect-traffic", "peering", "resource", "services export",
    "services exported-services",
];

/// What a command leaves behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    pub fn text(stdout: impl Into<String>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    pub fn line(line: impl std::fmt::Display) -> Self {
        Self::text(format!("{line}\n"))
    }

    fn print(self) -> ExitCode {
        // A reader that went away (`| head`) is no fault of the command.
        let _ = std::io::stdout().write_all(self.stdout.as_bytes());
        let _ = std::io::stdout().flush();
        let _ = std::io::stderr().write_all(self.stderr.as_bytes());
        ExitCode::from(self.code)
    }
}

/// Why a command could not do what it was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub code: u8,
    pub text: String,
    /// What had been done before.
    pub done: String,
    /// A mistake in the flags: the command's help follows.
    pub usage: bool,
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into(), done: String::new(), usage: false }
    }

    pub fn usage(text: impl Into<String>) -> Self {
        Self { usage: true, ..Self::new(text) }
    }

    /// `<what>: <why>`
    pub fn about(what: impl std::fmt::Display) -> impl FnOnce(client::Error) -> Self {
        move |error| Self::new(format!("{what}: {error}"))
    }

    pub fn with_code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// Consul's text of a mistake in a file, and under it, where Consul says no place, ours: `file:line:column: what was
/// expected`.
pub(crate) fn with_place(consul: String, ours: &str) -> String {
    let placed = ["At ", "(at "].iter().any(|word| consul.contains(word));
    if placed || consul.contains(ours) || !has_place(ours) { consul } else { format!("{}\n{ours}", consul.trim_end()) }
}

/// `file:line:column: …`
fn has_place(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.windows(2).any(|pair| number(pair[0]) && number(pair[1]))
}

pub(crate) type Outcome = Result<Output, Failure>;

/// Runs the command that the program's arguments name.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let name = program_name(&program);
    let arguments: Vec<String> = words.collect();
    let root = tree(name);
    if let Some(later) = LATER.iter().find(|later| begins_with(&arguments, later)) {
        let stderr = format!("{name}: \"{later}\" is not available yet\n");
        return Output { code: 1, stderr, ..Output::default() }.print();
    }
    match normalise(&root, &arguments) {
        Ok(Request::Help(path)) => Output::text(help::render(&root, &path)).print(),
        Ok(Request::Version) => Output::text(version::text(name)).print(),
        Ok(Request::NoCommand(path)) => {
            let code = if path.is_empty() { UNKNOWN_COMMAND } else { 1 };
            Output { code, stderr: help::render(&root, &path), ..Output::default() }.print()
        }
        Ok(Request::Run(words)) => run(root, &words),
        Err(error) => {
            let failure = Failure::usage(error.text);
            report(&root, &error.path, failure)
        }
    }
}

/// Called as `consul`, it answers as `consul`.
fn program_name(program: &str) -> &'static str {
    match Path::new(program).file_stem().and_then(|stem| stem.to_str()) {
        Some("consul") => "consul",
        _ => "meshglass",
    }
}

fn begins_with(arguments: &[String], words: &str) -> bool {
    words.split(' ').enumerate().all(|(i, word)| arguments.get(i).is_some_and(|argument| argument == word))
}

/// All commands.
pub fn tree(name: &'static str) -> Command {
    let commands = [
        acl::command(),
        acl::login_command(),
        acl::logout_command(),
        agent::command(),
        catalog::command(),
        shell::completion_command(),
        config::command(),
        connect::command(),
        debug::command(),
        demo::command(),
        event::command(),
        exec::command(),
        membership::force_leave_command(),
        operate::info_command(),
        intention::command(),
        membership::join_command(),
        keyring::keygen_command(),
        keyring::keyring_command(),
        kv::command(),
        operate::leave_command(),
        lock::command(),
        maint::command(),
        shell::man_command(),
        members::command(),
        operate::monitor_command(),
        operator::command(),
        operate::reload_command(),
        rtt::command(),
        services::command(),
        snapshot::command(),
        troubleshoot::command(),
        tls::command(),
        validate::command(),
        version::command(),
        watch::command(),
    ];
    let root = Command::new(name)
        .about("A service mesh you can see through; speaks Consul's commands, HTTP API and files")
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true);
    commands.into_iter().fold(root, |root, command| root.subcommand(quiet(command)))
}

/// Help is ours to print, not clap's.
fn quiet(command: Command) -> Command {
    let command = command.disable_help_flag(true).disable_version_flag(true).disable_help_subcommand(true);
    command.args_override_self(true).mut_subcommands(quiet)
}

fn run(root: Command, words: &[String]) -> ExitCode {
    let help = root.clone();
    let matches = match root.try_get_matches_from(words.iter()) {
        Ok(matches) => matches,
        Err(error) => return report(&help, &path_of(&help, words), Failure::usage(go_words(&error))),
    };
    let Some((name, matches)) = matches.subcommand() else {
        return ExitCode::from(UNKNOWN_COMMAND);
    };
    let outcome = match (name, matches.subcommand()) {
        ("agent", _) => return or_report(&help, &["agent"], agent::run(matches)),
        ("demo", _) => return or_report(&help, &["demo"], demo::run(matches)),
        ("connect", Some(("proxy", proxy))) => return or_report(&help, &["connect", "proxy"], connect::run(proxy)),
        ("completion", _) => shell::completion(help.clone(), matches),
        ("man", _) => shell::man(help.clone(), matches),
        ("keygen", _) => keyring::keygen(),
        ("tls", _) => tls::run(matches),
        ("validate", _) => validate::run(matches),
        ("version", _) => version::run(help.get_name(), matches),
        _ => asked(&help, name, matches),
    };
    match outcome {
        Ok(output) => output.print(),
        Err(failure) => report(&help, &path_of(&help, words), failure),
    }
}

fn or_report(help: &Command, path: &[&str], outcome: Result<ExitCode, Failure>) -> ExitCode {
    let path: Vec<String> = path.iter().map(|word| (*word).to_owned()).collect();
    outcome.unwrap_or_else(|failure| report(help, &path, failure))
}

/// Commands that ask an agent and print its answer.
fn asked(root: &Command, name: &str, matches: &ArgMatches) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("Error starting the runtime: {e}")))?;
    runtime.block_on(async {
        match name {
            "acl" => acl::run(matches).await,
            "login" => acl::login(matches).await,
            "logout" => acl::logout(matches).await,
            "catalog" => catalog::run(matches).await,
            "config" => config::run(matches).await,
            "connect" => connect::ask(matches).await,
            "debug" => Box::pin(debug::run(matches)).await,
            "event" => event::run(matches).await,
            "exec" => exec::run(matches).await,
            "force-leave" => membership::force_leave(matches).await,
            "join" => membership::join(matches).await,
            "keyring" => keyring::keyring(root, matches).await,
            "kv" => kv::run(matches).await,
            "lock" => lock::run(matches).await,
            "maint" => maint::run(matches).await,
            "operator" => operator::run(matches).await,
            "rtt" => rtt::run(matches).await,
            "snapshot" => snapshot::run(matches).await,
            "troubleshoot" => troubleshoot::run(matches).await,
            "watch" => watch::run(matches).await,
            "intention" => intention::run(matches).await,
            "members" => members::run(matches).await,
            "services" => services::run(matches).await,
            "info" => operate::info(matches).await,
            "leave" => operate::leave(matches).await,
            "reload" => operate::reload(matches).await,
            "monitor" => operate::monitor(matches).await,
            // The tree has no other command.
            other => Err(Failure::new(format!("{other}: no such command"))),
        }
    })
}

/// The words of `words` that name a command.
fn path_of(root: &Command, words: &[String]) -> Vec<String> {
    let mut command = root;
    let mut path = Vec::new();
    for word in words.iter().skip(1) {
        let Some(found) = command.find_subcommand(word) else { break };
        command = found;
        path.push(word.clone());
    }
    path
}

fn report(root: &Command, path: &[String], failure: Failure) -> ExitCode {
    let mut stderr = format!("{}\n", failure.text);
    let mut code = failure.code;
    if failure.usage {
        stderr.push_str(&help::render(root, path));
        // `intention check` says "denied" with 1, so its own mistakes are 2.
        if path == ["intention", "check"] {
            code = intention::CHECK_FAILED;
        }
    }
    Output { code, stdout: failure.done, stderr }.print()
}

/// Clap only ever sees what `normalise` passed; what is left to refuse are values of the wrong type.
fn go_words(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let flag = flag.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
    match error.kind() {
        clap::error::ErrorKind::ValueValidation => {
            format!("invalid value \"{}\" for flag -{flag}: parse error", text(ContextKind::InvalidValue))
        }
        _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    }
}

/// The runtime of a command that serves: an agent, a sidecar, the demo.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(format!("Error starting the runtime: {e}")))
}

/// The agent this command is about.
fn api(matches: &ArgMatches) -> Result<Api, Failure> {
    Api::from_flags(matches)
}

/// The name of the agent's node; that there is one is what long commands make sure of first.
async fn agent_name(api: &Api) -> Result<String, Failure> {
    let answer = api.client.get::<serde_json::Value>("/v1/agent/self", &client::Query::default()).await;
    let own = answer.map_err(Failure::about("Error querying Consul agent"))?.value;
    Ok(own["Config"]["NodeName"].as_str().unwrap_or_default().to_owned())
}

/// `open <path>: no such file or directory`, as Go tells it.
fn open_error(path: &str, error: &std::io::Error) -> String {
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    };
    format!("open {path}: {why}")
}

/// The command does not take that many arguments.
fn no_arguments(matches: &ArgMatches) -> Result<(), Failure> {
    match flags::arguments(matches).len() {
        0 => Ok(()),
        n => Err(Failure::new(format!("Too many arguments (expected 0, got {n})"))),
    }
}
