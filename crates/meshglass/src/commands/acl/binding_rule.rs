//! `acl binding-rule create|read|update|delete|list`

use clap::{ArgMatches, Command};
use client::Error;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::asking::{Form, call, decode, form, id_of, shown};
use super::list;
use super::shapes::body_as_json;
use crate::commands::connection::Api;
use crate::commands::flags::{given, on, switch, text, with_namespace, with_server};
use crate::commands::{Failure, Outcome, Output, api};

const RULES: &str = "/v1/acl/binding-rules";
const RULE: &str = "/v1/acl/binding-rule";

pub fn command() -> Command {
    let server = |name: &'static str| with_server(Command::new(name));
    let id = || text("id", "string", "The id of the rule, or its beginning.");
    let body = |command: Command| {
        command
            .arg(text("bind-name", "string", "What a login gets; may hold ${variables}."))
            .arg(text("bind-type", "string", "`service` (the default), `role`, `node` or `policy`."))
            .arg(text("description", "string", "What the rule is for."))
            .arg(text("selector", "string", "Which logins get it; all unless given."))
    };
    let method = || text("method", "string", "The way to log in that the rule is of.");
    let create = body(shown(server("create")))
        .about("Make a rule for what a login gets")
        .long_about("Makes a rule for what a login gets.")
        .arg(method());
    let update = body(shown(server("update")))
        .about("Change a rule for what a login gets")
        .long_about("Changes a rule; with -no-merge what is not given is emptied.")
        .arg(id())
        .arg(switch("no-merge", "Empty what is not given."));
    let read = shown(server("read")).about("Show a rule").long_about("Shows one rule.").arg(id());
    let delete = with_namespace(server("delete")).about("Delete a rule").long_about("Deletes one rule.").arg(id());
    let all = shown(server("list")).about("List the rules").long_about("Lists the rules.").arg(method());
    Command::new("binding-rule")
        .about("Rules for what a login gets")
        .long_about("Binding rules say what a login gets.\n\n    $ consul acl binding-rule list")
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

/// The lines of a rule below its id.
fn lines(rule: &Value, indent: &str, with_meta: bool) -> String {
    let text = |key: &str| rule[key].as_str().unwrap_or_default();
    let keys = ["AuthMethod", "Description", "BindType", "BindName", "Selector"];
    let mut out: String = keys.iter().map(|key| format!("{indent}{:14}{}\n", format!("{key}:"), text(key))).collect();
    if with_meta {
        let (created, modified) = (&rule["CreateIndex"], &rule["ModifyIndex"]);
        out.push_str(&format!("{indent}Create Index: {created}\n{indent}Modify Index: {modified}\n"));
    }
    out
}

fn answer(body: &[u8], matches: &ArgMatches, form: Form) -> Outcome {
    if form == Form::Json {
        return Ok(body_as_json(body));
    }
    let rule: Value = decode(body)?;
    let id = rule["ID"].as_str().unwrap_or_default();
    Ok(Output::line(format!("ID:           {id}\n{}", lines(&rule, "", on(matches, "meta")))))
}

async fn create(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let required =
        |flag: &str| given(matches, flag).ok_or_else(|| Failure::usage(format!("Missing required '-{flag}' flag")));
    let body = json!({
        "AuthMethod": required("method")?,
        "BindName": required("bind-name")?,
        "BindType": given(matches, "bind-type").unwrap_or("service"),
        "Description": given(matches, "description").unwrap_or_default(),
        "Selector": given(matches, "selector").unwrap_or_default(),
    });
    let made = call(&api(matches)?, Method::PUT, RULE, Some(body)).await;
    answer(&made.map_err(Failure::about("Failed to create new binding rule"))?, matches, form)
}

async fn id_given(api: &Api, matches: &ArgMatches, missing: &str) -> Result<String, Failure> {
    let prefix = given(matches, "id").ok_or_else(|| Failure::new(missing))?;
    let id = id_of(api, RULES, "ID", "rule", prefix).await;
    id.map_err(|why| Failure::new(format!("Error determining binding rule ID: {why}")))
}

async fn get(api: &Api, id: &str) -> Result<bytes::Bytes, Failure> {
    match list(api, &format!("{RULE}/{id}"), &[]).await {
        Err(Error::Status { status: StatusCode::NOT_FOUND, .. }) => {
            Err(Failure::new(format!("Binding rule not found with ID {id:?}")))
        }
        other => other.map_err(Failure::about(format!("Error reading binding rule {id:?}"))),
    }
}

async fn read(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = id_given(&api, matches, "Must specify the -id parameter.").await?;
    answer(&get(&api, &id).await?, matches, form)
}

async fn update(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = id_given(&api, matches, "Cannot update a binding rule without specifying the -id parameter").await?;
    let mut body: Value = decode(&get(&api, &id).await?)?;
    let replace = on(matches, "no-merge");
    if replace && given(matches, "bind-name").is_none() {
        return Err(Failure::usage("Missing required '-bind-name' flag"));
    }
    for (flag, key) in
        [("bind-name", "BindName"), ("bind-type", "BindType"), ("description", "Description"), ("selector", "Selector")]
    {
        match given(matches, flag) {
            Some(text) => body[key] = text.into(),
            None if replace => body[key] = if flag == "bind-type" { "service".into() } else { "".into() },
            None => {}
        }
    }
    let written = call(&api, Method::PUT, &format!("{RULE}/{id}"), Some(body)).await;
    answer(&written.map_err(Failure::about(format!("Error updating binding rule {id:?}")))?, matches, form)
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let id = id_given(&api, matches, "Must specify the -id parameter").await?;
    let gone = call(&api, Method::DELETE, &format!("{RULE}/{id}"), None).await;
    gone.map_err(Failure::about(format!("Error deleting binding rule {id:?}")))?;
    Ok(Output::line(format!("Binding rule {id:?} deleted successfully")))
}

async fn all(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let method = given(matches, "method").unwrap_or_default();
    let more = [("authmethod", method)];
    let body = list(&api(matches)?, RULES, if method.is_empty() { &[] } else { &more }).await;
    let body = body.map_err(Failure::about("Failed to retrieve the binding rule list"))?;
    if form == Form::Json {
        return Ok(body_as_json(&body));
    }
    let rules: Vec<Value> = decode(&body)?;
    let text = |rule: &Value| {
        let id = rule["ID"].as_str().unwrap_or_default();
        format!("{id}:\n{}", lines(rule, "   ", on(matches, "meta")))
    };
    let out: String = rules.iter().map(text).collect();
    Ok(if out.is_empty() { Output::default() } else { Output::line(out) })
}
