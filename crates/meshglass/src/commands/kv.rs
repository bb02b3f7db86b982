//! `kv get|put|delete`; `kv export|import` are in [`super::kv_transfer`].

use clap::{ArgMatches, Command};
use client::{Condition, KvPair, Query};

use super::connection::Api;
use super::flags::{arguments, given, on, rest, switch, text, unsigned, with_namespace, with_server};
use super::{Failure, Outcome, Output, api, base64, kv_transfer, open_error, terminal};

/// Between the names and the values of `-detailed`.
const DETAIL_WIDTH: usize = 17;
const NO_INDEX: &str = "Must specify -modify-index with -cas!";
const NO_KEY: &str = "Error! Missing KEY argument";

pub fn command() -> Command {
    let common = |command: Command| with_namespace(with_server(command));
    let get = common(Command::new("get"))
        .about("Read the value of a key")
        .long_about(
            "Prints the value of a key, or with -recurse every key that begins with the prefix, or with -keys their \
             names alone.\n\n    $ consul kv get app/colour\n    $ consul kv get -recurse app/",
        )
        .arg(switch("base64", "Print the value in Base64."))
        .arg(switch("detailed", "Print flags, indexes and the session that holds the key too."))
        .arg(text("format", "string", "pretty (the default) or json: the API's own answer."))
        .arg(switch("keys", "Print the names of the keys below the prefix, one level deep."))
        .arg(switch("recurse", "Print every key that begins with the prefix."))
        .arg(text("separator", "string", "What ends a level for -keys. Default: `/`."))
        .arg(rest("[KEY_OR_PREFIX]"));
    let put = common(Command::new("put"))
        .about("Write the value of a key")
        .long_about(
            "Writes a value: the argument itself, `@FILE` for a file's content, `-` for standard input.\n\n    \
             $ consul kv put app/colour blue\n    $ consul kv put app/config @config.json",
        )
        .arg(switch("acquire", "Lock the key for the -session, and write it if it could be had."))
        .arg(switch("base64", "The data is Base64 and is decoded first."))
        .arg(switch("cas", "Write only if the key was last changed at -modify-index."))
        .arg(unsigned("flags", "A number kept with the key. Default: 0."))
        .arg(unsigned("modify-index", "The index that -cas compares with."))
        .arg(switch("release", "Unlock the key that the -session holds."))
        .arg(text("session", "string", "The session of -acquire and -release."))
        .arg(rest("KEY [DATA]"));
    let delete = common(Command::new("delete"))
        .about("Delete a key, or all with a prefix")
        .long_about("Deletes one key, or with -recurse every key that begins with the prefix.")
        .arg(switch("cas", "Delete only if the key was last changed at -modify-index."))
        .arg(unsigned("modify-index", "The index that -cas compares with."))
        .arg(switch("recurse", "Delete every key that begins with the prefix."))
        .arg(rest("KEY_OR_PREFIX"));
    Command::new("kv")
        .about("Read and write keys and values")
        .long_about("Reads and writes the key-value store.\n\n    $ consul kv put app/colour blue")
        .subcommands([delete, kv_transfer::export(), get, kv_transfer::import(), put])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("get", matches)) => get(matches).await,
        Some(("put", matches)) => put(matches).await,
        Some(("delete", matches)) => delete(matches).await,
        Some(("export", matches)) => kv_transfer::run_export(matches).await,
        Some(("import", matches)) => kv_transfer::run_import(matches).await,
        _ => Err(Failure::usage("Must name one of delete, export, get, import, put")),
    }
}

/// The only argument, without the slash that people write before a key; empty when there is none.
pub fn key(matches: &ArgMatches) -> Result<String, Failure> {
    match arguments(matches).as_slice() {
        [] => Ok(String::new()),
        [key] => Ok(key.strip_prefix('/').unwrap_or(key).to_owned()),
        more => Err(Failure::new(format!("Too many arguments (expected 1, got {})", more.len()))),
    }
}

/// What an argument stands for: `-` is standard input, `@FILE` a file.
pub fn data(argument: &str) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    if let Some(file) = argument.strip_prefix('@') {
        return std::fs::read(file)
            .map_err(|e| Failure::new(format!("Error! Failed to read file: {}", open_error(file, &e))));
    }
    if argument != "-" {
        return Ok(argument.as_bytes().to_vec());
    }
    let mut data = Vec::new();
    let read = std::io::stdin().read_to_end(&mut data);
    read.map_err(|e| Failure::new(format!("Error! Failed to read stdin: {e}")))?;
    Ok(data)
}

