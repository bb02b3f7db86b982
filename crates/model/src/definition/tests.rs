#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::check::CheckKind;
use crate::hcl::Format;

fn hcl(text: &str) -> (Definitions, Vec<String>) {
    decode_definitions(Format::Hcl, text.as_bytes()).unwrap_or_else(|e| panic!("{text}\n{e}"))
}

fn hcl_error(text: &str) -> String {
    decode_definitions(Format::Hcl, text.as_bytes()).expect_err(text).in_file("a.hcl")
}

fn request(body: &str) -> ServiceDefinition {
    decode_service_json(body.as_bytes()).unwrap_or_else(|e| panic!("{body}\n{e}"))
}

#[test]
fn the_file_of_the_talk() {
    let (definitions, warnings) = hcl(r#"
services {
  name = "emojify-api"
  port = 9090
  connect {
    sidecar_service {
      port = 20000
      proxy {
        local_service_address = "127.0.0.1"
        local_service_port    = 9090
        upstreams {
          destination_name = "emojify-facebox"
          local_bind_port  = 8003
        }
        upstreams {
          destination_name = "emojify-cache"
          local_bind_port  = 8005
        }
      }
    }
  }
}
"#);
    assert_eq!(warnings, [""; 0]);
    let api = &definitions.services[0];
    assert_eq!((api.service.service.as_str(), api.service.port, api.managed_proxy), ("emojify-api", 9090, false));
    let sidecar = api.sidecar.as_ref().unwrap();
    assert_eq!(sidecar.service.port, 20000);
    let proxy = sidecar.service.proxy.as_ref().unwrap();
    assert_eq!((proxy.local_service_address.as_str(), proxy.local_service_port), ("127.0.0.1", 9090));
    let upstreams: Vec<_> = proxy.upstreams.iter().map(|u| (u.destination_name.as_str(), u.local_bind_port)).collect();
    assert_eq!(upstreams, [("emojify-facebox", 8003), ("emojify-cache", 8005)]);
}

#[test]
fn the_managed_form_becomes_a_sidecar_and_says_so() {
    let (definitions, warnings) = hcl(r#"service {
  name = "web"
  connect = { proxy = { exec_mode = "daemon" config = {
    bind_port = 21500
    local_service_address = "127.0.0.1:9090"
    local_connect_timeout_ms = 1000
    upstreams = [ { destination_name = "mongodb" local_bind_port = 8001 } ]
  } } }
}"#);
    let web = &definitions.services[0];
    assert!(web.managed_proxy);
    let sidecar = web.sidecar.as_ref().unwrap();
    let proxy = sidecar.service.proxy.as_ref().unwrap();
    assert_eq!(sidecar.service.port, 21500);
    assert_eq!((proxy.local_service_address.as_str(), proxy.local_service_port), ("127.0.0.1", 9090));
    assert_eq!((proxy.upstreams[0].destination_name.as_str(), proxy.upstreams[0].local_bind_port), ("mongodb", 8001));
    assert_eq!(proxy.config.keys().collect::<Vec<_>>(), ["local_connect_timeout_ms"]);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("3:15: service.connect.proxy: managed proxies were removed"), "{warnings:?}");
    assert!(warnings[0].contains("sidecar_service"), "{warnings:?}");
}

#[test]
fn decoding_is_weak() {
    let (definitions, _) = hcl(r#"services = [
  { Name = "a" Port = "8080" EnableTagOverride = 1 tags = "one" meta { n = 1 b = true }
    Weights { Passing = 10, Warning = 2 } TaggedAddresses { lan { address = "192.0.2.1" port = 1 } }
    Proxy { Config { limits { max = 1 } list = [{ a = 1 }] }
      Expose { checks = true paths { path = "/m" local_path_port = 1 } } }
    checks { id = "x" ttl = "30s" status = "passing" }
    check { name = "y" http = "http://h/" interval = "5s" header { a = "b" } } },
  { name = ["b"] },
]"#);
    let a = &definitions.services[0].service;
    assert_eq!((a.port, a.enable_tag_override, a.tags.as_slice()), (8080, true, ["one".to_owned()].as_slice()));
    assert_eq!((a.meta["n"].as_str(), a.meta["b"].as_str()), ("1", "true"));
    assert_eq!((a.weights.passing, a.weights.warning, a.tagged_addresses["lan"].port), (10, 2, 1));
    let proxy = serde_json::to_value(a.proxy.as_ref().unwrap()).unwrap();
    assert_eq!(proxy["Config"], serde_json::json!({"limits": {"max": 1}, "list": [{"a": 1}]}));
    assert_eq!(proxy["Expose"], serde_json::json!({"Checks": true, "Paths": [{"Path": "/m", "LocalPathPort": 1}]}));
    // `check` before `checks`, whatever the order in the file.
    let checks = &definitions.services[0].checks;
    assert_eq!((checks[0].name.as_str(), checks[1].id.as_str()), ("y", "x"));
    assert_eq!(checks[1].kind, CheckKind::Ttl(Duration::from_secs(30)));
    assert_eq!(definitions.services[1].service.service, "b");
}

