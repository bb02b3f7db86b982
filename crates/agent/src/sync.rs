//! Anti-entropy: the pure difference between what this agent runs and what the catalog says of its node.

use std::collections::{BTreeMap, BTreeSet};

use model::{HealthCheck, Node, Service};
use serde_json::{Value, json};

use crate::wire;

/// One node with its services and checks: as the agent wants it, or as the catalog has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct NodeView {
    /// `None`: the catalog does not know the node.
    pub node: Option<Node>,
    pub services: BTreeMap<String, Service>,
    pub checks: BTreeMap<String, HealthCheck>,
}

/// One write to the catalog.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Write {
    Node(Node),
    /// A service with all checks of it that differ, in one go.
    Service(Box<Service>, Vec<HealthCheck>),
    Check(Box<HealthCheck>),
    RemoveService(String),
    RemoveCheck(String),
}

/// The writes that make `catalog` equal to `wanted`, in an order in which each is possible. Checks in `held` whose
/// output alone differs are left as they are.
pub(crate) fn diff(wanted: &NodeView, catalog: &NodeView, held: &BTreeSet<String>) -> Vec<Write> {
    let mut writes = Vec::new();
    if let Some(node) = wanted.node.as_ref().filter(|node| catalog.node.as_ref() != Some(node)) {
        writes.push(Write::Node(node.clone()));
    }
    let gone = catalog.services.keys().filter(|id| !wanted.services.contains_key(*id));
    writes.extend(gone.map(|id| Write::RemoveService(id.clone())));
    // Removing a service takes its checks with it.
    let gone = catalog.checks.iter().filter(|(id, check)| {
        let service_goes =
            catalog.services.contains_key(&check.service_id) && !wanted.services.contains_key(&check.service_id);
        !wanted.checks.contains_key(*id) && !service_goes
    });
    writes.extend(gone.map(|(id, _)| Write::RemoveCheck(id.clone())));
    let mut stale: Vec<&HealthCheck> = wanted
        .checks
        .iter()
        .filter(|(id, check)| differs(check, catalog.checks.get(*id), held.contains(*id)))
        .map(|(_, check)| check)
        .collect();
    for (id, service) in &wanted.services {
        if catalog.services.get(id).is_none_or(|known| known != service) {
            let own = stale.extract_if(.., |check| check.service_id == *id).cloned().collect();
            writes.push(Write::Service(Box::new(service.clone()), own));
        }
    }
    writes.extend(stale.into_iter().map(|check| Write::Check(Box::new(check.clone()))));
    writes
}

fn differs(check: &HealthCheck, known: Option<&HealthCheck>, held: bool) -> bool {
    let Some(known) = known else { return true };
    if held {
        return *check != HealthCheck { output: check.output.clone(), ..known.clone() };
    }
    check != known
}

/// Checks that differ from the catalog in their output alone: these can wait.
pub(crate) fn output_only<'a>(wanted: &'a NodeView, catalog: &'a NodeView) -> impl Iterator<Item = &'a String> {
    wanted.checks.iter().filter_map(|(id, check)| {
        let known = catalog.checks.get(id)?;
        (check.output != known.output && !differs(check, Some(known), true)).then_some(id)
    })
}

impl Write {
    /// Path and body of the request.
    pub fn request(&self, node: &Node) -> (&'static str, Value) {
        const REGISTER: &str = "/v1/catalog/register";
        const DEREGISTER: &str = "/v1/catalog/deregister";
        let mut body = wire::node(node);
        match self {
            Self::Node(_) => {}
            Self::Service(service, checks) => {
                body.insert("Service".to_owned(), wire::service(service));
                if !checks.is_empty() {
                    body.insert("Checks".to_owned(), checks.iter().map(wire::check).collect());
                }
                body.insert("SkipNodeUpdate".to_owned(), true.into());
            }
            Self::Check(check) => {
                body.insert("Check".to_owned(), wire::check(check));
                body.insert("SkipNodeUpdate".to_owned(), true.into());
            }
            Self::RemoveService(id) => {
                let body = json!({"Datacenter": node.datacenter, "Node": node.node, "ServiceID": id});
                return (DEREGISTER, body);
            }
            Self::RemoveCheck(id) => {
                return (DEREGISTER, json!({"Datacenter": node.datacenter, "Node": node.node, "CheckID": id}));
            }
        }
        (REGISTER, Value::Object(body))
    }

