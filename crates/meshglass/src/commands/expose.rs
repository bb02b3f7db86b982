//! `connect expose`: offers a service through an ingress gateway.

use clap::{ArgMatches, Command};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::connection::{Api, TIMEOUT};
use super::flags::{every, given, list, number, rest, text, with_server};
use super::{Failure, Outcome, Output, api};

const INTENTIONS: &str = "/v1/connect/intentions";

pub fn command() -> Command {
    with_server(Command::new("expose"))
        .about("Offer a service through an ingress gateway")
        .long_about(
            "Adds a service to the listeners of an ingress gateway, and an intention that lets the gateway call it.\
             \n\n    $ consul connect expose -service web -ingress-gateway edge -port 8080",
        )
        .arg(list("host", "name", "With -protocol http: a host name that means this service."))
        .arg(text("ingress-gateway", "name", "The gateway's service."))
        .arg(number("port", "The port that the gateway listens on."))
        .arg(text("protocol", "string", "The listener's protocol. Default: tcp."))
        .arg(text("service", "name", "The service to offer."))
        .arg(rest(""))
}

/// What is to be offered, and where.
struct Wanted {
    service: String,
    namespace: String,
    gateway: String,
    port: i64,
    protocol: String,
    hosts: Vec<String>,
}

pub async fn run(matches: &ArgMatches) -> Outcome {
    let wanted = wanted(matches)?;
    let api = api(matches)?;
    let mut entry = existing(&api, &wanted.gateway).await?;
    let mut done = String::new();
    if add(&mut entry, &wanted)? {
        let (service, port) = (&wanted.service, wanted.port);
        done = format!("Updating service definition for \"{service}\" on listener with port {port}\n");
    }
    let index = entry["ModifyIndex"].as_u64().unwrap_or(0);
    let failed = |failure: Failure| Failure { done: done.clone(), ..failure };
    write(&api, &entry, index).await.map_err(failed)?;
    done.push_str(&format!("Successfully updated config entry for ingress service \"{}\"\n", wanted.gateway));
    let failed = |error| Failure { done: done.clone(), ..Failure::about("Error updating intention")(error) };
    let verb = if allow(&api, &wanted).await.map_err(failed)? {
        "Successfully set up intention"
    } else {
        "Intention already exists"
    };
    done.push_str(&format!("{verb} for \"{}\" -> \"{}\"\n", wanted.gateway, wanted.service));
    Ok(Output::text(done))
}

fn wanted(matches: &ArgMatches) -> Result<Wanted, Failure> {
    let needed = |flag: &str, what: &str| {
        given(matches, flag).ok_or_else(|| Failure::new(format!("{what} must be given via the -{flag} flag.")))
    };
    let service = needed("service", "A service name")?;
    let gateway = needed("ingress-gateway", "An ingress gateway service")?;
    let (namespace, service) = named(service).map_err(|why| Failure::new(format!("Invalid service name: {why}")))?;
    let (_, gateway) = named(gateway).map_err(|why| Failure::new(format!("Invalid ingress gateway name: {why}")))?;
    let port = matches.get_one::<i64>("port").copied().unwrap_or(0);
    if port == 0 {
        return Err(Failure::new("A port must be provided via the -port flag."));
    }
    let protocol = given(matches, "protocol").unwrap_or("tcp").to_ascii_lowercase();
    Ok(Wanted { service, namespace, gateway, port, protocol, hosts: every(matches, "host") })
}

/// `name` or `namespace/name`
fn named(text: &str) -> Result<(String, String), &'static str> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => Ok((String::new(), (*name).to_owned())),
        [namespace, name] => Ok(((*namespace).to_owned(), (*name).to_owned())),
        _ => Err("target can contain at most one '/'"),
    }
}

async fn existing(api: &Api, gateway: &str) -> Result<Value, Failure> {
    let path = format!("/v1/config/ingress-gateway/{}", client::escape(gateway));
    match api.client.get::<Value>(&path, &api.query()).await {
        Ok(answer) => Ok(answer.value),
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => {
            Ok(json!({ "Kind": "ingress-gateway", "Name": gateway, "Listeners": [] }))
        }
        Err(error) => Err(Failure::about("Error fetching existing ingress configuration")(error)),
    }
}

