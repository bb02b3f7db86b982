//! One service block.

use std::collections::BTreeMap;

use super::{check, connect};
use crate::decode::{Decoder, Fields, Style};
use crate::hcl::Node;
use crate::service::{Connect, ServiceAddress, ServiceDefinition, ServiceKind, Token, Weights};

const HIGHEST_WEIGHT: u32 = 65535;

pub(super) fn service(decoder: &mut Decoder, node: &Node, path: &str) -> ServiceDefinition {
    let mut fields = Fields::of(decoder, node, path);
    let mut out = ServiceDefinition::default();
    let service = &mut out.service;
    service.kind = kind(&fields.text(decoder, "kind"));
    service.id = fields.text(decoder, "id");
    service.service = fields.text(decoder, "name");
    service.tags = fields.texts(decoder, "tags");
    service.meta = fields.text_map(decoder, "meta");
    service.port = fields.port(decoder, "port");
    service.address = fields.text(decoder, "address");
    service.tagged_addresses = fields.read(decoder, "tagged_addresses", tagged_addresses).unwrap_or_default();
    service.weights = fields.read(decoder, "weights", weights).unwrap_or_default();
    service.enable_tag_override = fields.boolean(decoder, "enable_tag_override");
    service.proxy = fields.read(decoder, "proxy", connect::proxy);
    out.token = Token(fields.text(decoder, "token"));
    if let Some(Some(check)) = fields.read(decoder, "check", check::check) {
        out.checks.push(check);
    }
    let checks = fields.read(decoder, "checks", |decoder, node, path| {
        let items = decoder.items(node, path);
        items.iter().filter_map(|(item, path)| check::check(decoder, item, path)).collect::<Vec<_>>()
    });
    out.checks.extend(checks.unwrap_or_default());
    if let Some(connect) = fields.read(decoder, "connect", connect::connect) {
        out.service.connect = Connect { native: connect.native };
        out.sidecar = connect.sidecar.map(Box::new);
        out.managed_proxy = connect.managed;
    }
    super::no_tenancy(decoder, &mut fields);
    fields.finish(decoder);
    out
}

fn kind(text: &str) -> ServiceKind {
    match text {
        "" => ServiceKind::Typical,
        "connect-proxy" => ServiceKind::ConnectProxy,
        "mesh-gateway" => ServiceKind::MeshGateway,
        "terminating-gateway" => ServiceKind::TerminatingGateway,
        "ingress-gateway" => ServiceKind::IngressGateway,
        other => ServiceKind::Other(other.to_owned()),
    }
}

fn tagged_addresses(decoder: &mut Decoder, node: &Node, path: &str) -> BTreeMap<String, ServiceAddress> {
    let mut out = BTreeMap::new();
    let Some(object) = decoder.block(node, path) else {
        return out;
    };
    for entry in &object.entries {
        let mut fields = Fields::of(decoder, &entry.node, &format!("{path}[{}]", entry.key));
        let address = fields.text(decoder, "address");
        let port = fields.port(decoder, "port");
        fields.finish(decoder);
        out.insert(entry.key.clone(), ServiceAddress { address, port });
    }
    out
}

fn weights(decoder: &mut Decoder, node: &Node, path: &str) -> Weights {
    let mut fields = Fields::of(decoder, node, path);
    let passing = fields.count(decoder, "passing").unwrap_or(1);
    let warning = fields.count(decoder, "warning").unwrap_or(1);
    fields.finish(decoder);
    if passing == 0 {
        decoder.invalid(node.at, path, "Invalid Weights: Passing must be greater than 0");
    } else if passing.max(warning) > HIGHEST_WEIGHT {
        let text = format!("Invalid Weights: DNS Weight must be between 0 and {HIGHEST_WEIGHT}");
        decoder.invalid(node.at, path, text);
    }
    Weights { passing, warning }
}

/// The mode of a mesh gateway. Consul checks the word in files only.
pub(super) fn mesh_gateway_mode(decoder: &mut Decoder, node: &Node, path: &str) -> String {
    let mut fields = Fields::of(decoder, node, path);
    let mode = fields.text(decoder, "mode");
    fields.finish(decoder);
    if decoder.style == Style::File && !["", "none", "local", "remote"].contains(&mode.as_str()) {
        decoder.invalid(node.at, path, format!("Invalid Mesh Gateway Mode: {mode:?}, expected none, local or remote"));
    }
    mode
}
