//! Make before break: what a listener serves today stays until what it shall serve is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plan::{Outbound, Plan, Target, TargetId};
use tokio::time::Instant;

use crate::control::Known;

/// An upstream's listener is opened when its instances are known, or after this long: then its 503 says so.
const ENDPOINTS_GRACE: Duration = Duration::from_secs(1);
/// One that is open already goes on with its old routes for this long while instances of the new ones are not known.
const HOLD_GRACE: Duration = Duration::from_secs(10);

/// What holds back a listener, and until when.
#[derive(Default)]
pub(crate) struct Waiting {
    since: BTreeMap<TargetId, Instant>,
    /// When to look again though nothing changes.
    pub again: Option<Instant>,
    served: Option<Arc<Plan>>,
}

impl Waiting {
    /// The plan to serve now: the new one, but for listeners that are open and would have nobody to send requests to.
    /// And the targets whose listeners should not be opened yet.
    pub fn serve(&mut self, known: &Known, plan: &Arc<Plan>) -> (Arc<Plan>, BTreeSet<TargetId>) {
        let missing: BTreeSet<TargetId> =
            plan.targets.keys().filter(|id| !known.endpoints.contains_key(id)).cloned().collect();
        let now = Instant::now();
        self.since.retain(|id, _| missing.contains(id));
        for id in missing {
            self.since.entry(id).or_insert(now);
        }
        let unknown = self.younger_than(ENDPOINTS_GRACE, now);
        let hold = self.younger_than(HOLD_GRACE, now);
        let served = match &self.served {
            Some(served) if !hold.is_empty() => Arc::new(held(served, plan, &hold)),
            _ => plan.clone(),
        };
        self.served = Some(served.clone());
        (served, unknown)
    }

    /// True when nothing of an older plan is served any more.
    pub fn is_settled(&self, plan: &Arc<Plan>) -> bool {
        self.served.as_ref().is_some_and(|served| Arc::ptr_eq(served, plan))
    }

    fn younger_than(&mut self, grace: Duration, now: Instant) -> BTreeSet<TargetId> {
        let mut young = BTreeSet::new();
        for (id, since) in &self.since {
            let until = *since + grace;
            if until > now {
                self.again = Some(self.again.map_or(until, |again| again.min(until)));
                young.insert(id.clone());
            }
        }
        young
    }
}

/// `new`, in which listeners that `old` has and that would lead to an unknown target stay as they are in `old`.
fn held(old: &Plan, new: &Arc<Plan>, unknown: &BTreeSet<TargetId>) -> Plan {
    let mut plan = Plan::clone(new);
    for outbound in &mut plan.outbound {
        let waits = leads_to(outbound, &new.targets).any(|id| unknown.contains(id));
        let before = old.outbound.iter().find(|was| (&was.bind, was.port) == (&outbound.bind, outbound.port));
        let Some(before) = before.filter(|before| waits && before.protocol == outbound.protocol) else { continue };
        for id in leads_to(before, &old.targets) {
            if let Some(target) = old.targets.get(id) {
                plan.targets.entry(id.clone()).or_insert_with(|| target.clone());
            }
        }
        *outbound = before.clone();
    }
    plan
}

/// The targets of a listener, and those that stand in for them.
fn leads_to<'a>(
    outbound: &'a Outbound,
    targets: &'a BTreeMap<TargetId, Arc<Target>>,
) -> impl Iterator<Item = &'a TargetId> {
    let direct = outbound.routes.iter().flat_map(|route| &route.targets).map(|share| &share.target);
    direct.flat_map(|id| std::iter::once(id).chain(targets.get(id).into_iter().flat_map(|target| &target.failover)))
}