/// Adds the service; true when it was there and is changed.
fn add(entry: &mut Value, wanted: &Wanted) -> Result<bool, Failure> {
    let mut service = json!({ "Name": wanted.service });
    if !wanted.hosts.is_empty() {
        service["Hosts"] = json!(wanted.hosts);
    }
    if !wanted.namespace.is_empty() {
        service["Namespace"] = json!(wanted.namespace);
    }
    if !entry["Listeners"].is_array() {
        entry["Listeners"] = json!([]);
    }
    let Some(listeners) = entry["Listeners"].as_array_mut() else { return Ok(false) };
    let Some(listener) = listeners.iter_mut().find(|listener| listener["Port"] == wanted.port) else {
        listeners.push(json!({ "Port": wanted.port, "Protocol": wanted.protocol, "Services": [service] }));
        return Ok(false);
    };
    let protocol = listener["Protocol"].as_str().unwrap_or("tcp");
    if protocol != wanted.protocol {
        return Err(Failure::new(format!(
            "Listener on port {} already configured with conflicting protocol \"{protocol}\"",
            wanted.port
        )));
    }
    if !listener["Services"].is_array() {
        listener["Services"] = json!([]);
    }
    let Some(services) = listener["Services"].as_array_mut() else { return Ok(false) };
    match services.iter_mut().find(|known| known["Name"] == wanted.service) {
        Some(known) => {
            *known = service;
            Ok(true)
        }
        None => {
            services.push(service);
            Ok(false)
        }
    }
}

async fn write(api: &Api, entry: &Value, index: u64) -> Result<(), Failure> {
    const WHAT: &str = "Error writing ingress config entry";
    let path = api.query().with("cas", &index.to_string()).path("/v1/config");
    let answer = api.client.send(Method::PUT, &path, entry.to_string().into(), TIMEOUT).await;
    let answer = answer.and_then(client::Raw::success).map_err(Failure::about(WHAT))?;
    match answer.text().contains("true") {
        true => Ok(()),
        false => Err(Failure::new("Ingress config was changed while attempting to update, please try again.")),
    }
}

/// Lets the gateway call the service; false when it may already.
async fn allow(api: &Api, wanted: &Wanted) -> Result<bool, client::Error> {
    let all = api.client.intentions(&api.query()).await?;
    let known = all.iter().find(|i| i.source_name == wanted.gateway && i.destination_name == wanted.service);
    let mut body = json!({ "SourceType": "consul", "SourceName": wanted.gateway, "DestinationName": wanted.service,
        "Action": "allow" });
    let (method, path) = match known {
        Some(intention) if intention.action == "allow" => return Ok(false),
        Some(intention) => {
            body["ID"] = json!(intention.id);
            (Method::PUT, format!("{INTENTIONS}/{}", client::escape(&intention.id)))
        }
        None => (Method::POST, INTENTIONS.to_owned()),
    };
    api.client.send(method, &api.path(&path), body.to_string().into(), TIMEOUT).await?.success()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn wanted(service: &str, protocol: &str) -> Wanted {
        let text = str::to_owned;
        Wanted {
            service: text(service),
            namespace: String::new(),
            gateway: text("edge"),
            port: 80,
            protocol: text(protocol),
            hosts: vec![text("a.example")],
        }
    }

    #[test]
    fn a_service_is_added_to_its_listener_once() {
        let mut entry = json!({ "Kind": "ingress-gateway", "Name": "edge" });
        assert!(!add(&mut entry, &wanted("web", "http")).unwrap());
        assert!(!add(&mut entry, &wanted("api", "http")).unwrap());
        assert!(add(&mut entry, &wanted("web", "http")).unwrap());
        let services = [json!({"Name": "web", "Hosts": ["a.example"]}), json!({"Name": "api", "Hosts": ["a.example"]})];
        let listener = json!({ "Port": 80, "Protocol": "http", "Services": services });
        assert_eq!(entry["Listeners"], json!([listener]));
        let refused = add(&mut entry, &wanted("db", "tcp")).unwrap_err();
        assert_eq!(refused.text, "Listener on port 80 already configured with conflicting protocol \"http\"");
        assert_eq!(named("a/b"), Ok(("a".to_owned(), "b".to_owned())));
        assert!(named("a/b/c").is_err());
    }
}
