//! The `connect` and `proxy` blocks: sidecars, today's form and the one that Consul 1.6 removed.

use super::service::{mesh_gateway_mode, service};
use crate::decode::{Decoder, Fields, ProblemKind, Style, several};
use crate::hcl::{Entry, Node};
use crate::schema::{EXPOSE, canonical};
use crate::service::{DestinationType, ProxyConfig, ServiceDefinition, ServiceKind, Upstream};

#[derive(Default)]
pub(super) struct Connected {
    pub native: bool,
    pub sidecar: Option<ServiceDefinition>,
    /// The sidecar was written in the removed form.
    pub managed: bool,
}

pub(super) fn connect(decoder: &mut Decoder, node: &Node, path: &str) -> Connected {
    let mut fields = Fields::of(decoder, node, path);
    let mut out = Connected { native: fields.boolean(decoder, "native"), ..Connected::default() };
    out.sidecar = fields.read(decoder, "sidecar_service", sidecar);
    if let Some(entry) = fields.take("proxy") {
        let path = fields.path_of(&entry.key);
        // Clients of the time before sidecars send an empty block with every registration.
        let empty = Fields::of(decoder, &entry.node, &path).is_empty() && decoder.style == Style::Request;
        if out.sidecar.is_some() && !empty {
            decoder.invalid(entry.at, &path, "a service has either sidecar_service or the older proxy, not both");
        } else if !empty {
            decoder.warn(
                entry.at,
                format!(
                    "{path}: managed proxies were removed in Consul 1.6; run here as a sidecar. \
                     The form of today is connect {{ sidecar_service {{ proxy {{ upstreams = [...] }} }} }}"
                ),
            );
            out.sidecar = Some(managed(decoder, &entry.node, &path));
            out.managed = true;
        }
    }
    fields.finish(decoder);
    out
}

fn sidecar(decoder: &mut Decoder, node: &Node, path: &str) -> ServiceDefinition {
    let mut out = service(decoder, node, path);
    // A request is told the same by the agent, in the words it has for requests.
    if decoder.style == Style::File {
        if !out.service.id.is_empty() {
            decoder.invalid(node.at, path, "sidecar_service can't specify an ID");
        }
        if out.sidecar.is_some() {
            decoder.invalid(node.at, path, "sidecar_service can't have a nested sidecar_service");
        }
    }
    out.service.kind = ServiceKind::ConnectProxy;
    out.service.proxy.get_or_insert_default();
    out
}

pub(super) fn proxy(decoder: &mut Decoder, node: &Node, path: &str) -> ProxyConfig {
    let mut fields = Fields::of(decoder, node, path);
    let out = ProxyConfig {
        destination_service_name: fields.text(decoder, "destination_service_name"),
        destination_service_id: fields.text(decoder, "destination_service_id"),
        local_service_address: fields.text(decoder, "local_service_address"),
        local_service_port: fields.port(decoder, "local_service_port"),
        config: fields.opaque(decoder, "config"),
        upstreams: fields.read(decoder, "upstreams", upstreams).unwrap_or_default(),
        mesh_gateway_mode: fields.read(decoder, "mesh_gateway", mesh_gateway_mode).unwrap_or_default(),
        expose: fields.read(decoder, "expose", |d, node, path| canonical(d, node, EXPOSE, path)).unwrap_or_default(),
    };
    fields.finish(decoder);
    out
}

fn upstreams(decoder: &mut Decoder, node: &Node, path: &str) -> Vec<Upstream> {
    decoder.items(node, path).iter().map(|(item, path)| upstream(decoder, item, path)).collect()
}

fn upstream(decoder: &mut Decoder, node: &Node, path: &str) -> Upstream {
    let mut fields = Fields::of(decoder, node, path);
    let mut out = Upstream {
        destination_type: fields.read(decoder, "destination_type", destination_type).unwrap_or_default(),
        destination_namespace: fields.text(decoder, "destination_namespace"),
        destination_name: fields.text(decoder, "destination_name"),
        datacenter: fields.text(decoder, "datacenter"),
        local_bind_address: fields.text(decoder, "local_bind_address"),
        local_bind_port: fields.port(decoder, "local_bind_port"),
        config: fields.opaque(decoder, "config"),
        mesh_gateway_mode: fields.read(decoder, "mesh_gateway", mesh_gateway_mode).unwrap_or_default(),
    };
    // Two keys of the managed form, which had no block for them.
    let datacenter = fields.text(decoder, "destination_datacenter");
    if out.datacenter.is_empty() {
        out.datacenter = datacenter;
    }
    if let Some(entry) = fields.take("connect_timeout_ms") {
        out.config.insert("connect_timeout_ms".to_owned(), entry.node.to_json());
    }
    fields.finish(decoder);
    out
}

fn destination_type(decoder: &mut Decoder, node: &Node, path: &str) -> DestinationType {
    let text = decoder.text(node, path).unwrap_or_default();
    match text.as_str() {
        "" | "service" => return DestinationType::Service,
        "prepared_query" => return DestinationType::PreparedQuery,
        _ => {}
    }
    let text = format!("unknown upstream destination type: {text:?}");
    let request = decoder.style == Style::Request;
    decoder.invalid(
        node.at,
        path,
        if request { several(&[text]) } else { text + ", expected service or prepared_query" },
    );
    DestinationType::Service
}

/// `connect { proxy { config { upstreams = […] } } }`: the proxy that agents of Consul 1.2 to 1.5 started.
fn managed(decoder: &mut Decoder, node: &Node, path: &str) -> ServiceDefinition {
    let mut out = ServiceDefinition::default();
    out.service.kind = ServiceKind::ConnectProxy;
    let mut proxy = ProxyConfig::default();
    let mut fields = Fields::of(decoder, node, path);
    proxy.upstreams = fields.read(decoder, "upstreams", upstreams).unwrap_or_default();
    for key in ["exec_mode", "command"] {
        if let Some(entry) = fields.take(key) {
            decoder.warn(entry.at, format!("{path}.{key} has no effect: the proxy is part of the agent's own program"));
        }
    }
    if let Some(entry) = fields.take("config") {
        let path = fields.path_of(&entry.key);
        let mut config = Fields::of(decoder, &entry.node, &path);
        proxy.upstreams.extend(config.read(decoder, "upstreams", upstreams).unwrap_or_default());
        out.service.port = config.port(decoder, "bind_port");
        if let Some(entry) = config.take("local_service_address") {
            local_service(decoder, entry, &path, &mut proxy);
        }
        proxy.config = config.rest();
    }
    fields.finish(decoder);
    out.service.proxy = Some(proxy);
    out
}

/// The managed form writes address and port in one text.
fn local_service(decoder: &mut Decoder, entry: &Entry, path: &str, proxy: &mut ProxyConfig) {
    let path = format!("{path}.{}", entry.key);
    let text = decoder.text(&entry.node, &path).unwrap_or_default();
    match text.rsplit_once(':') {
        None => proxy.local_service_address = text,
        Some((host, port)) => match port.parse() {
            Ok(port) => {
                host.clone_into(&mut proxy.local_service_address);
                proxy.local_service_port = port;
            }
            Err(_) => {
                let kind = ProblemKind::WrongType { expected: "host:port".to_owned(), got: format!("{text:?}") };
                decoder.problem(entry.node.at, &path, kind);
            }
        },
    }
}
