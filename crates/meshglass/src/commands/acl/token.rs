//! `acl token create|read|update|clone|delete|list`

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::{Value, json};

use super::asking::{
    Form, call, decode, form, id_of, links, merge, node_identities, service_identities, shown, with_format,
};
use super::list;
use super::shapes::{Token, as_json};
use crate::commands::connection::Api;
use crate::commands::flags::{given, list as many, on, switch, text, with_namespace, with_server};
use crate::commands::{Failure, Outcome, Output, api};

const TOKENS: &str = "/v1/acl/tokens";

pub fn command() -> Command {
    let server = |name: &'static str| with_server(Command::new(name));
    let id = || text("id", "string", "The accessor id of the token, or its beginning.");
    let create = rights(shown(server("create")))
        .about("Make a token")
        .long_about("Makes a token with the rights of policies, roles and identities.")
        .arg(text("accessor", "string", "The accessor id; one is made unless given."))
        .arg(text("secret", "string", "The secret; one is made unless given."))
        .arg(text("description", "string", "What the token is for."))
        .arg(switch("local", "The token is good in this datacenter only."))
        .arg(text("expires-ttl", "duration", "How long the token is good, such as 1h."));
    let update = rights(shown(server("update")))
        .about("Change a token")
        .long_about("Changes a token. What is not merged is replaced.")
        .arg(id())
        .arg(text("description", "string", "What the token is for."))
        .arg(switch("merge-policies", "Add the policies to those it has."))
        .arg(switch("merge-roles", "Add the roles to those it has."))
        .arg(switch("merge-service-identities", "Add the service identities to those it has."))
        .arg(switch("merge-node-identities", "Add the node identities to those it has."))
        .arg(switch("upgrade-legacy", "There are no legacy tokens, so this has no effect."));
    let read = shown(server("read"))
        .about("Show a token")
        .long_about("Shows one token, or with -self the one that this command uses.")
        .arg(id())
        .arg(switch("self", "Show the token that this command uses."));
    let clone = with_namespace(with_format(server("clone")))
        .about("Make another token with the same rights")
        .long_about("Makes another token with the rights of one that is there.")
        .arg(id())
        .arg(text("description", "string", "What the new token is for."));
    let delete = with_namespace(server("delete")).about("Delete a token").long_about("Deletes one token.").arg(id());
    let all = shown(server("list")).about("List the tokens").long_about("Lists the tokens, without their secrets.");
    Command::new("token")
        .about("Tokens: who may do what")
        .long_about(
            "Whoever knows the secret of a token has its rights.\n\n    $ consul acl token create -policy-name kv-ro",
        )
        .subcommands([clone, create, delete, all, read, update])
}

fn rights(command: Command) -> Command {
    command
        .arg(many("policy-id", "value", "The id of a policy, or its beginning."))
        .arg(many("policy-name", "value", "The name of a policy."))
        .arg(many("role-id", "value", "The id of a role, or its beginning."))
        .arg(many("role-name", "value", "The name of a role."))
        .arg(many("service-identity", "value", "The rights of a service: NAME or NAME:DC,DC."))
        .arg(many("node-identity", "value", "The rights of a node: NAME:DC."))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("create", matches)) => create(matches).await,
        Some(("read", matches)) => read(matches).await,
        Some(("update", matches)) => update(matches).await,
        Some(("clone", matches)) => clone(matches).await,
        Some(("delete", matches)) => delete(matches).await,
        Some(("list", matches)) => all(matches).await,
        _ => Err(Failure::usage("Must name a subcommand")),
    }
}

fn answer(body: &[u8], matches: &ArgMatches, form: Form) -> Outcome {
    Ok(decode::<Token>(body)?.show_with(form, on(matches, "meta")))
}

