//! What holds for the graph as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::{ChainError, ChainNode, ChainTarget, Work};

/// The nodes that a node leads to. A resolver is an end: those that stand in for its target are targets, not nodes.
fn next(node: &ChainNode) -> Vec<&str> {
    match &node.work {
        Work::Routes(routes) => routes.iter().map(|route| route.next_node.as_str()).collect(),
        Work::Splits(splits) => splits.iter().map(|split| split.next_node.as_str()).collect(),
        Work::Resolver(_) => Vec::new(),
    }
}

pub(super) fn refuse_circles(nodes: &BTreeMap<String, ChainNode>, start: &str) -> Result<(), ChainError> {
    let mut done = BTreeSet::new();
    visit(nodes, start, &mut Vec::new(), &mut done)
}

fn visit<'a>(
    nodes: &'a BTreeMap<String, ChainNode>,
    at: &'a str,
    way: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), ChainError> {
    if way.contains(&at) {
        // Consul walks backwards in its mind: the circle is named from the node that closes it.
        let circle = way.iter().skip_while(|key| **key != at).chain([&at]);
        return Err(ChainError::Circular(circle.map(|key| (*key).to_owned()).collect()));
    }
    if !done.insert(at) {
        return Ok(());
    }
    way.push(at);
    for key in nodes.get(at).map(next).unwrap_or_default() {
        visit(nodes, key, way, done)?;
    }
    way.pop();
    Ok(())
}

/// Flattened splitters and what was looked at only for failover.
pub(super) fn drop_unreachable(nodes: &mut BTreeMap<String, ChainNode>, start: &str) {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(key) = open.pop() {
        if reached.insert(key.to_owned()) {
            open.extend(nodes.get(key).map(next).unwrap_or_default());
        }
    }
    nodes.retain(|key, _| reached.contains(key));
}

pub(super) fn drop_unused(targets: &mut BTreeMap<String, ChainTarget>, nodes: &BTreeMap<String, ChainNode>) {
    let mut used = BTreeSet::new();
    for node in nodes.values() {
        if let Work::Resolver(resolver) = &node.work {
            used.insert(&resolver.target);
            used.extend(resolver.failover.iter().flat_map(|failover| &failover.targets));
        }
    }
    targets.retain(|id, _| used.contains(id));
}
