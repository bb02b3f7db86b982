//! What the backends of one process share: the newest facts, those who follow them, and the names that live.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::follow::Followers;
use super::leases::Leases;
use super::{Change, Changes, Snapshot};
use crate::fact::{Batch, Index};

/// Clones share the same facts.
#[derive(Clone)]
pub(super) struct Local {
    inner: Arc<Inner>,
    leases: Arc<Leases>,
}

struct Inner {
    facts: Mutex<Snapshot>,
    followers: Followers,
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Local {
    pub(super) fn new(facts: Snapshot) -> Self {
        let inner = Arc::new(Inner { facts: Mutex::new(facts), followers: Followers::new() });
        let expiring = Arc::downgrade(&inner);
        let leases = Leases::new(move |name| {
            if let Some(inner) = expiring.upgrade() {
                let facts = inner.lock();
                inner.followers.tell(&[Change::Expired(name)], || facts.clone());
            }
        });
        Self { inner, leases: Arc::new(leases) }
    }

    pub(super) fn facts(&self) -> Snapshot {
        self.inner.lock().clone()
    }

    /// Judges and applies a batch that needs nothing else; `None`: a guard does not hold.
    pub(super) fn commit(&self, batch: Batch) -> Option<Index> {
        let mut facts = self.inner.lock();
        if !facts.admits(&batch.guards) {
            return None;
        }
        let index = facts.next_index();
        facts.apply(index, &batch);
        // Told under the lock: followers must see batches in the order of their indexes.
        self.inner.followers.tell(&[Change::Batch(index, Arc::new(batch))], || facts.clone());
        Some(index)
    }

    /// Takes over what the one writer has made durable.
    pub(super) fn publish(&self, next: Snapshot, changes: &[Change]) {
        let mut facts = self.inner.lock();
        *facts = next;
        self.inner.followers.tell(changes, || facts.clone());
    }

    pub(super) fn follow(&self, after: Index) -> Changes {
        let facts = self.inner.lock();
        let missed = (facts.index() != after).then(|| facts.clone());
        self.inner.followers.add(missed)
    }

    pub(super) fn grant(&self, name: &str, ttl: Duration) {
        self.leases.grant(name, ttl);
    }

    pub(super) fn keep_alive(&self, name: &str) -> bool {
        self.leases.keep_alive(name)
    }

    pub(super) fn revoke(&self, name: &str) {
        self.leases.revoke(name);
    }
}
