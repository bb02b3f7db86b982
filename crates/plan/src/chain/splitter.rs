//! Splitters, and their flattening: a share of a share is a share.

use std::collections::BTreeMap;

use super::{ChainError, ChainNode, ChainSplit, Compiler, DEPTH_LIMIT, NAMESPACE, SPLITS_LIMIT, Work};

impl Compiler<'_> {
    pub(super) fn splitter_node(&mut self, service: &str) -> Result<Option<String>, ChainError> {
        let Some(splitter) = self.entries.splitters.get(&service.to_lowercase()).filter(|_| self.advanced) else {
            return Ok(None);
        };
        let node = ChainNode::new(format!("{service}.{NAMESPACE}"), Work::Splits(Vec::new()));
        let key = node.key();
        if self.nodes.contains_key(&key) {
            return Ok(Some(key));
        }
        self.uses_advanced = true;
        self.meet(service)?;
        // Known before its splits are, so that a circle ends; it is found in the finished graph.
        self.nodes.insert(key.clone(), node);
        let mut splits = Vec::with_capacity(splitter.splits.len());
        for split in &splitter.splits {
            let named = if split.service.is_empty() { service } else { &split.service };
            let further = match named != service && split.service_subset.is_empty() {
                true => self.deeper(named)?,
                false => None,
            };
            let next_node = match further {
                Some(node) => node,
                None => {
                    let target = self.target(named).with_subset(&split.service_subset);
                    self.resolver_node(target, false)?
                }
            };
            splits.push(ChainSplit { weight: split.weight, next_node });
        }
        if let Some(node) = self.nodes.get_mut(&key) {
            node.work = Work::Splits(splits);
        }
        Ok(Some(key))
    }

    fn deeper(&mut self, service: &str) -> Result<Option<String>, ChainError> {
        if self.depth >= DEPTH_LIMIT {
            return Err(ChainError::TooLarge(self.question.service.clone()));
        }
        self.depth += 1;
        let node = self.splitter_node(service);
        self.depth -= 1;
        node
    }
}

/// Puts the splits of every splitter that a splitter leads to in its place, until none leads to another. There is no
/// circle: that has been looked at. False: there are too many.
pub(super) fn flatten(nodes: &mut BTreeMap<String, ChainNode>) -> bool {
    loop {
        let splits_of = |key: &str| match nodes.get(key).map(|node| &node.work) {
            Some(Work::Splits(splits)) => Some(splits),
            _ => None,
        };
        let mut flat: Vec<(String, Vec<ChainSplit>)> = Vec::new();
        for key in nodes.keys() {
            let Some(splits) = splits_of(key) else { continue };
            if splits.iter().all(|split| splits_of(&split.next_node).is_none()) {
                continue;
            }
            let spread = |split: &ChainSplit| match splits_of(&split.next_node) {
                None => vec![split.clone()],
                Some(inner) => inner
                    .iter()
                    .map(|of| ChainSplit { weight: share(split.weight, of.weight), next_node: of.next_node.clone() })
                    .collect(),
            };
            flat.push((key.clone(), splits.iter().flat_map(spread).collect()));
        }
        if flat.is_empty() || flat.iter().any(|(_, splits)| splits.len() > SPLITS_LIMIT) {
            return flat.is_empty();
        }
        for (key, splits) in flat {
            if let Some(node) = nodes.get_mut(&key) {
                node.work = Work::Splits(splits);
            }
        }
    }
}

/// `part` percent of `whole` percent, to the hundredth.
fn share(whole: f32, part: f32) -> f32 {
    (whole * part / 100.0 * 100.0).round() / 100.0
}