    /// What the catalog says once the write was taken.
    pub fn apply(self, catalog: &mut NodeView) {
        match self {
            Self::Node(node) => catalog.node = Some(node),
            Self::Service(service, checks) => {
                catalog.services.insert(service.id.clone(), *service);
                catalog.checks.extend(checks.into_iter().map(|check| (check.check_id.clone(), check)));
            }
            Self::Check(check) => {
                catalog.checks.insert(check.check_id.clone(), *check);
            }
            Self::RemoveService(id) => {
                catalog.services.remove(&id);
                catalog.checks.retain(|_, check| check.service_id != id);
            }
            Self::RemoveCheck(id) => {
                catalog.checks.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::Status;

    use super::*;

    fn check(id: &str, service: &str, status: Status, output: &str) -> HealthCheck {
        HealthCheck {
            check_id: id.into(),
            service_id: service.into(),
            status,
            output: output.into(),
            ..HealthCheck::default()
        }
    }

    fn view(services: &[&str], checks: &[HealthCheck]) -> NodeView {
        let service = |id: &&str| ((*id).to_owned(), Service { id: (*id).into(), ..Service::default() });
        NodeView {
            node: Some(Node { node: "n".into(), ..Node::default() }),
            services: services.iter().map(service).collect(),
            checks: checks.iter().map(|c| (c.check_id.clone(), c.clone())).collect(),
        }
    }

    #[test]
    fn the_writes_of_a_difference_undo_it() {
        let wanted = view(
            &["web", "db"],
            &[
                check("c1", "web", Status::Passing, "a"),
                check("c2", "db", Status::Critical, ""),
                check("n", "", Status::Passing, ""),
            ],
        );
        let tampered = view(
            &["db", "foreign"],
            &[
                check("c2", "db", Status::Passing, ""),
                check("f", "foreign", Status::Passing, ""),
                check("x", "db", Status::Passing, ""),
            ],
        );
        for mut catalog in [NodeView::default(), tampered, wanted.clone()] {
            let writes = diff(&wanted, &catalog, &BTreeSet::new());
            assert_eq!(writes.is_empty(), catalog == wanted);
            for write in writes {
                write.apply(&mut catalog);
            }
            assert_eq!(catalog, wanted);
        }
    }

    #[test]
    fn a_new_service_travels_with_its_checks_and_a_removed_one_takes_them_along() {
        let with = view(&["web"], &[check("c1", "web", Status::Passing, "")]);
        let without = view(&[], &[]);
        let writes = diff(&with, &without, &BTreeSet::new());
        assert!(matches!(&writes[..], [Write::Service(_, checks)] if checks.len() == 1), "{writes:?}");
        let writes = diff(&without, &with, &BTreeSet::new());
        assert_eq!(writes, [Write::RemoveService("web".into())]);
    }

    #[test]
    fn output_alone_waits_and_a_status_does_not() {
        let catalog = view(&[], &[check("c", "", Status::Passing, "old")]);
        let louder = view(&[], &[check("c", "", Status::Passing, "new")]);
        let held = BTreeSet::from(["c".to_owned()]);
        assert_eq!(output_only(&louder, &catalog).count(), 1);
        assert!(diff(&louder, &catalog, &held).is_empty());
        assert_eq!(diff(&louder, &catalog, &BTreeSet::new()).len(), 1);
        let worse = view(&[], &[check("c", "", Status::Critical, "new")]);
        assert_eq!(output_only(&worse, &catalog).count(), 0);
        assert_eq!(diff(&worse, &catalog, &held).len(), 1);
    }

    #[test]
    fn removals_name_what_goes_and_nothing_else() {
        let node = Node { node: "n".into(), datacenter: "dc1".into(), ..Node::default() };
        let (path, body) = Write::RemoveCheck("c".into()).request(&node);
        assert_eq!(path, "/v1/catalog/deregister");
        assert_eq!(body, json!({"Datacenter": "dc1", "Node": "n", "CheckID": "c"}));
    }
}
