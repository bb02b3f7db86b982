//! Which services are reached through which gateway.

use std::collections::{BTreeMap, BTreeSet};

use model::{EntryKind, LinkedService, ServiceKind, WILDCARD};
use store::{Instance, State, Stored, Topic};

use crate::chains::entries_about;

/// The servers' own service: no gateway stands in front of it.
const SERVERS: &str = "consul";

/// One service behind one gateway.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Link {
    pub service: String,
    /// Ingress: where it is reached.
    pub port: u16,
    pub protocol: String,
    pub hosts: Vec<String>,
    /// Terminating: how it is reached.
    pub origin: LinkedService,
    pub from_wildcard: bool,
}

/// The services behind a gateway, by what its entry says and, for `*`, by what is registered.
pub(crate) fn links(state: &State, gateway: &str) -> Option<(EntryKind, u64, u64, Vec<Link>)> {
    for kind in [EntryKind::IngressGateway, EntryKind::TerminatingGateway] {
        if let Some(entry) = state.config(kind, gateway) {
            let links =
                if kind == EntryKind::IngressGateway { ingress(state, entry) } else { terminating(state, entry) };
            return Some((kind, entry.create_index, entry.modify_index, links));
        }
    }
    None
}

fn ingress(state: &State, entry: &Stored<model::ConfigEntry>) -> Vec<Link> {
    let mut links = Vec::new();
    for listener in entry.ingress().unwrap_or_default().listeners {
        let link = |service: &str, hosts: &[String], from_wildcard: bool| Link {
            service: service.to_owned(),
            port: listener.port,
            protocol: listener.protocol.clone(),
            hosts: hosts.to_vec(),
            from_wildcard,
            ..Link::default()
        };
        for service in &listener.services {
            if service.name == WILDCARD {
                // Only those that speak what the listener speaks.
                let speaks = |name: &&String| entries_about(state, name).protocol(name) == listener.protocol;
                let registered = ordinary_services(state);
                links.extend(registered.iter().filter(speaks).map(|name| link(name, &[], true)));
            } else {
                links.push(link(&service.name, &service.hosts, false));
            }
        }
    }
    sorted(links)
}

fn terminating(state: &State, entry: &Stored<model::ConfigEntry>) -> Vec<Link> {
    let mut links: BTreeMap<String, Link> = BTreeMap::new();
    let link = |service: &str, origin: &LinkedService| Link {
        service: service.to_owned(),
        origin: origin.clone(),
        ..Link::default()
    };
    let services = entry.terminating().unwrap_or_default().services;
    if let Some(all) = services.iter().find(|service| service.name == WILDCARD) {
        let registered = ordinary_services(state).into_iter();
        links.extend(registered.map(|name| (name.clone(), Link { from_wildcard: true, ..link(&name, all) })));
    }
    for service in services.iter().filter(|service| service.name != WILDCARD) {
        links.insert(service.name.clone(), link(&service.name, service));
    }
    links.into_values().collect()
}

fn sorted(mut links: Vec<Link>) -> Vec<Link> {
    links.sort_by(|a, b| (&a.service, a.port).cmp(&(&b.service, b.port)));
    links.dedup_by(|a, b| a.service == b.service && a.port == b.port);
    links
}

/// What `*` stands for.
fn ordinary_services(state: &State) -> BTreeSet<String> {
    let all = state.nodes().flat_map(|node| state.services_of(&node.node));
    let ordinary = all.filter(|service| service.kind == ServiceKind::Typical && service.service != SERVERS);
    ordinary.map(|service| service.service.clone()).collect()
}

/// What the answer to [`instances_for`] depends on.
pub(crate) fn topics(state: &State, kind: EntryKind, service: &str) -> Vec<Topic> {
    let gateways = state.configs_of(kind).map(|entry| Topic::service(entry.name()));
    let mut topics: Vec<_> = gateways.chain([Topic::ConfigKind(kind)]).collect();
    if topics.len() > 1 {
        topics.push(Topic::service(service));
        // `*` of a listener stands for those that speak its protocol.
        topics.extend([EntryKind::ServiceDefaults, EntryKind::ProxyDefaults].map(Topic::ConfigKind));
    }
    topics
}

/// The instances of the gateways of a kind through which a service is reached.
pub(crate) fn instances_for(state: &State, kind: EntryKind, service: &str) -> Vec<Instance> {
    let wanted = match kind {
        EntryKind::IngressGateway => ServiceKind::IngressGateway,
        _ => ServiceKind::TerminatingGateway,
    };
    let names = state.configs_of(kind).map(|entry| entry.name().to_owned());
    let leads = |gateway: &String| {
        let (_, _, _, links) = links(state, gateway).unwrap_or((kind, 0, 0, Vec::new()));
        links.iter().any(|link| link.service.eq_ignore_ascii_case(service))
    };
    let found = names.filter(leads).flat_map(|gateway| state.instances(&gateway));
    found.filter(|instance| instance.service.kind == wanted).collect()
}

/// Everything through which a service is reached in the mesh: its proxies, its native instances, and the gateways that
/// speak for it outside.
pub(crate) fn connect_instances(state: &State, service: &str) -> Vec<Instance> {
    let mut found = state.connect_instances(service);
    found.extend(instances_for(state, EntryKind::TerminatingGateway, service));
    found
}
