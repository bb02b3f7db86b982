//! Where facts live: the narrow waist between what is decided and how it is kept.

mod memory;

pub use memory::Memory;

use std::pin::Pin;

use tokio::sync::mpsc;

use crate::fact::{Batch, Fact, Index};

pub type Future<'a, T> = Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// Everything as of one index.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub index: Index,
    /// Each with the indexes at which it was created and last changed.
    pub facts: Vec<(Fact, Index, Index)>,
}

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A guarded key has changed: decide again.
    #[error("a guarded fact has changed")]
    Conflict,
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Durable, ordered batches of facts.
pub trait Backend: Send + Sync + 'static {
    fn load(&self) -> Future<'_, Result<Snapshot, CommitError>>;

    /// Answers once the batch is durable, with the index that `follow` will give it.
    fn commit(&self, batch: Batch) -> Future<'_, Result<Index, CommitError>>;

    /// Every batch after `after`, in order, this process's own ones included.
    fn follow(&self, after: Index) -> Future<'_, Result<mpsc::Receiver<(Index, Batch)>, CommitError>>;
}
