//! `connect ca get-config|set-config`: how the certificate authority works.

use std::collections::BTreeMap;

use clap::{ArgMatches, Command};
use http::Method;
use model::hcl::Format;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::connection::TIMEOUT;
use super::flags::{given, on, rest, switch, text, with_server};
use super::{Failure, Outcome, Output, api, json as layout, open_error};

const PATH: &str = "/v1/connect/ca/configuration";

pub fn command() -> Command {
    let get = with_server(Command::new("get-config"))
        .about("Show how the certificate authority works")
        .long_about("Shows the provider of certificates and its configuration, as JSON.");
    let set = with_server(Command::new("set-config"))
        .about("Change how the certificate authority works")
        .long_about(
            "Replaces the configuration of the certificate authority with that of a file of JSON, with `Provider` \
             and `Config`. Another root or key rotates the root.",
        )
        .arg(text("config-file", "string", "The file."))
        .arg(switch("force-without-cross-signing", "Rotate even if the old root cannot sign the new one."));
    Command::new("ca")
        .about("Look after the certificate authority")
        .long_about("Shows and changes how the certificate authority works.")
        .subcommands([get.arg(rest("")), set.arg(rest(""))])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("get-config", matches)) => get(matches).await,
        Some(("set-config", matches)) => set(matches).await,
        _ => Err(Failure::usage("Must name one of get-config, set-config")),
    }
}

/// In the order in which Consul prints it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    provider: String,
    #[serde(default)]
    config: Value,
    #[serde(default)]
    state: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    force_without_cross_signing: bool,
    #[serde(default)]
    create_index: u64,
    #[serde(default)]
    modify_index: u64,
}

async fn get(matches: &ArgMatches) -> Outcome {
    const WHAT: &str = "Error querying CA configuration";
    let api = api(matches)?;
    let answer = api.client.get::<Configuration>(PATH, &api.query()).await.map_err(Failure::about(WHAT))?;
    let text = serde_json::to_string(&answer.value).map_err(|error| Failure::new(format!("{WHAT}: {error}")))?;
    Ok(Output::line(layout::indent(&text, "\t")))
}

async fn set(matches: &ArgMatches) -> Outcome {
    let file = given(matches, "config-file").ok_or_else(|| Failure::new("The -config-file flag is required"))?;
    let reading = |e: &std::io::Error| Failure::new(format!("Error reading config file: {}", open_error(file, e)));
    let text = std::fs::read(file).map_err(|e| reading(&e))?;
    let parsing = |why: String| Failure::new(format!("Error parsing config file: {why}"));
    Format::Json.parse(&text).map_err(|error| parsing(error.consul_text()))?;
    let mut body: Value = serde_json::from_slice(&text).map_err(|error| parsing(error.to_string()))?;
    if on(matches, "force-without-cross-signing") {
        body["ForceWithoutCrossSigning"] = json!(true);
    }
    let api = api(matches)?;
    let answer = api.client.send(Method::PUT, &api.path(PATH), body.to_string().into(), TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about("Error setting CA configuration"))?;
    Ok(Output::line("Configuration updated!"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_configuration_is_shown_in_consul_s_order() {
        let answer = r#"{"ModifyIndex":5,"Config":{"LeafCertTTL":"72h"},"Provider":"consul","CreateIndex":5}"#;
        let shown = serde_json::to_string(&serde_json::from_str::<Configuration>(answer).unwrap()).unwrap();
        let wanted = r#"{"Provider":"consul","Config":{"LeafCertTTL":"72h"},"State":null,"CreateIndex":5,"#;
        assert!(shown.starts_with(wanted), "{shown}");
    }
}
