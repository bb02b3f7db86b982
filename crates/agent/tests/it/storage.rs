//! What was registered outlives the agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::{Agent, Config};
use client::Client;
use model::{CheckDefinition, CheckKind, Status, Token};
use serde_json::json;

use crate::{config, eventually, get, server, service, with_check, with_sidecar};

/// A data directory, gone when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("meshglass-agent-{}", uuid()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.0.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn uuid() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap().trim().to_owned()
}

fn kept_in(folder: &Path) -> Config {
    Config { data_dir: Some(folder.to_owned()), ..config() }
}

fn start(folder: &Folder, server: &Client) -> Arc<Agent> {
    Agent::start(kept_in(&folder.0), server.clone())
}

fn ttl(id: &str) -> CheckDefinition {
    CheckDefinition { id: id.into(), ..CheckDefinition::new(id, CheckKind::Ttl(Duration::from_secs(3600))) }
}

#[tokio::test]
async fn registrations_checks_and_the_last_word_of_an_application_come_back() {
    let (folder, server) = (Folder::new(), server().await);
    let first = start(&folder, &server);
    first.register_service(with_sidecar("other"), false).unwrap();
    first.register_service(with_sidecar("web"), false).unwrap();
    let mut secret = with_check("api", ttl("api-ttl"));
    secret.token = Token("s3cret".into());
    first.register_service(secret, false).unwrap();
    first.register_check(ttl("node-ttl")).unwrap();
    first.update_ttl("node-ttl", Status::Warning, "so so").unwrap();
    first.node_maintenance(true, "why").unwrap();
    assert!(first.deregister_service("other").unwrap() && !first.deregister_service("other").unwrap());
    let (services, checks) = (first.services(), first.checks());
    first.shutdown();
    drop(first);

    let second = start(&folder, &server);
    assert_eq!(second.services(), services);
    assert_eq!(second.service("web-sidecar-proxy").unwrap().port, 21001, "the port is not another's now");
    let after = second.checks();
    assert_eq!(after.keys().collect::<Vec<_>>(), checks.keys().collect::<Vec<_>>());
    let node = &after["node-ttl"];
    assert_eq!((node.status, node.output.as_str()), (Status::Warning, "so so"));
    assert_eq!(after["api-ttl"].status, Status::Critical, "nobody has spoken for it");
    assert_eq!(after["_node_maintenance"].notes, "why");
    second.update_ttl("api-ttl", Status::Passing, "up").unwrap();
    assert!(second.deregister_service("web").unwrap(), "with its sidecar");
    second.node_maintenance(false, "").unwrap();
    assert_eq!(second.services().keys().collect::<Vec<_>>(), ["api"]);
    second.shutdown();

    let third = start(&folder, &server);
    assert_eq!(third.services().keys().collect::<Vec<_>>(), ["api"]);
    assert_eq!(third.checks().keys().collect::<Vec<_>>(), ["api-ttl", "node-ttl"]);
    assert_eq!(third.checks()["api-ttl"].output, "up");
    third.shutdown();
}

#[tokio::test]
async fn files_are_consuls_and_nobody_elses_to_read() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, server) = (Folder::new(), server().await);
    let agent = start(&folder, &server);
    agent.register_service(with_check("web", ttl("web-ttl")), false).unwrap();
    // As `md5sum` names them.
    assert_eq!(folder.files("services"), [folder.0.join("services/2567a5ec9705eb7ac2c984033e06189d")]);
    for file in [folder.files("services"), folder.files("checks")].concat() {
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&folder.files("checks")[0]).unwrap()).unwrap();
    assert_eq!((&kept["Check"]["CheckID"], &kept["ChkType"]["TTL"]), (&json!("web-ttl"), &json!("1h0m0s")));
    agent.shutdown();
}

