//! The state as DNS reads it.

use std::net::IpAddr;
use std::sync::Arc;

use api::prepared::{self, Asker};
use api::{Access, Authorizer, Resource};
use dns::{Instance, Lookup, Prepared, Source, Subject, View};
use model::{ConfigEntry, EntryKind, Node, ServiceKind, Status};
use store::{State, Store, Topic};

/// The services of an ingress gateway when it stands in front of all of them.
const EVERY_SERVICE: &str = "*";

/// Where the answers are given.
#[derive(Debug, Clone)]
pub struct Site {
    pub datacenter: String,
    pub node: String,
}

/// Gives the newest state.
pub struct Catalog {
    store: Store,
    access: Access,
    site: Arc<Site>,
}

impl Catalog {
    pub fn new(store: Store, access: Access, site: Site) -> Self {
        Self { store, access, site: Arc::new(site) }
    }
}

impl Source for Catalog {
    fn view(&self) -> Arc<dyn View> {
        Arc::new(Snapshot {
            state: self.store.state(),
            site: self.site.clone(),
            access: self.access.clone(),
            may: self.access.of_dns().ok(),
            rights: self.access.dns_revision(),
        })
    }
}

/// The catalog at one index.
struct Snapshot {
    state: Arc<State>,
    site: Arc<Site>,
    access: Access,
    /// None: the token of DNS is not known, so nothing is seen.
    may: Option<Authorizer>,
    rights: u64,
}

impl View for Snapshot {
    fn revision(&self, subject: &Subject) -> u64 {
        let index = match subject {
            Subject::Lookup(Lookup::Service(name)) => self.state.index_of(&[Topic::service(name)]),
            Subject::Lookup(Lookup::Connect(name)) => self.state.index_of(&[Topic::connect(name)]),
            Subject::Lookup(Lookup::Ingress(_)) => self.state.index(),
            Subject::Addresses => self.state.index_of(&[Topic::Nodes, Topic::Services]),
        };
        index.wrapping_add(self.rights)
    }

    fn instances(&self, lookup: &Lookup) -> Vec<Instance> {
        let found = match lookup {
            Lookup::Service(name) => self.state.instances(name),
            Lookup::Connect(name) => self.state.connect_instances(name),
            Lookup::Ingress(name) => self.gateways(name).flat_map(|gateway| self.state.instances(&gateway)).collect(),
        };
        let gateway = |instance: &store::Instance| instance.service.kind == ServiceKind::IngressGateway;
        let ingress = matches!(lookup, Lookup::Ingress(_));
        let sees = |instance: &store::Instance| {
            self.may.as_ref().is_some_and(|may| may.sees_instance(&instance.node.node, &instance.service.service))
        };
        found.into_iter().filter(|instance| (!ingress || gateway(instance)) && sees(instance)).map(instance).collect()
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.state.node(name).filter(|node| self.sees_node(node)).map(|node| Arc::clone(&node.value))
    }

    fn node_at(&self, address: IpAddr) -> Option<Arc<Node>> {
        let found = self.state.nodes().find(|node| node.address.parse() == Ok(address) && self.sees_node(node));
        found.map(|node| Arc::clone(&node.value))
    }

    fn service_at(&self, address: IpAddr) -> Option<String> {
        let services = self.state.nodes().flat_map(|node| self.state.services_of(&node.node));
        let sees = |name: &str| self.may.as_ref().is_some_and(|may| may.sees(Resource::Service, name));
        let mut services = services.filter(|service| service.address.parse() == Ok(address) && sees(&service.service));
        services.next().map(|service| service.service.clone())
    }

    fn query(&self, name: &str, source: Option<IpAddr>) -> Option<Prepared> {
        let query = prepared::resolve(&self.state, name).ok()?;
        let asker = Asker { node: &self.site.node, address: source, ..Asker::default() };
        // A query that has a token has its rights, whoever asks.
        let own = (!query.token.0.is_empty()).then(|| self.access.of_secret(&query.token).ok());
        let may = own.as_ref().unwrap_or(&self.may).as_ref()?;
        let mut found = prepared::run(&self.state, &query, &asker);
        found.instances.retain(|found| may.sees_instance(&found.node.node, &found.service.service));
        let ttl = Some(found.ttl.as_str()).filter(|ttl| !ttl.is_empty());
        Some(Prepared {
            service: found.service,
            datacenter: self.site.datacenter.clone(),
            ttl: ttl.and_then(|ttl| model::parse_duration(ttl).ok()),
            instances: found.instances.into_iter().map(instance).collect(),
        })
    }
}

impl Snapshot {
    fn sees_node(&self, node: &Node) -> bool {
        self.may.as_ref().is_some_and(|may| may.sees(Resource::Node, &node.node))
    }

    /// The ingress gateways whose configuration names the service.
    fn gateways(&self, service: &str) -> impl Iterator<Item = String> {
        let entries = self.state.configs(Some(EntryKind::IngressGateway)).into_iter();
        entries.filter(move |entry| leads_to(entry, service)).map(|entry| entry.name().to_owned())
    }
}

fn leads_to(entry: &ConfigEntry, service: &str) -> bool {
    let ConfigEntry::Other { body, .. } = entry else { return false };
    let lists = |value: Option<&serde_json::Value>| value.and_then(|list| list.as_array().cloned()).unwrap_or_default();
    let services = lists(body.get("Listeners")).into_iter().flat_map(|listener| lists(listener.get("Services")));
    let mut names = services.filter_map(|service| service.get("Name")?.as_str().map(str::to_owned));
    names.any(|name| name == EVERY_SERVICE || name.eq_ignore_ascii_case(service))
}

fn instance(found: store::Instance) -> Instance {
    let status = found.checks.iter().map(|check| check.check.status).max().unwrap_or(Status::Passing);
    Instance { node: found.node.value, service: found.service.value, status }
}
