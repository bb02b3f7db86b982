#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use super::*;

/// A directory of its own, gone when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("meshglass-config-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        for (name, text) in files {
            fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            fs::write(path.join(name), text).unwrap();
        }
        Self(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn dev(hcl: &str) -> (Config, Vec<String>) {
    load(&AgentFlags { dev: true, hcl: vec![hcl.to_owned()], ..AgentFlags::default() })
        .unwrap_or_else(|e| panic!("{hcl}\n{e}"))
}

fn refused(hcl: &str) -> String {
    let flags = AgentFlags { dev: true, hcl: vec![hcl.to_owned()], ..AgentFlags::default() };
    load(&flags).expect_err(hcl).to_string()
}

fn settings(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn dev_defaults_are_those_of_consul() {
    let (config, warnings) = load(&AgentFlags { dev: true, ..AgentFlags::default() }).unwrap();
    assert!(config.server && config.ui && !config.log_json);
    assert_eq!((config.datacenter.as_str(), config.domain.as_str()), ("dc1", "consul."));
    assert_eq!(config.http, ["127.0.0.1:8500".parse().unwrap()]);
    assert_eq!(config.dns, ["127.0.0.1:8600".parse().unwrap()]);
    assert_eq!(config.grpc, ["127.0.0.1:8502".parse().unwrap()]);
    assert_eq!(config.advertise_addr.to_string(), "127.0.0.1");
    assert_eq!((config.server_port, config.serf_lan_port, config.sidecar_ports.clone()), (8300, 8301, 21000..=21255));
    assert_eq!(config.log_level, tracing::Level::DEBUG);
    assert_eq!(config.check_output_max_size, 4096);
    assert!(uuid::Uuid::parse_str(&config.node_id).is_ok() && !config.node_name.is_empty());
    assert!(warnings.iter().all(|line| line.contains("discoverable")), "{warnings:?}");
}

#[test]
fn sources_merge_in_the_order_of_consul() {
    let files = Directory::new(&[
        ("d/20.json", r#"{"node_name": "from-json", "log_level": "warn", "recursors": ["3"]}"#),
        (
            "d/10.hcl",
            "node_name = \"from-hcl\"\nports { http = 1, dns = 2 }\n\
             node_meta { a = \"1\", b = \"1\" }\nrecursors = [\"2\"]",
        ),
        ("d/notes.txt", "not ours"),
        ("d/below/30.hcl", "node_name = \"never\""),
        (
            "one.hcl",
            "ports { http = 11 }\nnode_meta { b = \"2\" }\n\
             service { name = \"web\" }\nchecks = [{ name = \"c\" ttl = \"1m\" }]",
        ),
    ]);
    let flags = AgentFlags {
        dev: true,
        config_files: vec![files.path("d"), files.path("one.hcl")],
        settings: settings(&[("log-level", "err"), ("node-meta", "c:3"), ("dns-port", "22"), ("ui", "")]),
        hcl: vec!["ports { dns = 222 } service { name = \"db\" }".to_owned()],
        ..AgentFlags::default()
    };
    let (config, warnings) = load(&flags).unwrap();
    assert_eq!(config.node_name, "from-json");
    assert_eq!((config.http[0].port(), config.dns[0].port()), (11, 222));
    assert_eq!(config.log_level, tracing::Level::ERROR);
    let meta: Vec<_> = config.node_meta.iter().map(|(k, v)| format!("{k}{v}")).collect();
    assert_eq!(meta, ["a1", "b2", "c3"]);
    let names: Vec<_> = config.services.iter().map(|s| s.service.service.as_str()).collect();
    assert_eq!((names, config.checks.len()), (vec!["web", "db"], 1));
    let skipped = format!(
        "skipping file {}, extension must be .hcl or .json, or config format must be set",
        files.path("d/notes.txt")
    );
    assert_eq!(warnings[0], skipped);
    assert!(warnings[1].contains("recursors is accepted and has no effect yet"), "{warnings:?}");
}

#[test]
fn validate_speaks_as_recorded() {
    let files = Directory::new(&[
        ("ok.json", r#"{"node_name": "x", "data_dir": "/tmp/x", "bind_addr": "127.0.0.1"}"#),
        (
            "ok.hcl",
            "node_name = \"x\" data_dir = \"/tmp/x\"\nbind_addr = \"127.0.0.1\"\n\
             service { name = \"web\" port = 80 }\n",
        ),
        ("nameless.hcl", "node_name = \"x\" data_dir = \"/tmp/x\"\nbind_addr = \"127.0.0.1\"\nservice { port = 80 }\n"),
        ("no-data-dir.json", r#"{"node_name": "x", "bind_addr": "127.0.0.1"}"#),
        ("bad.json", "{nope"),
        ("bad.hcl", "data_dir = \"/tmp/x\"\nbogus = 1\n"),
        ("no-ending", "data_dir = \"/tmp/x\" node_name = \"x\""),
    ]);
    let run = |name: &str, format| validate(&[files.path(name)], format).map_err(|e| e.consul_text());
    for name in ["ok.json", "ok.hcl", "nameless.hcl"] {
        assert_eq!(run(name, None), Ok(vec![]), "{name}");
    }
    assert_eq!(run("no-ending", Some("hcl")), Ok(vec![]));
    for (name, text) in [
        ("no-data-dir.json", "data_dir cannot be empty".to_owned()),
        (
            "bad.json",
            format!(
                "failed to parse {}: invalid character 'n' looking for beginning of object key string",
                files.path("bad.json")
            ),
        ),
        (
            "bad.hcl",
            format!("failed to parse {}: 1 error occurred:\n\t* invalid config key bogus\n\n", files.path("bad.hcl")),
        ),
        (
            "none.json",
            format!("config: Open failed on {0}. open {0}: no such file or directory", files.path("none.json")),
        ),
    ] {
        assert_eq!(run(name, None), Err(text), "{name}");
    }
    assert!(run("ok.hcl", Some("yaml")).unwrap_err().contains("expected hcl or json"));
    // An agent could not run the service.
    let flags = AgentFlags { config_files: vec![files.path("nameless.hcl")], ..AgentFlags::default() };
    let error = load(&flags).unwrap_err().to_string();
    assert_eq!(error, format!("{}:3:9: service: a service needs a name", files.path("nameless.hcl")));
}

#[test]
fn what_protects_is_not_ignored() {
    for (hcl, words) in [
        ("acl { enabled = true }", "-hcl[0]:1:7: acl.enabled is set, but access control is not there yet"),
        ("acl_datacenter = \"dc1\"", "acl_datacenter is set"),
        ("acl { default_policy = \"deny\" }", "acl.default_policy is \"deny\""),
        ("verify_incoming = true", "does not speak TLS yet"),
        ("tls { https { verify_incoming = true } }", "does not speak TLS yet"),
        ("ports { https = 8501 }", "ports do not speak TLS yet"),
        ("http_config { block_endpoints = [\"/v1/acl\"] }", "cannot close single endpoints"),
        ("http_config { allow_write_http_from = [\"127.0.0.0/8\"] }", "cannot tell callers"),
        ("connect { ca_provider = \"vault\" }", "only the built-in authority"),
        ("addresses { http = \"unix:///run/x\" }", "sockets in the file system"),
        ("retry_join = [\"10.0.0.1\"]", "joining other agents is not there yet"),
        ("bootstrap_expect = 3", "only one server is there yet"),
        ("audit { enabled = true }", "audit log"),
    ] {
        let error = refused(hcl);
        assert!(error.contains(words) && error.starts_with("-hcl[0]:1:"), "{hcl}: {error}");
    }
    for hcl in [
        "acl { enabled = false default_policy = \"allow\" tokens { agent = \"t\" } }",
        "verify_incoming = false",
        "ports { https = -1 }",
        "http_config { block_endpoints = [] }",
        "connect { enabled = true ca_provider = \"consul\" ca_config { leaf_cert_ttl = \"72h\" } }",
    ] {
        dev(hcl);
    }
    let (_, warnings) = dev("encrypt = \"c2VjcmV0\" verify_outgoing = true ca_file = \"x\"");
    for words in ["encrypt has no effect", "verify_outgoing has no effect", "ca_file has no effect"] {
        assert!(warnings.iter().any(|line| line.contains(words)), "{words}: {warnings:?}");
    }
    assert_eq!(dev("default_intention_policy = \"deny\"").0.default_intention_policy, model::Action::Deny);
}

#[test]
fn secrets_reach_no_message() {
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";
    let hcl = format!(
        "encrypt = \"{secret}\" acl {{ tokens {{ agent = \"{secret}\" master = \"{secret}\" }} }}\n\
         acl_token = \"{secret}\"\n\
         connect {{ ca_config {{ private_key = \"{secret}\" }} }} bogus = 1"
    );
    assert!(!refused(&hcl).contains(secret));
    let hcl = hcl.replace("bogus = 1", "acl { enabled = true }");
    assert!(!refused(&hcl).contains(secret));
    let (config, warnings) = dev(&format!("encrypt = \"{secret}\" acl_token = \"{secret}\""));
    assert!(!format!("{config:?}{warnings:?}{}", config.debug_config()).contains(secret));
}

#[test]
fn mistakes_say_where_and_what_was_expected() {
    for (hcl, error) in [
        ("bogus = 1", "-hcl[0]:1:1: invalid config key bogus"),
        ("telemetry {\n  bogus = 1\n}", "-hcl[0]:2:3: invalid config key telemetry.bogus"),
        (
            "ports { http = \"x\" }",
            "-hcl[0]:1:16: ports.http: expected a whole number between -1 and 4294967295, got \"x\"",
        ),
        ("ports { http = 70000 }", "-hcl[0]:1:9: ports.http: invalid port: 70000, expected a whole number up to 65535"),
        ("ports = 1", "-hcl[0]:1:9: ports: expected one block, got 1"),
        ("ports { http = 1 } ports { dns = 2 }", "-hcl[0]:1:7: ports: expected one block, got a list of 2"),
        ("log_level = \"loud\"", "-hcl[0]:1:1: log_level: expected trace, debug, info, warn or err, got \"loud\""),
        ("client_addr = \"nowhere\"", "-hcl[0]:1:1: client_addr: expected an IP address, got \"nowhere\""),
        (
            "max_query_time = \"5\"",
            "-hcl[0]:1:1: max_query_time: invalid duration: \"5\", expected one such as \"10s\"",
        ),
        (
            "config_entries { bootstrap { kind = \"proxy-defaults\"\n bogus = 1 } }",
            "-hcl[0]:2:2: invalid config key bogus",
        ),
        (
            "service { name = \"a\" port = 70000 }",
            "-hcl[0]:1:29: service.port: expected a whole number between 0 and 65535, got 70000",
        ),
    ] {
        assert_eq!(refused(hcl), error, "{hcl}");
    }
    let flags = AgentFlags { settings: settings(&[("http-port", "many")]), ..AgentFlags::default() };
    assert_eq!(load(&flags).unwrap_err().to_string(), "-http-port: expected a whole number, got \"many\"");
}

#[test]
fn the_files_of_the_talk_start_an_agent() {
    let (config, _) = dev("config_entries { bootstrap = [ { kind = \"proxy-defaults\" name = \"global\"\n\
         config { protocol = \"http\" } } ] }\n\
         telemetry { dogstatsd_addr = \"127.0.0.1:8125\" prometheus_retention_time = \"24h\" }\n\
         client_addr = \"127.0.0.1 ::1\" service { name = \"web\" connect { sidecar_service {} } }");
    assert_eq!(config.bootstrap.len(), 1);
    assert_eq!(config.telemetry.prometheus_retention_time.as_secs(), 86400);
    assert_eq!(config.http.len(), 2);
    assert!(config.services[0].sidecar.is_some());
}

#[test]
fn a_node_keeps_its_id_in_the_data_directory() {
    let files = Directory::new(&[]);
    let flags = AgentFlags {
        settings: settings(&[("data-dir", &files.path("data")), ("bind", "127.0.0.1"), ("server", "true")]),
        ..AgentFlags::default()
    };
    let (first, warnings) = load(&flags).unwrap();
    assert!(warnings.iter().any(|line| line.contains("kept in memory only")), "{warnings:?}");
    assert_eq!(load(&flags).unwrap().0.node_id, first.node_id);
    fs::write(files.path("data/node-id"), "nonsense").unwrap();
    assert!(load(&flags).unwrap_err().to_string().contains("expected a UUID"));
}
