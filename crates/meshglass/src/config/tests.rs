#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use api::listen::Endpoint;

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
    assert!(config.server && config.ui.enabled && !config.log_json);
    assert_eq!((config.datacenter.as_str(), config.dns_config.domain.as_str()), ("dc1", "consul."));
    assert_eq!(config.http, [tcp("127.0.0.1:8500")]);
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
    assert_eq!((config.http[0].clone(), config.dns[0].port()), (tcp("127.0.0.1:11"), 222));
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
    assert_eq!(config.dns_config.recursors, ["2", "3"]);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
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

fn tcp(address: &str) -> Endpoint {
    Endpoint::Tcp(address.parse().unwrap())
}

#[test]
fn what_protects_is_not_ignored() {
    for (hcl, words) in [
        ("acl { default_policy = \"perhaps\" }", "acl.default_policy: expected allow or deny, got \"perhaps\""),
        ("connect { ca_provider = \"vault\" }", "only the built-in authority"),
        ("auto_config { enabled = true }", "auto_config.enabled is set"),
        ("http_config { allow_write_http_from = [\"127.0.0.1\"] }", "invalid cidr: 127.0.0.1"),
        ("http_config { response_headers { \"a b\" = \"c\" } }", "is no HTTP header"),
        ("tls { https { tls_min_version = \"TLSv9\" } }", "no such TLS version"),
        ("tls_cipher_suites = \"TLS_RSA_WITH_AES_128_CBC_SHA\"", "unsupported cipher"),
        ("unix_sockets { mode = \"999\" }", "expected an octal number"),
        ("unix_sockets { user = \"no such user\" }", "is in no line of /etc/passwd"),
        ("encrypt = \"zz\"", "encrypt has invalid key"),
        ("segments = [{ name = \"a\" }]", "Network segments are not supported"),
        ("bootstrap_expect = 3", "not allowed in dev mode"),
        ("serf_lan_allowed_cidrs = [\"x\"]", "invalid cidr: x"),
        ("dns_config { service_ttl { web = \"5\" } }", "dns_config.service_ttl[\"web\"]: invalid duration"),
        ("gossip_lan { probe_interval = \"5\" }", "gossip_lan.probe_interval: invalid duration"),
        ("performance { raft_multiplier = 11 }", "Must be between 1 and 10"),
        ("ports { http = 8600 }", "HTTP address 127.0.0.1:8600 already configured for DNS"),
        ("addresses { dns = \"unix:///x\" }", "DNS address cannot be a unix socket"),
        ("client_addr = \"unix:///x\"", "client_addr cannot be a unix socket"),
        ("bind_addr = \"127.0.0.1 127.0.0.2\"", "bind_addr cannot contain multiple addresses"),
        ("advertise_addr_ipv4 = \"::1\"", "must be an ipv4 address"),
        ("client_addr = \"{{ GetBogus }}\"", "function \"GetBogus\" not defined"),
    ] {
        let error = refused(hcl);
        assert!(error.contains(words) && error.starts_with("-hcl[0]:1:"), "{hcl}: {error}");
    }
    for hcl in [
        "acl { enabled = false default_policy = \"deny\" tokens { agent = \"t\" } }",
        "audit { enabled = true }",
        "connect { enabled = true ca_provider = \"consul\" ca_config { leaf_cert_ttl = \"72h\" } }",
    ] {
        dev(hcl);
    }
    assert_eq!(dev("default_intention_policy = \"deny\"").0.default_intention_policy, model::Action::Deny);
}

#[test]
fn what_has_no_counterpart_is_said_with_its_reason() {
    let (_, warnings) = dev("encrypt = \"pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=\" retry_join = [\"10.0.0.1\"]\n\
         performance { raft_multiplier = 5 } limits { rpc_rate = 0.5 } partition = \"x\"\n\
         disable_update_check = true disable_keyring_file = true primary_datacenter = \"dc2\"");
    for words in [
        "1:1: encrypt has no effect: agents do not gossip here",
        "1:58: retry_join: nobody is joined (10.0.0.1)",
        "2:15: performance.raft_multiplier has no effect: nothing elects a leader",
        "2:46: limits.rpc_rate has no effect: agents speak the HTTP API",
        "partition has no effect: it belongs to Consul Enterprise",
        "primary_datacenter = \"dc2\" has no effect",
    ] {
        assert!(warnings.iter().any(|line| line.contains(words)), "{words}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 6, "{warnings:?}");
}

#[test]
fn old_names_are_read_as_the_new_ones_and_named() {
    let (config, warnings) = dev("verify_incoming = true ca_file = \"a\" cert_file = \"b\" key_file = \"c\"\n\
         tls { https { cert_file = \"d\" } } acl_token = \"t\" ui_content_path = \"/look/\"\n\
         start_join = [\"1\"] retry_join = [\"2\"]");
    let tls = &config.https_tls;
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file].map(|file| file.as_ref().unwrap().to_str().unwrap());
    assert_eq!((files, tls.verify_incoming), (["a", "d", "c"], true));
    assert_eq!(config.acl.tokens.default.as_ref().map(Secret::expose), Some("t"));
    assert_eq!(config.ui.content_path, "/look/");
    let said = "-hcl[0]:1:24: The 'ca_file' field is deprecated. Use the 'tls.defaults.ca_file' field instead.";
    assert!(warnings.iter().any(|line| line == said), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.contains("nobody is joined (2, 1)")), "{warnings:?}");
    // The new name counts where both are given.
    let (config, _) = dev("acl_default_policy = \"deny\" acl { default_policy = \"allow\" }");
    assert_eq!(config.acl.default_policy, model::Action::Allow);
}

