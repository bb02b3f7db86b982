//! `kv export|import`: a tree of keys as one JSON document.

use clap::{ArgMatches, Command};
use client::{Condition, KvPair};
use model::hcl::Format;
use serde_json::{Map, Value, json};

use super::flags::{arguments, rest, with_namespace, with_server};
use super::terminal::Progress;
use super::{Failure, Outcome, Output, api, base64, json as layout, kv};

/// Progress is told each time this many keys were written.
const TOLD_EVERY: usize = 64;

pub fn export() -> Command {
    with_namespace(with_server(Command::new("export")))
        .about("Print a tree of keys as JSON")
        .long_about(
            "Prints every key that begins with the prefix as JSON, for `kv import`.\n\n    \
             $ consul kv export app/ > app.json",
        )
        .arg(rest("[KEY_OR_PREFIX]"))
}

pub fn import() -> Command {
    with_namespace(with_server(Command::new("import")))
        .about("Write a tree of keys from JSON")
        .long_about(
            "Writes the keys that `kv export` printed: the argument itself, `@FILE` for a file, `-` for standard \
             input.\n\n    $ consul kv import @app.json",
        )
        .arg(rest("[DATA]"))
}

pub async fn run_export(matches: &ArgMatches) -> Outcome {
    let key = kv::key(matches)?;
    let api = api(matches)?;
    let pairs = api.client.kv_list(&key, &api.query()).await;
    let pairs = pairs.map_err(Failure::about("Error querying Consul agent"))?.value;
    let entries: Vec<String> = pairs.iter().map(entry).collect();
    Ok(Output::line(layout::indent(&format!("[{}]", entries.join(",")), "\t")))
}

/// In the order in which Consul writes the keys.
fn entry(pair: &KvPair) -> String {
    let (key, value) = (json!(pair.key), json!(base64::encode(&pair.value)));
    format!("{{\"key\":{key},\"flags\":{},\"value\":{value}}}", pair.flags)
}

pub async fn run_import(matches: &ArgMatches) -> Outcome {
    let data = match arguments(matches).as_slice() {
        [] => return Err(Failure::new("Error! Missing DATA argument")),
        [argument] if argument.is_empty() => return Err(Failure::new("Error! Empty DATA argument")),
        [argument] => kv::data(argument)?,
        more => return Err(Failure::new(format!("Error! Too many arguments (expected 1, got {})", more.len()))),
    };
    let entries = entries(&data).map_err(|why| Failure::new(format!("Cannot unmarshal data: {why}")))?;
    let (api, progress) = (api(matches)?, Progress::new());
    let mut done = String::new();
    for (at, entry) in entries.iter().enumerate() {
        let key = &entry.key;
        let failed = |done: String, text: String| Failure { done, ..Failure::new(text) };
        let (value, mistake) = base64::decode(&entry.value);
        if let Some(mistake) = mistake {
            return Err(failed(done, format!("Error base 64 decoding value for key {key}: {mistake}")));
        }
        let pair = KvPair { key: key.clone(), flags: entry.flags, value, ..KvPair::default() };
        if let Err(why) = kv::write(&api, &pair, Condition::Always).await {
            return Err(failed(done, format!("Error! Failed writing data for key {key}: {why}")));
        }
        done.push_str(&format!("Imported: {key}\n"));
        if at % TOLD_EVERY == 0 {
            progress.tell(format!("{} of {} keys", at + 1, entries.len()));
        }
    }
    Ok(Output::text(done))
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    flags: u64,
    /// Base64.
    value: String,
}

/// The entries, or what Go's decoder would say.
fn entries(data: &[u8]) -> Result<Vec<Entry>, String> {
    Format::Json.parse(data).map_err(|error| error.consul_text())?;
    let value: Value = serde_json::from_slice(data).map_err(|error| error.to_string())?;
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => items.iter().map(one).collect(),
        other => Err(format!("json: cannot unmarshal {} into Go value of type []*impexp.Entry", kind(&other))),
    }
}

fn one(item: &Value) -> Result<Entry, String> {
    let Value::Object(fields) = item else {
        return Err(format!("json: cannot unmarshal {} into Go value of type impexp.Entry", kind(item)));
    };
    let text = |name: &str| match field(fields, name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(mismatch(other, name, "string")),
    };
    let flags = match field(fields, "flags") {
        None | Some(Value::Null) => 0,
        Some(other) => other.as_u64().ok_or_else(|| mismatch(other, "flags", "uint64"))?,
    };
    Ok(Entry { key: text("key")?, flags, value: text("value")? })
}

fn mismatch(value: &Value, field: &str, wanted: &str) -> String {
    let kind = if value.is_number() { format!("number {value}") } else { kind(value).to_owned() };
    format!("json: cannot unmarshal {kind} into Go struct field Entry.{field} of type {wanted}")
}

/// Go reads keys whatever their case.
fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_exported_is_imported() {
        let pair = KvPair { key: "a/\"b".to_owned(), flags: 3, value: vec![0, 255], ..KvPair::default() };
        let document = format!("[{}]", entry(&pair));
        let read = entries(document.as_bytes()).unwrap();
        assert_eq!(read, [Entry { key: pair.key, flags: 3, value: "AP8=".to_owned() }]);
    }

    #[test]
    fn mistakes_are_told_in_go_s_words() {
        for (data, said) in [
            ("nope", "invalid character 'o' in literal null (expecting 'u')"),
            ("", "unexpected end of JSON input"),
            ("{\"a\":1}", "json: cannot unmarshal object into Go value of type []*impexp.Entry"),
            ("[{\"Flags\":\"x\"}]", "json: cannot unmarshal string into Go struct field Entry.flags of type uint64"),
            ("[{\"flags\":-1}]", "json: cannot unmarshal number -1 into Go struct field Entry.flags of type uint64"),
        ] {
            assert_eq!(entries(data.as_bytes()).unwrap_err(), said, "{data}");
        }
    }
}
