//! `maint`: takes a node or a service out of use, and puts it back.

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use serde::Deserialize;

use super::connection::{Api, TIMEOUT};
use super::flags::{given, on, rest, switch, text, with_agent};
use super::{Failure, Outcome, Output, agent_name, api};

const NODE_CHECK: &str = "_node_maintenance";
const SERVICE_CHECK: &str = "_service_maintenance:";

pub fn command() -> Command {
    with_agent(Command::new("maint"))
        .about("Take a node or a service out of use")
        .long_about(
            "Marks the agent's node, or one of its services, as in maintenance: nobody is sent there. Without a flag \
             it shows what is in maintenance.\n\n    $ consul maint -enable -service web -reason 'new disk'",
        )
        .arg(switch("disable", "End the maintenance."))
        .arg(switch("enable", "Begin the maintenance."))
        .arg(text("reason", "string", "With -enable: why."))
        .arg(text("service", "serviceID", "The service's id. Default: the whole node."))
        .arg(rest(""))
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let (enable, disable) = (on(matches, "enable"), on(matches, "disable"));
    let (service, reason) = (given(matches, "service"), given(matches, "reason"));
    if enable && disable {
        return Err(Failure::new("Only one of -enable or -disable may be provided"));
    }
    if !enable && reason.is_some() {
        return Err(Failure::new("Reason may only be provided with -enable"));
    }
    if !enable && !disable && service.is_some() {
        return Err(Failure::new("Service requires either -enable or -disable"));
    }
    let api = api(matches)?;
    agent_name(&api).await?;
    if !enable && !disable {
        return shown(&api).await;
    }
    set(&api, enable, service, reason).await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Check {
    node: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    notes: String,
}

async fn shown(api: &Api) -> Outcome {
    let checks = api.client.get::<BTreeMap<String, Check>>("/v1/agent/checks", &api.query()).await;
    let checks = checks.map_err(Failure::about("Error getting checks"))?.value;
    let shown = checks.iter().filter_map(|(id, check)| match id.as_str() {
        NODE_CHECK => Some(format!("Node:\n  Name:   {}\n  Reason: {}\n\n", check.node, check.notes)),
        id if id.starts_with(SERVICE_CHECK) => {
            Some(format!("Service:\n  ID:     {}\n  Reason: {}\n\n", check.service_id, check.notes))
        }
        _ => None,
    });
    Ok(Output::text(shown.collect::<String>()))
}

async fn set(api: &Api, enable: bool, service: Option<&str>, reason: Option<&str>) -> Outcome {
    let mut query = api.query().with("enable", if enable { "true" } else { "false" });
    if enable {
        query = query.with("reason", reason.unwrap_or_default());
    }
    let path = match service {
        Some(id) => format!("/v1/agent/service/maintenance/{}", client::escape(id)),
        None => "/v1/agent/maintenance".to_owned(),
    };
    let (verb, state) = if enable { ("enabling", "enabled") } else { ("disabling", "disabled") };
    let what = if service.is_some() { "service" } else { "node" };
    let answer = api.client.send(Method::PUT, &query.path(&path), Bytes::new(), TIMEOUT).await;
    answer.and_then(client::Raw::success).map_err(Failure::about(format!("Error {verb} {what} maintenance")))?;
    Ok(Output::line(match service {
        Some(id) => format!("Service maintenance is now {state} for \"{id}\""),
        None => format!("Node maintenance is now {state}"),
    }))
}
