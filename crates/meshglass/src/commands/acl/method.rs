//! `acl auth-method create|read|update|delete|list`

use std::fmt::Write as _;

use clap::{ArgMatches, Command};
use client::Error;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::asking::{Form, call, decode, form, load, shown};
use super::list;
use super::shapes::body_as_json;
use crate::commands::connection::Api;
use crate::commands::flags::{given, on, switch, text, with_namespace, with_server};
use crate::commands::json::indent;
use crate::commands::{Failure, Outcome, Output, api};

const METHODS: &str = "/v1/acl/auth-methods";
const METHOD: &str = "/v1/acl/auth-method";

pub fn command() -> Command {
    let server = |name: &'static str| with_server(Command::new(name));
    let name = || text("name", "string", "The name of the method.");
    let body = |command: Command| {
        command
            .arg(text("config", "string", "The configuration as JSON: a text, @FILE, or - for standard input."))
            .arg(text("description", "string", "What the method is for."))
            .arg(text("display-name", "string", "How people call the method."))
            .arg(text("max-token-ttl", "duration", "How long its tokens are good; for ever unless given."))
            .arg(text("token-locality", "string", "`local` or `global`."))
            .arg(text("kubernetes-host", "string", "Where the Kubernetes API is."))
            .arg(text("kubernetes-ca-cert", "string", "Its certificate authority (PEM): a text or @FILE."))
            .arg(text("kubernetes-service-account-jwt", "string", "The token with which the API is asked."))
    };
    let create = body(shown(server("create")))
        .about("Make a way to log in")
        .long_about("Makes a way to log in: `jwt` or `kubernetes`.")
        .arg(name())
        .arg(text("type", "string", "`jwt` or `kubernetes`."));
    let update = body(shown(server("update")))
        .about("Change a way to log in")
        .long_about("Changes a way to log in; with -no-merge what is not given is emptied.")
        .arg(name())
        .arg(switch("no-merge", "Empty what is not given."));
    let read = shown(server("read")).about("Show a way to log in").long_about("Shows one way to log in.").arg(name());
    let delete = with_namespace(server("delete"))
        .about("Delete a way to log in")
        .long_about("Deletes one way to log in, with its rules and tokens.")
        .arg(name());
    let all = shown(server("list")).about("List the ways to log in").long_about("Lists the ways to log in.");
    Command::new("auth-method")
        .about("Ways to log in")
        .long_about("Whoever proves who he is by a method gets a token.\n\n    $ consul acl auth-method list")
        .subcommands([create, delete, all, read, update])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("create", matches)) => create(matches).await,
        Some(("read", matches)) => read(matches).await,
        Some(("update", matches)) => update(matches).await,
        Some(("delete", matches)) => delete(matches).await,
        Some(("list", matches)) => all(matches).await,
        _ => Err(Failure::usage("Must name a subcommand")),
    }
}

/// What the flags say of the configuration; none when they say nothing.
fn config(matches: &ArgMatches) -> Result<Option<Value>, Failure> {
    let failed = |why: String| Failure::new(format!("Error loading configuration file: {why}"));
    if let Some(text) = given(matches, "config") {
        let text = load(text).map_err(failed)?;
        let parsed = serde_json::from_str(&text);
        return parsed.map(Some).map_err(|error| Failure::new(format!("Error parsing JSON for config: {error}")));
    }
    let flags = [
        ("kubernetes-host", "Host"),
        ("kubernetes-ca-cert", "CACert"),
        ("kubernetes-service-account-jwt", "ServiceAccountJWT"),
    ];
    let mut config = json!({});
    for (flag, key) in flags {
        if let Some(text) = given(matches, flag) {
            config[key] = load(text).map_err(failed)?.into();
        }
    }
    Ok(Some(config).filter(|config| config.as_object().is_some_and(|fields| !fields.is_empty())))
}

async fn create(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let required =
        |flag: &str| given(matches, flag).ok_or_else(|| Failure::usage(format!("Missing required '-{flag}' flag")));
    let (kind, name) = (required("type")?, required("name")?);
    let mut body = json!({ "Name": name, "Type": kind, "Config": config(matches)?.unwrap_or_else(|| json!({})) });
    fill(&mut body, matches, true);
    let made = call(&api(matches)?, Method::PUT, METHOD, Some(body)).await;
    answer(&made.map_err(Failure::about("Failed to create new auth method"))?, matches, form)
}

