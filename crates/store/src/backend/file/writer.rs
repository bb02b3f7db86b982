//! The one thread that writes: takes all commits that wait, judges them in order, makes them durable together, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::folder::Folder;
use super::log::{Draft, Log};
use super::{FileError, FileOptions, compact};
use crate::backend::local::Local;
use crate::backend::{Change, CommitError, Snapshot, codec};
use crate::fact::{Batch, Index};

/// Batches that become durable together; more wait for the next time.
const GROUP_LIMIT: usize = 1024;
const GROUP_LIMIT_BYTES: usize = 8 << 20;

/// A batch and who waits for its index.
pub(super) struct Commit {
    pub batch: Batch,
    pub answer: oneshot::Sender<Answer>,
}

pub(super) type Answer = Result<Index, CommitError>;

pub(super) struct Writer {
    local: Local,
    folder: Arc<Folder>,
    log: Log,
    draft: Draft,
    options: FileOptions,
    compaction: Option<std::thread::JoinHandle<()>>,
    /// The size of the last snapshot.
    snapshot_bytes: Arc<AtomicU64>,
    /// Batches in the log.
    batches: u64,
    /// A compaction that fails is tried again when the log is longer than this.
    compact_at: u64,
}

/// The batches of one frame.
#[derive(Default)]
struct Group {
    changes: Vec<Change>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
}

impl Writer {
    pub(super) fn new(local: Local, folder: Arc<Folder>, log: Log, options: FileOptions) -> Self {
        let compact_at = options.compact_from_bytes;
        let (draft, snapshot_bytes) = (Draft::new(), Arc::default());
        Self { local, folder, log, draft, options, compaction: None, snapshot_bytes, batches: 0, compact_at }
    }

    /// Ends when nobody can commit any more.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Commit>) {
        while let Some(first) = waiting.blocking_recv() {
            self.commit_together(first, &mut waiting);
            self.compact_if_due();
        }
        if let Some(compaction) = self.compaction.take() {
            let _ = compaction.join();
        }
    }

    fn commit_together(&mut self, first: Commit, waiting: &mut mpsc::Receiver<Commit>) {
        // Tried out on a copy: when the disk refuses, nothing has happened.
        let mut facts = self.local.facts();
        let index = facts.next_index();
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(commit) = next {
            self.judge(commit, &mut facts, &mut group);
            let full = group.answers.len() >= GROUP_LIMIT || self.draft.len() >= GROUP_LIMIT_BYTES;
            next = if full { None } else { waiting.try_recv().ok() };
        }
        if !group.changes.is_empty() {
            match self.log.append(index, &mut self.draft) {
                Ok(()) => {
                    self.batches += group.changes.len() as u64;
                    self.local.publish(facts, &group.changes);
                }
                Err(error) => group.fail(&Arc::new(error)),
            }
        }
        self.draft.clear();
        for (answer, result) in group.answers {
            // Who has gone away does not wait for an answer.
            let _ = answer.send(result);
        }
    }

    /// Guards hold against what the batches before have left, those of the same frame too.
    fn judge(&mut self, Commit { batch, answer }: Commit, facts: &mut Snapshot, group: &mut Group) {
        if !facts.admits(&batch.guards) {
            return group.answers.push((answer, Err(CommitError::Conflict)));
        }
        let before = self.draft.len();
        if let Err(error) = codec::encode_batch(&batch, self.draft.payload()) {
            self.draft.payload().truncate(before);
            return group.answers.push((answer, Err(CommitError::failed(FileError::Encode(error)))));
        }
        let index = facts.next_index();
        facts.apply(index, &batch);
        group.changes.push(Change::Batch(index, Arc::new(batch)));
        group.answers.push((answer, Ok(index)));
    }

    fn compact_if_due(&mut self) {
        let running = self.compaction.as_ref().is_some_and(|thread| !thread.is_finished());
        let due = self.compact_at.max(self.snapshot_bytes.load(Ordering::Relaxed));
        let full = self.log.bytes() >= due || self.batches >= self.options.compact_from_batches;
        if running || self.log.is_broken() || !full {
            return;
        }
        self.batches = 0;
        match self.start_compaction() {
            Ok(()) => self.compact_at = self.options.compact_from_bytes,
            Err(error) => {
                tracing::error!(%error, "the log is not compacted");
                self.compact_at = self.log.bytes().saturating_mul(2);
            }
        }
    }

    /// From here on a new log is written; the snapshot that makes the old ones superfluous takes its time elsewhere.
    fn start_compaction(&mut self) -> Result<(), FileError> {
        let facts = self.local.facts();
        self.log = Log::create(&self.folder, facts.index())?;
        let (folder, size) = (self.folder.clone(), self.snapshot_bytes.clone());
        let write = move || match compact::write(&folder, &facts) {
            Ok(bytes) => size.store(bytes, Ordering::Relaxed),
            Err(error) => tracing::error!(%error, "no snapshot was written; the older logs stay"),
        };
        let thread = std::thread::Builder::new().name("store-snapshot".to_owned()).spawn(write);
        let started = thread.map_err(|source| FileError::io("starting a snapshot of", self.folder.path(), source));
        self.compaction = Some(started?);
        Ok(())
    }
}

impl Group {
    /// The frame was not written, so whatever was judged by what stands in it has not happened either.
    fn fail(&mut self, error: &Arc<FileError>) {
        for (_, result) in &mut self.answers {
            *result = Err(CommitError::failed(error.clone()));
        }
    }
}