#[test]
fn addresses_may_be_templates_and_sockets() {
    let (config, _) = dev("client_addr = \"{{ GetAllInterfaces | include \\\"network\\\" \\\"127.0.0.0/8\\\" | \
         join \\\"address\\\" \\\" \\\" }}\"\n\
         addresses { http = \"127.0.0.1 unix:///run/x.sock\" }\n\
         unix_sockets { mode = \"0640\" user = \"root\" group = \"7\" }\n\
         ports { https = 8501 }");
    assert_eq!(config.http, [tcp("127.0.0.1:8500"), Endpoint::Unix("/run/x.sock".into())]);
    assert_eq!(config.https[0], tcp("127.0.0.1:8501"));
    let access = config.socket_access;
    assert_eq!((access.mode, access.user, access.group), (Some(0o640), Some(0), Some(7)));
    assert!(refused("client_addr = \"{{ GetInterfaceIP \\\"none\\\" }}\"").contains("gives no address"));
}

#[test]
fn one_server_on_its_own_starts_from_a_clusters_files() {
    let files = Directory::new(&[(
        "server.hcl",
        "server = true bootstrap_expect = 3 retry_join = [\"10.0.0.1\", \"10.0.0.2\"] bind_addr = \"127.0.0.1\"\n\
         http_config { block_endpoints = [\"/v1/exec\"] max_header_bytes = 9000\n\
         allow_write_http_from = [\"10.0.0.0/8\"] }\n\
         limits { http_max_conns_per_client = 7 https_handshake_timeout = \"2s\" }\n\
         leave_on_terminate = true skip_leave_on_interrupt = false session_ttl_min = \"3s\"\n\
         watches = [{ type = \"key\" key = \"a\" handler = \"true\" }] log_file = \"/tmp/x/\" log_rotate_bytes = 5",
    )]);
    let data = files.path("data");
    let flags = AgentFlags {
        config_files: vec![files.path("server.hcl")],
        settings: settings(&[("data-dir", &data)]),
        ..AgentFlags::default()
    };
    let (config, warnings) = load(&flags).unwrap();
    assert!(warnings.iter().any(|line| line.contains("bootstrap_expect = 3: nobody is waited for")), "{warnings:?}");
    assert_eq!(config.policy.block_endpoints, ["/v1/exec"]);
    let limits = config.limits;
    assert_eq!((limits.connections_per_client, limits.connections_of_loopback, limits.header_bytes), (7, 7, 9000));
    assert_eq!((limits.handshake_timeout.as_secs(), config.session_ttl_min.unwrap().as_secs()), (2, 3));
    assert!(config.leave_on_terminate && config.leave_on_interrupt);
    assert_eq!(config.watches[0]["key"], "a");
    let file = config.log_file.unwrap();
    assert_eq!((file.path.to_str().unwrap(), file.rotate_bytes, file.max_files), ("/tmp/x/consul.log", Some(5), None));
    assert_eq!(config.debug["BootstrapExpect"], 3);
    assert_eq!(config.debug["HTTPBlockEndpoints"][0], "/v1/exec");
    assert_eq!(config.debug["NodeID"], config.node_id.as_str());
}

#[test]
fn access_control_decides_over_calls_too_unless_it_is_said() {
    let deny = "acl { enabled = true default_policy = \"deny\" tokens { master = \"m\" } }";
    let config = dev(deny).0;
    assert!(config.acl.enabled && config.acl.tokens.initial_management.is_some());
    assert_eq!(config.default_intention_policy, model::Action::Deny);
    let config = dev(&format!("{deny} default_intention_policy = \"allow\"")).0;
    assert_eq!(config.default_intention_policy, model::Action::Allow);
    assert_eq!(dev("acl { default_policy = \"deny\" }").0.default_intention_policy, model::Action::Allow);
    assert!(dev("acl_datacenter = \"dc1\"").0.acl.enabled);
}

#[test]
fn secrets_reach_no_message() {
    let secret = "c2VjcmV0LXNlY3JldC0xMg==";
    let hcl = format!(
        "encrypt = \"{secret}\" cloud {{ client_secret = \"{secret}\" }}\n\
         acl {{ tokens {{ agent = \"{secret}\" master = \"{secret}\" }} }}\n\
         acl_token = \"{secret}\"\n\
         connect {{ ca_config {{ private_key = \"{secret}\" }} }} bogus = 1"
    );
    assert!(!refused(&hcl).contains(secret));
    let (config, warnings) = dev(&format!("encrypt = \"{secret}\" acl_token = \"{secret}\""));
    assert!(!format!("{config:?}{warnings:?}{}", config.debug).contains(secret));
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
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(load(&flags).unwrap().0.node_id, first.node_id);
    fs::write(files.path("data/node-id"), "nonsense").unwrap();
    assert!(load(&flags).unwrap_err().to_string().contains("expected a UUID"));
}
