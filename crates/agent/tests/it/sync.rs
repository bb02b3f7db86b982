//! The catalog follows the agent, and never the other way round but for tags that may be overridden.

use std::time::Duration;

use agent::Agent;
use model::{CheckDefinition, CheckKind, Status};
use serde_json::json;

use crate::{agent, config, eventually, get, server, service, with_check, with_sidecar};

fn ttl() -> CheckDefinition {
    let kind = CheckKind::Ttl(Duration::from_secs(3600));
    CheckDefinition { id: "c".into(), ..CheckDefinition::new("c", kind) }
}

#[tokio::test]
async fn a_service_its_sidecar_and_its_checks_reach_the_catalog_and_leave_it() {
    let (agent, server) = agent().await;
    agent.register_service(with_sidecar("web"), false).unwrap();
    eventually("both in the catalog", || async {
        let node = get(&server, "/v1/catalog/node/n1").await;
        let sidecar = &node["Services"]["web-sidecar-proxy"];
        (sidecar["Proxy"]["DestinationServiceID"] == "web" && sidecar["Port"] == 21000).then_some(())
    })
    .await;
    let checks = get(&server, "/v1/health/node/n1").await;
    let ids: Vec<&str> = checks.as_array().unwrap().iter().map(|c| c["CheckID"].as_str().unwrap()).collect();
    assert_eq!(ids, ["serfHealth", "service:web-sidecar-proxy:1", "service:web-sidecar-proxy:2"]);
    agent.deregister_service("web").unwrap();
    eventually("nothing but the node", || async {
        (get(&server, "/v1/catalog/node/n1").await["Services"] == json!({})).then_some(())
    })
    .await;
    agent.leave().await.unwrap();
    assert_eq!(get(&server, "/v1/catalog/node/n1").await, json!(null));
}

#[tokio::test]
async fn a_status_is_written_at_once_and_output_alone_later() {
    let server = server().await;
    let agent = Agent::start(config(), server.clone());
    agent.register_service(with_check("web", ttl()), false).unwrap();
    let check = async || {
        let checks = get(&server, "/v1/health/checks/web").await;
        (checks[0]["Status"].clone(), checks[0]["Output"].clone())
    };
    agent.update_ttl("c", Status::Passing, "one").unwrap();
    eventually("the status", || async { (check().await == (json!("passing"), json!("one"))).then_some(()) }).await;
    agent.update_ttl("c", Status::Passing, "two").unwrap();
    // A later change that must be written shows that the round is over in which the output could have been.
    agent.register_service(service("marker", 1), false).unwrap();
    eventually("the marker", || async { get(&server, "/v1/catalog/services").await.get("marker").map(|_| ()) }).await;
    assert_eq!(check().await.1, json!("one"));
    agent.update_ttl("c", Status::Critical, "three").unwrap();
    eventually("both", || async { (check().await == (json!("critical"), json!("three"))).then_some(()) }).await;
    agent.shutdown();
}

#[tokio::test]
async fn held_output_is_written_when_its_time_has_come() {
    let server = server().await;
    let mut config = config();
    config.check_update_interval = Duration::from_millis(50);
    let agent = Agent::start(config, server.clone());
    agent.register_service(with_check("web", ttl()), false).unwrap();
    agent.update_ttl("c", Status::Passing, "one").unwrap();
    agent.update_ttl("c", Status::Passing, "two").unwrap();
    eventually("the new output", || async {
        (get(&server, "/v1/health/checks/web").await[0]["Output"] == "two").then_some(())
    })
    .await;
    agent.shutdown();
}

#[tokio::test]
async fn tampering_is_undone_and_overridden_tags_are_taken() {
    let server = server().await;
    let mut config = config();
    config.sync_interval = Duration::from_millis(50);
    let agent = Agent::start(config, server.clone());
    agent.register_service(service("web", 80), false).unwrap();
    let mut open = service("open", 81);
    open.service.enable_tag_override = true;
    agent.register_service(open, false).unwrap();
    agent.ready().await.unwrap();
    let tamper = |service| json!({"Node": "n1", "Address": "127.0.0.1", "SkipNodeUpdate": true, "Service": service});
    for service in [
        json!({"Service": "web", "ID": "web", "Port": 666}),
        json!({"Service": "foreign", "ID": "foreign"}),
        json!({"Service": "open", "ID": "open", "Port": 666, "Tags": ["theirs"], "EnableTagOverride": true}),
    ] {
        server.put("/v1/catalog/register", &tamper(service)).await.unwrap();
    }
    eventually("the catalog as the agent wants it", || async {
        let services = get(&server, "/v1/catalog/node/n1").await["Services"].clone();
        let open = &services["open"];
        let good = services["web"]["Port"] == 80 && services.get("foreign").is_none();
        (good && open["Port"] == 81 && open["Tags"] == json!(["theirs"])).then_some(())
    })
    .await;
    assert_eq!(agent.services()["open"].tags, ["theirs"]);
    agent.shutdown();
}

