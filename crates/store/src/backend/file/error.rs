//! Why a directory cannot be used.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{what} {path}: {source}")]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{0} is in use by another server")]
    InUse(PathBuf),
    #[error("{path} is damaged at offset {offset}: {what}; restore it from a backup, or move it away to start empty")]
    Damaged { path: PathBuf, offset: u64, what: String },
    #[error("{path} has format {found}, written by a newer version of this program; this one reads format {known}")]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("{0} is missing: the logs after it are of no use alone; restore the directory from a backup")]
    Missing(PathBuf),
    #[error("a batch of {0} bytes is larger than a log can hold")]
    TooLarge(usize),
    /// The disk may hold something else than what was written to it.
    #[error("an earlier write failed in a way that cannot be undone ({0}); restart to read what is really there")]
    Broken(String),
    #[error("encoding a batch: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
    #[error("the store has stopped")]
    Stopped,
}

impl FileError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source }
    }

    pub(super) fn damaged(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), offset, what: what.into() }
    }
}
