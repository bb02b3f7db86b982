//! `watch`: shows a view of the server, or hands every change of it to a program.

use std::process::Stdio;

use agent::{Program, exit_error};
use clap::{ArgMatches, Command};
use client::watch::{Change, Watch};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;

use super::flags::{arguments, every, given, list, rest, state, switch, text, with_server};
use super::terminal::{Interrupts, complain, say};
use super::{Failure, Outcome, Output, agent_name, api, json as layout};

/// Flag and parameter have the same name.
const TEXTS: [&str; 6] = ["key", "name", "prefix", "service", "state", "type"];

pub fn command() -> Command {
    with_server(Command::new("watch"))
        .about("Follow changes")
        .long_about(
            "Shows a part of the state once; with a program, runs it for every change, with the state on its standard \
             input as JSON and the index in CONSUL_INDEX.\n\n    $ consul watch -type key -key app/colour ./repaint.sh",
        )
        .arg(text("key", "string", "With -type key: the key."))
        .arg(text("name", "string", "With -type event: only events with this name."))
        .arg(text("passingonly", "bool", "With -type service: only instances whose checks all pass."))
        .arg(text("prefix", "string", "With -type keyprefix: what the keys begin with."))
        .arg(text("service", "string", "With -type service or checks: the service."))
        .arg(switch("shell", "Run the program in a shell, that of SHELL if it is set. Default: true."))
        .arg(text("state", "string", "With -type checks: passing, warning, critical or any."))
        .arg(list("tag", "string", "With -type service: a tag that an instance must have."))
        .arg(text("type", "string", "What to follow: key, keyprefix, services, nodes, service, checks or event."))
        .arg(rest("[child...]"))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    if given(matches, "type").is_none() {
        return Err(Failure::usage("Watch type must be specified\n"));
    }
    let (watch, _) = Watch::parse(&parameters(matches)?).map_err(Failure::new)?;
    if !watch.is_public() {
        return Err(Failure::new(format!("Type {} is not supported in the CLI tool", watch.kind())));
    }
    let api = api(matches)?;
    agent_name(&api).await?;
    let words = arguments(matches);
    let program = match state(matches, "shell") {
        _ if words.is_empty() => None,
        Some(false) => Some(Program::Direct(words)),
        _ => Some(Program::Shell(words.join(" "))),
    };
    let watch = watch.with_query(&api.query());
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        outcome = follow(watch, &api.client, program.as_ref()) => outcome,
        // Interrupting is the ordinary end.
        () = interrupts.next() => Ok(Output::default()),
    }
}

fn parameters(matches: &ArgMatches) -> Result<Map<String, Value>, Failure> {
    let texts = TEXTS.iter().filter_map(|flag| Some(((*flag).to_owned(), json!(given(matches, flag)?))));
    let mut out: Map<String, Value> = texts.collect();
    let tags = every(matches, "tag");
    if !tags.is_empty() {
        out.insert("tag".to_owned(), json!(tags));
    }
    if let Some(passing) = given(matches, "passingonly") {
        let passing = match passing {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
            "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
            other => {
                let why = format!("strconv.ParseBool: parsing \"{other}\": invalid syntax");
                return Err(Failure::new(format!("Failed to parse passingonly flag: {why}")));
            }
        };
        out.insert("passingonly".to_owned(), json!(passing));
    }
    Ok(out)
}

async fn follow(mut watch: Watch, client: &client::Client, program: Option<&Program>) -> Outcome {
    loop {
        let change = match watch.next(client).await {
            Ok(change) => change,
            Err(failed) => {
                let (kind, error) = (watch.kind(), failed.error);
                let retry = model::format_duration(failed.retry);
                complain(format!("[ERROR] watch.watch: Watch errored: type={kind} error=\"{error}\" retry={retry}"));
                tokio::time::sleep(failed.retry).await;
                continue;
            }
        };
        match program {
            None => {
                say(layout::indent(&change.json, "    "));
                return Ok(Output::default());
            }
            Some(program) => handle(program, &change).await?,
        }
    }
}

async fn handle(program: &Program, change: &Change) -> Result<(), Failure> {
    let starting = |why: String| Failure::new(format!("Error starting handler: {why}"));
    let mut command = program.command().map_err(|error| starting(error.to_string()))?;
    command.stdin(Stdio::piped()).env("CONSUL_INDEX", &change.position).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| starting(program.start_error(&error)))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is no fault.
        let _ = input.write_all(format!("{}\n", change.json).as_bytes()).await;
    }
    let executing = |why: String| Failure::new(format!("Error executing handler: {why}"));
    let status = child.wait().await.map_err(|error| executing(error.to_string()))?;
    exit_error(status).map_or(Ok(()), |why| Err(executing(why)))
}
