//! The intentions whose destination is a service of this agent, held here so that a decision asks nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Intention, Token};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::agent::Agent;
use crate::{follow, wire};

/// Destinations held because somebody asked for a decision, beyond those of local services.
const ASKED_LIMIT: usize = 1000;

/// Evaluation order; `None` until the servers answered.
pub(crate) type Held = Option<Arc<Vec<Intention>>>;

struct Entry {
    held: watch::Receiver<Held>,
    task: AbortHandle,
    local: bool,
}

#[derive(Default)]
pub(crate) struct Intentions {
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Intentions {
    /// Holds the intentions of these local services, and forgets those of services that are gone.
    pub fn reconcile(&self, agent: &Arc<Agent>, services: &BTreeSet<String>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|name, entry| {
            let keep = !entry.local || services.contains(name);
            if !keep {
                entry.task.abort();
            }
            keep
        });
        for name in services {
            entries.entry(name.clone()).or_insert_with(|| start(agent, name, &Token::default())).local = true;
        }
    }

    /// The watch for one destination, and whether it was held already.
    pub fn watch(&self, agent: &Arc<Agent>, destination: &str, token: &Token) -> (watch::Receiver<Held>, bool) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(destination) {
            return (entry.held.clone(), true);
        }
        if entries.values().filter(|entry| !entry.local).count() >= ASKED_LIMIT {
            entries.retain(|_, entry| {
                if !entry.local {
                    entry.task.abort();
                }
                entry.local
            });
        }
        let entry = start(agent, destination, token);
        let held = entry.held.clone();
        entries.insert(destination.to_owned(), entry);
        (held, false)
    }

    /// What is held now of one destination.
    pub fn held(&self, destination: &str) -> Held {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(destination).and_then(|entry| entry.held.borrow().clone())
    }

    pub fn stop(&self) {
        for (_, entry) in std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner)) {
            entry.task.abort();
        }
    }
}

/// `token` is that of whoever asked about a service that is not of this agent.
fn start(agent: &Arc<Agent>, destination: &str, token: &Token) -> Entry {
    let (sender, held) = watch::channel(None);
    let (agent, name, token) = (Arc::clone(agent), destination.to_owned(), token.clone());
    let task = tokio::spawn(async move {
        let path = "/v1/connect/intentions/match";
        let more = [("by", "destination"), ("name", name.as_str())];
        follow::follow::<BTreeMap<String, Option<Vec<Value>>>>(
            || agent.speaking_for(&name, &token),
            path,
            &more,
            |answer| {
                let list = answer.value.into_values().flatten().flatten();
                let mut intentions: Vec<Intention> = list.filter_map(|value| wire::decode(&value)).collect();
                model::sort_by_precedence(&mut intentions);
                let changed = sender.send_if_modified(|held| {
                    let same = held.as_deref() == Some(&intentions);
                    if !same {
                        *held = Some(Arc::new(intentions));
                    }
                    !same
                });
                if changed {
                    agent.replan();
                }
            },
        )
        .await;
    });
    Entry { held, task: task.abort_handle(), local: false }
}
