//! One check block.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::{CheckDefinition, CheckKind, DockerCommand, HttpRequest, Status};
use crate::decode::{Decoder, Fields, Style};
use crate::hcl::Node;
use crate::service::Token;

/// Everything of a block that says how to check.
struct Given {
    ttl: Duration,
    interval: Duration,
    tcp: String,
    tcp_use_tls: bool,
    udp: String,
    grpc: String,
    grpc_use_tls: bool,
    h2ping: String,
    h2ping_use_tls: bool,
    os_service: String,
    alias_node: String,
    alias_service: String,
    http: HttpRequest,
    output_max_size: i64,
    docker: DockerCommand,
}

/// `None` after a problem was reported, and for the empty block that some clients send.
pub(super) fn check(decoder: &mut Decoder, node: &Node, path: &str) -> Option<CheckDefinition> {
    let mut fields = Fields::of(decoder, node, path);
    if fields.is_empty() && decoder.style == Style::Request {
        return None;
    }
    let before = decoder.problems.len();
    let given = given(decoder, &mut fields);
    let mut out = CheckDefinition::new(&fields.text(decoder, "name"), CheckKind::Ttl(given.ttl));
    // A request may say `CheckID`, never `check_id`; clients' tests hold Consul to it.
    let id = if decoder.style == Style::Request { "checkid" } else { "check_id" };
    out.id =
        [fields.text(decoder, "id"), fields.text(decoder, id)].into_iter().find(|t| !t.is_empty()).unwrap_or_default();
    out.notes = fields.text(decoder, "notes");
    out.service_id = fields.text(decoder, "service_id");
    out.interval = given.interval;
    out.timeout = fields.duration(decoder, "timeout").unwrap_or_default();
    out.tls_skip_verify = fields.boolean(decoder, "tls_skip_verify");
    out.tls_server_name = fields.text(decoder, "tls_server_name");
    out.initial_status = fields.read(decoder, "status", status).flatten();
    out.success_before_passing = fields.count(decoder, "success_before_passing").unwrap_or_default();
    out.failures_before_warning = fields.count(decoder, "failures_before_warning").unwrap_or_default();
    out.failures_before_critical = fields.count(decoder, "failures_before_critical").unwrap_or_default();
    out.deregister_critical_service_after =
        fields.duration(decoder, "deregister_critical_service_after").unwrap_or_default();
    out.output_max_size = usize::try_from(given.output_max_size).unwrap_or_default();
    out.token = Token(fields.text(decoder, "token"));
    super::no_tenancy(decoder, &mut fields);
    fields.finish(decoder);
    if let Some(text) = complaint(&given, &out) {
        // When a field could not be read it is that field's problem, not the absence of a value.
        if !decoder.problems.iter().any(|problem| problem.path.starts_with(path)) {
            decoder.invalid(node.at, path, format!("Invalid check: {text}"));
        }
        return None;
    }
    out.kind = kind(given);
    (decoder.problems.len() == before).then_some(out)
}

fn given(decoder: &mut Decoder, fields: &mut Fields<'_>) -> Given {
    let number =
        |d: &mut Decoder, node: &Node, path: &str| d.integer(node, path, i64::from(i32::MIN), i64::from(i32::MAX));
    Given {
        ttl: fields.duration(decoder, "ttl").unwrap_or_default(),
        interval: fields.duration(decoder, "interval").unwrap_or_default(),
        tcp: fields.text(decoder, "tcp"),
        tcp_use_tls: fields.boolean(decoder, "tcp_use_tls"),
        udp: fields.text(decoder, "udp"),
        grpc: fields.text(decoder, "grpc"),
        grpc_use_tls: fields.boolean(decoder, "grpc_use_tls"),
        h2ping: fields.text(decoder, "h2ping"),
        h2ping_use_tls: fields.read(decoder, "h2ping_use_tls", Decoder::boolean).flatten().unwrap_or(true),
        os_service: fields.text(decoder, "os_service"),
        alias_node: fields.text(decoder, "alias_node"),
        alias_service: fields.text(decoder, "alias_service"),
        http: HttpRequest {
            url: fields.text(decoder, "http"),
            method: fields.text(decoder, "method"),
            header: fields.read(decoder, "header", header).unwrap_or_default(),
            body: fields.text(decoder, "body"),
            disable_redirects: fields.boolean(decoder, "disable_redirects"),
        },
        output_max_size: fields.read(decoder, "output_max_size", number).flatten().unwrap_or_default(),
        docker: DockerCommand {
            container: fields.text(decoder, "docker_container_id"),
            shell: fields.text(decoder, "shell"),
            args: [fields.texts(decoder, "args"), fields.texts(decoder, "script_args")].concat(),
        },
    }
}

