//! A service definition as the body of `PUT /v1/agent/service/register`.

use std::time::Duration;

use model::{CheckDefinition, CheckKind, DestinationType, ProxyConfig, ServiceDefinition, ServiceKind, Upstream};
use model::{OpaqueMap, format_duration};
use serde_json::{Value, json};

/// Everything that was given, under Consul's names; what was not given is left to the agent to fill in.
pub fn registration(definition: &ServiceDefinition) -> Value {
    let service = &definition.service;
    let mut out = Object::default();
    if service.kind != ServiceKind::Typical {
        out.put("Kind", json!(service.kind));
    }
    out.text("ID", &service.id).text("Name", &service.service).text("Address", &service.address);
    out.text("Token", &definition.token.0).number("Port", service.port.into());
    if !service.tags.is_empty() {
        out.put("Tags", json!(service.tags));
    }
    if !service.meta.is_empty() {
        out.put("Meta", json!(service.meta));
    }
    if !service.tagged_addresses.is_empty() {
        out.put("TaggedAddresses", json!(service.tagged_addresses));
    }
    if service.weights != model::Weights::default() {
        out.put("Weights", json!(service.weights));
    }
    out.flag("EnableTagOverride", service.enable_tag_override);
    if !definition.checks.is_empty() {
        out.put("Checks", definition.checks.iter().map(check_registration).collect());
    }
    if let Some(config) = &service.proxy {
        out.put("Proxy", proxy(config));
    }
    let mut connect = Object::default();
    connect.flag("Native", service.connect.native);
    if let Some(sidecar) = &definition.sidecar {
        connect.put("SidecarService", registration(sidecar));
    }
    if !connect.0.is_empty() {
        out.put("Connect", Value::Object(connect.0));
    }
    Value::Object(out.0)
}

fn proxy(config: &ProxyConfig) -> Value {
    let mut out = Object::default();
    out.text("DestinationServiceName", &config.destination_service_name)
        .text("DestinationServiceID", &config.destination_service_id)
        .text("LocalServiceAddress", &config.local_service_address)
        .number("LocalServicePort", config.local_service_port.into())
        .map("Config", &config.config)
        .map("Expose", &config.expose);
    if !config.upstreams.is_empty() {
        out.put("Upstreams", config.upstreams.iter().map(upstream).collect());
    }
    mesh_gateway(&mut out, &config.mesh_gateway_mode);
    Value::Object(out.0)
}

fn upstream(upstream: &Upstream) -> Value {
    let mut out = Object::default();
    if upstream.destination_type != DestinationType::Service {
        out.put("DestinationType", json!(upstream.destination_type));
    }
    out.text("DestinationNamespace", &upstream.destination_namespace)
        .text("DestinationName", &upstream.destination_name)
        .text("Datacenter", &upstream.datacenter)
        .text("LocalBindAddress", &upstream.local_bind_address)
        .number("LocalBindPort", upstream.local_bind_port.into())
        .map("Config", &upstream.config);
    mesh_gateway(&mut out, &upstream.mesh_gateway_mode);
    Value::Object(out.0)
}

fn mesh_gateway(out: &mut Object, mode: &str) {
    if !mode.is_empty() {
        out.put("MeshGateway", json!({ "Mode": mode }));
    }
}

/// The body of `PUT /v1/agent/check/register`.
pub fn check_registration(check: &CheckDefinition) -> Value {
    let mut out = Object::default();
    out.text("CheckID", &check.id).text("Name", &check.name).text("Notes", &check.notes);
    out.text("ServiceID", &check.service_id).text("Token", &check.token.0);
    kind(&mut out, &check.kind);
    if !matches!(check.kind, CheckKind::Ttl(_) | CheckKind::Alias { .. }) {
        out.duration("Interval", check.interval);
    }
    out.duration("Timeout", check.timeout)
        .flag("TLSSkipVerify", check.tls_skip_verify)
        .text("TLSServerName", &check.tls_server_name)
        .duration("DeregisterCriticalServiceAfter", check.deregister_critical_service_after)
        .number("SuccessBeforePassing", check.success_before_passing.into())
        .number("FailuresBeforeWarning", check.failures_before_warning.into())
        .number("FailuresBeforeCritical", check.failures_before_critical.into())
        .number("OutputMaxSize", check.output_max_size as u64);
    if let Some(status) = check.initial_status {
        out.text("Status", status.as_str());
    }
    Value::Object(out.0)
}

