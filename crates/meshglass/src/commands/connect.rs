//! `connect proxy`: this program as the sidecar of one service.

use std::process::ExitCode;

use clap::{ArgMatches, Command};
use client::Client;
use tokio::signal::unix::{SignalKind, signal};

use super::flags::{arguments, given, list, on, rest, switch, text, with_server};
use super::proxy_flags::{Registration, from_flags};
use super::{Failure, Outcome, api, connect_ca, expose, runtime};
use crate::{logging, resident};

/// Consul's way to mark what a long-running command says of itself.
const MARK: &str = "==>";

pub fn command() -> Command {
    let proxy = with_server(Command::new("proxy"))
        .about("Run the sidecar of a service")
        .long_about(
            "Runs a sidecar: it accepts calls for one service over mutual TLS, lets pass what the intentions allow, \
             and carries the service's own calls to its upstreams. What it has to do comes from the local agent, or \
             from a file.\n\n    $ consul connect proxy -sidecar-for web",
        )
        .arg(text("listen", "address", "With -service: accept the mesh's calls here."))
        .arg(switch("log-json", "Write the log as JSON."))
        .arg(text("log-level", "string", "The least level to log: trace, debug, info (the default), warn or err."))
        .arg(text("plan-file", "path", "Run from this plan, without an agent."))
        .arg(text("pprof-addr", "address", "Taken for Consul's sake; has no effect."))
        .arg(text("proxy-id", "id", "The id of the proxy service at the agent. Also: CONNECT_PROXY_ID."))
        .arg(switch("register", "With -listen: register the proxy, so that others find it."))
        .arg(text("register-id", "suffix", "Tells this proxy's registration from others of the same service."))
        .arg(text("service", "name", "Stand for this service, which needs no registration."))
        .arg(text("service-addr", "address", "With -listen: where the service itself listens."))
        .arg(text("sidecar-for", "id", "The id of the service to be the sidecar of. Also: CONNECT_SIDECAR_FOR."))
        .arg(list("upstream", "name:address", "With -service: offer this service on a local address."))
        .arg(rest(""));
    Command::new("connect")
        .about("Run the mesh's parts")
        .long_about("Runs the parts that carry traffic between services.")
        .subcommands([connect_ca::command(), expose::command(), proxy])
}

/// The words that only ask.
pub async fn ask(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("ca", matches)) => connect_ca::run(matches).await,
        Some(("expose", matches)) => expose::run(matches).await,
        _ => Err(Failure::usage("Must name one of ca, expose, proxy")),
    }
}

/// Runs until told to end.
pub fn run(matches: &ArgMatches) -> Result<ExitCode, Failure> {
    let failed = |text: String| Failure::new(format!("{MARK} {text}"));
    if !arguments(matches).is_empty() {
        return Err(failed("Should have no non-flag arguments.".to_owned()));
    }
    let word = given(matches, "log-level").unwrap_or("INFO");
    let level = logging::parse_level(word).ok_or_else(|| {
        failed(format!("Invalid log level: {word}. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"))
    })?;
    println!("{MARK} Consul Connect proxy starting...");
    runtime()?
        .block_on(serve(matches, level))
        .map_err(|failure| Failure { text: format!("{MARK} {}", failure.text), ..failure })
}

async fn serve(matches: &ArgMatches, level: tracing::Level) -> Result<ExitCode, Failure> {
    let api = api(matches)?;
    let prepared = prepare(matches, &api.client)
        .await
        .map_err(|failure| Failure { text: format!("Error preparing configuration: {}", failure.text), ..failure })?;
    println!("\n{MARK} Log data will now stream in as it occurs:\n");
    logging::start(level, on(matches, "log-json"));
    let ended = ended(given(matches, "plan-file").is_some())
        .map_err(|e| Failure::new(format!("Error waiting for signals: {e}")))?;
    if let Some(registration) = &prepared.registration {
        registration.register(&api.client).await.map_err(Failure::about("Error registering the proxy"))?;
    }
    let outcome = carry(prepared.sidecar, ended).await;
    if let Some(registration) = &prepared.registration {
        let gone = registration.deregister(&api.client).await;
        if let Err(error) = gone {
            tracing::warn!(%error, "the proxy's registration stays at the agent");
        }
    }
    outcome?;
    println!("{MARK} Consul Connect proxy shutdown");
    Ok(ExitCode::SUCCESS)
}

