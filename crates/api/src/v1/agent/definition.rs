//! Registrations as Consul's clients send them, made into the model's definitions.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use model::{
    CheckDefinition, CheckKind, Connect, DestinationType, OpaqueMap, ProxyConfig, Service, ServiceAddress,
    ServiceDefinition, ServiceKind, Status, Upstream, Weights,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Error;
use crate::json::{Shape, decode};

/// Consul takes some keys in snake_case too: those it has written into its decoder, and no others.
const CHECK: Shape = Shape::Object(&[
    ("ID", Shape::Any),
    ("CheckID", Shape::Any),
    ("Name", Shape::Any),
    ("Notes", Shape::Any),
    ("ServiceID", Shape::Any),
    ("service_id", Shape::Any),
    ("Token", Shape::Any),
    ("Status", Shape::Any),
    ("Args", Shape::Any),
    ("ScriptArgs", Shape::Any),
    ("script_args", Shape::Any),
    ("HTTP", Shape::Any),
    ("Header", Shape::Any),
    ("Method", Shape::Any),
    ("Body", Shape::Any),
    ("TCP", Shape::Any),
    ("GRPC", Shape::Any),
    ("GRPCUseTLS", Shape::Any),
    ("grpc_use_tls", Shape::Any),
    ("TLSSkipVerify", Shape::Any),
    ("tls_skip_verify", Shape::Any),
    ("AliasNode", Shape::Any),
    ("alias_node", Shape::Any),
    ("AliasService", Shape::Any),
    ("alias_service", Shape::Any),
    ("DockerContainerID", Shape::Any),
    ("docker_container_id", Shape::Any),
    ("Shell", Shape::Any),
    ("Interval", Shape::Any),
    ("Timeout", Shape::Any),
    ("TTL", Shape::Any),
    ("SuccessBeforePassing", Shape::Any),
    ("success_before_passing", Shape::Any),
    ("FailuresBeforeCritical", Shape::Any),
    ("failures_before_critical", Shape::Any),
    ("DeregisterCriticalServiceAfter", Shape::Any),
    ("deregister_critical_service_after", Shape::Any),
    ("OutputMaxSize", Shape::Any),
    ("output_max_size", Shape::Any),
]);

const ADDRESS: Shape = Shape::Object(&[("Address", Shape::Any), ("Port", Shape::Any)]);
const MESH_GATEWAY: Shape = Shape::Object(&[("Mode", Shape::Any)]);

const UPSTREAM: Shape = Shape::Object(&[
    ("DestinationType", Shape::Any),
    ("destination_type", Shape::Any),
    ("DestinationNamespace", Shape::Any),
    ("destination_namespace", Shape::Any),
    ("DestinationName", Shape::Any),
    ("destination_name", Shape::Any),
    ("Datacenter", Shape::Any),
    ("LocalBindAddress", Shape::Any),
    ("local_bind_address", Shape::Any),
    ("LocalBindPort", Shape::Any),
    ("local_bind_port", Shape::Any),
    ("Config", Shape::Any),
    ("MeshGateway", MESH_GATEWAY),
    ("mesh_gateway", MESH_GATEWAY),
]);

const PROXY: Shape = Shape::Object(&[
    ("DestinationServiceName", Shape::Any),
    ("destination_service_name", Shape::Any),
    ("DestinationServiceID", Shape::Any),
    ("destination_service_id", Shape::Any),
    ("LocalServiceAddress", Shape::Any),
    ("local_service_address", Shape::Any),
    ("LocalServicePort", Shape::Any),
    ("local_service_port", Shape::Any),
    ("Config", Shape::Any),
    ("Upstreams", Shape::List(&UPSTREAM)),
    ("MeshGateway", MESH_GATEWAY),
    ("mesh_gateway", MESH_GATEWAY),
    ("Expose", Shape::Any),
]);

const CONNECT: Shape =
    Shape::Object(&[("Native", Shape::Any), ("SidecarService", SIDECAR), ("sidecar_service", SIDECAR)]);

/// What a sidecar nested in a sidecar holds does not matter: it is refused for being there.
const NESTED: Shape =
    Shape::Object(&[("Native", Shape::Any), ("SidecarService", Shape::Any), ("sidecar_service", Shape::Any)]);

const SIDECAR: Shape = service(&NESTED_FIELDS);
const SERVICE: Shape = service(&SERVICE_FIELDS);

const fn service(fields: &'static [(&'static str, Shape); 19]) -> Shape {
    Shape::Object(fields)
}

static NESTED_FIELDS: [(&str, Shape); 19] = fields(NESTED);
static SERVICE_FIELDS: [(&str, Shape); 19] = fields(CONNECT);