fn kind(out: &mut Object, kind: &CheckKind) {
    match kind {
        CheckKind::Ttl(ttl) => out.duration("TTL", *ttl),
        CheckKind::Http(http) => {
            if !http.header.is_empty() {
                out.put("Header", json!(http.header));
            }
            out.text("HTTP", &http.url)
                .text("Method", &http.method)
                .text("Body", &http.body)
                .flag("DisableRedirects", http.disable_redirects)
        }
        CheckKind::Tcp { address, tls } => out.text("TCP", address).flag("TCPUseTLS", *tls),
        CheckKind::Udp(address) => out.text("UDP", address),
        CheckKind::Grpc { target, tls } => out.text("GRPC", target).flag("GRPCUseTLS", *tls),
        // TLS is what an agent takes for meant.
        CheckKind::H2Ping { address, tls } => out.text("H2PING", address).put("H2PingUseTLS", json!(tls)),
        CheckKind::Script(args) => out.put("Args", json!(args)),
        CheckKind::Docker(command) => out
            .text("DockerContainerID", &command.container)
            .text("Shell", &command.shell)
            .put("Args", json!(command.args)),
        CheckKind::OsService(name) => out.text("OSService", name),
        CheckKind::Alias { node, service_id } => out.text("AliasNode", node).text("AliasService", service_id),
    };
}

/// A JSON object that leaves out what is empty.
#[derive(Default)]
struct Object(OpaqueMap);

impl Object {
    fn put(&mut self, key: &str, value: Value) -> &mut Self {
        self.0.insert(key.to_owned(), value);
        self
    }

    fn text(&mut self, key: &str, value: &str) -> &mut Self {
        if value.is_empty() { self } else { self.put(key, json!(value)) }
    }

    fn number(&mut self, key: &str, value: u64) -> &mut Self {
        if value == 0 { self } else { self.put(key, json!(value)) }
    }

    fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        if value { self.put(key, json!(true)) } else { self }
    }

    fn map(&mut self, key: &str, value: &OpaqueMap) -> &mut Self {
        if value.is_empty() { self } else { self.put(key, Value::Object(value.clone())) }
    }

    fn duration(&mut self, key: &str, value: Duration) -> &mut Self {
        if value.is_zero() { self } else { self.put(key, json!(format_duration(value))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_with_a_sidecar_is_written_as_the_api_reads_it() {
        let service = model::Service { service: "web".to_owned(), port: 80, ..model::Service::default() };
        let db = Upstream { destination_name: "db".to_owned(), local_bind_port: 9191, ..Upstream::default() };
        let sidecar = ServiceDefinition {
            service: model::Service {
                proxy: Some(ProxyConfig { upstreams: vec![db], ..ProxyConfig::default() }),
                ..model::Service::default()
            },
            ..ServiceDefinition::default()
        };
        let definition = ServiceDefinition {
            service,
            checks: vec![CheckDefinition::new("up", CheckKind::Tcp { address: "127.0.0.1:80".to_owned(), tls: false })],
            sidecar: Some(Box::new(sidecar)),
            ..ServiceDefinition::default()
        };
        assert_eq!(
            registration(&definition),
            json!({
                "Name": "web", "Port": 80,
                "Checks": [{ "Name": "up", "TCP": "127.0.0.1:80", "Interval": "10s" }],
                "Connect": { "SidecarService": { "Proxy": {
                    "Upstreams": [{ "DestinationName": "db", "LocalBindPort": 9191 }] } } },
            })
        );
    }
    #[test]
    fn what_is_written_of_a_check_is_read_back_equal() {
        let text = |text: &str| text.to_owned();
        let docker = model::DockerCommand { container: text("c"), shell: text("sh"), args: vec![text("x")] };
        let http = model::HttpRequest {
            url: text("http://h/"),
            method: text("PUT"),
            header: [(text("A"), vec![text("1"), text("2")])].into(),
            body: text("b"),
            disable_redirects: true,
        };
        for kind in [
            CheckKind::Ttl(Duration::from_millis(1500)),
            CheckKind::Http(http),
            CheckKind::Tcp { address: text("h:1"), tls: true },
            CheckKind::Udp(text("h:1")),
            CheckKind::Grpc { target: text("h:1/s"), tls: true },
            CheckKind::H2Ping { address: text("h:1"), tls: false },
            CheckKind::H2Ping { address: text("h:1"), tls: true },
            CheckKind::Script(vec![text("/bin/true"), String::new()]),
            CheckKind::Docker(docker),
            CheckKind::OsService(text("nginx")),
            CheckKind::Alias { node: text("n"), service_id: text("s") },
        ] {
            let timed = !matches!(kind, CheckKind::Ttl(_) | CheckKind::Alias { .. });
            let definition = CheckDefinition {
                id: text("id"),
                service_id: text("web"),
                token: model::Token(text("t")),
                interval: if timed { Duration::from_secs(7) } else { Duration::ZERO },
                timeout: Duration::from_secs(3),
                tls_skip_verify: true,
                tls_server_name: text("n"),
                initial_status: Some(model::Status::Warning),
                success_before_passing: 1,
                failures_before_warning: 2,
                failures_before_critical: 3,
                deregister_critical_service_after: Duration::from_secs(90),
                output_max_size: 10,
                ..CheckDefinition::new("name", kind)
            };
            let body = check_registration(&definition).to_string();
            assert_eq!(model::decode_check_json(body.as_bytes()), Ok(definition), "{body}");
        }
    }
}