#[test]
fn every_kind_of_check() {
    let (definitions, _) = hcl(r#"
check { name = "t" ttl = "1m" deregister_critical_service_after = "90m" output_max_size = 10 service_id = "web" }
checks = [
  { name = "h" http = "https://h/" method = "PUT" body = "x" tls_skip_verify = true interval = "10s" timeout = "1s" },
  { name = "c" tcp = "h:1" interval = "10s" success_before_passing = 3 failures_before_critical = 2 },
  { name = "g" grpc = "h:1/svc" grpc_use_tls = true interval = "10s" notes = "n" },
  { name = "s" alias_service = "web" }, { name = "n" alias_node = "node" },
  { name = "u" udp = "h:1" interval = "10s" }, { name = "p" h2ping = "h:1" interval = "10s" },
  { name = "q" h2ping = "h:1" h2ping_use_tls = false interval = "10s" tls_server_name = "x" },
  { name = "a" args = ["/bin/true", "x"] interval = "10s" token = "secret" },
  { name = "d" docker_container_id = "c" shell = "/bin/sh" args = ["true"] interval = "10s" },
  { name = "o" os_service = "nginx" interval = "10s" failures_before_critical = 2 failures_before_warning = 1 },
]"#);
    let kinds: Vec<_> = definitions.checks.iter().map(|check| check.kind.name()).collect();
    assert_eq!(
        kinds,
        ["ttl", "http", "tcp", "grpc", "alias", "alias", "udp", "h2ping", "h2ping", "script", "docker", "os_service"]
    );
    assert_eq!(definitions.checks[7].kind, CheckKind::H2Ping { address: "h:1".into(), tls: true });
    assert_eq!(definitions.checks[8].kind, CheckKind::H2Ping { address: "h:1".into(), tls: false });
    assert_eq!(definitions.checks[9].kind, CheckKind::Script(vec!["/bin/true".into(), "x".into()]));
    assert!(!format!("{:?}", definitions.checks[9]).contains("secret"));
    let ttl = &definitions.checks[0];
    assert_eq!((ttl.service_id.as_str(), ttl.output_max_size), ("web", 10));
    assert_eq!(ttl.deregister_critical_service_after, Duration::from_secs(5400));
    assert_eq!(definitions.checks[1].timeout, Duration::from_secs(1));
    assert_eq!((definitions.checks[2].success_before_passing, definitions.checks[2].failures_before_critical), (3, 2));
}

#[test]
fn mistakes_name_file_line_column_path_and_what_was_expected() {
    for (text, error) in [
        ("service {\n  name = \"a\"\n  bogus = 1\n}", "a.hcl:3:3: invalid config key service.bogus"),
        (
            "services { name = \"a\" connect { sidecar_service { proxy { upstreams { zot = 1 } } } } }",
            "a.hcl:1:71: invalid config key services[0].connect.sidecar_service.proxy.upstreams[0].zot",
        ),
        (
            "service { name = \"a\" port = 70000 }",
            "a.hcl:1:29: service.port: expected a whole number between 0 and 65535, got 70000",
        ),
        (
            "service { name = \"a\" port = 1.5 }",
            "a.hcl:1:29: service.port: expected a whole number between 0 and 65535, got 1.5",
        ),
        ("service { name = {} }", "a.hcl:1:18: service.name: expected a text, got a block"),
        (
            "service { name = \"a\" enable_tag_override = \"yes\" }",
            "a.hcl:1:44: service.enable_tag_override: expected true or false, got \"yes\"",
        ),
        (
            "service { name = \"a\" } service { name = \"b\" }",
            "a.hcl:1:9: service: expected one block, got a list of 2",
        ),
        ("services = [\"a\"]", "a.hcl:1:13: services[0]: expected one block, got \"a\""),
        ("service { port = 1 }", "a.hcl:1:9: service: a service needs a name"),
        ("check { name = \"a\" ttl = \"5\" }", "a.hcl:1:26: check.ttl: expected a duration such as \"10s\", got \"5\""),
        ("check { name = \"a\" ttl = 5 }", "a.hcl:1:26: check.ttl: expected a duration such as \"10s\", got 5"),
        (
            "check { name = \"a\" tcp = \"h:1\" }",
            "a.hcl:1:7: check: Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            "check { name = \"a\" args = [\"true\"] }",
            "a.hcl:1:7: check: Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            "check { name = \"a\" docker_container_id = \"c\" interval = \"1s\" }",
            "a.hcl:1:7: check: Invalid check: TTL must be > 0 for TTL checks",
        ),
        (
            "check { name = \"a\" tcp = \"h:1\" interval = \"1s\" failures_before_warning = 1 }",
            "a.hcl:1:7: check: Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
        ),
        (
            "service { name = \"a\" connect { sidecar_service { id = \"x\" } } }",
            "a.hcl:1:48: service.connect.sidecar_service: sidecar_service can't specify an ID",
        ),
        (
            "service { name = \"a\" bogus = 1\n zot = 2 }",
            "a.hcl:1:22: invalid config key service.bogus\na.hcl:2:2: invalid config key service.zot",
        ),
        ("service = ", "a.hcl:1:11: expected a value, got the end of the file"),
    ] {
        assert_eq!(hcl_error(text), error, "{text}");
    }
}

#[test]
fn bad_requests_get_the_answers_of_consul() {
    for (body, status, text) in [
        ("", 400, "Request decode failed: EOF"),
        ("{nope", 400, "Request decode failed: invalid character 'n' looking for beginning of object key string"),
        (r#"{"Name":"uf","Bogus":1}"#, 400, "Request decode failed: json: unknown field \"Bogus\""),
        (
            r#"{"name":"s","checks":[{"ttl":"1h","check_id":"x"}]}"#,
            400,
            "Request decode failed: json: unknown field \"check_id\"",
        ),
        (
            r#"{"Name":"b","Check":{"HTTP":"http://127.0.0.1:1/"}}"#,
            400,
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ),
        (
            r#"{"Name":"b","Check":{"HTTP":"http://127.0.0.1:1/","TTL":"10s","Interval":"10s"}}"#,
            400,
            "Invalid check: Interval and TTL cannot both be specified",
        ),
        (r#"{"Name":"b","Namespace":"team"}"#, 400, "Invalid namespace: Namespaces are a Consul Enterprise feature"),
        (r#"{"Name":"b","Weights":{"Passing":70000}}"#, 400, "Invalid Weights: DNS Weight must be between 0 and 65535"),
        (r#"{"Name":"b","Check":{"TTL":"soon"}}"#, 400, "Request decode failed: time: invalid duration \"soon\""),
        (r#"{"Name":"b","Check":{"TTL":"5"}}"#, 400, "Request decode failed: time: missing unit in duration \"5\""),
        (
            r#"{"Name":"b","Checks":[{"TTL":"5s","Status":"great"}]}"#,
            400,
            "Status for checks must 'passing', 'warning', 'critical'",
        ),
        (
            r#"{"Name":"b","Port":70000}"#,
            400,
            "Request decode failed: json: field Port: expected a whole number between 0 and 65535, got 70000",
        ),
        ("[1,2]", 400, "Request decode failed: json: expected one block, got a list of 2"),
    ] {
        let error = decode_service_json(body.as_bytes()).expect_err(body);
        assert_eq!((error.status, error.text.as_str()), (status, text), "{body}");
    }
    for (body, text) in [
        (r#"{"Name":"x"}"#, "Invalid check: TTL must be > 0 for TTL checks"),
        (r#"{"TTL":"1s"}"#, "Missing check name"),
        (r#"{"Name":"x","TTL":"1s","Status":"great"}"#, "Bad check status"),
        (
            r#"{"Name":"x","TCP":"127.0.0.1:1","Interval":"soon"}"#,
            "Request decode failed: time: invalid duration \"soon\"",
        ),
    ] {
        assert_eq!(decode_check_json(body.as_bytes()).expect_err(body).text, text, "{body}");
    }
}

#[test]
fn requests_in_any_case() {
    let service = request(
        r#"{"id":"snake","NAME":"snake","tags":["s"],"port":81,"enable_tag_override":true,"Token":null,
            "tagged_addresses":{"wan":{"address":"192.0.2.9","port":82}},"Check":{},
            "checks":[{"ttl":"1h","checkid":"snake-c"},{"TTL":5000000000}],"Connect":{"Proxy":{}}} trailing"#,
    );
    assert_eq!((service.service.service.as_str(), service.service.port, service.checks.len()), ("snake", 81, 2));
    assert_eq!(service.checks[0].id, "snake-c");
    assert_eq!(service.checks[1].kind, CheckKind::Ttl(Duration::from_secs(5)));
    assert!(service.sidecar.is_none() && !service.managed_proxy);
    assert_eq!(request("null").service.service, "");
    let check = decode_check_json(
        br#"{"Name":"c","HTTP":"http://h/","Interval":"1s","id":"x","service_id":"a","TLSServerName":"n",
            "tls_skip_verify":true,"DisableRedirects":true,"FailuresBeforeCritical":3,"failures_before_warning":2,
            "OutputMaxSize":7,"ScriptArgs":null,"Namespace":"default"}"#,
    )
    .unwrap();
    assert!(matches!(&check.kind, CheckKind::Http(http) if http.disable_redirects));
    assert_eq!((check.tls_server_name.as_str(), check.tls_skip_verify, check.output_max_size), ("n", true, 7));
    assert_eq!((check.failures_before_critical, check.failures_before_warning), (3, 2));
    assert_eq!((check.id.as_str(), check.service_id.as_str()), ("x", "a"));
}
