//! `intention create|check|match|get|delete|list`

use clap::{ArgMatches, Command};
use client::{ListedIntention, Query};
use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::connection::Api;
use super::flags::{arguments, given, list, on, pairs, rest, switch, text, with_server};
use super::table::{columns, row};
use super::{Failure, Outcome, Output, api, open_error};

/// `intention check` could not find out; 1 means that the answer is no.
pub const CHECK_FAILED: u8 = 2;
const PATH: &str = "/v1/connect/intentions";

pub fn command() -> Command {
    let format = || text("format", "string", "How to print the answer: pretty (the default) or json.");
    let create = with_server(Command::new("create"))
        .about("Create an intention")
        .long_about(
            "Creates an intention: whether the service SRC may call the service DST. `*` stands for every service.\
             \n\n    $ consul intention create web db\n    $ consul intention create -deny '*' db",
        )
        .arg(switch("allow", "Allow the call (the default)."))
        .arg(switch("deny", "Deny the call."))
        .arg(switch("file", "The arguments are files, each with one intention as JSON."))
        .arg(list("meta", "key=value", "Metadata to keep with the intention."))
        .arg(switch("replace", "Change the intention if there is one for these services already."))
        .arg(switch("plan", "Write nothing; tell which proxies and calls would change, and which would be refused."))
        .arg(text("format", "pretty|json", "How -plan answers."))
        .arg(rest("SRC DST"));
    let check = with_server(Command::new("check"))
        .about("Tell whether one service may call another")
        .long_about("Tells whether SRC may call DST. Exits with 0 when it may, 1 when not and 2 when that is unknown.")
        .arg(rest("SRC DST"));
    let matched = with_server(Command::new("match"))
        .about("Show the intentions that concern a service")
        .long_about("Shows the intentions of a service in the order in which they are tried; the first one decides.")
        .arg(switch("destination", "The service is the one that is called (the default)."))
        .arg(switch("source", "The service is the one that calls."))
        .arg(rest("SRC|DST"));
    let get = with_server(Command::new("get"))
        .about("Show one intention")
        .long_about("Shows one intention, named by its two services or by its id.")
        .arg(format())
        .arg(rest("SRC DST"));
    let delete = with_server(Command::new("delete"))
        .about("Delete an intention")
        .long_about("Deletes one intention, named by its two services or by its id.")
        .arg(rest("SRC DST"));
    let all = with_server(Command::new("list"))
        .about("List every intention")
        .long_about("Lists every intention in the order in which they are tried.")
        .arg(format())
        .arg(rest(""));
    Command::new("intention")
        .about("Say which services may call which")
        .long_about(
            "Intentions say which services may call which. The destination's sidecar enforces them.\n\n    \
             $ consul intention create web db\n    $ consul intention check web db\n    $ consul intention match db",
        )
        .subcommands([check, create, delete, get, all, matched])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("create", matches)) => create(matches).await,
        Some(("check", matches)) => check(matches).await.map_err(|failure| failure.with_code(CHECK_FAILED)),
        Some(("match", matches)) => matching(matches).await,
        Some(("get", matches)) => get(matches).await,
        Some(("delete", matches)) => delete(matches).await,
        Some(("list", matches)) => all(matches).await,
        _ => Err(Failure::usage("Must name one of check, create, delete, get, list, match")),
    }
}

/// `web => db (allow)`
fn named(source: &str, destination: &str, action: &str) -> String {
    format!("{source} => {destination} ({action})")
}

async fn create(matches: &ArgMatches) -> Outcome {
    if on(matches, "allow") && on(matches, "deny") {
        return Err(Failure::new("Only one of -allow or -deny may be specified."));
    }
    let intentions = wanted(matches)?;
    let api = api(matches)?;
    let mut done = String::new();
    if on(matches, "plan") {
        let json = given(matches, "format") == Some("json");
        for intention in intentions {
            let told = super::preview::preview(&api, "intention", &intention.name(), &intention.body, json).await?;
            done.push_str(&told.stdout);
        }
        return Ok(Output::text(done));
    }
    for intention in intentions {
        let existing = match on(matches, "replace") {
            true => find(&api, &intention.source, &intention.destination).await?,
            false => None,
        };
        match write(&api, &intention, existing).await {
            // Consul says nothing of an intention that it replaced.
            Ok(true) => {}
            Ok(false) => done.push_str(&format!("Created: {}\n", intention.name())),
            Err(failure) => return Err(Failure { done, ..failure }),
        }
    }
    Ok(Output::text(done))
}

struct Wanted {
    source: String,
    destination: String,
    action: String,
    body: Value,
}

impl Wanted {
    fn name(&self) -> String {
        named(&self.source, &self.destination, &self.action)
    }
}

