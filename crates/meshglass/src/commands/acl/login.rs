//! `login`, `logout`

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use clap::{ArgMatches, Command};
use http::Method;
use serde_json::json;

use super::asking::{call, decode};
use super::shapes::Token;
use crate::commands::flags::{arguments, given, list, pairs, rest, text, with_namespace, with_server};
use crate::commands::{Failure, Outcome, Output, api, open_error};

pub fn login_command() -> Command {
    with_namespace(with_server(Command::new("login")))
        .about("Get a token by proving who one is")
        .long_about(
            "Proves who one is by a bearer token of somebody else, and writes the secret of the new token to a \
             file.\n\n    $ consul login -method kube -bearer-token-file jwt -token-sink-file token",
        )
        .arg(text("bearer-token-file", "string", "The file with the bearer token."))
        .arg(list("meta", "key=value", "Metadata to keep with the token."))
        .arg(text("method", "string", "The way to log in."))
        .arg(text("token-sink-file", "string", "The file to write the new token to."))
        .arg(text("type", "string", "The type of the method; the servers know it, so this has no effect."))
        .arg(rest(""))
}

pub fn logout_command() -> Command {
    with_server(Command::new("logout"))
        .about("Give up a token that was got by logging in")
        .long_about("Deletes the token that this command uses, if it was got by logging in.")
        .arg(rest(""))
}

const NO_ARGUMENTS: &str = "Should have no non-flag arguments.";

pub async fn login(matches: &ArgMatches) -> Outcome {
    if !arguments(matches).is_empty() {
        return Err(Failure::new(NO_ARGUMENTS));
    }
    let required =
        |flag: &str| given(matches, flag).ok_or_else(|| Failure::new(format!("Missing required '-{flag}' flag")));
    let (method, sink) = (required("method")?, required("token-sink-file")?);
    let file = required("bearer-token-file")?;
    let bearer = std::fs::read_to_string(file).map_err(|error| Failure::new(open_error(file, &error)))?;
    let bearer = bearer.trim();
    if bearer.is_empty() {
        return Err(Failure::new(format!("No bearer token found in {file}")));
    }
    let body = json!({ "AuthMethod": method, "BearerToken": bearer, "Meta": pairs(matches, "meta")? });
    let answer = call(&api(matches)?, Method::POST, "/v1/acl/login", Some(body)).await;
    let token: Token = decode(&answer.map_err(Failure::about("Error logging in"))?)?;
    keep(Path::new(sink), &token.secret_id)
        .map_err(|error| Failure::new(format!("Error writing token to file sink: {}", open_error(sink, &error))))?;
    Ok(Output::default())
}

/// Whole or not at all, and for nobody else to read.
fn keep(file: &Path, secret: &str) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = file.with_file_name(name);
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    out.write_all(secret.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)
}

pub async fn logout(matches: &ArgMatches) -> Outcome {
    if !arguments(matches).is_empty() {
        return Err(Failure::new(NO_ARGUMENTS));
    }
    let gone = call(&api(matches)?, Method::POST, "/v1/acl/logout", None).await;
    gone.map_err(Failure::about("Error destroying token"))?;
    Ok(Output::default())
}