async fn carry(config: proxy::Config, ended: impl Future<Output = ()>) -> Result<(), Failure> {
    let sidecar = proxy::Sidecar::start(config).map_err(|e| Failure::new(format!("Error starting the proxy: {e}")))?;
    let mut ended = std::pin::pin!(ended);
    tokio::select! {
        () = sidecar.ready() => {
            tracing::info!("Proxy loaded config and ready to serve");
            tokio::select! {
                () = ended => {}
                () = resident::give_back_when_quiet() => {}
            }
        }
        () = &mut ended => {}
    }
    sidecar.drain().await;
    Ok(())
}

/// Resolves at SIGINT, SIGTERM or a hang-up. With a plan file a hang-up ends nothing: the proxy reads the file again.
fn ended(plan_file: bool) -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv(), if !plan_file => {}
        }
    })
}

struct Prepared {
    sidecar: proxy::Config,
    /// Of a proxy that is made of flags.
    registration: Option<Registration>,
}

/// Decides what to run, and tells it as Consul does.
async fn prepare(matches: &ArgMatches, client: &Client) -> Result<Prepared, Failure> {
    if let Some(plan) = given(matches, "plan-file") {
        println!("    Configuration mode: Plan file\n                  Plan: {plan}");
        return Ok(Prepared { sidecar: proxy::Config::file(plan.into()), registration: None });
    }
    if given(matches, "service").is_some() {
        let registration = from_flags(matches)?;
        print!("{}", registration.summary());
        let sidecar = proxy::Config::agent(&registration.id, client.clone());
        return Ok(Prepared { sidecar, registration: Some(registration) });
    }
    let setting = |flag, variable| {
        given(matches, flag).map(str::to_owned).or_else(|| std::env::var(variable).ok()).filter(|id| !id.is_empty())
    };
    let (proxy_id, sidecar_for) =
        (setting("proxy-id", "CONNECT_PROXY_ID"), setting("sidecar-for", "CONNECT_SIDECAR_FOR"));
    let id = match (proxy_id, &sidecar_for) {
        (Some(id), _) => id,
        (None, Some(service)) => sidecar_of(client, service).await?,
        (None, None) => {
            return Err(Failure::new("-service or -proxy-id must be specified so that proxy can configure itself."));
        }
    };
    println!("    Configuration mode: Agent API");
    if let Some(service) = sidecar_for {
        println!("        Sidecar for ID: {service}");
    }
    println!("              Proxy ID: {id}");
    Ok(Prepared { sidecar: proxy::Config::agent(&id, client.clone()), registration: None })
}

/// The one proxy at the agent that stands for this service.
pub async fn sidecar_of(client: &Client, service: &str) -> Result<String, Failure> {
    let services = client.agent_services().await;
    let services = services.map_err(Failure::about(format!("Failed looking up sidecar proxy info for {service}")))?;
    let ids = services.into_iter().filter_map(|(id, known)| {
        let stands_for = known.proxy.destination_service_id.eq_ignore_ascii_case(service);
        (known.kind == "connect-proxy" && stands_for).then_some(id)
    });
    only(service, &ids.collect::<Vec<_>>())
}

fn only(service: &str, ids: &[String]) -> Result<String, Failure> {
    match ids {
        [] => Err(Failure::new(format!("No sidecar proxy registered for {service}"))),
        [id] => Ok(id.clone()),
        _ => Err(Failure::new(format!(
            "More than one sidecar proxy registered for {service}. Choose one of them with -proxy-id: {}",
            ids.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_service_has_exactly_one_sidecar() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        assert_eq!(only("web", &ids(&["web-sidecar-proxy"])).unwrap(), "web-sidecar-proxy");
        assert_eq!(only("nope", &[]).unwrap_err().text, "No sidecar proxy registered for nope");
        assert!(only("web", &ids(&["a", "b"])).unwrap_err().text.contains("-proxy-id: a, b"));
    }
}
