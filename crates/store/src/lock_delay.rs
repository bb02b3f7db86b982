//! Locks that must rest, by the clock of this server: not a fact, since no two servers read the same clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::fact::{Batch, Key};
use crate::state::State;

/// No lock rests longer than that.
const LOCK_DELAY_MAX: Duration = Duration::from_secs(60);

/// Keys whose lock was lost with its session: the holder may not know it yet, so nobody else gets the lock for a while.
#[derive(Default)]
pub(crate) struct LockDelays {
    until: Mutex<HashMap<Arc<str>, Instant>>,
}

impl LockDelays {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn holds(&self, key: &str) -> bool {
        self.lock().get(key).is_some_and(|until| *until > Instant::now())
    }

    /// Learns from a batch that is about to be applied to `state`.
    pub(crate) fn follow(&self, batch: &Batch, state: &State) {
        for key in &batch.deletes {
            let Key::Session(id) = key else { continue };
            let Some(session) = state.session(id).filter(|session| !session.lock_delay.is_zero()) else { continue };
            let now = Instant::now();
            let mut until = self.lock();
            until.retain(|_, until| *until > now);
            let rest = now + session.lock_delay.min(LOCK_DELAY_MAX);
            until.extend(state.kv_held_by(id).map(|entry| (entry.key.as_str().into(), rest)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Fact;

    #[test]
    fn no_lock_rests_longer_than_a_minute() {
        let session =
            model::Session { id: "s".to_owned(), lock_delay: Duration::from_secs(3600), ..Default::default() };
        let entry = model::KvEntry { key: "k".to_owned(), session: "s".to_owned(), ..Default::default() };
        let mut state = State::default();
        let puts = vec![Fact::Session(Arc::new(session)), Fact::Kv(Arc::new(entry))];
        state.apply(2, &Batch { puts, ..Batch::default() });
        let delays = LockDelays::default();
        let before = Instant::now();
        delays.follow(&Batch { deletes: vec![Key::Session("s".into())], ..Batch::default() }, &state);
        assert!(delays.holds("k") && !delays.holds("other"));
        let until = delays.lock().get("k").copied();
        assert!(until.is_some_and(|until| until <= Instant::now() + LOCK_DELAY_MAX && until > before));
    }
}
