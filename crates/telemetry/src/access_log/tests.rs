#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::registry::ProxyLabels;

const PATIENCE: Duration = Duration::from_secs(10);

fn entry() -> AccessEntry {
    AccessEntry {
        start_time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        method: "GET".into(),
        path: "/find?q=\"x\"".into(),
        protocol: "HTTP/1.1",
        response_code: 403,
        response_flags: vec![Flag::RBAC],
        duration: Duration::from_micros(12_900),
        upstream_service_time: Some(Duration::from_millis(9)),
        downstream_remote_address: "10.0.0.1:4000".into(),
        bytes_sent: 7,
        why: "intention web => db denies".into(),
        source: Peer { service: "web".into(), ..Peer::default() },
        ..AccessEntry::default()
    }
}

fn line(json: Option<&str>, text: Option<&str>) -> String {
    let mut out = String::new();
    Format::parse(json, text).unwrap().write(&entry(), &mut out);
    out
}

#[test]
fn the_default_has_consuls_24_keys_in_order_and_then_ours() {
    let line = line(None, None);
    assert!(line.ends_with("}\n"));
    let keys: Vec<&str> =
        line.trim_matches(['{', '}', '\n']).split(",\"").map(|p| p.split('"').next().unwrap()).collect();
    let first = "start_time route_name method path protocol response_code response_flags response_code_details \
        connection_termination_details bytes_received bytes_sent duration upstream_service_time x_forwarded_for \
        user_agent request_id authority upstream_host upstream_cluster upstream_local_address \
        downstream_local_address downstream_remote_address requested_server_name upstream_transport_failure_reason";
    // The line begins with a quote, which splitting took from all keys but the first.
    assert_eq!(keys[1..24].join(" "), first.strip_prefix("start_time ").unwrap());
    assert!(line.starts_with("{\"start_time\":"));
    let value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["start_time"], "2023-11-14T22:13:20.123Z");
    assert_eq!(value["path"], "/find?q=\"x\"");
    assert_eq!(value["response_code"], 403);
    assert_eq!(value["response_flags"], "RBAC");
    assert_eq!(value["duration"], 12);
    assert_eq!(value["upstream_service_time"], "9");
    assert_eq!(value["user_agent"], Value::Null);
    assert_eq!(value["meshglass_why"], "intention web => db denies");
    assert_eq!(value["source_service"], "web");
}

#[test]
fn a_format_of_ones_own_keeps_types_and_text() {
    let format = r#"{"a":{"code":"%RESPONSE_CODE%"},"b":["%REQ(:METHOD)% %REQ(X-OTHER)%"],"c":true,"d":"100%%"}"#;
    let value: Value = serde_json::from_str(&line(Some(format), None)).unwrap();
    assert_eq!(value, json!({"a": {"code": 403}, "b": ["GET -"], "c": true, "d": "100%"}));
    assert_eq!(
        line(None, Some("%PROTOCOL% %REQ(:METHOD):2% %DURATION%ms %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")),
        "HTTP/1.1 GE 12ms 10.0.0.1\n"
    );
}

#[test]
fn a_format_that_is_not_understood_says_where() {
    for (json, text, word) in [
        (None, Some("%NOPE%"), "NOPE"),
        (None, Some("%DURATION"), "closing"),
        (None, Some("%REQ(X"), "bracket"),
        (Some("[]"), None, "object"),
        (Some("{"), None, "JSONFormat"),
        (Some("{}"), Some("x"), "both"),
    ] {
        let error = Format::parse(json, text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("meshglass-{name}-{}-{}", std::process::id(), fastrand::u64(..)));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn file_config(path: PathBuf) -> AccessLogConfig {
    AccessLogConfig {
        target: LogTarget::File(path),
        json_format: None,
        text_format: Some("%RESPONSE_CODE%".into()),
        disable_listener_logs: true,
    }
}

#[test]
fn a_file_that_was_moved_away_is_opened_again() {
    let folder = Folder::new("log");
    let path = folder.0.join("access.log");
    let registry = Registry::new(ProxyLabels::default());
    let log = AccessLog::start(&registry, &file_config(path.clone())).unwrap();
    log.write(entry());
    log.write_listener(entry());
    log.flush(PATIENCE);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "403\n");
    std::fs::rename(&path, folder.0.join("access.log.1")).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !path.exists() {
        assert!(std::time::Instant::now() < deadline, "the log was not opened again");
        log.write(entry());
        log.flush(PATIENCE);
    }
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("403\n"));
}

#[test]
fn a_writer_that_cannot_keep_up_loses_lines_and_counts_them() {
    let registry = Registry::new(ProxyLabels::default());
    let (queue, _held) = sync_channel(1);
    let log = AccessLog { queue, drops: registry.log_drops(), disable_listener_logs: false };
    log.write(entry());
    log.write(entry());
    log.write(entry());
    assert_eq!(registry.snapshot().log_drops, 2);
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let registry = Registry::new(ProxyLabels::default());
    let error = AccessLog::start(&registry, &file_config("/nowhere/at/all.log".into())).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all.log"), "{error}");
}
