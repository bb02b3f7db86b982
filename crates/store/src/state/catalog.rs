//! Reading nodes, services and checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Node, Service};

use super::{Lookup, State, Stored};
use crate::fact::{CheckFact, lower};

/// A service instance with its node and every check that decides over it: the node's own and its own.
#[derive(Debug, Clone)]
pub struct Instance {
    pub node: Stored<Node>,
    pub service: Stored<Service>,
    pub checks: Vec<Stored<CheckFact>>,
}

impl State {
    pub fn nodes(&self) -> impl Iterator<Item = &Stored<Node>> {
        self.nodes.values()
    }

    /// Without case, as DNS compares names.
    pub fn node(&self, name: &str) -> Option<&Stored<Node>> {
        self.nodes.get(&lower(name))
    }

    pub fn node_by_id(&self, id: &str) -> Option<&Stored<Node>> {
        self.nodes.values().find(|node| !id.is_empty() && node.id == id)
    }

    pub fn services_of(&self, node: &str) -> impl Iterator<Item = &Stored<Service>> {
        self.services.get(&lower(node)).into_iter().flat_map(|services| services.values())
    }

    pub fn service(&self, node: &str, id: &str) -> Option<&Stored<Service>> {
        self.services.get(&lower(node))?.get(id)
    }

    pub fn checks_of(&self, node: &str) -> impl Iterator<Item = &Stored<CheckFact>> {
        self.checks.get(&lower(node)).into_iter().flat_map(|checks| checks.values())
    }

    pub fn check(&self, node: &str, id: &str) -> Option<&Stored<CheckFact>> {
        self.checks.get(&lower(node))?.get(id)
    }

    /// Every check of every node.
    pub fn checks(&self) -> impl Iterator<Item = &Stored<CheckFact>> {
        self.checks.values().flat_map(|checks| checks.values())
    }

    /// The names of all services with all tags of their instances; of the nodes that `wanted` says.
    pub fn service_tags(&self, wanted: impl Fn(&Node) -> bool) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (node, services) in &self.services {
            if !self.nodes.get(node).is_some_and(|node| wanted(node)) {
                continue;
            }
            for service in services.values() {
                let tags = names.entry(&service.service).or_default();
                tags.extend(service.tags.iter().map(String::as_str));
            }
        }
        names
    }

    /// The instances of a service, without case.
    pub fn instances(&self, service: &str) -> Vec<Instance> {
        self.look_up(&self.by_name, service)
    }

    /// The proxies and native instances that speak for a service.
    pub fn connect_instances(&self, service: &str) -> Vec<Instance> {
        self.look_up(&self.by_identity, service)
    }

    fn look_up(&self, lookup: &Lookup, name: &str) -> Vec<Instance> {
        let members = lookup.get(&lower(name)).into_iter().flat_map(|members| members.iter());
        members.filter_map(|(node, id)| self.instance(node, id)).collect()
    }

    fn instance(&self, node: &Arc<str>, id: &Arc<str>) -> Option<Instance> {
        let service = self.services.get(node)?.get(id)?.clone();
        let checks = self.checks.get(node).into_iter().flat_map(|checks| checks.values());
        let decides = |check: &&Stored<CheckFact>| check.check.service_id.is_empty() || *check.check.service_id == **id;
        // The node's own checks come first, as everywhere in Consul.
        let mut checks: Vec<_> = checks.filter(decides).cloned().collect();
        checks.sort_by_key(|check| !check.check.service_id.is_empty());
        Some(Instance { node: self.nodes.get(node)?.clone(), service, checks })
    }
}
