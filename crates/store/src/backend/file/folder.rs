//! The files of a directory, and what they say together.
//!
//! `snapshot-N` holds all facts as of index N, `log-N` what came after N. Before a snapshot of N is written, `log-N` is
//! begun, so that at any moment the newest snapshot and the logs from its index on hold everything.

use std::fs::{self, OpenOptions, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::FileError;
use super::log::{self, Log};
use super::{Snapshot, compact};

const LOG: &str = "log-";
const SNAPSHOT: &str = "snapshot-";
/// Written, but not all of it yet.
const UNFINISHED: &str = ".unfinished";
/// A server that has just ended may be survived for a moment by a child that was about to run another program.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// A locked directory.
pub(super) struct Folder {
    path: PathBuf,
    /// The lock ends with the process, however that ends.
    _lock: fs::File,
}

impl Folder {
    #[expect(clippy::disallowed_methods, reason = "there is nothing to be woken by: a lock of another process")]
    fn lock(path: &Path) -> Result<Self, FileError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(|source| FileError::io("making the directory", path, source))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|source| FileError::io("opening", &lock_path, source))?;
        let patience = Instant::now() + LOCK_PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { path: path.to_owned(), _lock: lock }),
                Err(TryLockError::WouldBlock) if Instant::now() < patience => std::thread::sleep(LOCK_PATIENCE / 20),
                Err(TryLockError::WouldBlock) => return Err(FileError::InUse(path.to_owned())),
                Err(TryLockError::Error(source)) => return Err(FileError::io("locking", &lock_path, source)),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn log(&self, base: u64) -> PathBuf {
        self.path.join(format!("{LOG}{base:020}"))
    }

    pub(super) fn snapshot(&self, index: u64) -> PathBuf {
        self.path.join(format!("{SNAPSHOT}{index:020}"))
    }

    pub(super) fn unfinished(&self, path: &Path) -> PathBuf {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(UNFINISHED);
        self.path.join(name)
    }

    /// Makes new and removed names durable.
    pub(super) fn sync(&self) -> Result<(), FileError> {
        let synced = fs::File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(|source| FileError::io("writing the directory", &self.path, source))
    }

    /// Removes what a snapshot of `index` has made superfluous.
    pub(super) fn drop_before(&self, index: u64) -> Result<(), FileError> {
        let found = self.list()?;
        let logs = found.logs.iter().filter(|at| **at < index).map(|at| self.log(*at));
        let snapshots = found.snapshots.iter().filter(|at| **at < index).map(|at| self.snapshot(*at));
        for path in logs.chain(snapshots).chain(found.unfinished) {
            fs::remove_file(&path).map_err(|source| FileError::io("removing", &path, source))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Found, FileError> {
        let failed = |source| FileError::io("listing", &self.path, source);
        let mut found = Found::default();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(name) = name.to_str() else { continue };
            let numbered = |prefix| name.strip_prefix(prefix).and_then(|number| number.parse().ok());
            if name.ends_with(UNFINISHED) {
                found.unfinished.push(self.path.join(name));
            } else if let Some(base) = numbered(LOG) {
                found.logs.push(base);
            } else if let Some(index) = numbered(SNAPSHOT) {
                found.snapshots.push(index);
            }
        }
        found.logs.sort_unstable();
        found.snapshots.sort_unstable();
        Ok(found)
    }
}

#[derive(Default)]
struct Found {
    logs: Vec<u64>,
    snapshots: Vec<u64>,
    unfinished: Vec<PathBuf>,
}

/// Locks the directory and reads everything in it.
pub(super) fn open(path: &Path) -> Result<(Folder, Snapshot, Log), FileError> {
    let folder = Folder::lock(path)?;
    let found = folder.list()?;
    let mut facts = match found.snapshots.last() {
        Some(index) => compact::read(&folder.snapshot(*index), *index)?,
        None => Snapshot::default(),
    };
    let base = facts.index();
    let new = found.snapshots.is_empty() && found.logs.is_empty();
    let mut log = if new { Some(Log::create(&folder, 0)?) } else { None };
    let logs: Vec<u64> = found.logs.into_iter().filter(|log| *log >= base).collect();
    for (number, at) in logs.iter().enumerate() {
        if *at != facts.index() {
            return Err(FileError::Missing(folder.log(facts.index())));
        }
        log = Some(log::replay(&folder.log(*at), &mut facts, number + 1 == logs.len())?);
    }
    let log = log.ok_or_else(|| FileError::Missing(folder.log(base)))?;
    folder.drop_before(base)?;
    Ok((folder, facts, log))
}
