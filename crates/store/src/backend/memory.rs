//! Facts in memory: `agent -dev`.

use std::future::ready;
use std::time::Duration;

use super::local::Local;
use super::{Backend, Changes, CommitError, Future, Snapshot};
use crate::fact::{Batch, Index};

/// Keeps facts as long as the process lives.
pub struct Memory {
    local: Local,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    pub fn new() -> Self {
        Self { local: Local::new(Snapshot::default()) }
    }
}

impl Backend for Memory {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>> {
        Box::pin(ready(Ok(self.local.facts())))
    }

    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>> {
        Box::pin(async move { self.local.commit(batch).ok_or(CommitError::Conflict) })
    }

    fn follow(&self, after: Index) -> Future<'_, Result<Changes, CommitError>> {
        Box::pin(async move { Ok(self.local.follow(after)) })
    }

    fn grant<'a>(&'a self, name: &'a str, ttl: Duration) -> Future<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.local.grant(name, ttl);
            Ok(())
        })
    }

    fn keep_alive<'a>(&'a self, name: &'a str) -> Future<'a, Result<bool, CommitError>> {
        Box::pin(async move { Ok(self.local.keep_alive(name)) })
    }

    fn revoke<'a>(&'a self, name: &'a str) -> Future<'a, Result<(), CommitError>> {
        Box::pin(async move {
            self.local.revoke(name);
            Ok(())
        })
    }
}
