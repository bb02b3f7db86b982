//! Applying facts: the tables, the lookups and the index of every topic they concern.

use std::collections::HashSet;
use std::sync::Arc;

use model::{ConfigEntry, Intention, Service, ServiceIntentions, ServiceKind};

use super::{Name, State, leave, stored};
use crate::fact::{AclFact, AclKey, Batch, CheckFact, Fact, Index, Key, lower};
use crate::watch::Topic;

const WHOLE_TABLES: [Topic; 15] = [
    Topic::Events,
    Topic::Nodes,
    Topic::Services,
    Topic::Checks,
    Topic::Configs,
    Topic::Intentions,
    Topic::Kvs,
    Topic::Sessions,
    Topic::Queries,
    Topic::Coordinates,
    Topic::AclTokens,
    Topic::AclPolicies,
    Topic::AclRoles,
    Topic::AuthMethods,
    Topic::BindingRules,
];

/// The topics a batch has touched.
pub(super) struct Touched {
    pub(super) index: Index,
    pub(super) topics: HashSet<Topic>,
}

impl State {
    /// Applies a committed batch. Decides nothing. Gives the topics whose waiters must be woken.
    pub(crate) fn apply(&mut self, index: Index, batch: &Batch) -> HashSet<Topic> {
        let mut touched = Touched { index, topics: HashSet::new() };
        self.index = index;
        for key in &batch.deletes {
            self.delete(key, &mut touched);
        }
        for fact in &batch.puts {
            self.put(fact, index, index, &mut touched);
        }
        self.close(&touched);
        touched.topics
    }

    /// Puts a fact of a snapshot. A snapshot does not say what was removed before it, and a topic's index never goes
    /// back, so all topics begin at the index of the whole.
    pub(crate) fn load(&mut self, fact: &Fact, created: Index, modified: Index) {
        let index = self.index;
        let mut touched = Touched { index, topics: HashSet::new() };
        self.put(fact, created, modified, &mut touched);
        self.close(&touched);
        for whole in WHOLE_TABLES {
            self.topics.insert(whole, index);
        }
    }

    /// Gives every touched topic its index, and forgets those of things that are gone.
    fn close(&mut self, touched: &Touched) {
        for topic in &touched.topics {
            let gone = match topic {
                // Entries know their own index.
                Topic::Kv(_) => true,
                Topic::Session(id) => !self.kv.has_session(id),
                Topic::NodeSessions(node) => !self.kv.has_sessions_on(node),
                Topic::Node(name) => !self.nodes.contains_key(name),
                Topic::Service(name) => !self.by_name.contains_key(name),
                Topic::Connect(name) => !self.by_identity.contains_key(name),
                Topic::Config(kind, name) => !self.configs.contains_key(&(*kind, name.clone())),
                Topic::IntentionsFrom(name) => !self.intentions.values().any(|i| *i.source_name == **name),
                Topic::IntentionsTo(name) => !self.intentions.values().any(|i| *i.destination_name == **name),
                _ => false,
            };
            if gone {
                self.topics.remove(topic);
            } else {
                let index = self.topics.get(topic).map_or(touched.index, |old| touched.index.max(*old));
                self.topics.insert(topic.clone(), index);
            }
        }
    }

    fn put(&mut self, fact: &Fact, created: Index, modified: Index, touched: &mut Touched) {
        match fact {
            Fact::Node(node) => {
                let name = lower(&node.node);
                let entry = stored(node, self.nodes.get(&name), created, modified);
                self.nodes.insert(name.clone(), entry);
                self.touch_node(&name, touched);
                touched.topics.insert(Topic::Nodes);
            }
            Fact::Service { node, service } => self.put_service(&lower(node), service, (created, modified), touched),
            Fact::Check(check) => {
                let node = lower(&check.check.node);
                let id: Name = check.check.check_id.as_str().into();
                let checks = self.checks.entry(node.clone()).or_default();
                let old = checks.get(&id).cloned();
                checks.insert(id, stored(check, old.as_ref(), created, modified));
                // A check can move from one service to another.
                old.iter().for_each(|old| self.touch_check(&node, old, touched));
                self.touch_check(&node, check, touched);
            }
            Fact::Config(entry) => {
                let key = (entry.kind(), lower(entry.name()));
                let old = self.configs.get(&key).map(|old| old.value.clone());
                let new = stored(entry, self.configs.get(&key), created, modified);
                self.configs.insert(key, new);
                touch_config(entry, touched);
                self.change_intentions(old.as_deref(), Some(entry), (created, modified), touched);
            }
            Fact::CaConfig(config) => {
                self.ca_config = Some(stored(config, self.ca_config.as_ref(), created, modified));
                touched.topics.insert(Topic::CaConfig);
            }
            Fact::CaRoot(root) => {
                let id: Name = root.id.as_str().into();
                let new = stored(root, self.ca_roots.get(&id), created, modified);
                self.ca_roots.insert(id, new);
                touched.topics.insert(Topic::CaRoots);
            }
            Fact::CaSerial(serial) => self.ca_serial = (*serial, modified),
            Fact::ConfigSerial(serial) => self.config_serial = (*serial, modified),
            Fact::Kv(entry) => self.kv.put_entry(entry, (created, modified), touched),
            Fact::Acl(fact) => self.put_acl(fact, (created, modified), touched),
            Fact::Event(event) => self.kv.put_event(event, (created, modified), touched),
            Fact::Query(query) => {
                self.queries.put(lower(&query.id), query, created, modified);
                touched.topics.insert(Topic::Queries);
            }
            Fact::Session(session) => self.kv.put_session(session, (created, modified), touched),
            Fact::Coordinate(place) => {
                let segment: Name = place.segment.as_str().into();
                let places = self.coordinates.entry(lower(&place.node)).or_default();
                let new = stored(place, places.get(&segment), created, modified);
                places.insert(segment, new);
                touched.topics.insert(Topic::Coordinates);
            }
            Fact::Autopilot(autopilot) => {
                self.autopilot = Some(stored(autopilot, self.autopilot.as_ref(), created, modified));
            }
        }
    }