fn wanted(matches: &ArgMatches) -> Result<Vec<Wanted>, Failure> {
    let arguments = arguments(matches);
    if on(matches, "file") {
        return arguments.iter().map(|file| from_file(file)).collect();
    }
    let [source, destination] = arguments.as_slice() else {
        return Err(Failure::new("Error: Must specify two arguments: source and destination"));
    };
    let action = if on(matches, "deny") { "deny" } else { "allow" };
    let mut body =
        json!({ "SourceType": "consul", "SourceName": source, "DestinationName": destination, "Action": action });
    let meta = pairs(matches, "meta")?;
    if !meta.is_empty() {
        body["Meta"] = json!(meta);
    }
    Ok(vec![Wanted { source: source.clone(), destination: destination.clone(), action: action.to_owned(), body }])
}

fn from_file(file: &str) -> Result<Wanted, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::new(format!("Error: {}", open_error(file, &e))))?;
    let mut body: Value = serde_json::from_str(&text).map_err(|e| Failure::new(format!("Error: {file}: {e}")))?;
    let Value::Object(fields) = &mut body else {
        return Err(Failure::new(format!("Error: {file}: expected one intention as a JSON object")));
    };
    // Go reads keys whatever their case.
    let get = |name: &str| {
        let found = fields.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.and_then(|(_, value)| value.as_str()).unwrap_or_default().to_owned()
    };
    let (source, destination, action) = (get("SourceName"), get("DestinationName"), get("Action"));
    if get("SourceType").is_empty() {
        fields.insert("SourceType".to_owned(), json!("consul"));
    }
    Ok(Wanted { source, destination, action, body })
}

/// Creates the intention, or changes the existing one: then true.
async fn write(api: &Api, intention: &Wanted, existing: Option<ListedIntention>) -> Result<bool, Failure> {
    let body = intention.body.to_string().into();
    let (source, destination) = (&intention.source, &intention.destination);
    let Some(existing) = existing else {
        let answer = api.client.send(Method::POST, &api.path(PATH), body, super::connection::TIMEOUT).await;
        answer
            .and_then(client::Raw::success)
            .map_err(Failure::about(format!("Error creating intention \"{}\"", intention.name())))?;
        return Ok(false);
    };
    let path = api.path(&format!("{PATH}/{}", existing.id));
    let answer = api.client.send(Method::PUT, &path, body, super::connection::TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about(format!(
        "Error replacing intention with source \"{source}\" and destination \"{destination}\""
    )))?;
    Ok(true)
}

async fn find(api: &Api, source: &str, destination: &str) -> Result<Option<ListedIntention>, Failure> {
    let all = api.client.intentions(&api.query()).await.map_err(|e| {
        Failure::new(format!(
            "Error looking up intention for replacement with source \"{source}\" and destination \"{destination}\": {e}"
        ))
    })?;
    Ok(all.into_iter().find(|i| i.source_name == source && i.destination_name == destination))
}

async fn check(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let [source, destination] = arguments.as_slice() else {
        return Err(Failure::new("Error: command requires exactly two arguments: src and dst"));
    };
    let api = api(matches)?;
    let query = api.query().with("destination", destination).with("source", source).with("source-type", "consul");
    let answer = api.client.get::<Value>(&format!("{PATH}/check"), &query).await;
    let answer = answer.map_err(Failure::about("Error checking the connection"))?;
    Ok(match answer.value["Allowed"].as_bool() {
        Some(true) => Output::line("Allowed"),
        _ => Output { code: 1, ..Output::line("Denied") },
    })
}

async fn matching(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let [name] = arguments.as_slice() else {
        return Err(Failure::new("Error: command requires exactly one argument: src or dst"));
    };
    if on(matches, "source") && on(matches, "destination") {
        return Err(Failure::new("Error: only one of -source or -destination may be specified"));
    }
    let by = if on(matches, "source") { "source" } else { "destination" };
    let api = api(matches)?;
    let query = api.query().with("by", by).with("name", name);
    let answer = api
        .client
        .get::<std::collections::BTreeMap<String, Option<Vec<ListedIntention>>>>(&format!("{PATH}/match"), &query)
        .await
        .map_err(Failure::about("Error matching the connection"))?;
    let intentions = answer.value.into_values().flatten().flatten();
    Ok(Output::text(
        intentions.map(|i| named(&i.source_name, &i.destination_name, &i.action) + "\n").collect::<String>(),
    ))
}

