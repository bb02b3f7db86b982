//! One check block.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::check::{CheckDefinition, CheckKind, Status};
use crate::decode::{Decoder, Fields, ProblemKind, Style};
use crate::hcl::{Node, Position};

/// In a request, Consul's own sentence for a check it will not run; in a file the whole truth.
const SCRIPT_REQUEST: &str =
    "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
const SCRIPT_FILE: &str =
    "script checks are not supported yet; supported are ttl, http, tcp, grpc, alias_service and alias_node";
const DOCKER_FILE: &str =
    "docker checks are not supported yet; supported are ttl, http, tcp, grpc, alias_service and alias_node";

/// Everything of a block that says how to check.
struct Given {
    ttl: Duration,
    interval: Duration,
    http: String,
    tcp: String,
    grpc: String,
    alias_node: String,
    alias_service: String,
    method: String,
    header: BTreeMap<String, Vec<String>>,
    body: String,
    tls_skip_verify: bool,
    grpc_use_tls: bool,
    output_max_size: i64,
    args: Vec<String>,
    docker: String,
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
    out.initial_status = fields.read(decoder, "status", status).flatten();
    out.success_before_passing = fields.count(decoder, "success_before_passing").unwrap_or_default();
    out.failures_before_critical = fields.count(decoder, "failures_before_critical").unwrap_or_default();
    out.deregister_critical_service_after =
        fields.duration(decoder, "deregister_critical_service_after").unwrap_or_default();
    out.output_max_size = usize::try_from(given.output_max_size).unwrap_or_default();
    // Access control is not there yet, so that a token is taken and needed by nobody.
    fields.text(decoder, "token");
    fields.finish(decoder);
    out.kind = kind(decoder, node.at, path, given)?;
    (decoder.problems.len() == before).then_some(out)
}

fn given(decoder: &mut Decoder, fields: &mut Fields<'_>) -> Given {
    let number =
        |d: &mut Decoder, node: &Node, path: &str| d.integer(node, path, i64::from(i32::MIN), i64::from(i32::MAX));
    let given = Given {
        ttl: fields.duration(decoder, "ttl").unwrap_or_default(),
        interval: fields.duration(decoder, "interval").unwrap_or_default(),
        http: fields.text(decoder, "http"),
        tcp: fields.text(decoder, "tcp"),
        grpc: fields.text(decoder, "grpc"),
        alias_node: fields.text(decoder, "alias_node"),
        alias_service: fields.text(decoder, "alias_service"),
        method: fields.text(decoder, "method"),
        header: fields.read(decoder, "header", header).unwrap_or_default(),
        body: fields.text(decoder, "body"),
        tls_skip_verify: fields.boolean(decoder, "tls_skip_verify"),
        grpc_use_tls: fields.boolean(decoder, "grpc_use_tls"),
        output_max_size: fields.read(decoder, "output_max_size", number).flatten().unwrap_or_default(),
        args: [fields.texts(decoder, "args"), fields.texts(decoder, "script_args")].concat(),
        docker: fields.text(decoder, "docker_container_id"),
    };
    fields.text(decoder, "shell");
    given
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

/// Consul's rules, in Consul's order, in Consul's words (the interval rule covers gRPC though it does not say so).
fn kind(decoder: &mut Decoder, at: Position, path: &str, given: Given) -> Option<CheckKind> {
    let script = !given.args.is_empty();
    let docker = !given.docker.is_empty();
    let alias = !given.alias_service.is_empty() || !given.alias_node.is_empty();
    let timed = script || docker || [&given.http, &given.tcp, &given.grpc].iter().any(|target| !target.is_empty());
    let complaint = if !given.interval.is_zero() && !given.ttl.is_zero() {
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
    } else {
        None
    };
    if let Some(text) = complaint {
        // When a field could not be read it is that field's problem, not the absence of a value.
        if !decoder.problems.iter().any(|problem| problem.path.starts_with(path)) {
            decoder.invalid(at, path, format!("Invalid check: {text}"));
        }
        return None;
    }
    if script || docker {
        let text = match (decoder.style, docker) {
            (Style::Request, _) => SCRIPT_REQUEST,
            (Style::File, true) => DOCKER_FILE,
            (Style::File, false) => SCRIPT_FILE,
        };
        decoder.problem(at, path, ProblemKind::Unsupported(text.to_owned()));
        return None;
    }
    Some(if !given.ttl.is_zero() {
        CheckKind::Ttl(given.ttl)
    } else if !given.http.is_empty() {
        let Given { http: url, method, header, body, tls_skip_verify, .. } = given;
        CheckKind::Http { url, method, header, body, tls_skip_verify }
    } else if !given.tcp.is_empty() {
        CheckKind::Tcp(given.tcp)
    } else if !given.grpc.is_empty() {
        CheckKind::Grpc { target: given.grpc, tls: given.grpc_use_tls, tls_skip_verify: given.tls_skip_verify }
    } else {
        CheckKind::Alias { node: given.alias_node, service_id: given.alias_service }
    })
}
