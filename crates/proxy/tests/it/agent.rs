//! Sidecars that follow an agent: a stand-in that answers the four questions as the real one does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use client::Client;
use model::{Action, Protocol};
use proxy::{Config, Sidecar};
use serde_json::{Value, json};
use telemetry::Report;
use tokio::sync::watch;

use crate::rig::*;

/// Answers by path, each with a version; a question that knows the newest waits.
#[derive(Clone)]
struct Agent {
    answers: watch::Sender<BTreeMap<String, (u64, Value)>>,
    reports: Arc<Mutex<Vec<Report>>>,
    down: watch::Sender<bool>,
}

impl Agent {
    fn new() -> Self {
        Self { answers: watch::channel(BTreeMap::new()).0, reports: Arc::default(), down: watch::channel(false).0 }
    }

    fn set(&self, path: &str, value: impl serde::Serialize) {
        let value = serde_json::to_value(value).unwrap();
        self.answers.send_modify(|all| {
            let version = all.get(path).map_or(1, |(version, _)| version + 1);
            all.insert(path.to_owned(), (version, value));
        });
    }

    fn client(&self) -> Client {
        let agent = self.clone();
        Client::in_process(move |request| {
            let agent = agent.clone();
            async move { agent.answer(request).await }
        })
    }

    async fn answer(&self, request: Request<Bytes>) -> Response<Bytes> {
        let plain = |status: StatusCode, body: &'static str| {
            Response::builder().status(status).body(Bytes::from_static(body.as_bytes())).unwrap()
        };
        if *self.down.borrow() {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader");
        }
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or("").to_owned());
        if path.ends_with("/report") {
            self.reports.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
            return plain(StatusCode::OK, "");
        }
        let by_hash = path.starts_with("/v1/agent/connect/proxy/");
        let parameter = if by_hash { "hash=" } else { "index=" };
        let known: u64 =
            query.split('&').find_map(|pair| pair.strip_prefix(parameter)).map_or(0, |text| text.parse().unwrap());
        let mut answers = self.answers.subscribe();
        let mut down = self.down.subscribe();
        let newer = answers.wait_for(|all| all.get(&path).is_none_or(|(version, _)| *version > known));
        tokio::select! {
            found = newer => {
                let Some((version, value)) = found.unwrap().get(&path).cloned() else {
                    return plain(StatusCode::NOT_FOUND, "unknown");
                };
                let header = if by_hash { "x-consul-contenthash" } else { "x-consul-index" };
                Response::builder().header(header, version).body(value.to_string().into()).unwrap()
            }
            _ = down.wait_for(|down| *down) => plain(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader"),
        }
    }

    /// A leaf as the agent hands it out.
    fn leaf(&self, mesh: &Mesh, service: &str) {
        let (certificate, key) = mesh.leaf(service);
        let read = |path| std::fs::read_to_string(path).unwrap();
        let answer = json!({"CertPEM": read(certificate), "PrivateKeyPEM": read(key), "Service": service});
        self.set(&format!("/v1/agent/connect/ca/leaf/{service}"), answer);
    }

    fn instance(&self, port: u16, status: &str) {
        let entry = json!([{
            "Node": {"Node": "n2", "Address": "127.0.0.1", "Meta": null},
            "Service": {"ID": "db-1-sidecar-proxy", "Port": port, "Meta": {"version": "v9"},
                "Proxy": {"DestinationServiceID": "db-1"}},
            "Checks": [{"Name": "answers", "Status": status, "Output": "no route to host"}],
        }]);
        self.set("/v1/health/connect/db", entry);
    }
}

#[tokio::test]
async fn a_sidecar_follows_its_agent_and_goes_on_without_it() {
    let (mesh, agent) = (Mesh::new(), Agent::new());
    let roots = json!({"TrustDomain": "", "Roots": [{"RootCert": mesh.authority.root().root_cert}]});
    agent.set("/v1/agent/connect/ca/roots", roots);
    agent.leaf(&mesh, "db");
    agent.leaf(&mesh, "web");
    let start = |id: &str| Sidecar::start(Config::agent(id, agent.client())).unwrap();
    // Started before the agent knows it: it asks until there is a plan.
    let server = start("db-sidecar-proxy");
    let app = application().await;
    let rules = |action| mesh.server_plan("db", Protocol::Http, app, &[("web", action)]);
    let server_path = "/v1/agent/connect/proxy/db-sidecar-proxy";
    agent.set(server_path, rules(Action::Allow));
    within(server.ready()).await;
    agent.instance(inbound(&server).port(), "passing");
    agent.set("/v1/agent/connect/proxy/web-sidecar-proxy", mesh.client_plan("web", "db", Protocol::Http));
    let client = start("web-sidecar-proxy");
    within(client.ready()).await;
    let mut sender = h1(outbound(&client, "db")).await;
    let mut ask = async || {
        let response = within(sender.send_request(get("/"))).await.unwrap();
        let answer = (response.status().as_u16(), why(&response));
        drop(text(response).await);
        answer
    };
    assert_eq!(ask().await, (200, String::new()));
    // Instances, intentions and certificates change under a living connection.
    agent.instance(inbound(&server).port(), "critical");
    let sick = loop {
        let (code, why) = ask().await;
        if code != 200 {
            break why;
        }
    };
    assert!(sick.contains("check \"answers\" is critical: no route to host"), "{sick}");
    agent.instance(inbound(&server).port(), "warning");
    while ask().await.0 != 200 {}
    agent.set(server_path, rules(Action::Deny));
    while ask().await.0 == 200 {}
    agent.set(server_path, rules(Action::Allow));
    while ask().await.0 == 403 {}
    agent.leaf(&mesh, "db");
    agent.leaf(&mesh, "web");
    agent.down.send_replace(true);
    for _ in 0..20 {
        assert_eq!(ask().await.0, 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    agent.down.send_replace(false);
    // What a plan said while the agent was away arrives when it is back.
    agent.set(server_path, rules(Action::Deny));
    while ask().await.0 == 200 {}
    let expected = sum(&client.telemetry()).requests;
    within(client.drain()).await;
    within(server.drain()).await;
    let reports = agent.reports.lock().unwrap();
    let last = reports.iter().rfind(|report| report.proxy == "web-sidecar-proxy").unwrap();
    let reported: u64 = last.cells.iter().map(|cell| cell.totals.requests).sum();
    assert_eq!(reported, expected, "the last report has everything");
}