async fn get(matches: &ArgMatches) -> Outcome {
    const READING: &str = "Error reading the intention";
    let (api, as_json) = (api(matches)?, given(matches, "format") == Some("json"));
    let id = match identified(&api, matches).await? {
        Identified::Found(intention) if !as_json => return Ok(Output::text(shown(&intention))),
        Identified::Found(intention) => intention.id,
        Identified::Id(id) => id,
    };
    let path = format!("{PATH}/{}", client::escape(&id));
    if as_json {
        let raw = api.client.get_raw(&path, &api.query()).await.map_err(Failure::about(READING))?;
        return Ok(Output::line(super::json::indent(&raw.text(), "    ")));
    }
    let answer = api.client.get::<ListedIntention>(&path, &api.query()).await;
    Ok(Output::text(shown(&answer.map_err(Failure::about(READING))?.value)))
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let id = match identified(&api, matches).await? {
        Identified::Found(intention) => intention.id,
        Identified::Id(id) => id,
    };
    let path = api.path(&format!("{PATH}/{}", client::escape(&id)));
    let answer = api.client.send(Method::DELETE, &path, bytes::Bytes::new(), super::connection::TIMEOUT).await;
    // Consul says "reading" here too.
    answer.and_then(client::Raw::success).map_err(Failure::about("Error reading the intention"))?;
    Ok(Output::line("Intention deleted."))
}

enum Identified {
    Id(String),
    Found(ListedIntention),
}

/// One argument is an id, two are the services.
async fn identified(api: &Api, matches: &ArgMatches) -> Result<Identified, Failure> {
    match arguments(matches).as_slice() {
        [id] => Ok(Identified::Id(id.clone())),
        [source, destination] => {
            let all = api.client.intentions(&api.query()).await.map_err(Failure::about("Error"))?;
            let found = all.into_iter().find(|i| i.source_name == *source && i.destination_name == *destination);
            found.map(Identified::Found).ok_or_else(|| {
                Failure::new(format!(
                    "Error: Intention with source \"{source}\" and destination \"{destination}\" not found."
                ))
            })
        }
        _ => Err(Failure::new("Error: command requires exactly 1 or 2 arguments")),
    }
}

fn shown(intention: &ListedIntention) -> String {
    let mut rows = vec![
        row(["Source:", &intention.source_name]),
        row(["Destination:", &intention.destination_name]),
        row(["Action:", &intention.action]),
        row(["ID:", &intention.id]),
    ];
    if !intention.description.is_empty() {
        rows.push(row(["Description:", &intention.description]));
    }
    rows.extend(intention.meta.iter().map(|(key, value)| row([&format!("Meta[{key}]:"), value])));
    rows.push(row(["Created At:", &rfc850(&intention.created_at)]));
    columns(&rows)
}

/// `Tuesday, 24-Nov-26 00:45:45 UTC`; as it came when it is no time.
fn rfc850(text: &str) -> String {
    let format = time::macros::format_description!(
        "[weekday], [day]-[month repr:short]-[year repr:last_two] [hour]:[minute]:[second] UTC"
    );
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().map(|time| time.to_offset(time::UtcOffset::UTC));
    time.and_then(|time| time.format(&format).ok()).unwrap_or_else(|| text.to_owned())
}

async fn all(matches: &ArgMatches) -> Outcome {
    super::no_arguments(matches)?;
    let api = api(matches)?;
    let (query, failed): (Query, _) = (api.query(), Failure::about("Failed to retrieve the intentions list"));
    if given(matches, "format") == Some("json") {
        let raw = api.client.get_raw(PATH, &query).await.map_err(failed)?;
        return Ok(Output::line(super::json::indent(&raw.text(), "    ")));
    }
    let intentions = api.client.intentions(&query).await.map_err(failed)?;
    if intentions.is_empty() {
        return Ok(Output { stderr: "There are no intentions.\n".to_owned(), ..Output::default() });
    }
    let mut rows = vec![row(["ID", "Source", "Action", "Destination", "Precedence"])];
    for i in &intentions {
        rows.push(row([&i.id, &i.source_name, &i.action, &i.destination_name, &i.precedence.to_string()]));
    }
    Ok(Output::text(columns(&rows)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intention_is_shown_as_consul_shows_it() {
        let intention = ListedIntention {
            id: "78bdbc88".to_owned(),
            source_name: "web".to_owned(),
            destination_name: "db".to_owned(),
            action: "deny".to_owned(),
            meta: [("a".to_owned(), "b".to_owned())].into(),
            created_at: "2026-11-24T00:45:45.123456Z".to_owned(),
            ..ListedIntention::default()
        };
        assert_eq!(
            shown(&intention),
            "Source:       web\nDestination:  db\nAction:       deny\nID:           78bdbc88\nMeta[a]:      b\n\
             Created At:   Tuesday, 24-Nov-26 00:45:45 UTC\n"
        );
    }
}
