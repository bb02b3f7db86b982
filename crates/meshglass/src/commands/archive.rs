//! `.tar.gz` archives: just as much as snapshots and debug captures need.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

const BLOCK: usize = 512;
/// Longest name that fits into a header without extensions.
const NAME_LIMIT: usize = 100;
/// No member of a snapshot's archive is larger.
const MEMBER_LIMIT_BYTES: u64 = 4 << 30;

/// Reads members one after another from a tar stream.
pub struct Reader<R> {
    input: R,
}

impl<R: Read> Reader<R> {
    pub fn new(input: R) -> Self {
        Self { input }
    }

    /// The name and the size of the next file; `None` at the end.
    pub fn next(&mut self) -> io::Result<Option<(String, u64)>> {
        loop {
            let mut header = [0; BLOCK];
            if !fill(&mut self.input, &mut header)? || header.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let size = octal(&header[124..136]).filter(|size| *size <= MEMBER_LIMIT_BYTES).ok_or_else(broken)?;
            if checksum(&header) != octal(&header[148..156]).ok_or_else(broken)? {
                return Err(broken());
            }
            let text = |range: std::ops::Range<usize>| {
                let field = &header[range];
                let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
                String::from_utf8_lossy(&field[..end]).into_owned()
            };
            let name = match (&header[257..262] == b"ustar", text(345..500)) {
                (true, prefix) if !prefix.is_empty() => format!("{prefix}/{}", text(0..100)),
                _ => text(0..100),
            };
            match header[156] {
                b'0' | 0 => return Ok(Some((name, size))),
                // Directories, extended headers: nothing of theirs is needed.
                _ => drop(self.content(size)?),
            }
        }
    }

    /// The content of the member that [`Reader::next`] told of.
    pub fn content(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.input.by_ref().take(size).read_to_end(&mut content)?;
        let padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        let skipped = io::copy(&mut self.input.by_ref().take(padding), &mut io::sink())?;
        if content.len() as u64 != size || skipped != padding {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(content)
    }
}

/// False when there is nothing at all.
fn fill(input: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<bool> {
    let mut filled = 0;
    while filled < BLOCK {
        match input.read(&mut block[filled..])? {
            0 if filled == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => filled += n,
        }
    }
    Ok(true)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "archive/tar: invalid tar header")
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

/// With its own field taken as blanks.
fn checksum(header: &[u8; BLOCK]) -> u64 {
    let own = 148..156;
    header.iter().enumerate().map(|(at, byte)| if own.contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

/// Writes a compressed archive.
pub struct Writer<W: Write> {
    output: GzEncoder<W>,
    /// Seconds since 1970, for every member.
    time: u64,
}

impl<W: Write> Writer<W> {
    pub fn new(output: W, time: u64) -> Self {
        Self { output: GzEncoder::new(output, Compression::default()), time }
    }

    pub fn directory(&mut self, name: &str) -> io::Result<()> {
        self.header(&format!("{name}/"), 0, 0o755, b'5')
    }

    pub fn file(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        self.header(name, content.len() as u64, 0o644, b'0')?;
        self.output.write_all(content)?;
        let padding = (BLOCK - content.len() % BLOCK) % BLOCK;
        self.output.write_all(&[0; BLOCK][..padding])
    }

    fn header(&mut self, name: &str, size: u64, mode: u32, kind: u8) -> io::Result<()> {
        if name.len() > NAME_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: too long a name")));
        }
        let mut header = [0; BLOCK];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, &format!("{mode:07o}"));
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{size:011o}"));
        put(136, &format!("{:011o}", self.time));
        put(257, "ustar");
        put(263, "00");
        header[156] = kind;
        let sum = checksum(&header);
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.output.write_all(&header)
    }

    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::new(Vec::new(), 1_700_000_000);
        writer.directory("d").unwrap();
        writer.file("d/a.json", b"{}").unwrap();
        writer.file("d/b", &[7; 1024]).unwrap();
        let bytes = writer.finish().unwrap();
        let mut reader = Reader::new(GzDecoder::new(bytes.as_slice()));
        assert_eq!(reader.next().unwrap(), Some(("d/a.json".to_owned(), 2)));
        assert_eq!(reader.content(2).unwrap(), b"{}");
        assert_eq!(reader.next().unwrap(), Some(("d/b".to_owned(), 1024)));
        assert_eq!(reader.content(1024).unwrap(), [7; 1024]);
        assert_eq!(reader.next().unwrap(), None);
        let error = Reader::new([7; 100].as_slice()).next().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(Reader::new([7; 512].as_slice()).next().is_err());
    }
}
