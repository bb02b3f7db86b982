//! One handle on the facts: reads a snapshot, waits for a topic, writes by deciding and committing.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use crate::backend::{Backend, Change, Changes, CommitError, Snapshot};
use crate::error::Error;
use crate::fact::{Batch, Index};
use crate::lock_delay::LockDelays;
use crate::state::State;
use crate::watch::{Topic, Watches};
use crate::write::{Aftermath, dead};

/// How long a blocking query waits when it does not say.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(300);
/// How long it waits at most.
pub const MAX_WAIT: Duration = Duration::from_secs(600);
/// A write that is overtaken this often is given up.
const ATTEMPTS_LIMIT: usize = 256;

/// A handle; clones share the same facts.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Arc<dyn Backend>,
    state: ArcSwap<State>,
    applied: watch::Sender<Index>,
    watches: Watches,
    /// Writers that were overtaken stand in line here instead of overtaking each other again.
    overtaken: Mutex<()>,
    expired: Expired,
    lock_delays: LockDelays,
}

/// Names that nobody has kept alive and nobody has dealt with yet.
#[derive(Default)]
struct Expired {
    names: std::sync::Mutex<BTreeSet<Arc<str>>>,
    arrived: Notify,
}

impl Store {
    /// Loads the facts and follows the backend from there on, until the last handle is dropped.
    pub async fn open(backend: impl Backend) -> Result<Self, Error> {
        let snapshot = backend.load().await.map_err(failed("loading the facts"))?;
        let changes = backend.follow(snapshot.index()).await.map_err(failed("following the facts"))?;
        let inner = Arc::new(Inner {
            backend: Arc::new(backend),
            applied: watch::Sender::new(snapshot.index()),
            state: ArcSwap::from_pointee(State::from_snapshot(&snapshot)),
            watches: Watches::default(),
            overtaken: Mutex::new(()),
            expired: Expired::default(),
            lock_delays: LockDelays::default(),
        });
        tokio::spawn(apply_all(Arc::downgrade(&inner), changes));
        let store = Self { inner };
        store.grant_sessions().await?;
        Ok(store)
    }

    /// Everything as it is now: cheap, immutable, consistent in itself.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.load_full()
    }

    /// Waits for names that were granted a life and that nobody has kept alive, and takes them. One task deals with
    /// them; other servers are told the same names and do the same, each behind guards.
    pub async fn expired(&self) -> BTreeSet<Arc<str>> {
        let expired = &self.inner.expired;
        loop {
            let names = std::mem::take(&mut *expired.names.lock().unwrap_or_else(PoisonError::into_inner));
            if !names.is_empty() {
                return names;
            }
            expired.arrived.notified().await;
        }
    }

    /// Lets a name live for `ttl` from now on; see [`Backend::grant`].
    ///
    /// # Errors
    /// The backend fails.
    pub async fn grant(&self, name: &str, ttl: Duration) -> Result<(), Error> {
        self.inner.backend.grant(name, ttl).await.map_err(failed("granting a time to live"))
    }

    /// False: the name does not live any more.
    ///
    /// # Errors
    /// The backend fails.
    pub async fn keep_alive(&self, name: &str) -> Result<bool, Error> {
        self.inner.backend.keep_alive(name).await.map_err(failed("keeping a name alive"))
    }

    /// # Errors
    /// The backend fails.
    pub async fn revoke(&self, name: &str) -> Result<(), Error> {
        self.inner.backend.revoke(name).await.map_err(failed("ending a name"))
    }

    /// The state as soon as one of `topics` has changed after `after`, or as it is when `wait` is over (zero: the
    /// default). With `after` 0 at once. An `after` from the future waits, too: it may be of another life of the
    /// server.
    pub async fn block(&self, topics: &[Topic], after: Index, wait: Duration) -> Arc<State> {
        let state = self.state();
        if after == 0 || state.index_of(topics) > after {
            return state;
        }
        let deadline = Instant::now() + jittered(wait);
        let waiter = self.inner.watches.register(topics);
        loop {
            let state = self.state();
            if state.index_of(topics) > after {
                return state;
            }
            tokio::select! {
                () = waiter.woken() => {}
                () = tokio::time::sleep_until(deadline) => return self.state(),
            }
        }
    }

    /// Decides on a snapshot and commits; decides again on a newer one when something guarded has changed meanwhile.
    /// Answers once the batch is visible in [`Store::state`]. An empty batch is no write: the index stays.
    pub(crate) async fn write<T>(
        &self,
        mut decide: impl FnMut(&State) -> Result<(Batch, T), Error>,
    ) -> Result<(Index, T), Error> {
        let mut line = None;
        for _ in 0..ATTEMPTS_LIMIT {
            let state = self.state();
            let (mut batch, value) = decide(&state)?;
            if batch.is_empty() {
                return Ok((state.index(), value));
            }
            batch.name_each_key_once();
            match self.inner.backend.commit(batch).await {
                Ok(index) => {
                    self.applied(index).await?;
                    return Ok((index, value));
                }
                Err(CommitError::Conflict) => {
                    if line.is_none() {
                        line = Some(self.inner.overtaken.lock().await);
                    }
                    // What overtook us may not be applied here yet; deciding on the same snapshot would not help.
                    self.newer_than(state.index()).await?;
                }
                Err(CommitError::Failed(source)) => return Err(Error::Backend { what: "committing a write", source }),
            }
        }
        Err(Error::Contention(ATTEMPTS_LIMIT))
    }

    /// Commits what has been decided elsewhere.
    pub(crate) async fn commit(&self, batch: Batch) -> Result<Index, Error> {
        self.write(|_| Ok((batch.clone(), ()))).await.map(|(index, ())| index)
    }

    pub(crate) async fn load(&self) -> Result<Snapshot, Error> {
        self.inner.backend.load().await.map_err(failed("loading the facts"))
    }

    /// The state as it is, and as it would be after what `decide` decides; nothing is written.
    pub(crate) fn rehearse<T>(
        &self,
        decide: impl FnOnce(&State) -> Result<(Batch, T), Error>,
    ) -> Result<(Arc<State>, State), Error> {
        let state = self.state();
        let (mut batch, _) = decide(&state)?;
        batch.name_each_key_once();
        let mut next = State::clone(&state);
        next.apply(state.index() + 1, &batch);
        Ok((state, next))
    }

    /// Whether the lock of this key was lost with its session a moment ago.
    pub(crate) fn lock_delayed(&self, key: &str) -> bool {
        self.inner.lock_delays.holds(key)
    }

    async fn applied(&self, index: Index) -> Result<(), Error> {
        let mut applied = self.inner.applied.subscribe();
        applied.wait_for(|now| *now >= index).await.map(|_| ()).map_err(|_| Error::Stopped)
    }

    async fn newer_than(&self, index: Index) -> Result<(), Error> {
        self.applied(index + 1).await
    }
}

