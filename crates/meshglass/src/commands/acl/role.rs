//! `acl role create|read|update|delete|list`

use clap::{ArgMatches, Command};
use client::Error;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::asking::{Form, call, decode, form, id_of, links, merge, node_identities, service_identities, shown};
use super::list;
use super::shapes::{Role, as_json};
use crate::commands::connection::Api;
use crate::commands::flags::{given, list as many, on, switch, text, with_namespace, with_server};
use crate::commands::{Failure, Outcome, Output, api};

const ROLES: &str = "/v1/acl/roles";
const ROLE: &str = "/v1/acl/role";

pub fn command() -> Command {
    let server = |name: &'static str| with_server(Command::new(name));
    let name = || text("name", "string", "The name of the role.");
    let id = || text("id", "string", "The id of the role, or its beginning.");
    let rights = |command: Command| {
        command
            .arg(text("description", "string", "What the role is for."))
            .arg(many("policy-id", "value", "The id of a policy, or its beginning."))
            .arg(many("policy-name", "value", "The name of a policy."))
            .arg(many("service-identity", "value", "The rights of a service: NAME or NAME:DC,DC."))
            .arg(many("node-identity", "value", "The rights of a node: NAME:DC."))
    };
    let create = rights(shown(server("create")))
        .about("Make a role")
        .long_about("Makes a role of policies and identities.")
        .arg(name());
    let update = rights(shown(server("update")))
        .about("Change a role")
        .long_about("Adds to a role; with -no-merge what is not given is taken away.")
        .arg(name())
        .arg(id())
        .arg(switch("no-merge", "Take away what is not given."));
    let read = shown(server("read")).about("Show a role").long_about("Shows one role.").arg(name()).arg(id());
    let delete =
        with_namespace(server("delete")).about("Delete a role").long_about("Deletes one role.").arg(name()).arg(id());
    let all = shown(server("list")).about("List the roles").long_about("Lists the roles.");
    Command::new("role")
        .about("Roles: named sets of policies and identities")
        .long_about("Roles are named sets of policies and identities.\n\n    $ consul acl role list")
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

fn answer(body: &[u8], matches: &ArgMatches, form: Form) -> Outcome {
    Ok(decode::<Role>(body)?.show(form, on(matches, "meta")))
}

async fn create(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let Some(name) = given(matches, "name") else { return Err(Failure::usage("Missing require '-name' flag")) };
    let api = api(matches)?;
    let (services, nodes) = (service_identities(matches)?, node_identities(matches)?);
    let policies = links(&api, matches, "policy").await?;
    if [&services, &nodes, &policies].iter().all(|rights| rights.is_empty()) {
        return Err(Failure::new(
            "Cannot create a role without specifying -policy-name, -policy-id, -service-identity, or \
             -node-identity at least once",
        ));
    }
    let body = json!({
        "Name": name,
        "Description": given(matches, "description").unwrap_or_default(),
        "Policies": policies,
        "ServiceIdentities": services,
        "NodeIdentities": nodes,
    });
    let made = call(&api, Method::PUT, ROLE, Some(body)).await;
    answer(&made.map_err(Failure::about("Failed to create new role"))?, matches, form)
}

async fn by_prefix(api: &Api, prefix: &str) -> Result<String, Failure> {
    let id = id_of(api, ROLES, "ID", "role", prefix).await;
    id.map_err(|why| Failure::new(format!("Error determining role ID: {why}")))
}

async fn get(api: &Api, path: &str, not_found: String, what: String) -> Result<bytes::Bytes, Failure> {
    match list(api, path, &[]).await {
        Err(Error::Status { status: StatusCode::NOT_FOUND, .. }) => Err(Failure::new(not_found)),
        other => other.map_err(Failure::about(what)),
    }
}

async fn read(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let (path, by, what) = match (given(matches, "id"), given(matches, "name")) {
        (Some(prefix), _) => {
            let id = by_prefix(&api, prefix).await?;
            (format!("{ROLE}/{id}"), "ID", id)
        }
        (None, Some(name)) => (format!("{ROLE}/name/{}", client::escape(name)), "name", name.to_owned()),
        (None, None) => return Err(Failure::new("Must specify either the -id or -name parameters")),
    };
    let body = get(&api, &path, format!("Role not found with {by} {what:?}"), format!("Error reading role {what:?}"));
    answer(&body.await?, matches, form)
}

async fn update(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let Some(prefix) = given(matches, "id") else {
        return Err(Failure::new("Cannot update a role without specifying the -id parameter"));
    };
    let api = api(matches)?;
    let id = by_prefix(&api, prefix).await?;
    let path = format!("{ROLE}/{id}");
    let not_found = format!("Role not found with ID {id:?}");
    let body = get(&api, &path, not_found, "Error when retrieving current role".to_owned()).await?;
    let old: Value = decode(&body)?;
    let replace = on(matches, "no-merge");
    let text = |flag: &str, key: &str| match given(matches, flag) {
        Some(text) => Value::from(text),
        None if replace && key != "Name" => Value::Null,
        None => old[key].clone(),
    };
    let rights = |key: &str, more: Vec<Value>, keys: &[&str]| match replace {
        true => Value::from(more),
        false => merge(old.get(key), more, keys).into(),
    };
    let body = json!({
        "ID": id,
        "Name": text("name", "Name"),
        "Description": text("description", "Description"),
        "Policies": rights("Policies", links(&api, matches, "policy").await?, &["ID", "Name"]),
        "ServiceIdentities": rights("ServiceIdentities", service_identities(matches)?, &["ServiceName"]),
        "NodeIdentities": rights("NodeIdentities", node_identities(matches)?, &["NodeName"]),
    });
    let written = call(&api, Method::PUT, &path, Some(body)).await;
    answer(&written.map_err(Failure::about(format!("Error updating role {id:?}")))?, matches, form)
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let id = match (given(matches, "id"), given(matches, "name")) {
        (Some(prefix), _) => by_prefix(&api, prefix).await?,
        (None, Some(name)) => {
            let failed = |why: String| Failure::new(format!("Error determining role ID: {why}"));
            let body = list(&api, ROLES, &[]).await.map_err(|error| failed(error.to_string()))?;
            let found = decode::<Vec<Role>>(&body)?.into_iter().find(|role| role.name == name);
            found.ok_or_else(|| failed(format!("No such role with name {name}")))?.id
        }
        (None, None) => return Err(Failure::new("Must specify the -id or -name parameters")),
    };
    let gone = call(&api, Method::DELETE, &format!("{ROLE}/{id}"), None).await;
    gone.map_err(Failure::about(format!("Error deleting role {id:?}")))?;
    Ok(Output::line(format!("Role {id:?} deleted successfully")))
}

async fn all(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let body = list(&api(matches)?, ROLES, &[]).await;
    let roles: Vec<Role> = decode(&body.map_err(Failure::about("Failed to retrieve the role list"))?)?;
    if form == Form::Json {
        return Ok(as_json(&roles));
    }
    let texts: String = roles.iter().map(|role| role.listed(on(matches, "meta"))).collect();
    Ok(if texts.is_empty() { Output::default() } else { Output::line(texts) })
}