/// Puts what the flags say into `body`; with `all` what they do not say, too.
fn fill(body: &mut Value, matches: &ArgMatches, all: bool) {
    for (flag, key) in [
        ("description", "Description"),
        ("display-name", "DisplayName"),
        ("max-token-ttl", "MaxTokenTTL"),
        ("token-locality", "TokenLocality"),
    ] {
        match given(matches, flag) {
            Some(text) => body[key] = text.into(),
            None if all => body[key] = "".into(),
            None => {}
        }
    }
}

fn answer(body: &[u8], matches: &ArgMatches, form: Form) -> Outcome {
    if form == Form::Json {
        return Ok(body_as_json(body));
    }
    let method: Value = decode(body)?;
    let text = |key: &str| method[key].as_str().unwrap_or_default();
    let mut out = format!("Name:          {}\nType:          {}\n", text("Name"), text("Type"));
    let mut more = |label: &str, key: &str| {
        if !text(key).is_empty() {
            let _ = writeln!(out, "{label:15}{}", text(key));
        }
    };
    more("DisplayName:", "DisplayName");
    let _ = writeln!(out, "Description:   {}", text("Description"));
    let mut more = |label: &str, key: &str| {
        if !text(key).is_empty() {
            let _ = writeln!(out, "{label:15}{}", text(key));
        }
    };
    more("MaxTokenTTL:", "MaxTokenTTL");
    more("TokenLocality:", "TokenLocality");
    if on(matches, "meta") {
        let _ = writeln!(out, "Create Index:  {}\nModify Index:  {}", method["CreateIndex"], method["ModifyIndex"]);
    }
    Ok(Output::line(format!("{out}Config:\n{}", indent(&method["Config"].to_string(), "  "))))
}

async fn get(api: &Api, name: &str) -> Result<bytes::Bytes, Failure> {
    match list(api, &format!("{METHOD}/{}", client::escape(name)), &[]).await {
        Err(Error::Status { status: StatusCode::NOT_FOUND, .. }) => {
            Err(Failure::new(format!("Auth method not found with name {name:?}")))
        }
        other => other.map_err(Failure::about(format!("Error reading auth method {name:?}"))),
    }
}

const MUST_NAME: &str = "Must specify the -name parameter";

async fn read(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let name = given(matches, "name").ok_or_else(|| Failure::new(MUST_NAME))?;
    answer(&get(&api(matches)?, name).await?, matches, form)
}

async fn update(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let Some(name) = given(matches, "name") else {
        return Err(Failure::new("Cannot update an auth method without specifying the -name parameter"));
    };
    let api = api(matches)?;
    let mut body: Value = decode(&get(&api, name).await?)?;
    let replace = on(matches, "no-merge");
    fill(&mut body, matches, replace);
    match config(matches)? {
        Some(config) => body["Config"] = config,
        None if replace => body["Config"] = json!({}),
        None => {}
    }
    let path = format!("{METHOD}/{}", client::escape(name));
    let written = call(&api, Method::PUT, &path, Some(body)).await;
    answer(&written.map_err(Failure::about(format!("Error updating auth method {name:?}")))?, matches, form)
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let name = given(matches, "name").ok_or_else(|| Failure::new(MUST_NAME))?;
    let path = format!("{METHOD}/{}", client::escape(name));
    let gone = call(&api(matches)?, Method::DELETE, &path, None).await;
    gone.map_err(Failure::about(format!("Error deleting auth method {name:?}")))?;
    Ok(Output::line(format!("Auth method {name:?} deleted successfully")))
}

async fn all(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let body = list(&api(matches)?, METHODS, &[]).await;
    let body = body.map_err(Failure::about("Failed to retrieve the auth method list"))?;
    if form == Form::Json {
        return Ok(body_as_json(&body));
    }
    let methods: Vec<Value> = decode(&body)?;
    let mut out = String::new();
    for method in &methods {
        let text = |key: &str| method[key].as_str().unwrap_or_default();
        let _ = writeln!(out, "{}:\n   Type:         {}", text("Name"), text("Type"));
        if !text("DisplayName").is_empty() {
            let _ = writeln!(out, "   DisplayName:  {}", text("DisplayName"));
        }
        let _ = writeln!(out, "   Description:  {}", text("Description"));
        if on(matches, "meta") {
            let (created, modified) = (&method["CreateIndex"], &method["ModifyIndex"]);
            let _ = writeln!(out, "   Create Index: {created}\n   Modify Index: {modified}");
        }
    }
    Ok(if out.is_empty() { Output::default() } else { Output::line(out) })
}