/// Up to a sixteenth longer, so that thousands of clients do not come back in the same moment.
fn jittered(wait: Duration) -> Duration {
    let wait = if wait.is_zero() { DEFAULT_WAIT } else { wait.min(MAX_WAIT) };
    wait + (wait / 16).mul_f64(fastrand::f64())
}

fn failed(what: &'static str) -> impl FnOnce(CommitError) -> Error {
    move |source| Error::Backend { what, source: source.into() }
}

/// Applies what has come in the meantime as one step: readers and waiters are told once.
async fn apply_all(store: Weak<Inner>, mut changes: Changes) {
    let mut arrived = Vec::new();
    while changes.next(&mut arrived).await {
        let Some(inner) = store.upgrade() else { return };
        let mut next = State::clone(&inner.state.load());
        let (mut touched, mut everything, mut expired) = (HashSet::new(), false, Vec::new());
        let mut aftermath = Aftermath::default();
        for change in arrived.drain(..) {
            match change {
                Change::Batch(index, batch) => {
                    let before = Aftermath::is_possible(&batch).then(|| next.clone());
                    touched.extend(next.apply(index, &batch));
                    if let Some(before) = before {
                        // Before anybody can see that a lock is free.
                        inner.lock_delays.follow(&batch, &before);
                        aftermath.look_at(&batch, &before, &next);
                    }
                }
                Change::Snapshot(snapshot) => {
                    next = State::from_snapshot(&snapshot);
                    expired.extend(snapshot.live.as_ref().into_iter().flat_map(|live| dead(&next, live)));
                    everything = true;
                }
                Change::Expired(name) if aftermath.take_expired(&name) => {}
                Change::Expired(name) => expired.push(name),
            }
        }
        let index = next.index();
        inner.state.store(Arc::new(next));
        inner.applied.send_replace(index);
        if everything {
            inner.watches.wake_all();
        } else {
            inner.watches.wake(&touched);
        }
        if !expired.is_empty() {
            inner.expired.names.lock().unwrap_or_else(PoisonError::into_inner).extend(expired);
            inner.expired.arrived.notify_one();
        }
        if !aftermath.is_empty() {
            tokio::spawn(aftermath.settle(Store { inner }));
        }
    }
}
