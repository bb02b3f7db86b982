//! Who stands in when no instance of a target is healthy.

use model::{Failover, Redirect, ServiceResolver};

use super::resolver::ChainTarget;
use super::{ChainError, ChainFailover, Compiler, Work};

impl Compiler<'_> {
    pub(super) fn failover(
        &mut self,
        target: &ChainTarget,
        resolver: &ServiceResolver,
    ) -> Result<Option<ChainFailover>, ChainError> {
        let rules = &resolver.failover;
        let Some(rule) = rules.get(&target.service_subset).or_else(|| rules.get("*")) else { return Ok(None) };
        let mut targets = Vec::new();
        for stand_in in stand_ins(rule) {
            let stand_in = target.rewritten(&stand_in);
            // Nobody stands in for itself.
            if stand_in.id == target.id {
                continue;
            }
            let key = self.resolver_node(stand_in, true)?;
            if let Some(Work::Resolver(found)) = self.nodes.get(&key).map(|node| &node.work) {
                targets.push(found.target.clone());
            }
        }
        Ok((!targets.is_empty()).then_some(ChainFailover { targets }))
    }
}

/// The rule spelled out: one for each datacenter it names.
fn stand_ins(rule: &Failover) -> Vec<Redirect> {
    if !rule.targets.is_empty() {
        return rule.targets.clone();
    }
    let to = |datacenter: &str| Redirect {
        service: rule.service.clone(),
        service_subset: rule.service_subset.clone(),
        datacenter: datacenter.to_owned(),
        ..Redirect::default()
    };
    match rule.datacenters.as_slice() {
        [] => vec![to("")],
        datacenters => datacenters.iter().map(|datacenter| to(datacenter)).collect(),
    }
}