fn header(decoder: &mut Decoder, node: &Node, path: &str) -> BTreeMap<String, Vec<String>> {
    let Some(object) = decoder.block(node, path) else {
        return BTreeMap::new();
    };
    let texts =
        |entry: &crate::hcl::Entry| (entry.key.clone(), decoder.texts(&entry.node, &format!("{path}[{}]", entry.key)));
    object.entries.iter().map(texts).collect()
}

fn status(decoder: &mut Decoder, node: &Node, path: &str) -> Option<Status> {
    let text = decoder.text(node, path)?;
    let status = Status::parse(&text);
    if status.is_none() && !text.is_empty() {
        decoder.invalid(node.at, path, "Status for checks must 'passing', 'warning', 'critical'");
    }
    status
}

/// Consul's rules, in Consul's order, in Consul's words (the interval rule covers more kinds than it names).
fn complaint(given: &Given, check: &CheckDefinition) -> Option<&'static str> {
    let alias = !given.alias_service.is_empty() || !given.alias_node.is_empty();
    let targets = [&given.http.url, &given.tcp, &given.udp, &given.grpc, &given.h2ping, &given.os_service];
    // A container without a program to run in it is no check.
    let timed = !given.docker.args.is_empty() || targets.iter().any(|target| !target.is_empty());
    if !given.interval.is_zero() && !given.ttl.is_zero() {
        Some("Interval and TTL cannot both be specified")
    } else if timed && given.interval.is_zero() {
        Some("Interval must be > 0 for Script, HTTP, or TCP checks")
    } else if timed && alias {
        Some("Interval cannot be set for Alias checks")
    } else if alias && !given.ttl.is_zero() {
        Some("TTL must be not be set for Alias checks")
    } else if !timed && !alias && given.ttl.is_zero() {
        Some("TTL must be > 0 for TTL checks")
    } else if given.output_max_size < 0 {
        Some("MaxOutputMaxSize must be positive")
    } else if check.failures_before_warning > check.failures_before_critical {
        Some("FailuresBeforeWarning can't be higher than FailuresBeforeCritical")
    } else {
        None
    }
}

/// Of several the first counts, in Consul's order.
fn kind(given: Given) -> CheckKind {
    if !given.ttl.is_zero() {
        CheckKind::Ttl(given.ttl)
    } else if !given.http.url.is_empty() {
        CheckKind::Http(given.http)
    } else if !given.tcp.is_empty() {
        CheckKind::Tcp { address: given.tcp, tls: given.tcp_use_tls }
    } else if !given.udp.is_empty() {
        CheckKind::Udp(given.udp)
    } else if !given.grpc.is_empty() {
        CheckKind::Grpc { target: given.grpc, tls: given.grpc_use_tls }
    } else if !given.docker.args.is_empty() && !given.docker.container.is_empty() {
        CheckKind::Docker(given.docker)
    } else if !given.docker.args.is_empty() {
        CheckKind::Script(given.docker.args)
    } else if !given.h2ping.is_empty() {
        CheckKind::H2Ping { address: given.h2ping, tls: given.h2ping_use_tls }
    } else if !given.os_service.is_empty() {
        CheckKind::OsService(given.os_service)
    } else {
        CheckKind::Alias { node: given.alias_node, service_id: given.alias_service }
    }
}
