//! Facts in memory: `agent -dev`.

use std::collections::BTreeMap;

use tokio::sync::{Mutex, mpsc};

use super::{Backend, CommitError, Future, Snapshot};
use crate::fact::{Batch, Fact, Index, Key};

/// Batches on their way to a follower; a commit waits when there are more.
const FOLLOW_QUEUE: usize = 1024;

/// Keeps facts as long as the process lives.
#[derive(Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    index: Index,
    facts: BTreeMap<Key, (Fact, Index, Index)>,
    followers: Vec<mpsc::Sender<(Index, Batch)>>,
}

impl Memory {
    pub fn new() -> Self {
        Self::default()
    }
}

impl Inner {
    fn revision(&self, key: &Key) -> Index {
        self.facts.get(key).map_or(0, |(_, _, modified)| *modified)
    }

    fn apply(&mut self, batch: &Batch) -> Index {
        // A guard of 0 means "does not exist" and 1 is the index of an empty table, so the first change is at 2.
        self.index = self.index.max(1) + 1;
        for key in &batch.deletes {
            self.facts.remove(key);
        }
        for fact in &batch.puts {
            let key = fact.key();
            let created = self.facts.get(&key).map_or(self.index, |(_, created, _)| *created);
            self.facts.insert(key, (fact.clone(), created, self.index));
        }
        self.index
    }
}

impl Backend for Memory {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>> {
        Box::pin(async {
            let inner = self.inner.lock().await;
            Ok(Snapshot { index: inner.index, facts: inner.facts.values().cloned().collect() })
        })
    }

    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().await;
            if batch.guards.iter().any(|guard| inner.revision(&guard.key) != guard.revision) {
                return Err(CommitError::Conflict);
            }
            let index = inner.apply(&batch);
            // Sent under the lock: followers must see batches in the order of their indexes.
            let mut gone = Vec::new();
            for (at, follower) in inner.followers.iter().enumerate() {
                if follower.send((index, batch.clone())).await.is_err() {
                    gone.push(at);
                }
            }
            for at in gone.into_iter().rev() {
                inner.followers.remove(at);
            }
            Ok(index)
        })
    }

    fn follow(&self, after: Index) -> Future<'_, Result<mpsc::Receiver<(Index, Batch)>, CommitError>> {
        Box::pin(async move {
            let mut inner = self.inner.lock().await;
            if after != inner.index {
                return Err(CommitError::Failed("the memory backend keeps no history to follow from".into()));
            }
            let (sender, receiver) = mpsc::channel(FOLLOW_QUEUE);
            inner.followers.push(sender);
            Ok(receiver)
        })
    }
}
