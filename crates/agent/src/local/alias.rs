//! Alias checks: what they say follows from what other checks say.

use std::collections::HashMap;

use model::{CheckKind, HealthCheck, Status};

use super::{LocalCheck, State, set};

impl State {
    /// Alias checks of this node take the worst of the aliased service's checks and the node's. An alias may alias a
    /// service that has aliases, so this goes on until nothing changes, and ends because a status only gets worse or
    /// better once per round.
    pub(super) fn settle_aliases(&mut self) {
        for _ in 0..=self.checks.len() {
            let found = self.alias_findings();
            let mut changed = false;
            for (id, status, output) in found {
                if let Some(check) = self.checks.get_mut(&id) {
                    changed |= set(check, status, output);
                }
            }
            if !changed {
                break;
            }
        }
    }

    fn alias_findings(&self) -> Vec<(String, Status, String)> {
        let aliases: Vec<(&String, &LocalCheck)> = self.checks.iter().filter(|(_, check)| is_alias(check)).collect();
        if aliases.is_empty() {
            return Vec::new();
        }
        // Looked at once for all aliases: an agent with a thousand sidecars has as many of them.
        let mut by_service: HashMap<&str, Vec<&HealthCheck>> = HashMap::new();
        for check in self.checks.values() {
            by_service.entry(&check.health.service_id).or_default().push(&check.health);
        }
        aliases.into_iter().filter_map(|(id, check)| self.alias_finding(id, check, &by_service)).collect()
    }

    fn alias_finding(
        &self,
        id: &str,
        check: &LocalCheck,
        by_service: &HashMap<&str, Vec<&HealthCheck>>,
    ) -> Option<(String, Status, String)> {
        let CheckKind::Alias { node, service_id } = &check.definition.as_ref()?.kind else { return None };
        if !node.is_empty() && *node != self.node {
            return None;
        }
        let of = |id: &str| by_service.get(id).map(Vec::as_slice).unwrap_or_default();
        let own = of(service_id);
        if !service_id.is_empty() && !self.services.contains_key(service_id) && own.is_empty() {
            let (status, output) = unknown_service(service_id, node);
            return Some((id.to_owned(), status, output));
        }
        // The service's own checks first: of two equally bad ones, these are the ones to name.
        let nodes = if service_id.is_empty() { &[] } else { of("") };
        let (status, output) = alias_verdict(own.iter().chain(nodes).copied());
        // Both texts of a passing alias mean the same; changing one for the other would only be noise in the catalog.
        let quiet = status == Status::Passing && check.health.status == status && !check.health.output.is_empty();
        (!quiet).then(|| (id.to_owned(), status, output))
    }
}

fn is_alias(check: &LocalCheck) -> bool {
    check.definition.as_ref().is_some_and(|definition| matches!(definition.kind, CheckKind::Alias { .. }))
}

/// What an alias says of a service that is not there.
pub(crate) fn unknown_service(service_id: &str, node: &str) -> (Status, String) {
    (Status::Critical, format!("Service {service_id} could not be found on node {node}"))
}

/// What an alias says of the checks it sees.
pub(crate) fn alias_verdict<'a>(seen: impl Iterator<Item = &'a HealthCheck>) -> (Status, String) {
    let mut count = 0;
    let worst = seen.inspect(|_| count += 1).fold(None, |worst: Option<&HealthCheck>, check| match worst {
        Some(worst) if worst.status >= check.status => Some(worst),
        _ => Some(check),
    });
    match worst {
        None => (Status::Passing, "No checks found.".to_owned()),
        Some(check) if check.status == Status::Passing => (Status::Passing, "All checks passing.".to_owned()),
        Some(check) => {
            // Aliases that see each other (or themselves) would quote each other without end.
            let quoted = if check.kind == "alias" { "" } else { &check.output };
            (check.status, format!("Aliased check {:?} failing: {quoted}", check.name))
        }
    }
}
