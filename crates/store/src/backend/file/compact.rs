//! Snapshots: all facts in one file, so that the logs before it can go.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::FileError;
use super::folder::Folder;
use super::frame::{FRAME_HEADER_BYTES, Frame, Framing, HEADER_BYTES, Kind};
use super::log::{Draft, create};
use crate::backend::{Snapshot, codec};
use crate::fact::{Fact, Index};

/// Facts are gathered into frames of about this size.
const FRAME_BYTES: usize = 256 << 10;

/// Writes a snapshot beside the logs and removes what it replaces. Gives its size.
pub(super) fn write(folder: &Folder, facts: &Snapshot) -> Result<u64, FileError> {
    let path = folder.snapshot(facts.index());
    let unfinished = folder.unfinished(&path);
    let bytes = write_to(&unfinished, facts).inspect_err(|_| {
        // A half-written file takes up room that may be scarce just now.
        let _ = fs::remove_file(&unfinished);
    })?;
    fs::rename(&unfinished, &path).map_err(|source| FileError::io("naming", &path, source))?;
    folder.sync()?;
    folder.drop_before(facts.index())?;
    Ok(bytes)
}

fn write_to(path: &Path, facts: &Snapshot) -> Result<u64, FileError> {
    let failed = |source| FileError::io("writing", path, source);
    let (framing, header) = Framing::create(Kind::Snapshot);
    let mut file = BufWriter::new(create(path)?);
    file.write_all(&header).map_err(failed)?;
    let mut size = header.len() as u64;
    let mut draft = Draft::new();
    let mut flush = |draft: &mut Draft| {
        let frame = draft.seal(&framing, facts.index())?;
        file.write_all(frame).map_err(failed)?;
        size += frame.len() as u64;
        draft.clear();
        Ok::<_, FileError>(())
    };
    codec::encode(&(facts.len() as u64), draft.payload())?;
    flush(&mut draft)?;
    for row in facts.facts() {
        codec::encode(&row, draft.payload())?;
        if draft.len() >= FRAME_BYTES {
            flush(&mut draft)?;
        }
    }
    flush(&mut draft)?;
    let file = file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    Ok(size)
}

/// Reads a snapshot. It was complete when it got its name, so anything else is damage.
pub(super) fn read(path: &Path, index: Index) -> Result<Snapshot, FileError> {
    let bytes = fs::read(path).map_err(|source| FileError::io("reading", path, source))?;
    let framing = Framing::read(Kind::Snapshot, path, &bytes)?;
    let mut facts = Snapshot::empty(index);
    let mut wanted = None;
    let mut at = HEADER_BYTES;
    loop {
        let damaged = |what: String| FileError::damaged(path, at as u64, what);
        match framing.frame(&bytes[at..]) {
            Frame::End if wanted == Some(facts.len() as u64) => return Ok(facts),
            Frame::End => return Err(damaged(format!("the file ends after {} facts", facts.len()))),
            Frame::Bad(what) => return Err(damaged(what.to_owned())),
            Frame::Good { index: found, .. } if found != index => {
                return Err(damaged(format!("a frame of index {found} in a snapshot of {index}")));
            }
            Frame::Good { payload, .. } => {
                let mut rest = payload;
                let failed = |error: codec::DecodeError| damaged(format!("a fact cannot be decoded: {error}"));
                if wanted.is_none() {
                    wanted = Some(codec::decode::<u64>(&mut rest).map_err(failed)?);
                }
                while !rest.is_empty() {
                    let (fact, created, modified) = codec::decode::<(Fact, Index, Index)>(&mut rest).map_err(failed)?;
                    facts.restore(fact, created, modified);
                }
                at += FRAME_HEADER_BYTES + payload.len();
            }
        }
    }
}
