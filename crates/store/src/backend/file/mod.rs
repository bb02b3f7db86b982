//! Facts in a directory of one server: a log of batches, and now and then a snapshot that makes the old log
//! superfluous.
//!
//! A commit waits for one `fdatasync`, which it shares with all that wait at the same time. Opening after a crash at
//! any moment finds every batch that was answered.

mod compact;
mod error;
mod folder;
mod frame;
mod log;
mod writer;

pub use error::FileError;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::writer::{Commit, Writer};
use super::local::Local;
use super::{Backend, Changes, CommitError, Future, Snapshot};
use crate::fact::{Batch, Index};

/// Commits that wait for the writer; a further one waits for a place.
const COMMIT_QUEUE: usize = 4096;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// A snapshot is taken when the log is longer than this, and longer than the snapshot before.
    pub compact_from_bytes: u64,
    /// A snapshot is taken when the log holds this many batches, however short they are.
    pub compact_from_batches: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { compact_from_bytes: 64 << 20, compact_from_batches: u64::MAX }
    }
}

/// Keeps facts in a directory. The directory is locked as long as this lives.
pub struct File {
    local: Local,
    commits: Option<mpsc::Sender<Commit>>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl File {
    /// Opens the directory, or makes it. Reads everything: call it where blocking is allowed.
    ///
    /// # Errors
    /// Somebody else has the directory open, or what is in it cannot be read.
    pub fn open(directory: &Path, options: FileOptions) -> Result<Self, FileError> {
        let (folder, facts, log) = folder::open(directory)?;
        let local = Local::new(facts);
        let (commits, waiting) = mpsc::channel(COMMIT_QUEUE);
        let writer = Writer::new(local.clone(), Arc::new(folder), log, options);
        let spawned = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(waiting));
        let writer = spawned.map_err(|source| FileError::io("starting the writer for", directory, source))?;
        Ok(Self { local, commits: Some(commits), writer: Some(writer) })
    }
}

impl Drop for File {
    /// What was taken is written before the directory is free for others.
    fn drop(&mut self) {
        self.commits = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store has failed");
        }
    }
}

impl Backend for File {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>> {
        Box::pin(async move { Ok(self.local.facts()) })
    }

    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let commit = Commit { batch, answer };
            let sent = match &self.commits {
                Some(commits) => commits.send(commit).await.is_ok(),
                None => false,
            };
            match answered.await {
                Ok(result) if sent => result,
                _ => Err(CommitError::failed(FileError::Stopped)),
            }
        })
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