const fn fields(connect: Shape) -> [(&'static str, Shape); 19] {
    [
        ("Kind", Shape::Any),
        ("ID", Shape::Any),
        ("Name", Shape::Any),
        ("Tags", Shape::Any),
        ("Address", Shape::Any),
        ("TaggedAddresses", Shape::Map(&ADDRESS)),
        ("tagged_addresses", Shape::Map(&ADDRESS)),
        ("Meta", Shape::Any),
        ("Port", Shape::Any),
        ("Check", CHECK),
        ("Checks", Shape::List(&CHECK)),
        ("Weights", Shape::Object(&[("Passing", Shape::Any), ("Warning", Shape::Any)])),
        ("Token", Shape::Any),
        ("EnableTagOverride", Shape::Any),
        ("enable_tag_override", Shape::Any),
        ("Proxy", PROXY),
        ("Connect", connect),
        // Sent by newer clients, and empty or default in everything this agent can hold.
        ("Namespace", Shape::Any),
        ("Partition", Shape::Any),
    ]
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct CheckBody {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "CheckID")]
    check_id: String,
    name: String,
    notes: String,
    #[serde(rename = "ServiceID", alias = "service_id")]
    service_id: String,
    status: String,
    #[serde(alias = "ScriptArgs", alias = "script_args")]
    args: Vec<String>,
    #[serde(rename = "HTTP")]
    http: String,
    header: BTreeMap<String, Vec<String>>,
    method: String,
    body: String,
    #[serde(rename = "TCP")]
    tcp: String,
    #[serde(rename = "GRPC")]
    grpc: String,
    #[serde(rename = "GRPCUseTLS", alias = "grpc_use_tls")]
    grpc_use_tls: bool,
    #[serde(rename = "TLSSkipVerify", alias = "tls_skip_verify")]
    tls_skip_verify: bool,
    #[serde(alias = "alias_node")]
    alias_node: String,
    #[serde(alias = "alias_service")]
    alias_service: String,
    #[serde(rename = "DockerContainerID", alias = "docker_container_id")]
    docker_container_id: String,
    #[serde(deserialize_with = "duration")]
    interval: Duration,
    #[serde(deserialize_with = "duration")]
    timeout: Duration,
    #[serde(rename = "TTL", deserialize_with = "duration")]
    ttl: Duration,
    #[serde(alias = "success_before_passing")]
    success_before_passing: u32,
    #[serde(alias = "failures_before_critical")]
    failures_before_critical: u32,
    #[serde(alias = "deregister_critical_service_after", deserialize_with = "duration")]
    deregister_critical_service_after: Duration,
    #[serde(alias = "output_max_size")]
    output_max_size: usize,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ServiceBody {
    kind: ServiceKind,
    #[serde(rename = "ID")]
    id: String,
    name: String,
    tags: Vec<String>,
    address: String,
    #[serde(alias = "tagged_addresses")]
    tagged_addresses: BTreeMap<String, ServiceAddress>,
    meta: BTreeMap<String, String>,
    port: u16,
    check: Option<CheckBody>,
    checks: Vec<CheckBody>,
    weights: Option<WeightsBody>,
    token: String,
    #[serde(alias = "enable_tag_override")]
    enable_tag_override: bool,
    proxy: Option<ProxyBody>,
    connect: ConnectBody,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct WeightsBody {
    passing: u32,
    warning: u32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ConnectBody {
    native: bool,
    #[serde(alias = "sidecar_service")]
    sidecar_service: Option<Box<ServiceBody>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ProxyBody {
    #[serde(alias = "destination_service_name")]
    destination_service_name: String,
    #[serde(rename = "DestinationServiceID", alias = "destination_service_id")]
    destination_service_id: String,
    #[serde(alias = "local_service_address")]
    local_service_address: String,
    #[serde(alias = "local_service_port")]
    local_service_port: u16,
    config: OpaqueMap,
    upstreams: Vec<UpstreamBody>,
    #[serde(alias = "mesh_gateway")]
    mesh_gateway: MeshGatewayBody,
    expose: OpaqueMap,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct MeshGatewayBody {
    mode: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct UpstreamBody {
    #[serde(alias = "destination_type")]
    destination_type: String,
    #[serde(alias = "destination_namespace")]
    destination_namespace: String,
    #[serde(alias = "destination_name")]
    destination_name: String,
    datacenter: String,
    #[serde(alias = "local_bind_address")]
    local_bind_address: String,
    #[serde(alias = "local_bind_port")]
    local_bind_port: u16,
    config: OpaqueMap,
    #[serde(alias = "mesh_gateway")]
    mesh_gateway: MeshGatewayBody,
}

/// A text as Go writes durations, or nanoseconds.
fn duration<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    let bad = |text: &str| serde::de::Error::custom(format!("time: invalid duration {text:?}"));
    match Value::deserialize(input)? {
        Value::String(text) if text.is_empty() => Ok(Duration::ZERO),
        Value::String(text) => model::parse_duration(&text).map_err(|_| bad(&text)),
        Value::Number(number) => number.as_u64().map(Duration::from_nanos).ok_or_else(|| bad(&number.to_string())),
        other => Err(bad(&other.to_string())),
    }
}

/// The texts of durations are Go's own and come without the name of the package that reads JSON.
fn read<T: serde::de::DeserializeOwned>(body: &[u8], shape: &Shape, name: &str) -> Result<T, Error> {
    decode(body, shape, name).map_err(|text| {
        let text = text.strip_prefix("json: ").filter(|text| text.starts_with("time: ")).unwrap_or(&text);
        Error::Decode(text.to_owned())
    })
}

/// The body of `PUT /v1/agent/service/register`.
pub fn service_definition(body: &[u8]) -> Result<ServiceDefinition, Error> {
    let body: ServiceBody = read(body, &SERVICE, "structs.ServiceDefinition")?;
    if body.name.is_empty() {
        return Err(Error::Invalid("Missing service name".to_owned()));
    }
    definition(body)
}

/// The body of `PUT /v1/agent/check/register`.
pub fn check_definition(body: &[u8]) -> Result<CheckDefinition, Error> {
    let mut body: CheckBody = read(body, &CHECK, "structs.CheckDefinition")?;
    if body.name.is_empty() {
        return Err(Error::Invalid("Missing check name".to_owned()));
    }
    if !body.status.is_empty() && Status::parse(&body.status).is_none() {
        return Err(Error::Invalid("Bad check status".to_owned()));
    }
    if body.check_id.is_empty() {
        body.check_id = std::mem::take(&mut body.id);
    }
    check(body)
}

fn definition(body: ServiceBody) -> Result<ServiceDefinition, Error> {
    let weights = match body.weights {
        None => Weights::default(),
        Some(given) if given.passing == 0 => {
            return Err(Error::Invalid("Invalid Weights: Passing must be greater than 0".to_owned()));
        }
        Some(given) => Weights { passing: given.passing, warning: given.warning },
    };
    let checks = body.check.into_iter().chain(body.checks).map(check).collect::<Result<_, _>>()?;
    let sidecar = body.connect.sidecar_service.map(|sidecar| definition(*sidecar).map(Box::new)).transpose()?;
    let service = Service {
        kind: body.kind,
        id: body.id,
        service: body.name,
        tags: body.tags,
        meta: body.meta,
        port: body.port,
        address: body.address,
        tagged_addresses: body.tagged_addresses,
        weights,
        enable_tag_override: body.enable_tag_override,
        proxy: body.proxy.map(proxy).transpose()?,
        connect: Connect { native: body.connect.native },
    };
    Ok(ServiceDefinition { service, checks, sidecar, managed_proxy: false, token: body.token })
}

fn proxy(body: ProxyBody) -> Result<ProxyConfig, Error> {
    Ok(ProxyConfig {
        destination_service_name: body.destination_service_name,
        destination_service_id: body.destination_service_id,
        local_service_address: body.local_service_address,
        local_service_port: body.local_service_port,
        config: body.config,
        upstreams: body.upstreams.into_iter().map(upstream).collect::<Result<_, _>>()?,
        mesh_gateway_mode: body.mesh_gateway.mode,
        expose: body.expose,
    })
}

fn upstream(body: UpstreamBody) -> Result<Upstream, Error> {
    let destination_type = match body.destination_type.as_str() {
        "" | "service" => DestinationType::Service,
        "prepared_query" => DestinationType::PreparedQuery,
        other => {
            let text = format!("Upstream destination type must be \"service\" or \"prepared_query\", got {other:?}");
            return Err(Error::Invalid(text));
        }
    };
    Ok(Upstream {
        destination_type,
        destination_namespace: body.destination_namespace,
        destination_name: body.destination_name,
        datacenter: body.datacenter,
        local_bind_address: body.local_bind_address,
        local_bind_port: body.local_bind_port,
        config: body.config,
        mesh_gateway_mode: body.mesh_gateway.mode,
    })
}

fn check(body: CheckBody) -> Result<CheckDefinition, Error> {
    let initial_status = match body.status.as_str() {
        "" => None,
        text => Some(
            Status::parse(text)
                .ok_or_else(|| Error::Invalid("Status for checks must 'passing', 'warning', 'critical'".to_owned()))?,
        ),
    };
    Ok(CheckDefinition {
        kind: kind(&body)?,
        id: body.check_id,
        name: body.name,
        notes: body.notes,
        service_id: body.service_id,
        interval: body.interval,
        timeout: body.timeout,
        initial_status,
        success_before_passing: body.success_before_passing,
        failures_before_critical: body.failures_before_critical,
        deregister_critical_service_after: body.deregister_critical_service_after,
        output_max_size: body.output_max_size,
    })
}

fn kind(body: &CheckBody) -> Result<CheckKind, Error> {
    let invalid = |why: &str| Err(Error::Invalid(format!("Invalid check: {why}")));
    let script = !body.args.is_empty() || !body.docker_container_id.is_empty();
    let asked = script || !body.http.is_empty() || !body.tcp.is_empty() || !body.grpc.is_empty();
    let alias = !body.alias_node.is_empty() || !body.alias_service.is_empty();
    if !body.interval.is_zero() && !body.ttl.is_zero() {
        return invalid("Interval and TTL cannot both be specified");
    }
    if asked && body.interval.is_zero() {
        return invalid("Interval must be > 0 for Script, HTTP, or TCP checks");
    }
    if !asked && !alias && body.ttl.is_zero() {
        return invalid("TTL must be > 0 for TTL checks");
    }
    if script {
        let text = "Scripts are disabled on this agent from remote calls; to enable, configure \
                    'enable_script_checks' to true";
        return Err(Error::Status { status: StatusCode::INTERNAL_SERVER_ERROR, text: text.to_owned() });
    }
    Ok(if !body.http.is_empty() {
        CheckKind::Http {
            url: body.http.clone(),
            method: body.method.clone(),
            header: body.header.clone(),
            body: body.body.clone(),
            tls_skip_verify: body.tls_skip_verify,
        }
    } else if !body.tcp.is_empty() {
        CheckKind::Tcp(body.tcp.clone())
    } else if !body.grpc.is_empty() {
        CheckKind::Grpc { target: body.grpc.clone(), tls: body.grpc_use_tls, tls_skip_verify: body.tls_skip_verify }
    } else if alias {
        CheckKind::Alias { node: body.alias_node.clone(), service_id: body.alias_service.clone() }
    } else {
        CheckKind::Ttl(body.ttl)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn refusal(body: &str) -> String {
        let error = service_definition(body.as_bytes()).unwrap_err();
        format!("{} {error}", error.status().as_u16())
    }

    #[test]
    fn keys_in_any_case_and_the_snake_ones_consul_knows() {
        let body = r#"{"id":"s","NAME":"snake","enable_tag_override":true,
            "tagged_addresses":{"wan":{"address":"192.0.2.9","port":82}},
            "checks":[{"ttl":"1h","checkid":"c"},{"TCP":"x:1","interval":"5s","deregister_critical_service_after":"2m"}],
            "connect":{"sidecar_service":{"proxy":{"upstreams":[{"destination_name":"db","local_bind_port":9}]}}}}"#;
        let definition = service_definition(body.as_bytes()).unwrap();
        assert!(definition.service.enable_tag_override);
        assert_eq!(definition.service.tagged_addresses["wan"].port, 82);
        assert_eq!(definition.checks[0].kind, CheckKind::Ttl(Duration::from_secs(3600)));
        assert_eq!(definition.checks[0].id, "c");
        assert_eq!(definition.checks[1].deregister_critical_service_after, Duration::from_secs(120));
        let sidecar = definition.sidecar.unwrap();
        assert_eq!(sidecar.service.proxy.unwrap().upstreams[0].local_bind_port, 9);
    }

    #[test]
    fn refusals_are_in_consuls_words() {
        for (body, text) in [
            ("", "400 Request decode failed: EOF"),
            (r#"{"Name":"x","Bogus":1}"#, "400 Request decode failed: json: unknown field \"Bogus\""),
            (
                r#"{"name":"x","checks":[{"ttl":"1h","check_id":"x"}]}"#,
                "400 Request decode failed: json: unknown field \"check_id\"",
            ),
            (r#"{"Port":1}"#, "400 Missing service name"),
            (
                r#"{"Name":"x","Check":{"TCP":"a:1","Interval":"soon"}}"#,
                "400 Request decode failed: time: invalid duration \"soon\"",
            ),
            (
                r#"{"Name":"x","Check":{"HTTP":"http://x"}}"#,
                "400 Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
            ),
            (r#"{"Name":"x","Check":{}}"#, "400 Invalid check: TTL must be > 0 for TTL checks"),
        ] {
            assert_eq!(refusal(body), text);
        }
        assert!(refusal(r#"{"Name":"x","Check":{"Args":["true"],"Interval":"1s"}}"#).starts_with("500 Scripts are"));
    }

    #[test]
    fn a_sidecar_nested_in_a_sidecar_is_left_for_the_agent_to_refuse() {
        let body = r#"{"Name":"x","Connect":{"SidecarService":{"ID":"y","Connect":{"SidecarService":{}}}}}"#;
        let sidecar = service_definition(body.as_bytes()).unwrap().sidecar.unwrap();
        assert!(sidecar.sidecar.is_some());
    }
}