    fn delete(&mut self, key: &Key, touched: &mut Touched) {
        match key {
            Key::Node(name) => {
                self.touch_node(name, touched);
                self.nodes.remove(name);
                touched.topics.insert(Topic::Nodes);
            }
            Key::Service { node, id } => {
                if let Some(old) = self.services.get(node).and_then(|services| services.get(id)).cloned() {
                    self.touch_service(node, &old, touched);
                    self.forget(node, &old);
                    remove(&mut self.services, node, id);
                }
            }
            Key::Check { node, id } => {
                if let Some(old) = self.checks.get(node).and_then(|checks| checks.get(id)).cloned() {
                    self.touch_check(node, &old, touched);
                    remove(&mut self.checks, node, id);
                }
            }
            Key::Config { kind, name } => {
                if let Some(old) = self.configs.remove(&(*kind, name.clone())) {
                    touch_config(&old, touched);
                    self.change_intentions(Some(&old), None, (0, 0), touched);
                }
            }
            Key::CaConfig => {
                self.ca_config = None;
                touched.topics.insert(Topic::CaConfig);
            }
            Key::CaRoot(id) => {
                self.ca_roots.remove(id);
                touched.topics.insert(Topic::CaRoots);
            }
            Key::CaSerial => self.ca_serial = (0, 0),
            Key::ConfigSerial => self.config_serial = (0, 0),
            Key::Kv(key) => self.kv.delete_entry(key, touched),
            Key::Event(id) => self.kv.delete_event(id, touched),
            Key::Query(id) => {
                self.queries.delete(id);
                touched.topics.insert(Topic::Queries);
            }
            Key::Session(id) => self.kv.delete_session(id, touched),
            Key::Coordinate { node, segment } => {
                remove(&mut self.coordinates, node, segment);
                touched.topics.insert(Topic::Coordinates);
            }
            Key::Autopilot => self.autopilot = None,
            Key::Acl(key) => self.delete_acl(key, touched),
        }
    }

    fn put_acl(&mut self, fact: &AclFact, at: (Index, Index), touched: &mut Touched) {
        match fact {
            AclFact::Token(token) => self.acl.put_token(token, at, touched),
            AclFact::Policy(policy) => self.acl.put_policy(policy, at, touched),
            AclFact::Role(role) => self.acl.put_role(role, at, touched),
            AclFact::Method(method) => self.acl.put_method(method, at, touched),
            AclFact::Rule(rule) => self.acl.put_rule(rule, at, touched),
            AclFact::Bootstrap => self.acl.bootstrapped = at.1,
            AclFact::Turn => self.acl.turn = at.1,
        }
    }

    fn delete_acl(&mut self, key: &AclKey, touched: &mut Touched) {
        match key {
            AclKey::Token(accessor) => self.acl.delete_token(accessor, touched),
            AclKey::Policy(id) => self.acl.delete_policy(id, touched),
            AclKey::Role(id) => self.acl.delete_role(id, touched),
            AclKey::Method(name) => self.acl.delete_method(name, touched),
            AclKey::Rule(id) => self.acl.delete_rule(id, touched),
            AclKey::Bootstrap => self.acl.bootstrapped = 0,
            AclKey::Turn => self.acl.turn = 0,
        }
    }