pub fn index(matches: &ArgMatches) -> u64 {
    matches.get_one::<u64>("modify-index").copied().unwrap_or(0)
}

fn asking(error: client::Error) -> Failure {
    Failure::about("Error querying Consul agent")(error)
}

async fn get(matches: &ArgMatches) -> Outcome {
    let key = key(matches)?;
    if key.is_empty() && !on(matches, "recurse") && !on(matches, "keys") {
        return Err(Failure::new(NO_KEY));
    }
    let api = api(matches)?;
    if given(matches, "format") == Some("json") {
        return as_json(matches, &api, &key).await;
    }
    if on(matches, "keys") {
        // An empty separator is one too: it means every level.
        let separator = matches.get_one::<String>("separator").map_or("/", String::as_str);
        let keys = api.client.kv_keys(&key, separator, &api.query()).await.map_err(asking)?.value;
        return Ok(Output::text(keys.iter().map(|key| format!("{key}\n")).collect::<String>()));
    }
    let encoded = on(matches, "base64");
    let mut out = Vec::new();
    if on(matches, "recurse") {
        let pairs = api.client.kv_list(&key, &api.query()).await.map_err(asking)?.value;
        for (at, pair) in pairs.iter().enumerate() {
            if on(matches, "detailed") {
                out.extend_from_slice(if at > 0 { b"\n" } else { b"" });
                detailed(&mut out, pair, encoded);
            } else {
                out.extend_from_slice(format!("{}:", pair.key).as_bytes());
                value(&mut out, pair, encoded);
            }
        }
    } else {
        let pair = api.client.kv(&key, &api.query()).await.map_err(asking)?.value;
        let pair = pair.ok_or_else(|| Failure::new(format!("Error! No key exists at: {key}")))?;
        let show = if on(matches, "detailed") { detailed } else { value };
        show(&mut out, &pair, encoded);
    }
    terminal::write(&out);
    Ok(Output::default())
}

async fn as_json(matches: &ArgMatches, api: &Api, key: &str) -> Outcome {
    let (mut query, mut path) = (api.query(), format!("/v1/kv/{}", client::escape(key)));
    if on(matches, "keys") {
        query = query.with("keys", "").with("separator", given(matches, "separator").unwrap_or("/"));
    } else if on(matches, "recurse") {
        query = query.with("recurse", "");
    }
    path = query.path(&path);
    let raw = api.client.read(&path, &Query::default()).await.map_err(asking)?;
    if raw.status == http::StatusCode::NOT_FOUND {
        return Err(Failure::new(format!("Error! No key exists at: {key}")));
    }
    let raw = raw.success().map_err(asking)?;
    Ok(Output::line(super::json::indent(&raw.text(), "    ")))
}

fn value(out: &mut Vec<u8>, pair: &KvPair, encoded: bool) {
    if encoded {
        out.extend_from_slice(base64::encode(&pair.value).as_bytes());
    } else {
        out.extend_from_slice(&pair.value);
    }
    out.push(b'\n');
}

fn detailed(out: &mut Vec<u8>, pair: &KvPair, encoded: bool) {
    let session = if pair.session.is_empty() { "-" } else { &pair.session };
    for (name, text) in [
        ("CreateIndex", pair.create_index.to_string()),
        ("Flags", pair.flags.to_string()),
        ("Key", pair.key.clone()),
        ("LockIndex", pair.lock_index.to_string()),
        ("ModifyIndex", pair.modify_index.to_string()),
        ("Session", session.to_owned()),
    ] {
        out.extend_from_slice(format!("{name:DETAIL_WIDTH$}{text}\n").as_bytes());
    }
    let name = if pair.value.is_empty() { "Value".to_owned() } else { format!("{:DETAIL_WIDTH$}", "Value") };
    out.extend_from_slice(name.as_bytes());
    value(out, pair, encoded);
}

