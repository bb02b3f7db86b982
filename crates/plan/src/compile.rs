//! Inputs in, plan out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::{
    DestinationType, Protocol, ProxyConfig, ProxySettings, Service, ServiceKind, SpiffeId, Upstream, UpstreamSettings,
};

use crate::upstream::Way;
use crate::{Inbound, Inputs, Outbound, Plan, ProxyRef, Target, TargetId, intentions, merge, recording};

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Envoy's default for a route, so Consul's for an upstream without a router.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const ANY_ADDRESS: &str = "0.0.0.0";
const LOOPBACK: &str = "127.0.0.1";

/// What this proxy must do.
pub fn compile(inputs: &Inputs) -> Plan {
    let registration = inputs.proxy.proxy.clone().unwrap_or_default();
    let proxy = merge::proxy_config(&registration, inputs.proxy_defaults.as_ref(), &inputs.service_defaults);
    let settings = ProxySettings::parse(&proxy.config);
    let mut draft = Draft { inputs, warnings: Vec::new(), taken: BTreeSet::new(), targets: BTreeMap::new() };
    draft.warnings.extend(settings.warnings.iter().cloned());
    let service = service_name(inputs, &proxy);
    if inputs.proxy.kind != ServiceKind::ConnectProxy {
        draft.warn(format!("{:?} is not a sidecar (kind connect-proxy): it listens nowhere", inputs.proxy.id));
    }
    let sidecar = inputs.proxy.kind == ServiceKind::ConnectProxy;
    let inbound = if sidecar { draft.inbound(&proxy, &settings, &service) } else { None };
    let outbound =
        if sidecar { proxy.upstreams.iter().filter_map(|u| draft.outbound(u)).collect() } else { Vec::new() };
    let recording = recording::recording(&settings, inputs.proxy_defaults.as_ref(), &mut draft.warnings);
    Plan {
        proxy: proxy_ref(inputs, &proxy, &service),
        identity: SpiffeId::service(&inputs.trust_domain, &inputs.datacenter, &service),
        inbound: inbound.into_iter().collect(),
        outbound,
        targets: draft.targets,
        recording,
        warnings: draft.warnings,
    }
}

/// A proxy that does not say whom it stands for speaks for itself: it gets no one else's identity.
fn service_name(inputs: &Inputs, proxy: &ProxyConfig) -> String {
    match proxy.destination_service_name.as_str() {
        "" => inputs.proxy.service.clone(),
        name => name.to_owned(),
    }
}

fn proxy_ref(inputs: &Inputs, proxy: &ProxyConfig, service: &str) -> ProxyRef {
    let meta = |name: &str| {
        let of = |service: &Service| service.meta.get(name).cloned();
        inputs.parent.as_ref().and_then(of).or_else(|| of(&inputs.proxy)).unwrap_or_default()
    };
    let service_id = match proxy.destination_service_id.as_str() {
        "" => service.to_owned(),
        id => id.to_owned(),
    };
    ProxyRef {
        id: inputs.proxy.id.clone(),
        service: service.to_owned(),
        service_id,
        node: inputs.node.node.clone(),
        datacenter: inputs.datacenter.clone(),
        version: meta("version"),
        zone: inputs.node.meta.get("zone").cloned().unwrap_or_default(),
    }
}

/// A plan under way.
pub(crate) struct Draft<'a> {
    pub inputs: &'a Inputs,
    pub warnings: Vec<String>,
    /// Addresses and ports that a listener of this plan has.
    taken: BTreeSet<(u16, String)>,
    pub targets: BTreeMap<TargetId, Arc<Target>>,
}

