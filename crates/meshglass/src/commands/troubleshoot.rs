//! `troubleshoot upstreams|proxy|ports`: what a sidecar is to do, and what stands in its way.

mod findings;
mod ports;

use clap::{ArgMatches, Command};
use client::Client;
use plan::Plan;

use super::flags::{given, rest, text, with_agent};
use super::table::{columns, row};
use super::terminal::Colours;
use super::{Failure, Outcome, Output, api, connect};
use findings::Finding;

pub fn command() -> Command {
    let named = |command: Command| {
        with_agent(command)
            .arg(text("proxy-id", "id", "The id of the sidecar at the agent."))
            .arg(text("sidecar-for", "id", "The id of the service that the sidecar stands for."))
            .arg(rest(""))
    };
    let upstreams = named(Command::new("upstreams")).about("List the upstreams of a sidecar").long_about(
        "Lists where a sidecar listens for its service's calls, whom they go to, and how many instances can \
             answer.\n\n    $ consul troubleshoot upstreams -sidecar-for web",
    );
    let proxy = named(Command::new("proxy"))
        .about("Find out why calls of a sidecar fail")
        .long_about(
            "Looks at all that a sidecar needs: its registration, certificate, checks, listeners, the instances of \
             its upstreams and the intentions. Exits with 1 when something is wrong.\n\n    \
             $ consul troubleshoot proxy -sidecar-for web -upstream db",
        )
        .arg(text("upstream", "name", "Only this upstream."));
    Command::new("troubleshoot")
        .about("Find out what is wrong in the mesh")
        .long_about("Finds out why calls between services fail.")
        .subcommands([ports::command(), proxy, upstreams])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("upstreams", matches)) => upstreams(matches).await,
        Some(("proxy", matches)) => proxy(matches).await,
        Some(("ports", matches)) => ports::run(matches).await,
        _ => Err(Failure::usage("Must name one of ports, proxy, upstreams")),
    }
}

/// The plan of the sidecar that the flags name.
async fn plan_of(client: &Client, matches: &ArgMatches) -> Result<Plan, Failure> {
    let id = match (given(matches, "proxy-id"), given(matches, "sidecar-for")) {
        (Some(id), None) => id.to_owned(),
        (None, Some(service)) => connect::sidecar_of(client, service).await?,
        _ => return Err(Failure::usage("Must name the sidecar with one of -sidecar-for, -proxy-id")),
    };
    let path = format!("/v1/agent/connect/proxy/{}", client::escape(&id));
    let plan = client.get::<Plan>(&path, &client::Query::default()).await;
    Ok(plan.map_err(Failure::about(format!("Error reading the plan of \"{id}\"")))?.value)
}

async fn upstreams(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let plan = plan_of(&api.client, matches).await?;
    if plan.outbound.is_empty() {
        let stderr = format!("The sidecar {} has no upstreams.\n", plan.proxy.id);
        return Ok(Output { stderr, ..Output::default() });
    }
    let mut rows = vec![row(["Upstream", "Listens on", "Protocol", "Target", "Healthy", "Instances"])];
    for outbound in &plan.outbound {
        for target in findings::targets(&plan, outbound) {
            let instances = findings::instances(&api.client, target).await?;
            let healthy = instances.iter().filter(|instance| instance.failing.is_empty()).count();
            rows.push(row([
                &outbound.name,
                &format!("{}:{}", outbound.bind, outbound.port),
                outbound.protocol.as_str(),
                &target.id.0,
                &healthy.to_string(),
                &instances.len().to_string(),
            ]));
        }
    }
    Ok(Output::text(columns(&rows)))
}

async fn proxy(matches: &ArgMatches) -> Outcome {
    let api = api(matches)?;
    let plan = plan_of(&api.client, matches).await?;
    let wanted = given(matches, "upstream");
    if let Some(name) = wanted
        && !plan.outbound.iter().any(|outbound| outbound.name == name)
    {
        let known: Vec<&str> = plan.outbound.iter().map(|outbound| outbound.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Failure::new(format!("No upstream \"{name}\" of {}; its upstreams: {known}", plan.proxy.id)));
    }
    let mut found = findings::of_sidecar(&api.client, &plan).await?;
    for outbound in plan.outbound.iter().filter(|outbound| wanted.is_none_or(|name| outbound.name == name)) {
        found.extend(findings::of_upstream(&api.client, &plan, outbound).await?);
    }
    Ok(report(&found, Colours::of_stdout()))
}

fn report(found: &[Finding], colours: Colours) -> Output {
    let mut out = String::new();
    for finding in found {
        let mark = match finding {
            Finding::Good(_) => colours.good("✓"),
            Finding::Doubtful(..) => colours.doubtful("?"),
            Finding::Bad(..) => colours.bad("!"),
        };
        let (what, advice) = finding.text();
        out.push_str(&format!(" {mark} {what}\n"));
        if !advice.is_empty() {
            out.push_str(&format!("   -> {advice}\n"));
        }
    }
    let bad = found.iter().any(|finding| matches!(finding, Finding::Bad(..)));
    Output { code: u8::from(bad), ..Output::text(out) }
}
