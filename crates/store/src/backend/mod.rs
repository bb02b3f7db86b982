//! Where facts live: the narrow waist between what is decided and how it is kept.

pub(crate) mod codec;
mod etcd;
mod file;
mod follow;
mod leases;
mod local;
mod memory;
mod snapshot;

pub use etcd::{Etcd, EtcdError};
pub use file::{File, FileError, FileOptions};
pub use follow::{Change, Changes};
pub use memory::Memory;
pub use snapshot::Snapshot;

use std::pin::Pin;
use std::time::Duration;

use crate::fact::{Batch, Index};

pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guarded key has changed: decide again.
    #[error("a guarded fact has changed")]
    Conflict,
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl CommitError {
    pub(crate) fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(source.into())
    }
}

/// Durable, ordered batches of facts, and names that live only as long as somebody keeps them alive.
///
/// Guards of a batch are judged against what the batches before it left. A batch names each key once, either as a put
/// or as a delete: [`crate::Store`] sees to it. Indexes only grow, also over restarts.
pub trait Backend: Send + Sync + 'static {
    /// Everything, as of one index.
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>>;

    /// Answers once the batch is durable, with the index that `follow` will give it. After an error of any kind nothing
    /// of the batch is applied, except that a backend which must split a large batch may have removed some of what
    /// the batch removes, dependents first: deciding again removes the rest.
    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>>;

    /// Everything after `after`, in order, this process's own batches included. A follower that is too slow, or that
    /// asks for a past that is not kept, is given the whole state instead of what it missed; it never slows a commit.
    fn follow(&self, after: Index) -> Future<'_, Result<Changes, CommitError>>;

    /// Lets `name` live for `ttl` from now on. When it is over and nobody has kept the name alive, every follower is
    /// told by [`Change::Expired`], so that any server can then remove what depended on it, behind guards. A name that
    /// lives already is given the new time.
    ///
    /// `memory` and `file` count in this process: no name outlives it, and after a restart names are granted anew.
    /// `etcd` counts in the cluster (a lease), so that a name outlives the server that granted it.
    fn grant<'a>(&'a self, name: &'a str, ttl: Duration) -> Future<'a, Result<(), CommitError>>;

    /// Lets `name` live for its whole time again; false: it does not live any more.
    fn keep_alive<'a>(&'a self, name: &'a str) -> Future<'a, Result<bool, CommitError>>;

    /// Ends `name` without telling anybody that it expired.
    fn revoke<'a>(&'a self, name: &'a str) -> Future<'a, Result<(), CommitError>>;
}

impl<B: Backend + ?Sized> Backend for Box<B> {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>> {
        (**self).load()
    }

    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>> {
        (**self).commit(batch)
    }

    fn follow(&self, after: Index) -> Future<'_, Result<Changes, CommitError>> {
        (**self).follow(after)
    }

    fn grant<'a>(&'a self, name: &'a str, ttl: Duration) -> Future<'a, Result<(), CommitError>> {
        (**self).grant(name, ttl)
    }

    fn keep_alive<'a>(&'a self, name: &'a str) -> Future<'a, Result<bool, CommitError>> {
        (**self).keep_alive(name)
    }

    fn revoke<'a>(&'a self, name: &'a str) -> Future<'a, Result<(), CommitError>> {
        (**self).revoke(name)
    }
}