#[tokio::test]
async fn what_cannot_be_read_is_left_out_and_what_files_define_is_theirs() {
    let (folder, server) = (Folder::new(), server().await);
    let first = start(&folder, &server);
    first.register_service(service("web", 1), false).unwrap();
    first.register_service(service("api", 2), false).unwrap();
    first.register_check(CheckDefinition { service_id: "api".into(), ..ttl("api-ttl") }).unwrap();
    first.shutdown();
    std::fs::write(folder.0.join("services/broken"), "{\"Service\": {").unwrap();
    std::fs::write(folder.0.join("services/abc.tmp"), "{").unwrap();
    std::fs::write(folder.0.join("checks/empty"), "").unwrap();
    std::fs::write(folder.0.join("checks/foreign"), r#"{"Check":{"CheckID":"x"},"ChkType":{"Bogus":1}}"#).unwrap();
    let orphan = r#"{"Check":{"CheckID":"o","ServiceID":"gone"},"ChkType":{"TTL":1000000000}}"#;
    std::fs::write(folder.0.join("checks/d95679752134a2d9eb61dbd7b91c4bcc"), orphan).unwrap();

    let files = vec![service("web", 80)];
    let (second, refused) = Agent::start_with(kept_in(&folder.0), server, files, Vec::new());
    assert!(refused.is_empty());
    assert_eq!(second.services().keys().collect::<Vec<_>>(), ["api", "web"]);
    assert_eq!(second.service("web").unwrap().port, 80, "the file's");
    assert_eq!(second.checks().keys().collect::<Vec<_>>(), ["api-ttl"]);
    let left: Vec<String> =
        [folder.files("services"), folder.files("checks")].concat().iter().map(|path| name(path)).collect();
    let (api, api_ttl) = ("8a5da52ed126447d359e70c05721a8aa", "730ba37e7f4d6c1417f8b3f019ba684e");
    // What is broken stays for whoever looks into it.
    assert_eq!(left, [api, "broken", api_ttl, "empty", "foreign"]);
    second.shutdown();
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Written by a real Consul 1.8.7 agent.
#[tokio::test]
async fn the_data_directory_of_a_consul_agent_is_taken_over() {
    let (folder, server) = (Folder::new(), server().await);
    let theirs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/agent/consul-data");
    for kind in ["services", "checks"] {
        std::fs::create_dir(folder.0.join(kind)).unwrap();
        for entry in std::fs::read_dir(theirs.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.0.join(kind).join(path.file_name().unwrap())).unwrap();
        }
    }
    let agent = start(&folder, &server);
    assert_eq!(agent.services().keys().collect::<Vec<_>>(), ["web", "web-sidecar-proxy"]);
    assert_eq!(agent.service("web").unwrap().tags, ["a"]);
    let checks = agent.checks();
    let kinds: Vec<(&str, &str)> = checks.iter().map(|(id, check)| (id.as_str(), check.kind.as_str())).collect();
    assert_eq!(
        kinds,
        [
            ("_node_maintenance", "maintenance"),
            ("service:web", "tcp"),
            ("service:web-sidecar-proxy:1", "tcp"),
            ("service:web-sidecar-proxy:2", "alias"),
            ("tt", "ttl"),
        ]
    );
    agent.update_ttl("tt", Status::Passing, "still a TTL").unwrap();
    // The sidecar is known to be one: it goes with its service.
    assert!(agent.deregister_service("web").unwrap());
    assert!(agent.services().is_empty());
    agent.shutdown();
}

/// A catalog that outlives the agent must not lose its services while the agent reads its definitions.
#[tokio::test]
async fn nothing_leaves_the_catalog_while_an_agent_starts() {
    let (folder, server) = (Folder::new(), server().await);
    let definitions = || vec![service("from-file", 1)];
    let (first, _) = Agent::start_with(kept_in(&folder.0), server.clone(), definitions(), Vec::new());
    first.register_service(service("kept", 2), false).unwrap();
    let node = async || get(&server, "/v1/catalog/node/n1").await["Services"].clone();
    eventually("both in the catalog", || async {
        let services = node().await;
        (services.get("kept").is_some() && services.get("from-file").is_some()).then_some(())
    })
    .await;
    first.shutdown();
    let before = node().await;
    let (second, _) = Agent::start_with(kept_in(&folder.0), server.clone(), definitions(), Vec::new());
    second.register_service(service("marker", 3), false).unwrap();
    eventually("a whole round", || async { node().await.get("marker").map(|_| ()) }).await;
    let after = node().await;
    for id in ["kept", "from-file"] {
        assert!(before[id]["CreateIndex"].is_u64(), "{before}");
        assert_eq!(after[id]["CreateIndex"], before[id]["CreateIndex"], "{id} was never gone");
    }
    second.shutdown();
}