    /// Keeps the intentions what the entries say. One that an entry says again keeps its indexes.
    fn change_intentions(
        &mut self,
        old: Option<&ConfigEntry>,
        new: Option<&ConfigEntry>,
        (created, modified): (Index, Index),
        touched: &mut Touched,
    ) {
        let rules = |entry: Option<&ConfigEntry>| -> Vec<Intention> {
            entry.and_then(ConfigEntry::intentions).iter().flat_map(ServiceIntentions::intentions).collect()
        };
        let key = |intention: &Intention| -> (Name, Name) {
            (intention.source_name.as_str().into(), intention.destination_name.as_str().into())
        };
        let new = rules(new);
        for gone in rules(old).iter().filter(|old| !new.iter().any(|new| key(new) == key(old))) {
            self.intentions.remove(&key(gone));
            touch_intention(gone, touched);
        }
        for intention in new {
            let key = key(&intention);
            let known = self.intentions.get(&key);
            if known.is_none_or(|known| *known.value != intention) {
                touch_intention(&intention, touched);
                let row = stored(&Arc::new(intention), known, created.max(modified), modified);
                self.intentions.insert(key, row);
            }
        }
    }

    fn put_service(&mut self, node: &Name, service: &Arc<Service>, at: (Index, Index), touched: &mut Touched) {
        let id: Name = service.id.as_str().into();
        let old = self.services.get(node).and_then(|services| services.get(&id)).cloned();
        if let Some(old) = &old {
            // The name or the identity may be another one now.
            self.touch_service(node, old, touched);
            self.forget(node, old);
        }
        let new = stored(service, old.as_ref(), at.0, at.1);
        self.services.entry(node.clone()).or_default().insert(id.clone(), new);
        self.by_name.entry(lower(&service.service)).or_default().insert((node.clone(), id.clone()));
        if let Some(identity) = identity(service) {
            self.by_identity.entry(identity).or_default().insert((node.clone(), id));
        }
        self.touch_service(node, service, touched);
    }

    /// Takes a service out of the lookups.
    fn forget(&mut self, node: &Name, service: &Service) {
        let member = (node.clone(), Name::from(service.id.as_str()));
        leave(&mut self.by_name, &lower(&service.service), &member);
        if let Some(identity) = identity(service) {
            leave(&mut self.by_identity, &identity, &member);
        }
    }

    fn touch_service(&self, node: &Name, service: &Service, touched: &mut Touched) {
        touched.topics.insert(Topic::Services);
        touched.topics.insert(Topic::Node(node.clone()));
        touch_instance(service, touched);
    }

    /// The node and, for what depends on the node's address or health, its services.
    fn touch_node(&self, node: &Name, touched: &mut Touched) {
        touched.topics.insert(Topic::Node(node.clone()));
        for service in self.services.get(node).into_iter().flat_map(|services| services.values()) {
            touch_instance(service, touched);
        }
    }

    fn touch_check(&self, node: &Name, check: &CheckFact, touched: &mut Touched) {
        touched.topics.insert(Topic::Checks);
        let id = check.check.service_id.as_str();
        if id.is_empty() {
            return self.touch_node(node, touched);
        }
        touched.topics.insert(Topic::Node(node.clone()));
        if let Some(service) = self.services.get(node).and_then(|services| services.get(id)) {
            touch_instance(service, touched);
        }
    }
}

fn touch_instance(service: &Service, touched: &mut Touched) {
    touched.topics.insert(Topic::service(&service.service));
    if let Some(identity) = identity(service) {
        touched.topics.insert(Topic::Connect(identity));
    }
}

fn touch_config(entry: &ConfigEntry, touched: &mut Touched) {
    touched.topics.insert(Topic::Configs);
    touched.topics.insert(Topic::ConfigKind(entry.kind()));
    touched.topics.insert(Topic::config(entry.kind(), entry.name()));
}

fn touch_intention(intention: &Intention, touched: &mut Touched) {
    touched.topics.insert(Topic::Intentions);
    touched.topics.insert(Topic::IntentionsFrom(intention.source_name.as_str().into()));
    touched.topics.insert(Topic::IntentionsTo(intention.destination_name.as_str().into()));
}

/// The service a mesh-capable instance speaks for.
fn identity(service: &Service) -> Option<Name> {
    let speaks = service.kind == ServiceKind::ConnectProxy || service.connect.native;
    speaks.then(|| lower(service.identity_name()))
}

fn remove<T>(table: &mut super::ByNode<T>, node: &Name, id: &Name) {
    if let Some(row) = table.get_mut(node) {
        row.remove(id);
        if row.is_empty() {
            table.remove(node);
        }
    }
}