#[tokio::test]
async fn a_server_that_is_away_is_written_to_when_it_is_back() {
    let real = server().await;
    let up = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (gate, behind) = (up.clone(), real.clone());
    let flaky = client::Client::in_process(move |request| {
        let (gate, behind) = (gate.clone(), behind.clone());
        async move {
            if !gate.load(std::sync::atomic::Ordering::SeqCst) {
                let mut down = http::Response::new(bytes::Bytes::from_static(b"no server"));
                *down.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                return down;
            }
            let (parts, body) = request.into_parts();
            let path = parts.uri.to_string();
            let raw = behind.send(parts.method, &path, body, Duration::from_secs(600)).await.unwrap();
            let mut answer = http::Response::new(raw.body);
            *answer.status_mut() = raw.status;
            *answer.headers_mut() = raw.headers;
            answer
        }
    });
    let agent = Agent::start(config(), flaky);
    agent.register_service(service("web", 80), false).unwrap();
    up.store(true, std::sync::atomic::Ordering::SeqCst);
    eventually("the service in the catalog", || async {
        get(&real, "/v1/catalog/node/n1").await["Services"].get("web").map(|_| ())
    })
    .await;
    agent.shutdown();
}

/// A service whose token has no rights, or that the servers cannot take, is its own problem.
#[tokio::test]
async fn one_refused_registration_does_not_stop_the_others() {
    let server = server().await;
    let inner = server.clone();
    let picky = client::Client::in_process(move |request: http::Request<bytes::Bytes>| {
        let inner = inner.clone();
        async move {
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let refused = [("\"Service\":\"locked\"", 403), ("\"Service\":\"odd\"", 500)];
            if let Some((_, status)) = refused.iter().find(|(word, _)| body.contains(word)) {
                let mut answer = http::Response::new(bytes::Bytes::from_static(b"Permission denied"));
                *answer.status_mut() = http::StatusCode::from_u16(*status).unwrap();
                return answer;
            }
            let path = request.uri().to_string();
            let sent = inner.send(request.method().clone(), &path, request.into_body(), Duration::from_secs(9)).await;
            let raw = sent.unwrap();
            let mut answer = http::Response::new(raw.body);
            (*answer.status_mut(), *answer.headers_mut()) = (raw.status, raw.headers);
            answer
        }
    });
    let agent = Agent::start(config(), picky);
    for name in ["locked", "odd", "zebra"] {
        agent.register_service(service(name, 1), false).unwrap();
    }
    eventually("the last of them", || async { get(&server, "/v1/catalog/services").await.get("zebra").map(|_| ()) })
        .await;
    let services = get(&server, "/v1/catalog/services").await;
    assert!(services.get("locked").is_none() && services.get("odd").is_none(), "{services}");
    agent.shutdown();
}

/// A catalog that outlives the agent keeps what it knows until the agent's checks have had a chance to speak.
#[tokio::test]
async fn a_restart_is_no_outage() {
    let server = server().await;
    let first = Agent::start(config(), server.clone());
    first.register_service(with_check("web", ttl()), false).unwrap();
    first.update_ttl("c", Status::Passing, "fine").unwrap();
    let status = async || get(&server, "/v1/health/checks/web").await[0]["Status"].clone();
    eventually("passing in the catalog", || async { (status().await == "passing").then_some(()) }).await;
    first.shutdown();
    let definitions = vec![with_check("web", ttl())];
    let (second, _) = Agent::start_with(config(), server.clone(), definitions, Vec::new());
    second.register_service(service("marker", 1), false).unwrap();
    eventually("a round", || async { get(&server, "/v1/catalog/services").await.get("marker").map(|_| ()) }).await;
    assert_eq!(status().await, "passing");
    eventually("nobody speaks for it", || async { (status().await == "critical").then_some(()) }).await;
    second.shutdown();
}
