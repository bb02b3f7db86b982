//! `acl policy create|read|update|delete|list`

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use super::asking::{Form, call, decode, form, id_of, load, shown};
use super::list;
use super::shapes::{Policy, as_json};
use crate::commands::connection::Api;
use crate::commands::flags::{every, given, list as many, on, switch, text, with_namespace, with_server};
use crate::commands::{Failure, Outcome, Output, api};

const POLICIES: &str = "/v1/acl/policies";
const POLICY: &str = "/v1/acl/policy";

pub fn command() -> Command {
    let server = |name: &'static str| with_server(Command::new(name));
    let name = || text("name", "string", "The name of the policy.");
    let id = || text("id", "string", "The id of the policy, or its beginning.");
    let body = |command: Command| {
        command
            .arg(text("description", "string", "What the policy is for."))
            .arg(text("rules", "string", "The rules: a text, @FILE, or - for standard input."))
            .arg(many("valid-datacenter", "value", "A datacenter in which the policy holds; all unless given."))
    };
    let create = body(shown(server("create")))
        .about("Make a policy")
        .long_about("Makes a policy of rules.\n\n    $ consul acl policy create -name kv-ro -rules @rules.hcl")
        .arg(name())
        .arg(text("from-token", "string", "There are no legacy tokens, so no rules can be taken from one."))
        .arg(switch("token-secret", "-from-token is a secret."));
    let update = body(shown(server("update")))
        .about("Change a policy")
        .long_about("Changes a policy; with -no-merge what is not given is emptied.")
        .arg(name())
        .arg(id())
        .arg(switch("no-merge", "Empty what is not given."));
    let read = shown(server("read")).about("Show a policy").long_about("Shows one policy.").arg(name()).arg(id());
    let delete = with_namespace(server("delete"))
        .about("Delete a policy")
        .long_about("Deletes one policy.")
        .arg(name())
        .arg(id());
    let all = shown(server("list")).about("List the policies").long_about("Lists the policies, without their rules.");
    Command::new("policy")
        .about("Policies: named sets of rules")
        .long_about("Policies are named sets of rules.\n\n    $ consul acl policy list")
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

fn rules(matches: &ArgMatches) -> Result<Option<String>, Failure> {
    let loaded = given(matches, "rules").map(load).transpose();
    loaded.map_err(|why| Failure::new(format!("Error loading rules: {why}")))
}

fn answer(body: &[u8], matches: &ArgMatches, form: Form) -> Outcome {
    Ok(decode::<Policy>(body)?.show(form, on(matches, "meta")))
}

async fn create(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let Some(name) = given(matches, "name") else { return Err(Failure::usage("Missing require '-name' flag")) };
    if let Some(token) = given(matches, "from-token") {
        return Err(Failure::new(format!("Error loading rules: {token:?} is not a legacy token with rules")));
    }
    let body = json!({
        "Name": name,
        "Description": given(matches, "description").unwrap_or_default(),
        "Rules": rules(matches)?.unwrap_or_default(),
        "Datacenters": every(matches, "valid-datacenter"),
    });
    let made = call(&api(matches)?, Method::PUT, POLICY, Some(body)).await;
    answer(&made.map_err(Failure::about("Failed to create new policy"))?, matches, form)
}

/// By `-id`, else by `-name`.
async fn id_given(api: &Api, matches: &ArgMatches) -> Result<String, Failure> {
    let failed = |why: String| Failure::new(format!("Error determining policy ID: {why}"));
    if let Some(prefix) = given(matches, "id") {
        return id_of(api, POLICIES, "ID", "policy", prefix).await.map_err(failed);
    }
    let Some(name) = given(matches, "name") else {
        return Err(Failure::new("Must specify either the -id or -name parameters"));
    };
    let body = list(api, POLICIES, &[]).await.map_err(|error| failed(error.to_string()))?;
    let found = decode::<Vec<Policy>>(&body)?.into_iter().find(|policy| policy.name == name);
    found.map(|policy| policy.id).ok_or_else(|| failed(format!("No such policy with name {name}")))
}

async fn read(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = id_given(&api, matches).await?;
    let body = list(&api, &format!("{POLICY}/{id}"), &[]).await;
    answer(&body.map_err(Failure::about(format!("Error reading policy {id:?}")))?, matches, form)
}

async fn update(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = id_given(&api, matches).await?;
    let path = format!("{POLICY}/{id}");
    let body = list(&api, &path, &[]).await.map_err(Failure::about(format!("Error reading policy {id:?}")))?;
    let old: Value = decode(&body)?;
    let merged = |key: &str, new: Option<Value>| match new {
        None if on(matches, "no-merge") => Value::Null,
        None => old.get(key).cloned().unwrap_or_default(),
        Some(new) => new,
    };
    let datacenters = Some(every(matches, "valid-datacenter")).filter(|given| !given.is_empty());
    let body = json!({
        "Name": given(matches, "name").map_or_else(|| old["Name"].clone(), Value::from),
        "Description": merged("Description", given(matches, "description").map(Value::from)),
        "Rules": merged("Rules", rules(matches)?.map(Value::from)),
        "Datacenters": merged("Datacenters", datacenters.map(Value::from)),
    });
    let written = call(&api, Method::PUT, &path, Some(body)).await;
    answer(&written.map_err(Failure::about(format!("Error updating policy {id:?}")))?, matches, form)
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let id = id_given(&api, matches).await?;
    let gone = call(&api, Method::DELETE, &format!("{POLICY}/{id}"), None).await;
    gone.map_err(Failure::about(format!("Error deleting policy {id:?}")))?;
    Ok(Output::line(format!("Policy {id:?} deleted successfully")))
}

async fn all(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let body = list(&api(matches)?, POLICIES, &[]).await;
    let policies: Vec<Policy> = decode(&body.map_err(Failure::about("Failed to retrieve the policy list"))?)?;
    if form == Form::Json {
        return Ok(as_json(&policies));
    }
    let texts: String = policies.iter().map(|policy| policy.listed(on(matches, "meta"))).collect();
    Ok(Output::line(texts))
}