impl Draft<'_> {
    pub fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn inbound(&mut self, proxy: &ProxyConfig, settings: &ProxySettings, service: &str) -> Option<Inbound> {
        let parent_port = self.inputs.parent.as_ref().map_or(0, |parent| parent.port);
        let application_port = if proxy.local_service_port == 0 { parent_port } else { proxy.local_service_port };
        let port = settings.bind_port.unwrap_or(self.inputs.proxy.port);
        if port == 0 || application_port == 0 {
            let what = if port == 0 { "port" } else { "local_service_port" };
            self.warn(format!("public listener: no {what}, so nothing can call {service:?} through the mesh"));
            return None;
        }
        let bind = settings.bind_address.clone().unwrap_or_else(|| bind_address(&self.inputs.proxy.address));
        if !self.take("public listener", &bind, port) {
            return None;
        }
        Some(Inbound {
            name: "public_listener".to_owned(),
            bind,
            port,
            protocol: settings.protocol,
            application: host_port(or(&proxy.local_service_address, LOOPBACK), application_port),
            rules: intentions::rules(&self.inputs.intentions, service),
            default: self.inputs.default.clone(),
            connect_timeout: settings.local_connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            request_timeout: settings.local_request_timeout.unwrap_or_default(),
            idle_timeout: settings.local_idle_timeout.unwrap_or_default(),
            max_connections: settings.max_inbound_connections.unwrap_or(0),
        })
    }

    fn outbound(&mut self, upstream: &Upstream) -> Option<Outbound> {
        let name = upstream_id(upstream, &self.inputs.datacenter);
        if upstream.destination_name.is_empty() {
            self.warn("upstream without destination_name: left out".to_owned());
            return None;
        }
        if upstream.destination_type == DestinationType::PreparedQuery {
            self.warn(format!("upstream {name:?}: prepared queries are not followed by this proxy: left out"));
            return None;
        }
        if upstream.local_bind_port == 0 {
            self.warn(format!("upstream {name:?}: no local_bind_port, so nothing listens for it"));
            return None;
        }
        let bind = or(&upstream.local_bind_address, LOOPBACK).to_owned();
        if !self.take(&format!("upstream {name:?}"), &bind, upstream.local_bind_port) {
            return None;
        }
        let settings = UpstreamSettings::parse(&upstream.config);
        self.warnings.extend(settings.warnings.iter().map(|w| format!("upstream {name:?}: {w}")));
        let chain = self.chain(upstream, &settings, &name);
        let protocol = Protocol::parse(&chain.protocol).unwrap_or_else(|| {
            self.warn(format!("upstream {name:?}: protocol {:?} is not known: taken as tcp", chain.protocol));
            Protocol::Tcp
        });
        let routes = self.routes(&Way { name: &name, settings: &settings, chain: &chain });
        Some(Outbound { name, bind, port: upstream.local_bind_port, protocol, routes })
    }

    /// One listener per address and port; the first one named has it.
    fn take(&mut self, what: &str, bind: &str, port: u16) -> bool {
        let any = |address: &str| address == ANY_ADDRESS || address == "::";
        let taken = self.taken.iter().any(|(p, address)| *p == port && (address == bind || any(address) || any(bind)));
        if taken {
            self.warn(format!("{what}: port {port} is taken by another listener of this proxy: left out"));
            return false;
        }
        self.taken.insert((port, bind.to_owned()))
    }
}

/// A gRPC call may stream for hours and carries its own deadline.
pub(crate) fn request_timeout(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::Http | Protocol::Http2 => REQUEST_TIMEOUT,
        Protocol::Tcp | Protocol::Grpc => Duration::ZERO,
    }
}

fn upstream_id(upstream: &Upstream, datacenter: &str) -> String {
    let query = if upstream.destination_type == DestinationType::PreparedQuery { "prepared_query:" } else { "" };
    let name = &upstream.destination_name;
    match upstream.datacenter.as_str() {
        other if !other.is_empty() && other != datacenter => format!("{query}{name}?dc={other}"),
        _ => format!("{query}{name}"),
    }
}

/// A sidecar listens on the address it was registered with, as Consul has it, else everywhere. A host name is for
/// others to resolve, not for us to bind.
fn bind_address(registered: &str) -> String {
    match registered.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => ANY_ADDRESS.to_owned(),
    }
}

fn host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

pub(crate) fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}
