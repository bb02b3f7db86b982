//! `services register|deregister`

use std::collections::BTreeMap;

use bytes::Bytes;
use clap::{ArgMatches, Command};
use http::Method;
use model::{Service, ServiceAddress, ServiceDefinition, ServiceKind};

use super::connection::{Api, TIMEOUT};
use super::flags::{arguments, every, given, list, number, pairs, rest, text, with_namespace, with_server};
use super::{Failure, Outcome, Output, api, definitions};

pub fn command() -> Command {
    let register = with_namespace(with_server(Command::new("register")))
        .about("Register services with the local agent")
        .long_about(
            "Registers the services of definition files, or one service made of flags. The agent keeps them until it \
             ends or they are deregistered.\n\n    $ consul services register web.hcl\n    \
             $ consul services register -name web -port 8080",
        )
        .arg(text("address", "string", "The service's address. Default: the node's."))
        .arg(text("id", "string", "The service's id. Default: its name."))
        .arg(text("kind", "string", "The service's kind. Default: an ordinary service."))
        .arg(list("meta", "key=value", "Metadata of the service."))
        .arg(text("name", "string", "The service's name."))
        .arg(number("port", "The service's port."))
        .arg(list("tag", "value", "A tag of the service."))
        .arg(list("tagged-address", "name=host:port", "Another address of the service."))
        .arg(rest("[FILE...]"));
    let deregister = with_namespace(with_server(Command::new("deregister")))
        .about("Deregister services from the local agent")
        .long_about("Deregisters the services of definition files, or the one with this id.")
        .arg(text("id", "string", "The service's id."))
        .arg(rest("[FILE...]"));
    Command::new("services")
        .about("Register and deregister services")
        .long_about("Registers services with the local agent and takes them away again.")
        .subcommands([deregister, register])
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    match matches.subcommand() {
        Some(("register", matches)) => register(matches).await,
        Some(("deregister", matches)) => deregister(matches).await,
        _ => Err(Failure::usage("Must name one of deregister, register")),
    }
}

async fn register(matches: &ArgMatches) -> Outcome {
    let files = arguments(matches);
    let named = given(matches, "name").is_some();
    if files.is_empty() && !named {
        return Err(Failure::new("Service registration requires at least one argument or flags."));
    }
    if !files.is_empty() && named {
        return Err(Failure::new("Service registration requires arguments or -id, not both."));
    }
    let mut output = Output::default();
    let services = match named {
        true => vec![from_flags(matches)?],
        false => from_files(&files, &mut output.stderr)?,
    };
    let api = api(matches)?;
    for service in services {
        let name = &service.service.service;
        let body = Bytes::from(client::registration(&service).to_string());
        let path = api.path("/v1/agent/service/register");
        if let Err(error) = put(&api, &path, body).await {
            let text = format!("Error registering service \"{name}\": {error}");
            return Err(Failure { done: output.stdout, ..Failure::new(text) });
        }
        output.stdout.push_str(&format!("Registered service: {name}\n"));
    }
    Ok(output)
}

async fn put(api: &Api, path: &str, body: Bytes) -> Result<(), client::Error> {
    api.client.send(Method::PUT, path, body, TIMEOUT).await?.success().map(drop)
}

fn from_flags(matches: &ArgMatches) -> Result<ServiceDefinition, Failure> {
    let text = |flag| given(matches, flag).unwrap_or_default().to_owned();
    let kind = match given(matches, "kind") {
        None => ServiceKind::Typical,
        Some(kind) => serde_json::from_value(kind.into()).unwrap_or_else(|_| ServiceKind::Other(kind.to_owned())),
    };
    let port = matches.get_one::<i64>("port").copied().unwrap_or(0);
    let service = Service {
        kind,
        id: text("id"),
        service: text("name"),
        tags: every(matches, "tag"),
        meta: pairs(matches, "meta")?,
        port: u16::try_from(port).map_err(|_| Failure::new(format!("Invalid port: {port}, expected 0 to 65535")))?,
        address: text("address"),
        tagged_addresses: tagged_addresses(matches)?,
        ..Service::default()
    };
    Ok(ServiceDefinition { service, ..ServiceDefinition::default() })
}

fn tagged_addresses(matches: &ArgMatches) -> Result<BTreeMap<String, ServiceAddress>, Failure> {
    let parse = |(name, text): (String, String)| {
        let bad = |why: &str| Failure::new(format!("Invalid Tagged Address: address {text}: {why}"));
        let (address, port) = text.rsplit_once(':').ok_or_else(|| bad("missing port in address"))?;
        let port = port.parse().map_err(|_| bad("invalid port"))?;
        Ok((name, ServiceAddress { address: address.trim_matches(['[', ']']).to_owned(), port }))
    };
    pairs(matches, "tagged-address")?.into_iter().map(parse).collect()
}

fn from_files(files: &[String], notes: &mut String) -> Result<Vec<ServiceDefinition>, Failure> {
    let mut services = Vec::new();
    for file in files {
        let (mut found, warnings) = definitions::services(file)?;
        services.append(&mut found);
        notes.extend(warnings.iter().map(|warning| format!("{warning}\n")));
    }
    Ok(services)
}

async fn deregister(matches: &ArgMatches) -> Outcome {
    let files = arguments(matches);
    let mut output = Output::default();
    let ids = match (given(matches, "id"), files.is_empty()) {
        (None, true) => return Err(Failure::new("Service deregistration requires at least one argument or -id.")),
        (Some(_), false) => return Err(Failure::new("Service deregistration requires arguments or -id, not both.")),
        (Some(id), true) => vec![id.to_owned()],
        (None, false) => from_files(&files, &mut output.stderr)?.into_iter().map(id_of).collect(),
    };
    let api = api(matches)?;
    for id in ids {
        let path = api.path(&format!("/v1/agent/service/deregister/{}", client::escape(&id)));
        if let Err(error) = put(&api, &path, Bytes::new()).await {
            let text = format!("Error deregistering service \"{id}\": {error}");
            return Err(Failure { done: output.stdout, ..Failure::new(text) });
        }
        output.stdout.push_str(&format!("Deregistered service: {id}\n"));
    }
    Ok(output)
}

/// A service without an id has its name for one.
fn id_of(definition: ServiceDefinition) -> String {
    let Service { id, service, .. } = definition.service;
    if id.is_empty() { service } else { id }
}
