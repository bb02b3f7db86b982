//! One log: frames of batches, each frame written and made durable at once.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::FileError;
use super::folder::Folder;
use super::frame::{FRAME_HEADER_BYTES, Frame, Framing, HEADER_BYTES, Kind};
use crate::backend::{Snapshot, codec};

/// The log that is written to.
pub(super) struct Log {
    path: PathBuf,
    file: fs::File,
    framing: Framing,
    /// What lies behind is not durable.
    durable: u64,
    /// Set when nobody can know what the file holds.
    broken: Option<String>,
}

/// A frame that is being filled.
pub(super) struct Draft {
    buffer: Vec<u8>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; FRAME_HEADER_BYTES] }
    }

    pub(super) fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    pub(super) fn clear(&mut self) {
        self.buffer.truncate(FRAME_HEADER_BYTES);
        self.buffer.shrink_to(1 << 20);
    }

    pub(super) fn seal(&mut self, framing: &Framing, index: u64) -> Result<&[u8], FileError> {
        framing.seal(index, &mut self.buffer)?;
        Ok(&self.buffer)
    }
}

impl Log {
    /// A new log for what comes after `base`. It appears in the folder with its whole header or not at all.
    pub(super) fn create(folder: &Folder, base: u64) -> Result<Self, FileError> {
        let path = folder.log(base);
        let (framing, header) = Framing::create(Kind::Log);
        let new = folder.unfinished(&path);
        let mut file = create(&new)?;
        let written = file.write_all(&header).and_then(|()| file.sync_all());
        written.map_err(|source| FileError::io("writing", &new, source))?;
        fs::rename(&new, &path).map_err(|source| FileError::io("naming", &path, source))?;
        folder.sync()?;
        Ok(Self { path, file, framing, durable: HEADER_BYTES as u64, broken: None })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.durable
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Writes a frame and makes it durable. After an error the log is as it was before.
    pub(super) fn append(&mut self, index: u64, draft: &mut Draft) -> Result<(), FileError> {
        if let Some(why) = &self.broken {
            return Err(FileError::Broken(why.clone()));
        }
        let frame = draft.seal(&self.framing, index)?;
        if let Err(source) = self.file.write_all(frame) {
            self.roll_back();
            return Err(FileError::io("writing", &self.path, source));
        }
        if let Err(source) = self.file.sync_data() {
            // The kernel may have dropped the pages it could not write: only a full disk says for sure that it did not.
            if !matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
                self.broken = Some(source.to_string());
            }
            self.roll_back();
            return Err(FileError::io("writing", &self.path, source));
        }
        self.durable += frame.len() as u64;
        Ok(())
    }

    fn roll_back(&mut self) {
        if let Err(error) = self.file.set_len(self.durable).and_then(|()| self.file.sync_data()) {
            tracing::error!(path = %self.path.display(), %error, "the log cannot be cut back; no more writes");
            self.broken.get_or_insert(error.to_string());
        }
    }
}

/// Facts hold keys of certificate authorities: nobody else may read them.
pub(super) fn create(path: &Path) -> Result<fs::File, FileError> {
    let created = OpenOptions::new().append(true).create(true).mode(0o600).open(path).and_then(|file| {
        file.set_len(0)?;
        Ok(file)
    });
    created.map_err(|source| FileError::io("creating", path, source))
}

/// Applies a log to what was before it. A last log may end in a frame that was just being written when the process
/// ended: nobody was answered, so it is cut off. Anything else that is not as it was written is damage.
pub(super) fn replay(path: &Path, facts: &mut Snapshot, last: bool) -> Result<Log, FileError> {
    let bytes = fs::read(path).map_err(|source| FileError::io("reading", path, source))?;
    let framing = Framing::read(Kind::Log, path, &bytes)?;
    let mut at = HEADER_BYTES;
    loop {
        match framing.frame(&bytes[at..]) {
            Frame::End => break,
            Frame::Good { index, payload } => {
                apply(facts, index, payload).map_err(|what| FileError::damaged(path, at as u64, what))?;
                at += FRAME_HEADER_BYTES + payload.len();
            }
            Frame::Bad(what) if !last => return Err(FileError::damaged(path, at as u64, what)),
            Frame::Bad(what) => {
                if let Some(further) = framing.any_frame(&bytes[at..], facts.index()) {
                    let what = format!("{what}, though a good one follows at {}", at + further);
                    return Err(FileError::damaged(path, at as u64, what));
                }
                let cut = bytes.len() - at;
                tracing::warn!(path = %path.display(), offset = at, bytes = cut, "cut off an unfinished write: {what}");
                break;
            }
        }
    }
    let file = OpenOptions::new().append(true).open(path);
    let file = file.map_err(|source| FileError::io("opening", path, source))?;
    if at < bytes.len() {
        let cut = file.set_len(at as u64).and_then(|()| file.sync_all());
        cut.map_err(|source| FileError::io("cutting back", path, source))?;
    }
    Ok(Log { path: path.to_owned(), file, framing, durable: at as u64, broken: None })
}

fn apply(facts: &mut Snapshot, index: u64, mut payload: &[u8]) -> Result<(), String> {
    if index != facts.next_index() {
        return Err(format!("index {index} stands where {} should", facts.next_index()));
    }
    while !payload.is_empty() {
        let batch = codec::decode_batch(&mut payload).map_err(|error| format!("a batch cannot be decoded: {error}"))?;
        facts.apply(facts.next_index(), &batch);
    }
    Ok(())
}
