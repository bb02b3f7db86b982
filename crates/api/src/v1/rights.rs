//! What reading and writing the catalog and the central configuration takes, where one right is not enough.

use model::{EntryKind, Node, Service, ServiceKind};
use store::{CheckFact, Instance, Registration, Removal, State};

use crate::authorizer::{Authorizer, Resource, Right};
use crate::error::Error;

/// Instances on nodes that are seen, of services that are seen, with the checks of both.
pub(super) fn keep_instances(may: &Authorizer, instances: &mut Vec<Instance>) {
    if !may.is_off() {
        instances.retain(|instance| may.sees_instance(&instance.node.node, &instance.service.service));
    }
}

/// A node takes the right to write it, unless nothing of it changes; a service that to write it, and if it replaces
/// another one the right to write that; a check that of its service, or of its node.
pub(super) fn register(may: &Authorizer, state: &State, registration: &Registration) -> Result<(), Error> {
    if may.is_off() {
        return Ok(());
    }
    let node = &registration.node.node;
    if changes_node(registration, state.node(node).map(|known| &*known.value)) {
        may.check(Resource::Node, node, Right::Write)?;
    }
    if let Some(service) = &registration.service {
        may.check(Resource::Service, &service.service, Right::Write)?;
        if let Some(old) = state.service(node, id_of(service)) {
            may.check(Resource::Service, &old.service, Right::Write)?;
        }
        if service.kind == ServiceKind::ConnectProxy {
            may.check(Resource::Service, service.identity_name(), Right::Write)?;
        }
    }
    registration.checks.iter().try_for_each(|check| write_check(may, state, registration, check))
}

fn changes_node(registration: &Registration, known: Option<&Node>) -> bool {
    let given = &registration.node;
    let same = |known: &Node| {
        given.address == known.address
            && given.id == known.id
            && given.tagged_addresses == known.tagged_addresses
            && given.meta == known.meta
    };
    known.is_none_or(|known| !registration.skip_node_update && !same(known))
}

fn id_of(service: &Service) -> &str {
    if service.id.is_empty() { &service.service } else { &service.id }
}

fn write_check(may: &Authorizer, state: &State, registration: &Registration, check: &CheckFact) -> Result<(), Error> {
    let (node, id) = (&registration.node.node, check.check.service_id.as_str());
    if id.is_empty() {
        return may.check(Resource::Node, node, Right::Write);
    }
    let name = match &registration.service {
        Some(service) if id_of(service) == id => service.service.clone(),
        // A service that is not there is for the store to refuse.
        _ => state.service(node, id).map(|service| service.service.clone()).unwrap_or_default(),
    };
    may.check(Resource::Service, &name, Right::Write)
}

/// Whoever may write a node may remove all that is on it.
pub(super) fn deregister(may: &Authorizer, state: &State, node: &str, removal: &Removal) -> Result<(), Error> {
    if may.may(Resource::Node, node, Right::Write) {
        return Ok(());
    }
    let service = match removal {
        Removal::Node => None,
        Removal::Service(id) => state.service(node, id),
        Removal::Check(id) => state.check(node, id).and_then(|check| state.service(node, &check.check.service_id)),
    };
    match (service, removal) {
        (Some(service), _) => may.check(Resource::Service, &service.service, Right::Write),
        (None, Removal::Service(id)) => Err(Error::Refused(format!("Unknown service '{id}'"))),
        (None, Removal::Check(id)) if state.check(node, id).is_none() => {
            Err(Error::Refused(format!("Unknown check '{id}'")))
        }
        (None, _) => Err(Error::PermissionDenied),
    }
}

/// Entries about one service are its owner's; those about all are an operator's to write, and everybody's to read.
pub(super) fn config(may: &Authorizer, kind: EntryKind, name: &str, right: Right) -> bool {
    match kind.as_str() {
        "proxy-defaults" | "mesh" => right == Right::Read || may.may(Resource::Mesh, "", right),
        "exported-services" | "control-plane-request-limit" | "sameness-group" | "jwt-provider" => {
            may.may(Resource::Mesh, "", right)
        }
        "service-intentions" => may.may(Resource::Intention, name, right),
        "ingress-gateway" | "terminating-gateway" | "api-gateway" if right != Right::Read => {
            may.may(Resource::Mesh, "", right)
        }
        "inline-certificate" | "tcp-route" | "http-route" => may.may(Resource::Mesh, "", right),
        _ => may.may(Resource::Service, name, right),
    }
}
