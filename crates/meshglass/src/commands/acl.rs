//! `acl …`, `login`, `logout`

mod asking;
mod binding_rule;
mod login;
mod method;
mod policy;
mod role;
mod shapes;
mod token;

use clap::{ArgMatches, Command};
use client::Query;
use http::Method;
use serde_json::json;

use super::flags::{arguments, given, rest, text, with_server};
use super::{Failure, Outcome, Output, api};
use asking::{call, form, with_format};
use shapes::Token;

pub use login::{login, login_command, logout, logout_command};

pub fn command() -> Command {
    let bootstrap = with_format(with_server(Command::new("bootstrap")))
        .about("Make the first token of an administrator")
        .long_about(
            "Makes the first token of an administrator. This works once; the token is shown here and nowhere else.",
        );
    let set = with_server(Command::new("set-agent-token"))
        .about("Give the agent a token of its own")
        .long_about(
            "Gives the agent a token for one purpose: default, agent, recovery, replication, dns or \
             config_file_service_registration.",
        )
        .arg(rest("TYPE TOKEN"));
    let translate = with_server(Command::new("translate-rules"))
        .about("Write old rules in today's words")
        .long_about(
            "Writes rules of before Consul 1.4 in today's words. TRANSLATE is a text, @FILE or - for standard input.",
        )
        .arg(text("token-accessor", "string", "Translate the rules of this token."))
        .arg(text("token-secret", "string", "Translate the rules of the token with this secret."))
        .arg(rest("TRANSLATE"));
    Command::new("acl")
        .about("Say who may do what")
        .long_about(
            "Tokens, policies, roles, and ways to log in.\n\n    $ consul acl bootstrap\n    \
             $ consul acl policy create -name kv-ro -rules 'key_prefix \"\" { policy = \"read\" }'\n    \
             $ consul acl token create -policy-name kv-ro",
        )
        .subcommand(method::command())
        .subcommand(binding_rule::command())
        .subcommand(bootstrap)
        .subcommand(policy::command())
        .subcommand(role::command())
        .subcommand(set)
        .subcommand(token::command())
        .subcommand(translate)
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("auth-method", matches)) => method::run(matches).await,
        Some(("binding-rule", matches)) => binding_rule::run(matches).await,
        Some(("bootstrap", matches)) => bootstrap(matches).await,
        Some(("policy", matches)) => policy::run(matches).await,
        Some(("role", matches)) => role::run(matches).await,
        Some(("set-agent-token", matches)) => set_agent_token(matches).await,
        Some(("token", matches)) => token::run(matches).await,
        Some(("translate-rules", matches)) => translate_rules(matches).await,
        _ => Err(Failure::usage("Must name a subcommand")),
    }
}

async fn bootstrap(matches: &ArgMatches) -> Outcome {
    let form = form(matches)?;
    let answer = call(&api(matches)?, Method::PUT, "/v1/acl/bootstrap", None).await;
    let answer = answer.map_err(Failure::about("Failed ACL bootstrapping"))?;
    Ok(asking::decode::<Token>(&answer)?.show(form))
}

async fn set_agent_token(matches: &ArgMatches) -> Outcome {
    let arguments = arguments(matches);
    let (kind, token) = match arguments.as_slice() {
        [] => return Err(Failure::new("Error! Missing TYPE and TOKEN arguments")),
        [_] => return Err(Failure::new("Error! Missing TOKEN argument")),
        [kind, token] => (kind.as_str(), token),
        more => return Err(Failure::new(format!("Error! Too many arguments (expected 2, got {})", more.len()))),
    };
    let word = match kind {
        "default" | "agent" | "replication" | "dns" | "config_file_service_registration" => kind,
        "master" => "agent_master",
        "recovery" => "agent_recovery",
        _ => return Err(Failure::new("Unknown token type")),
    };
    let api = api(matches)?;
    let answer = call(&api, Method::PUT, &format!("/v1/agent/token/{word}"), Some(json!({ "Token": token }))).await;
    answer.map_err(Failure::about(format!("Failed to set ACL token {kind:?}")))?;
    Ok(Output::line(format!("ACL token {kind:?} set successfully")))
}

async fn translate_rules(matches: &ArgMatches) -> Outcome {
    if given(matches, "token-accessor").or(given(matches, "token-secret")).is_some() {
        return Err(Failure::new("Token is not a legacy token with rules"));
    }
    let arguments = arguments(matches);
    let [rules] = arguments.as_slice() else {
        return Err(Failure::new("Error! Missing TRANSLATE argument"));
    };
    let rules = asking::load(rules).map_err(|why| Failure::new(format!("Error! {why}")))?;
    let rules = model::acl::translate_rules(&rules).map_err(|error| {
        let text = error.to_string();
        let why = text.strip_prefix("Failed to parse ACL rules: ").unwrap_or(&text);
        Failure::new(format!("Error translating rules: Failed to parse rules: {why}"))
    })?;
    Ok(Output::line(rules))
}

/// Reads a list of the API.
async fn list(api: &super::connection::Api, path: &str, more: &[(&str, &str)]) -> Result<bytes::Bytes, client::Error> {
    let query = more.iter().fold(api.query(), |query: Query, (name, value)| query.with(name, value));
    api.client.get_raw(path, &query).await.map(|raw| raw.body)
}
