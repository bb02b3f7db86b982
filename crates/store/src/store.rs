//! One handle on the facts: reads a snapshot, waits for a topic, writes by deciding and committing.

use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use crate::backend::{Backend, CommitError};
use crate::error::Error;
use crate::fact::{Batch, Index};
use crate::state::State;
use crate::watch::{Topic, Watches};

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
    state: RwLock<Arc<State>>,
    applied: watch::Sender<Index>,
    watches: Watches,
    /// Writers that were overtaken stand in line here instead of overtaking each other again.
    overtaken: Mutex<()>,
}

impl Store {
    /// Loads the facts and follows the backend from there on, until the last handle is dropped.
    pub async fn open(backend: impl Backend) -> Result<Self, Error> {
        let failed = |what| move |source: CommitError| Error::Backend { what, source: source.into() };
        let snapshot = backend.load().await.map_err(failed("loading the facts"))?;
        let batches = backend.follow(snapshot.index).await.map_err(failed("following the facts"))?;
        let inner = Arc::new(Inner {
            backend: Arc::new(backend),
            applied: watch::Sender::new(snapshot.index),
            state: RwLock::new(Arc::new(State::from_snapshot(snapshot))),
            watches: Watches::default(),
            overtaken: Mutex::new(()),
        });
        tokio::spawn(apply_all(Arc::downgrade(&inner), batches));
        Ok(Self { inner })
    }

    /// Everything as it is now: cheap, immutable, consistent in itself.
    pub fn state(&self) -> Arc<State> {
        self.inner.state.read().unwrap_or_else(PoisonError::into_inner).clone()
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
            let (batch, value) = decide(&state)?;
            if batch.is_empty() {
                return Ok((state.index(), value));
            }
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

async fn apply_all(store: Weak<Inner>, mut batches: mpsc::Receiver<(Index, Batch)>) {
    while let Some((index, batch)) = batches.recv().await {
        let Some(inner) = store.upgrade() else { return };
        let current = inner.state.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut next = State::clone(&current);
        let touched = next.apply(index, &batch);
        *inner.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        inner.applied.send_replace(index);
        inner.watches.wake(&touched);
    }
}
