//! What a sidecar reads and writes, over the routes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::agent::{Action, AgentState};
use client::{Client, Query};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{agent, eventually, with_sidecar};

const LONG: Duration = Duration::from_secs(10);

async fn routes() -> (Client, Client, Arc<Mutex<Vec<telemetry::Report>>>) {
    let (agent, server) = agent().await;
    agent.register_service(with_sidecar("db"), false).unwrap();
    let reports: Arc<Mutex<Vec<telemetry::Report>>> = Arc::default();
    let taken = reports.clone();
    let nothing: Action = Arc::new(|| Box::pin(async { Ok(()) }));
    let state = AgentState {
        agent,
        access: api::Access::default(),
        report: Arc::new(move |report| taken.lock().unwrap().push(report)),
        reload: nothing.clone(),
        leave: nothing,
        logs: tokio::sync::broadcast::Sender::new(8),
        debug_config: Arc::new(json!({})),
        serf_lan_port: 8301,
        serf_wan_port: 8302,
        prometheus: true,
    };
    let router = api::App::new(false).merge(api::agent::router(state)).into_router();
    (api::in_process(router), server, reports)
}

#[tokio::test]
async fn a_plan_blocks_by_its_hash() {
    let (routes, server, _) = routes().await;
    let path = "/v1/agent/connect/proxy/db-sidecar-proxy";
    let first = routes.get::<plan::Plan>(path, &Query::default()).await.unwrap();
    let hash = first.hash.unwrap();
    assert_eq!((first.value.proxy.id.as_str(), first.value.inbound[0].rules.len()), ("db-sidecar-proxy", 0));
    let query = |wait| Query { hash: Some(hash.clone()), wait: Some(wait), ..Query::default() };
    let same = routes.get::<plan::Plan>(path, &query(Duration::from_millis(20))).await.unwrap();
    assert_eq!(same.hash.as_ref(), Some(&hash));
    let (routes_too, query) = (routes.clone(), query(LONG));
    let waiting = tokio::spawn(async move { routes_too.get::<plan::Plan>(path, &query).await.unwrap() });
    let intention = json!({"SourceName": "web", "DestinationName": "db", "Action": "deny"});
    server.send(Method::POST, "/v1/connect/intentions", intention.to_string().into(), LONG).await.unwrap();
    let next = waiting.await.unwrap();
    assert_ne!(next.hash.unwrap(), hash);
    assert_eq!(next.value.inbound[0].rules.len(), 1);
    for unknown in ["nobody", "db"] {
        let path = format!("/v1/agent/connect/proxy/{unknown}");
        let answer = routes.send(Method::GET, &path, "".into(), LONG).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.text(), format!("unknown proxy service ID: {unknown}"));
    }
}

#[tokio::test]
async fn a_report_is_handed_on_if_it_is_of_that_proxy() {
    let (routes, _, reports) = routes().await;
    let path = "/v1/agent/connect/proxy/db-sidecar-proxy/report";
    let report = telemetry::Report { proxy: "db-sidecar-proxy".into(), sequence: 7, ..Default::default() };
    routes.put(path, &report).await.unwrap();
    assert_eq!(*reports.lock().unwrap(), [report]);
    let other = telemetry::Report { proxy: "x".into(), ..Default::default() };
    assert_eq!(routes.put(path, &other).await.unwrap_err().status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(reports.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_service_blocks_by_its_content_and_wakes_for_central_configuration() {
    let (routes, server, _) = routes().await;
    let path = "/v1/agent/service/db-sidecar-proxy";
    let first = routes.get::<Value>(path, &Query::default()).await.unwrap();
    let hash = first.hash.unwrap();
    assert_eq!(first.value["ContentHash"], hash.as_str());
    let query = Query { hash: Some(hash.clone()), wait: Some(LONG), ..Query::default() };
    let routes_too = routes.clone();
    let waiting = tokio::spawn(async move { routes_too.get::<Value>(path, &query).await.unwrap() });
    let entry = json!({"Kind": "service-defaults", "Name": "db", "Protocol": "http"});
    server.put("/v1/config", &entry).await.unwrap();
    assert_eq!(waiting.await.unwrap().value["Proxy"]["Config"]["protocol"], "http");
}

#[tokio::test]
async fn health_is_told_by_the_status() {
    let (routes, _, _) = routes().await;
    let health = async |name: &str| {
        let path = format!("/v1/agent/health/service/id/{name}?format=text");
        let answer = routes.send(Method::GET, &path, "".into(), LONG).await.unwrap();
        (answer.status.as_u16(), answer.text())
    };
    assert_eq!(health("db").await, (200, "passing".to_owned()));
    routes.put("/v1/agent/service/maintenance/db?enable=true", &json!({})).await.unwrap();
    assert_eq!(health("db").await, (503, "maintenance".to_owned()));
    assert_eq!(health("nobody").await.0, 404);
    eventually("the check of the sidecar nobody runs", || async {
        (health("db-sidecar-proxy").await == (503, "critical".to_owned())).then_some(())
    })
    .await;
}