async fn create(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let (services, nodes) = (service_identities(matches)?, node_identities(matches)?);
    let (policies, roles) = (links(&api, matches, "policy").await?, links(&api, matches, "role").await?);
    if [&services, &nodes, &policies, &roles].iter().all(|rights| rights.is_empty()) {
        return Err(Failure::new(
            "Cannot create a token without specifying -policy-name, -policy-id, -role-name, -role-id, \
             -service-identity, or -node-identity at least once",
        ));
    }
    let mut body = json!({
        "Description": given(matches, "description").unwrap_or_default(),
        "Local": on(matches, "local"),
        "Policies": policies,
        "Roles": roles,
        "ServiceIdentities": services,
        "NodeIdentities": nodes,
    });
    for (flag, key) in [("accessor", "AccessorID"), ("secret", "SecretID"), ("expires-ttl", "ExpirationTTL")] {
        if let Some(value) = given(matches, flag) {
            body[key] = value.into();
        }
    }
    let made = call(&api, Method::PUT, "/v1/acl/token", Some(body)).await;
    answer(&made.map_err(Failure::about("Failed to create new token"))?, matches, form)
}

async fn accessor(api: &Api, matches: &ArgMatches, missing: &str) -> Result<String, Failure> {
    let prefix = given(matches, "id").ok_or_else(|| Failure::new(missing))?;
    let id = id_of(api, TOKENS, "AccessorID", "token", prefix).await;
    id.map_err(|why| Failure::new(format!("Error determining token ID: {why}")))
}

const MUST_ID: &str = "Must specify the -id parameter";
const UPDATE_ID: &str = "Cannot update a token without specifying the -id parameter";

async fn read(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    if on(matches, "self") {
        let body = list(&api, "/v1/acl/token/self", &[]).await;
        return answer(&body.map_err(Failure::about("Error reading token"))?, matches, form);
    }
    let id = accessor(&api, matches, MUST_ID).await?;
    let body = list(&api, &format!("/v1/acl/token/{id}"), &[]).await;
    answer(&body.map_err(Failure::about(format!("Error reading token {id:?}")))?, matches, form)
}

async fn update(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = accessor(&api, matches, UPDATE_ID).await?;
    let path = format!("/v1/acl/token/{id}");
    let body = list(&api, &path, &[]).await.map_err(Failure::about("Error when retrieving current token"))?;
    let mut token: Value = decode(&body)?;
    if let Some(description) = given(matches, "description") {
        token["Description"] = description.into();
    }
    let rights = [
        ("Policies", "merge-policies", links(&api, matches, "policy").await?, &["ID", "Name"][..]),
        ("Roles", "merge-roles", links(&api, matches, "role").await?, &["ID", "Name"][..]),
        ("ServiceIdentities", "merge-service-identities", service_identities(matches)?, &["ServiceName"][..]),
        ("NodeIdentities", "merge-node-identities", node_identities(matches)?, &["NodeName"][..]),
    ];
    for (key, flag, more, keys) in rights {
        token[key] = match on(matches, flag) {
            true => merge(token.get(key), more, keys).into(),
            false => more.into(),
        };
    }
    let written = call(&api, Method::PUT, &path, Some(token)).await;
    answer(&written.map_err(Failure::about(format!("Failed to update token {id}")))?, matches, form)
}

async fn clone(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let api = api(matches)?;
    let id = accessor(&api, matches, UPDATE_ID).await?;
    let body = json!({ "Description": given(matches, "description").unwrap_or_default() });
    let made = call(&api, Method::PUT, &format!("/v1/acl/token/{id}/clone"), Some(body)).await;
    Ok(decode::<Token>(&made.map_err(Failure::about("Error cloning token"))?)?.show(form))
}

async fn delete(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let id = accessor(&api, matches, MUST_ID).await?;
    let gone = call(&api, Method::DELETE, &format!("/v1/acl/token/{id}"), None).await;
    gone.map_err(Failure::about(format!("Error deleting token {id:?}")))?;
    Ok(Output::line(format!("Token {id:?} deleted successfully")))
}

async fn all(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let body = list(&api(matches)?, TOKENS, &[]).await;
    let mut tokens: Vec<Token> = decode(&body.map_err(Failure::about("Failed to retrieve the token list"))?)?;
    tokens.iter_mut().for_each(|token| token.legacy = Some(token.legacy.unwrap_or_default()));
    if form == Form::Json {
        return Ok(as_json(&tokens));
    }
    let texts: Vec<String> = tokens.iter().map(|token| token.pretty(on(matches, "meta"))).collect();
    Ok(Output::text(texts.iter().map(|text| format!("{text}\n")).collect::<String>()))
}