async fn put(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let (key, argument) = match arguments.as_slice() {
        [] => return Err(Failure::new(NO_KEY)),
        [key] => (key, ""),
        [key, argument] => (key, argument.as_str()),
        more => {
            return Err(Failure::new(format!("Error! Too many arguments (expected 1 or 2, got {})", more.len())));
        }
    };
    let (mut value, mut notes) = (data(argument)?, String::new());
    if on(matches, "base64") {
        let (decoded, mistake) = base64::decode(&String::from_utf8_lossy(&value));
        value = decoded;
        // Consul says so and writes what it could read; scripts rely on the exit code.
        notes.extend(mistake.map(|mistake| format!("Error! Cannot base 64 decode data: {mistake}\n")));
    }
    let failed = |text: String| Failure::new(format!("{notes}{text}"));
    let session = given(matches, "session").unwrap_or_default();
    if session.is_empty() && (on(matches, "acquire") || on(matches, "release")) {
        return Err(failed("Error! Missing -session (required with -acquire and -release)".to_owned()));
    }
    if on(matches, "cas") && index(matches) == 0 {
        return Err(failed(NO_INDEX.to_owned()));
    }
    let (condition, done, refused) = if on(matches, "cas") {
        let refused = format!("Did not write to {key}: CAS failed");
        (Condition::Cas(index(matches)), format!("Data written to: {key}"), refused)
    } else if on(matches, "acquire") {
        let refused = "Did not acquire lock".to_owned();
        (Condition::Acquire(session), format!("Lock acquired on: {key}"), refused)
    } else if on(matches, "release") {
        let refused = "Did not release lock".to_owned();
        (Condition::Release(session), format!("Lock released on: {key}"), refused)
    } else {
        (Condition::Always, format!("Data written to: {key}"), format!("Did not write to {key}"))
    };
    let flags = matches.get_one::<u64>("flags").copied().unwrap_or(0);
    let pair = KvPair { key: key.clone(), flags, value, ..KvPair::default() };
    match write(&api(matches)?, &pair, condition).await {
        Ok(true) => Ok(Output { stderr: notes, ..Output::line(format!("Success! {done}")) }),
        Ok(false) => Err(failed(format!("Error! {refused}"))),
        Err(why) => Err(failed(format!("Error! Failed writing data: {why}"))),
    }
}

/// A key that begins with a slash is refused before it is sent, as by every client of Consul.
pub async fn write(api: &Api, pair: &KvPair, condition: Condition<'_>) -> Result<bool, String> {
    if pair.key.starts_with('/') {
        return Err(format!("Invalid key. Key must not begin with a '/': {}", pair.key));
    }
    api.client.kv_put(pair, condition, &api.query()).await.map_err(|error| error.to_string())
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let key = key(matches)?;
    let (cas, recurse) = (on(matches, "cas"), on(matches, "recurse"));
    if key.is_empty() && !recurse {
        return Err(Failure::new(NO_KEY));
    }
    if !cas && index(matches) != 0 {
        return Err(Failure::new("Cannot specify -modify-index without -cas!"));
    }
    if cas && index(matches) == 0 {
        return Err(Failure::new(NO_INDEX));
    }
    if cas && recurse {
        return Err(Failure::new("Cannot specify both -cas and -recurse!"));
    }
    let (api, query) = (api(matches)?, api(matches)?.query());
    if recurse {
        let what = format!("Error! Did not delete prefix {key}");
        api.client.kv_delete_tree(&key, &query).await.map_err(Failure::about(what))?;
        return Ok(Output::line(format!("Success! Deleted keys with prefix: {key}")));
    }
    let (condition, what) = match cas {
        true => (Condition::Cas(index(matches)), format!("Error! Did not delete key {key}")),
        false => (Condition::Always, format!("Error deleting key {key}")),
    };
    match api.client.kv_delete(&key, condition, &query).await.map_err(Failure::about(&what))? {
        false if cas => Err(Failure::new(format!("{what}: CAS failed"))),
        _ => Ok(Output::line(format!("Success! Deleted key: {key}"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_shown_as_consul_shows_it() {
        let pair = KvPair { key: "a".to_owned(), create_index: 7, modify_index: 9, ..KvPair::default() };
        let mut out = Vec::new();
        detailed(&mut out, &pair, false);
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.starts_with("CreateIndex      7\nFlags            0\nKey              a\n"), "{shown}");
        assert!(shown.ends_with("Session          -\nValue\n"), "{shown}");
    }
}
