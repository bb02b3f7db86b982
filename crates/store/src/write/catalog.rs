//! Registering and removing nodes, services and checks.

use std::sync::Arc;

use model::{Node, Service};

use crate::error::Error;
use crate::fact::{Batch, CheckFact, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;
use crate::write::session::end_dependents;

/// What `PUT /v1/catalog/register` and an agent's sync write.
#[derive(Debug, Clone, Default)]
pub struct Registration {
    pub node: Node,
    pub service: Option<Service>,
    pub checks: Vec<CheckFact>,
    /// The node need not be given again and is left as it is when it exists.
    pub skip_node_update: bool,
}

/// What `PUT /v1/catalog/deregister` removes from a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// The node with all its services and checks.
    Node,
    /// The service with its checks.
    Service(String),
    Check(String),
}

impl Store {
    /// Writes what differs from what is there, and nothing when all is equal.
    pub async fn register(&self, registration: Registration) -> Result<Index, Error> {
        let registration = complete(registration)?;
        self.write(|state| Ok((decide(&registration, state)?, ()))).await.map(|(index, ())| index)
    }

    /// Removing what is not there is no error.
    pub async fn deregister(&self, node: &str, removal: &Removal) -> Result<Index, Error> {
        if node.is_empty() {
            return Err(Error::NoNode);
        }
        let decide = |state: &State| {
            let mut batch = Batch::default();
            match removal {
                Removal::Node => remove_node(node, state, &mut batch),
                Removal::Service(id) => remove_service(node, id, state, &mut batch),
                Removal::Check(id) => batch.deletes.extend(state.check(node, id).map(|_| Key::check(node, id))),
            }
            end_dependents(state, &mut batch);
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }
}

/// Fills the defaults and refuses what no state could make sense of.
fn complete(mut registration: Registration) -> Result<Registration, Error> {
    let node = &registration.node;
    if node.node.is_empty() {
        return Err(Error::NoNode);
    }
    if node.address.is_empty() && !registration.skip_node_update {
        return Err(Error::NoAddress);
    }
    if let Some(service) = &mut registration.service {
        if service.service.is_empty() {
            return Err(Error::NoServiceName);
        }
        if service.id.is_empty() {
            service.id.clone_from(&service.service);
        }
    }
    let name = &registration.node.node;
    for fact in &mut registration.checks {
        let check = &mut fact.check;
        if check.check_id.is_empty() {
            check.check_id.clone_from(&check.name);
        }
        if check.node.is_empty() {
            check.node.clone_from(name);
        }
        if !check.node.eq_ignore_ascii_case(name) {
            return Err(Error::CheckNode { check: check.node.clone(), node: name.clone() });
        }
    }
    Ok(registration)
}

pub(super) fn decide(registration: &Registration, state: &State) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    decide_node(registration, state, &mut batch)?;
    let name = &registration.node.node;
    if let Some(service) = &registration.service {
        let old = state.service(name, &service.id);
        if old.is_none_or(|old| *old.value != *service) {
            let node: Arc<str> = name.as_str().into();
            batch.guard(Key::service(name, &service.id), old.map_or(0, |old| old.modify_index));
            batch.puts.push(Fact::Service { node, service: Arc::new(service.clone()) });
            follow_tags(name, service, state, &mut batch);
        }
    }
    for fact in &registration.checks {
        decide_check(fact, registration, state, &mut batch)?;
    }
    end_dependents(state, &mut batch);
    Ok(batch)
}

fn decide_node(registration: &Registration, state: &State, batch: &mut Batch) -> Result<(), Error> {
    let node = &registration.node;
    let key = Key::node(&node.node);
    let Some(old) = state.node(&node.node) else {
        if node.address.is_empty() && registration.skip_node_update {
            return Err(Error::NoSuchNode);
        }
        // A node that comes back under another name takes its place: the old name and all it carried go.
        if let Some(renamed) = state.node_by_id(&node.id) {
            let name = renamed.node.clone();
            batch.guard(Key::node(&name), renamed.modify_index);
            remove_node(&name, state, batch);
        }
        batch.guard(key, 0);
        batch.puts.push(Fact::Node(Arc::new(node.clone())));
        return Ok(());
    };
    // Whatever else is written hangs on the node: it must not vanish meanwhile.
    batch.guard(key, old.modify_index);
    let same = *old.value == *node || (node.id.is_empty() && Node { id: String::new(), ..Node::clone(old) } == *node);
    if !registration.skip_node_update && !same {
        let id = if node.id.is_empty() { old.id.clone() } else { node.id.clone() };
        batch.puts.push(Fact::Node(Arc::new(Node { id, ..node.clone() })));
    }
    Ok(())
}

fn decide_check(fact: &CheckFact, registration: &Registration, state: &State, batch: &mut Batch) -> Result<(), Error> {
    let node = &registration.node.node;
    let mut fact = fact.clone();
    let check = &mut fact.check;
    if !check.service_id.is_empty() {
        let given = registration.service.as_ref().filter(|service| service.id == check.service_id);
        let service = match given {
            Some(service) => service,
            None => {
                let known = state.service(node, &check.service_id).ok_or_else(|| Error::NoSuchService(node.clone()))?;
                batch.guard(Key::service(node, &known.id), known.modify_index);
                known
            }
        };
        check.service_name.clone_from(&service.service);
        check.service_tags.clone_from(&service.tags);
    }
    let old = state.check(node, &check.check_id);
    if old.is_none_or(|old| *old.value != fact) {
        let key = Key::check(node, &fact.check.check_id);
        // Tags of the service may have put it into the batch already.
        batch.puts.retain(|put| put.key() != key);
        batch.guards.retain(|guard| guard.key != key);
        batch.guard(key, old.map_or(0, |old| old.modify_index));
        batch.puts.push(Fact::Check(Arc::new(fact)));
    }
    Ok(())
}

/// Checks show the name and tags of their service, so they change with it.
fn follow_tags(node: &str, service: &Service, state: &State, batch: &mut Batch) {
    let stale = state.checks_of(node).filter(|fact| {
        let check = &fact.check;
        check.service_id == service.id && (check.service_name != service.service || check.service_tags != service.tags)
    });
    for old in stale {
        let mut fact = CheckFact::clone(old);
        fact.check.service_name.clone_from(&service.service);
        fact.check.service_tags.clone_from(&service.tags);
        batch.guard(Key::check(node, &fact.check.check_id), old.modify_index);
        batch.puts.push(Fact::Check(Arc::new(fact)));
    }
}

pub(super) fn remove_node(node: &str, state: &State, batch: &mut Batch) {
    // Checks and services first: they know their node while they go.
    batch.deletes.extend(state.checks_of(node).map(|fact| Key::check(node, &fact.check.check_id)));
    batch.deletes.extend(state.services_of(node).map(|service| Key::service(node, &service.id)));
    batch.deletes.extend(state.coordinates_of(node).map(|place| Key::coordinate(node, &place.segment)));
    batch.deletes.extend(state.node(node).map(|_| Key::node(node)));
}

pub(super) fn remove_service(node: &str, id: &str, state: &State, batch: &mut Batch) {
    let checks = state.checks_of(node).filter(|fact| fact.check.service_id == id);
    batch.deletes.extend(checks.map(|fact| Key::check(node, &fact.check.check_id)));
    batch.deletes.extend(state.service(node, id).map(|_| Key::service(node, id)));
}
