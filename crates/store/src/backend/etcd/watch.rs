//! Following the cluster: one watch from an index on, made again wherever it was cut off.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::messages::{EVENT_DELETE, Event, KeyValue, WatchCreate, WatchRequest, WatchResponse};
use super::names::Meaning;
use super::{Cluster, EtcdError, REVOKED, decode_fact};
use crate::backend::Change;
use crate::fact::{Batch, Index};

/// Between two attempts to reach the cluster.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

pub(super) struct Follower {
    pub cluster: Arc<Cluster>,
    /// What has been told.
    pub index: Index,
    pub changes: mpsc::Sender<Change>,
    /// Names that end because somebody revoked them.
    pub revoked: HashSet<String>,
}

/// Why a watch ended.
enum Ended {
    /// Nobody listens any more.
    Unwanted,
    /// What comes next is not kept any more.
    Compacted,
    Failed(EtcdError),
}

impl From<EtcdError> for Ended {
    fn from(error: EtcdError) -> Self {
        Self::Failed(error)
    }
}

impl Follower {
    /// Until nobody listens or the backend is gone.
    pub(super) async fn run(mut self, mut backend: watch::Receiver<()>) {
        tokio::select! {
            () = self.follow() => {}
            // Only its end is ever told.
            _ = backend.changed() => {}
        }
    }

    async fn follow(&mut self) {
        let mut pause = RETRY.0;
        loop {
            let before = self.index;
            let ended = match self.watch().await {
                Err(ended) => ended,
                Ok(()) => Ended::Failed(EtcdError::Answer { call: "Watch/Watch", what: "it ended".to_owned() }),
            };
            let error = match ended {
                Ended::Unwanted => return,
                Ended::Failed(error) => error,
                Ended::Compacted => match self.reload().await {
                    Ok(()) => continue,
                    Err(Ended::Unwanted) => return,
                    Err(Ended::Compacted) => continue,
                    Err(Ended::Failed(error)) => error,
                },
            };
            if self.index > before {
                pause = RETRY.0;
            }
            tracing::warn!(%error, "following etcd was interrupted; trying again");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.changes.closed() => return,
            }
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn watch(&mut self) -> Result<(), Ended> {
        let (key, range_end) = self.cluster.names.all();
        let start_revision = i64::try_from(self.index + 1).unwrap_or(i64::MAX);
        let create = WatchCreate { key, range_end, start_revision };
        let question = WatchRequest { create: Some(create) };
        let mut answers = self.cluster.channel.stream::<WatchResponse>("Watch/Watch", &question).await?;
        loop {
            let answer = tokio::select! {
                answer = answers.next() => answer?,
                () = self.changes.closed() => return Err(Ended::Unwanted),
            };
            let Some(answer) = answer else { return Ok(()) };
            if answer.compact_revision > 0 {
                return Err(Ended::Compacted);
            }
            if answer.canceled {
                let what = format!("it was cancelled: {}", answer.cancel_reason);
                return Err(EtcdError::Answer { call: "Watch/Watch", what }.into());
            }
            self.tell(answer.events).await?;
        }
    }

    async fn reload(&mut self) -> Result<(), Ended> {
        let snapshot = self.cluster.load().await?;
        tracing::info!(from = self.index, to = snapshot.index(), "the changes in between are compacted: reloaded");
        self.index = snapshot.index();
        self.changes.send(Change::Snapshot(snapshot)).await.map_err(|_| Ended::Unwanted)
    }

    /// Events of one revision are one batch, and an answer never ends within a revision.
    async fn tell(&mut self, events: Vec<Event>) -> Result<(), Ended> {
        let mut events = events.into_iter().filter_map(|event| Some((event.kind, event.kv?))).peekable();
        while let Some((kind, first)) = events.next() {
            let revision = first.mod_revision;
            let (mut batch, mut expired) = (Batch::default(), Vec::new());
            self.gather(kind, &first, &mut batch, &mut expired)?;
            while let Some((kind, next)) = events.next_if(|(_, kv)| kv.mod_revision == revision) {
                self.gather(kind, &next, &mut batch, &mut expired)?;
            }
            self.index = u64::try_from(revision).unwrap_or(self.index);
            let batch = Change::Batch(self.index, Arc::new(batch));
            for change in std::iter::once(batch).chain(expired) {
                self.changes.send(change).await.map_err(|_| Ended::Unwanted)?;
            }
        }
        Ok(())
    }

    fn gather(
        &mut self,
        kind: i32,
        kv: &KeyValue,
        batch: &mut Batch,
        expired: &mut Vec<Change>,
    ) -> Result<(), EtcdError> {
        let deleted = kind == EVENT_DELETE;
        match self.cluster.names.meaning(&kv.key) {
            Meaning::Fact(key) if deleted => batch.deletes.push(key),
            Meaning::Fact(_) => batch.puts.push(decode_fact("Watch/Watch", kv)?),
            Meaning::Life(name) if deleted => {
                if !self.revoked.remove(&name) {
                    expired.push(Change::Expired(name.into()));
                }
            }
            Meaning::Life(name) if kv.value == REVOKED => drop(self.revoked.insert(name)),
            Meaning::Life(_) | Meaning::Clock => {}
            Meaning::Unknown => tracing::warn!(key = %String::from_utf8_lossy(&kv.key), "an unknown key under ours"),
        }
        Ok(())
    }
}
