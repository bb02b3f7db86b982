//! What the agent follows: configuration, intentions, roots; and what it makes of them.

use std::time::{Duration, Instant};

use model::{Action, CheckDefinition, CheckKind};
use serde_json::json;

use crate::{agent, eventually, service, with_sidecar};

const FAST: Duration = Duration::from_millis(50);

#[tokio::test]
async fn an_intention_is_in_the_plan_within_milliseconds() {
    let (agent, server) = agent().await;
    agent.register_service(with_sidecar("db"), false).unwrap();
    let mut plan = agent.plan("db-sidecar-proxy").unwrap();
    plan.wait_for(Option::is_some).await.unwrap();
    let mut slowest = Duration::ZERO;
    for source in ["a", "b", "c", "d", "e"] {
        let intention = json!({"SourceName": source, "DestinationName": "db", "Action": "deny"});
        server.send(http::Method::POST, "/v1/connect/intentions", intention.to_string().into(), FAST).await.unwrap();
        let start = Instant::now();
        let has = |version: &Option<agent::PlanVersion>| {
            let rules = version.as_ref().map(|version| &version.plan.inbound[0].rules);
            rules.is_some_and(|rules| rules.iter().any(|rule| rule.intention.contains(&format!("default/{source} "))))
        };
        tokio::time::timeout(crate::DEADLINE, plan.wait_for(has)).await.unwrap().unwrap();
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < FAST, "{slowest:?}");
    agent.shutdown();
}

#[tokio::test]
async fn central_configuration_is_merged_into_sidecar_and_plan() {
    let (agent, server) = agent().await;
    agent.register_service(with_sidecar("api"), false).unwrap();
    let mut plan = agent.plan("api-sidecar-proxy").unwrap();
    let before = plan.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    let defaults = json!({"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}});
    server.put("/v1/config", &defaults).await.unwrap();
    let entry = json!({"Kind": "service-defaults", "Name": "api", "Protocol": "grpc"});
    server.put("/v1/config", &entry).await.unwrap();
    eventually("the protocol in the registration", || async {
        let proxy = agent.service("api-sidecar-proxy")?.proxy?;
        (proxy.config.get("protocol")? == "grpc").then_some(())
    })
    .await;
    let grpc = |version: &Option<agent::PlanVersion>| {
        version.as_ref().is_some_and(|v| v.plan.inbound[0].protocol == model::Protocol::Grpc)
    };
    let after = plan.wait_for(grpc).await.unwrap().clone().unwrap();
    assert_ne!(before.hash, after.hash);
    assert_eq!(agent.service("api").unwrap().proxy, None);
    agent.shutdown();
}

#[tokio::test]
async fn a_plan_stays_when_nothing_of_it_changes_and_ends_with_its_proxy() {
    let (agent, _) = agent().await;
    agent.register_service(with_sidecar("web"), false).unwrap();
    let mut plan = agent.plan("web-sidecar-proxy").unwrap();
    plan.wait_for(Option::is_some).await.unwrap();
    plan.mark_unchanged();
    agent.register_service(with_sidecar("other"), false).unwrap();
    let mut other = agent.plan("other-sidecar-proxy").unwrap();
    other.wait_for(Option::is_some).await.unwrap();
    assert!(!plan.has_changed().unwrap(), "another proxy's plan is no news");
    assert!(agent.plan("web").is_none() && agent.plan("nobody").is_none());
    agent.deregister_service("web").unwrap();
    assert!(plan.wait_for(|_| false).await.is_err(), "the watch ends");
    agent.shutdown();
}

#[tokio::test]
async fn decisions_are_consuls() {
    let (agent, server) = agent().await;
    for (source, action) in [("web", "allow"), ("*", "deny")] {
        let intention = json!({"SourceName": source, "DestinationName": "db", "Action": action});
        server.send(http::Method::POST, "/v1/connect/intentions", intention.to_string().into(), FAST).await.unwrap();
    }
    let uri = |service: &str| format!("spiffe://whatever.consul/ns/default/dc/dc9/svc/{service}");
    let web = agent.authorize("db", &uri("web")).await.unwrap();
    assert!(web.authorized && !web.from_cache);
    assert!(web.reason.starts_with("Matched intention: ALLOW default/web => default/db (ID: "), "{}", web.reason);
    let other = agent.authorize("db", &uri("other")).await.unwrap();
    assert!(!other.authorized && other.from_cache);
    assert!(other.reason.ends_with("Precedence: 8)"), "{}", other.reason);
    let open = agent.authorize("open", &uri("web")).await.unwrap();
    assert_eq!((open.authorized, open.reason.as_str()), (true, "ACLs disabled, access is allowed by default"));
    assert!(agent.authorize("", &uri("web")).await.is_err());
    agent.shutdown();
}

#[tokio::test]
async fn a_leaf_is_signed_once_and_kept() {
    let (agent, _) = agent().await;
    let (first, cached) = agent.leaf("web", 0, Duration::ZERO).await.unwrap();
    assert!(!cached);
    assert!(first.service_uri.ends_with("/ns/default/dc/dc1/svc/web"), "{}", first.service_uri);
    assert!(first.private_key.expose().starts_with("-----BEGIN EC PRIVATE KEY-----"));
    assert!(!format!("{first:?}").contains("PRIVATE KEY"));
    let (again, cached) = agent.leaf("web", 0, Duration::ZERO).await.unwrap();
    assert!(cached);
    assert_eq!(first.serial_number, again.serial_number);
    let start = Instant::now();
    agent.leaf("web", first.modify_index, Duration::from_millis(30)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30), "nothing new: it blocks");
    let (other, _) = agent.leaf("db", 0, Duration::ZERO).await.unwrap();
    assert_ne!(first.serial_number, other.serial_number);
    agent.shutdown();
}

#[tokio::test]
async fn roots_block_until_there_are_others() {
    let (agent, _) = agent().await;
    let roots = agent.roots(0, Duration::ZERO).await.unwrap();
    assert!(roots.trust_domain.ends_with(".consul") && !roots.active_root_id.is_empty());
    let start = Instant::now();
    let same = agent.roots(roots.index, Duration::from_millis(30)).await.unwrap();
    assert_eq!(same, roots);
    assert!(start.elapsed() >= Duration::from_millis(30));
    agent.shutdown();
}

#[tokio::test]
async fn without_a_server_nobody_is_authorised_and_no_plan_is_made() {
    let nobody = client::Client::in_process(|_| async {
        let mut down = http::Response::new(bytes::Bytes::new());
        *down.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        down
    });
    let mut config = crate::config();
    config.default_policy = Action::Allow;
    let agent = agent::Agent::start(config, nobody);
    agent.register_service(with_sidecar("db"), false).unwrap();
    let kind = CheckKind::Ttl(Duration::from_secs(60));
    let check = CheckDefinition { id: "c".into(), ..CheckDefinition::new("c", kind) };
    agent.register_service(crate::with_check("web", check), false).unwrap();
    agent.register_service(service("x", 1), false).unwrap();
    let plan = agent.plan("db-sidecar-proxy").unwrap();
    let decision = agent.authorize("db", "spiffe://x/ns/default/dc/dc1/svc/web");
    assert!(tokio::time::timeout(Duration::from_millis(300), decision).await.is_err(), "it waits, and never says yes");
    assert!(plan.borrow().is_none());
    agent.shutdown();
}
