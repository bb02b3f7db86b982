//! Telling followers what was committed without ever waiting for one of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{Notify, mpsc};

use super::Snapshot;
use crate::fact::{Batch, Index};

/// Changes on their way to a follower. One that is further behind is given everything instead.
const QUEUE_LIMIT: usize = 16_384;
/// Changes that are taken from a channel in one go.
const AT_ONCE: usize = 4096;

/// What happened, as a follower is told.
#[derive(Debug, Clone)]
pub enum Change {
    Batch(Index, Arc<Batch>),
    /// What was missed cannot be told batch by batch: everything as of a later index.
    Snapshot(Snapshot),
    /// Nobody has kept this name alive.
    Expired(Arc<str>),
}

#[derive(Default)]
struct Queue {
    changes: Mutex<VecDeque<Change>>,
    arrived: Notify,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes after some index, in order. Ends when the backend is gone.
pub struct Changes(Source);

enum Source {
    /// Filled by one who does not wait.
    Queue {
        queue: Arc<Queue>,
        /// Dropped with the backend.
        backend: Weak<()>,
    },
    /// Filled by one who can wait.
    Channel(mpsc::Receiver<Change>),
}

impl From<mpsc::Receiver<Change>> for Changes {
    fn from(channel: mpsc::Receiver<Change>) -> Self {
        Self(Source::Channel(channel))
    }
}

impl Changes {
    /// Waits for at least one change and moves all that have come into `into`; false: there will be no more.
    pub async fn next(&mut self, into: &mut Vec<Change>) -> bool {
        let (queue, backend) = match &mut self.0 {
            Source::Channel(channel) => return channel.recv_many(into, AT_ONCE).await > 0,
            Source::Queue { queue, backend } => (queue, backend),
        };
        loop {
            let before = into.len();
            into.extend(queue.lock().drain(..));
            if into.len() > before {
                return true;
            }
            if backend.strong_count() == 0 {
                return false;
            }
            queue.arrived.notified().await;
        }
    }
}

/// The followers of one backend.
#[derive(Default)]
pub(super) struct Followers {
    queues: Mutex<Vec<Weak<Queue>>>,
    alive: Option<Arc<()>>,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self { queues: Mutex::default(), alive: Some(Arc::default()) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Queue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A follower from now on. The caller holds what orders the commits.
    pub(super) fn add(&self, first: Option<Snapshot>) -> Changes {
        let queue = Arc::new(Queue::default());
        queue.lock().extend(first.map(Change::Snapshot));
        self.lock().push(Arc::downgrade(&queue));
        let backend = self.alive.as_ref().map(Arc::downgrade).unwrap_or_default();
        Changes(Source::Queue { queue, backend })
    }

    /// Tells everybody; `now` is the state after the changes.
    pub(super) fn tell(&self, changes: &[Change], now: impl Fn() -> Snapshot) {
        self.lock().retain(|queue| {
            let Some(queue) = queue.upgrade() else { return false };
            let mut waiting = queue.lock();
            if waiting.len() + changes.len() <= QUEUE_LIMIT {
                waiting.extend(changes.iter().cloned());
            } else {
                // Names that have expired are in no snapshot.
                let all = waiting.drain(..).chain(changes.iter().cloned());
                let expired: Vec<_> = all.filter(|change| matches!(change, Change::Expired(_))).collect();
                waiting.push_back(Change::Snapshot(now()));
                waiting.extend(expired);
            }
            drop(waiting);
            queue.arrived.notify_one();
            true
        });
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.alive = None;
        for queue in self.lock().iter().filter_map(Weak::upgrade) {
            queue.arrived.notify_one();
        }
    }
}
