//! As much of tar as three files of a snapshot need (POSIX ustar).

use std::io::Write;

const BLOCK: usize = 512;
/// Two empty blocks.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
const NAME: std::ops::Range<usize> = 0..100;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;

pub(super) fn write(out: &mut impl Write, name: &str, bytes: &[u8], modified: u64) -> std::io::Result<()> {
    let mut head = [0_u8; BLOCK];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(NAME.start, name.as_bytes());
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(SIZE.start, format!("{:011o}\0", bytes.len()).as_bytes());
    put(136, format!("{modified:011o}\0").as_bytes());
    put(CHECKSUM.start, b"        ");
    put(KIND, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.write_all(&head)?;
    out.write_all(bytes)?;
    out.write_all(&END[..padding(bytes.len())])
}

fn padding(size: usize) -> usize {
    size.next_multiple_of(BLOCK) - size
}

/// The files of an archive, by name.
pub(super) fn read(mut archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let failed = |why: &str| format!("failed to read snapshot file: failed reading snapshot: {why}");
    let mut files = Vec::new();
    while !archive.is_empty() {
        let (head, rest) = archive.split_at_checked(BLOCK).ok_or_else(|| failed("unexpected EOF"))?;
        if head.iter().all(|byte| *byte == 0) {
            break;
        }
        let mut sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
        sum -= head[CHECKSUM].iter().map(|byte| u32::from(*byte)).sum::<u32>();
        sum += 8 * u32::from(b' ');
        if octal(&head[CHECKSUM]) != Some(u64::from(sum)) {
            return Err(failed("archive/tar: invalid tar header"));
        }
        let size = octal(&head[SIZE]).and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| failed("archive/tar: invalid tar header"))?;
        let (bytes, rest) = rest.split_at_checked(size).ok_or_else(|| failed("unexpected EOF"))?;
        // Extended headers of other writers say nothing that is needed here.
        if matches!(head[KIND], b'0' | 0) {
            let name = head[NAME].split(|byte| *byte == 0).next().unwrap_or_default();
            files.push((String::from_utf8_lossy(name).into_owned(), bytes.to_vec()));
        }
        archive = rest.get(padding(size)..).unwrap_or_default();
    }
    Ok(files)
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}
