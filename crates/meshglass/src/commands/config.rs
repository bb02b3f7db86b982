//! `config write|read|list|delete`

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use serde_json::Value;

use super::connection::TIMEOUT;
use super::flags::{arguments, given, number, on, rest, switch, text, with_namespace, with_server};
use super::{Failure, Outcome, Output, api, definitions, open_error};

pub fn command() -> Command {
    let kind = || text("kind", "string", "The kind of the entry, such as service-defaults.");
    let name = || text("name", "string", "The name of the entry; that of proxy-defaults is `global`.");
    let common = |command: Command| with_namespace(with_server(command));
    let write = common(Command::new("write"))
        .about("Create or change a configuration entry")
        .long_about("Writes the entry in a file of HCL or JSON; `-` reads it from standard input.")
        .arg(switch(
            "cas",
            "Write only if the entry is still the one of -modify-index; 0 means: only if there is none.",
        ))
        .arg(number("modify-index", "The index that -cas compares with."))
        .arg(switch("plan", "Write nothing; tell which proxies and calls would change, and which would be refused."))
        .arg(text("format", "pretty|json", "How -plan answers."))
        .arg(rest("<configuration>"));
    let read = common(Command::new("read"))
        .about("Show a configuration entry")
        .long_about("Shows one entry as JSON.")
        .args([kind(), name()])
        .arg(rest("-kind <config kind> -name <config name>"));
    let list = common(Command::new("list"))
        .about("List the configuration entries of a kind")
        .long_about("Lists the names of the entries of one kind.")
        .arg(kind())
        .arg(text("format", "string", "How to print the answer: pretty (the default) or json."))
        .arg(rest("-kind <config kind>"));
    let delete = common(Command::new("delete"))
        .about("Delete a configuration entry")
        .long_about("Deletes one entry. That there was none is no error.")
        .args([kind(), name()])
        .arg(rest("-kind <config kind> -name <config name>"));
    Command::new("config")
        .about("Keep central configuration entries")
        .long_about("Writes, reads, lists and deletes the entries from which sidecars take their defaults.")
        .subcommands([delete, list, read, write])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("write", matches)) => write(matches).await,
        Some(("read", matches)) => read(matches).await,
        Some(("list", matches)) => list(matches).await,
        Some(("delete", matches)) => delete(matches).await,
        _ => Err(Failure::usage("Must name one of delete, list, read, write")),
    }
}

fn required<'a>(matches: &'a ArgMatches, flag: &str) -> Result<&'a str, Failure> {
    given(matches, flag).ok_or_else(|| Failure::new(format!("Must specify the -{flag} parameter")))
}

async fn write(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let [file] = arguments.as_slice() else {
        return Err(Failure::new("Must provide exactly one positional argument to specify the config entry to write"));
    };
    let api = api(matches)?;
    let text = load(file).map_err(|why| Failure::new(format!("Failed to load data: {why}")))?;
    let entry = definitions::config_entry(file, &text)?;
    let label = format!("{}/{}", entry.kind, entry.name);
    if on(matches, "plan") {
        let json = given(matches, "format") == Some("json");
        return super::preview::preview(&api, "config", &label, &entry.body, json).await;
    }
    let mut query = api.query();
    if on(matches, "cas") {
        query = query.with("cas", &matches.get_one::<i64>("modify-index").unwrap_or(&0).to_string());
    }
    let body = Bytes::from(entry.body.to_string());
    let answer = api.client.send(Method::PUT, &query.path("/v1/config"), body, TIMEOUT).await;
    let answer = answer.and_then(client::Raw::success);
    let answer = answer.map_err(Failure::about(format!("Error writing config entry {label}")))?;
    if answer.text().trim() != "true" {
        return Err(Failure::new(format!("Config entry not updated: {label}")));
    }
    Ok(Output { stderr: entry.notes, ..Output::line(format!("Config entry written: {label}")) })
}

fn load(file: &str) -> Result<String, String> {
    if file == "-" {
        return std::io::read_to_string(std::io::stdin()).map_err(|e| format!("Failed to read stdin: {e}"));
    }
    std::fs::read_to_string(file).map_err(|e| format!("Failed to read file: {}", open_error(file, &e)))
}

async fn read(matches: &ArgMatches) -> Outcome {
    let (kind, name) = (required(matches, "kind")?, required(matches, "name")?);
    let reading = format!("Error reading config entry {kind}/{name}");
    let api = api(matches)?;
    if model::EntryKind::parse(kind).is_none() {
        return Err(Failure::new(format!("{reading}: invalid config entry kind: {kind}")));
    }
    let path = format!("/v1/config/{}/{}", client::escape(kind), client::escape(name));
    let answer = api.client.get::<Value>(&path, &api.query()).await.map_err(Failure::about(reading))?;
    Ok(Output::line(super::entry_text::shown(&answer.value)))
}

async fn list(matches: &ArgMatches) -> Outcome {
    let kind = required(matches, "kind")?;
    let api = api(matches)?;
    let path = format!("/v1/config/{}", client::escape(kind));
    let failed = Failure::about(format!("Error listing config entries for kind \"{kind}\""));
    if given(matches, "format") == Some("json") {
        let raw = api.client.get_raw(&path, &api.query()).await.map_err(failed)?;
        return Ok(Output::line(super::json::indent(&raw.text(), "    ")));
    }
    let answer = api.client.get::<Option<Vec<Value>>>(&path, &api.query()).await.map_err(failed)?;
    let entries = answer.value.unwrap_or_default();
    let names = entries.iter().filter_map(|entry| entry["Name"].as_str());
    Ok(Output::text(names.map(|name| format!("{name}\n")).collect::<String>()))
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let (kind, name) = (required(matches, "kind")?, required(matches, "name")?);
    let api = api(matches)?;
    let path = api.path(&format!("/v1/config/{}/{}", client::escape(kind), client::escape(name)));
    let answer = api.client.send(Method::DELETE, &path, Bytes::new(), TIMEOUT).await;
    let answer = answer.and_then(client::Raw::success);
    answer.map_err(Failure::about(format!("Error deleting config entry {kind}/{name}")))?;
    Ok(Output::line(format!("Config entry deleted: {kind}/{name}")))
}
