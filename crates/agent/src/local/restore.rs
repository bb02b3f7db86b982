//! What was registered before the agent's last end.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use model::{CheckKind, Status};

use super::{LocalCheck, LocalService, State};
use crate::storage::{Saved, SavedCheck, TtlState};

impl State {
    /// Takes what was saved, unless a file defines the same now. What cannot be taken is no longer kept.
    pub fn restore(&mut self, saved: Saved) {
        for known in saved.services {
            let id = known.service.id.clone();
            if self.services.contains_key(&id) {
                tracing::debug!(service = id, "saved registration is replaced by a definition file");
                self.unsaved.services.insert(id);
                continue;
            }
            let proxy = known.service.proxy.as_ref().filter(|_| known.sidecar);
            let sidecar_of = proxy.map(|proxy| proxy.destination_service_id.clone());
            let service = LocalService {
                service: known.service,
                sidecar_of,
                managed: known.managed,
                from_file: false,
                token: known.token,
            };
            self.services.insert(id, service);
        }
        let states = saved.states.into_iter().map(|state| (state.check_id.clone(), state)).collect();
        for check in saved.checks {
            let id = check.health.check_id.clone();
            if self.checks.contains_key(&id) {
                tracing::debug!(check = id, "saved check is replaced by a definition file");
                self.unsaved.checks.insert(id);
            } else if let Err(why) = self.restore_check(check, &states) {
                tracing::warn!(check = id, "Failed to restore check: {why}");
                self.unsaved.checks.insert(id);
            }
        }
        self.settle_aliases();
    }

    /// Critical until it has been asked again, or its application's word still holds: nobody knows what happened
    /// meanwhile.
    fn restore_check(&mut self, check: SavedCheck, states: &BTreeMap<String, TtlState>) -> Result<(), String> {
        let SavedCheck { mut health, mut definition } = check;
        if !health.service_id.is_empty() && !self.services.contains_key(&health.service_id) {
            return Err(format!("ServiceID {:?} does not exist", health.service_id));
        }
        health.node.clone_from(&self.node);
        health.status = Status::Critical;
        health.output.clear();
        if let Some(definition) = &mut definition {
            self.rules.admit(definition, false).map_err(|error| error.to_string())?;
            definition.interval = definition.interval.max(crate::checks::SHORTEST_INTERVAL);
            let said = states.get(&health.check_id).filter(|_| matches!(definition.kind, CheckKind::Ttl(_)));
            if let Some(said) = said.filter(|said| said.is_good(SystemTime::now())) {
                health.status = said.status;
                health.output.clone_from(&said.output);
            }
        }
        let critical_since = (health.status == Status::Critical && definition.is_some()).then(Instant::now);
        let generation = self.next_generation();
        let id = health.check_id.clone();
        self.changed_checks.insert(id.clone());
        self.checks.insert(id, LocalCheck { definition, health, critical_since, generation, from_file: false });
        Ok(())
    }
}
