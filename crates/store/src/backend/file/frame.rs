//! Frames of a file: what is written at once, with its length and checksum.
//!
//! ```text
//! file    header, frames
//! header  magic (8), format (4), salt (8), checksum of these (4)
//! frame   length of the payload (4), index (8), checksum of salt, length, index and payload (4), payload
//! ```
//! All numbers are little-endian. The salt keeps bytes that a client stored from ever looking like a frame.

use std::path::Path;

use super::FileError;

pub(super) const FORMAT: u32 = 1;
pub(super) const HEADER_BYTES: usize = 24;
pub(super) const FRAME_HEADER_BYTES: usize = 16;
/// The largest payload; a larger length is damage.
pub(super) const PAYLOAD_LIMIT_BYTES: usize = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Log,
    Snapshot,
}

impl Kind {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Log => b"MGLS-LOG",
            Self::Snapshot => b"MGLS-SNP",
        }
    }
}

/// Writes and checks the frames of one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing {
    salt: [u8; 8],
}

/// What stands at some place of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Good {
        index: u64,
        payload: &'a [u8],
    },
    /// Nothing more.
    End,
    Bad(&'static str),
}

impl Framing {
    /// A new file's framing and header.
    pub(super) fn create(kind: Kind) -> (Self, [u8; HEADER_BYTES]) {
        let salt = fastrand::u64(..).to_le_bytes();
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(kind.magic());
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..20].copy_from_slice(&salt);
        let checksum = crc32fast::hash(&header[..20]);
        header[20..].copy_from_slice(&checksum.to_le_bytes());
        (Self { salt }, header)
    }

    pub(super) fn read(kind: Kind, path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(FileError::damaged(path, 0, format!("only {} bytes of the header are there", bytes.len())));
        };
        if crc32fast::hash(&header[..20]) != number(&header[20..]) {
            return Err(FileError::damaged(path, 0, "the header's checksum is wrong"));
        }
        if header[..8] != *kind.magic() {
            return Err(FileError::damaged(path, 0, "this is another kind of file"));
        }
        let found = number(&header[8..12]);
        if found > FORMAT {
            return Err(FileError::Newer { path: path.to_owned(), found, known: FORMAT });
        }
        let mut salt = [0; 8];
        salt.copy_from_slice(&header[12..20]);
        Ok(Self { salt })
    }

    fn checksum(&self, head: &[u8], payload: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.salt);
        hasher.update(head);
        hasher.update(payload);
        hasher.finalize()
    }

    /// Makes `buffer`, which holds a payload behind [`FRAME_HEADER_BYTES`] of anything, a frame.
    pub(super) fn seal(&self, index: u64, buffer: &mut [u8]) -> Result<(), FileError> {
        let Some((head, payload)) = buffer.split_first_chunk_mut::<FRAME_HEADER_BYTES>() else {
            return Err(FileError::TooLarge(0));
        };
        let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_LIMIT_BYTES);
        let length = length.ok_or(FileError::TooLarge(payload.len()))?;
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..12].copy_from_slice(&index.to_le_bytes());
        let checksum = self.checksum(&head[..12], payload);
        head[12..].copy_from_slice(&checksum.to_le_bytes());
        Ok(())
    }

    pub(super) fn frame<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        if bytes.is_empty() {
            return Frame::End;
        }
        let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>() else {
            return Frame::Bad("a frame's header is cut off");
        };
        let length = number(&head[..4]) as usize;
        if length > PAYLOAD_LIMIT_BYTES {
            return Frame::Bad("a frame's length is impossible");
        }
        let Some(payload) = rest.get(..length) else { return Frame::Bad("a frame is cut off") };
        if self.checksum(&head[..12], payload) != number(&head[12..]) {
            return Frame::Bad("a frame's checksum is wrong");
        }
        let mut index = [0; 8];
        index.copy_from_slice(&head[4..12]);
        Frame::Good { index: u64::from_le_bytes(index), payload }
    }

    /// Is there a good frame anywhere in here? Then what stands before it was answered once, and was not just being
    /// written when the process ended.
    pub(super) fn any_frame(&self, bytes: &[u8], after: u64) -> Option<usize> {
        // An index below or far above the last one cannot be: that spares most checksums.
        const LEAP: u64 = 1 << 32;
        (1..bytes.len().saturating_sub(FRAME_HEADER_BYTES)).find(|&at| {
            let mut index = [0; 8];
            index.copy_from_slice(&bytes[at + 4..at + 12]);
            let index = u64::from_le_bytes(index);
            index > after && index - after < LEAP && matches!(self.frame(&bytes[at..]), Frame::Good { .. })
        })
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
