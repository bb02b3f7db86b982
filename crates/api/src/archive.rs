//! Snapshots as Consul packs them: a gzipped tar of `meta.json`, `state.bin` and the SHA-256 sums of both. The texts of
//! errors are Consul's.

mod consul;
mod msgpack;
mod tar;

use std::fmt::Write as _;
use std::io::{Read, Write};

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use store::{ArchiveError, Fact};

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";

/// The largest snapshot that is unpacked: nobody's memory is filled by a few bytes of well-packed zeros.
pub(crate) const LIMIT_BYTES: usize = 1 << 30;

pub(crate) fn pack(meta: &Value, state: &[u8], modified: u64) -> std::io::Result<Vec<u8>> {
    let mut meta = serde_json::to_vec(meta)?;
    meta.push(b'\n');
    let sums = format!("{}  {META}\n{}  {STATE}\n", sum(&meta), sum(state));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    for (name, bytes) in [(META, &meta[..]), (STATE, state), (SUMS, sums.as_bytes())] {
        tar::write(&mut encoder, name, bytes, modified)?;
    }
    encoder.write_all(&tar::END)?;
    encoder.finish()
}

/// The state of an archive whose sums are right.
pub(crate) fn unpack(packed: &[u8]) -> Result<Vec<u8>, String> {
    let (mut meta, mut state, mut sums) = (None, None, None);
    for (name, bytes) in tar::read(&unzip(packed)?)? {
        match name.as_str() {
            META => meta = Some(bytes),
            STATE => state = Some(bytes),
            SUMS => sums = Some(bytes),
            other => return Err(format!("failed to read snapshot file: unexpected file {other:?} in snapshot")),
        }
    }
    let damaged = |why: String| format!("failed to read snapshot file: failed checking integrity of snapshot: {why}");
    let missing = |name: &str| damaged(format!("file missing for {name:?}"));
    if let Some(meta) = &meta {
        serde_json::from_slice::<Value>(meta).map_err(|_| {
            "failed to read snapshot file: failed to decode snapshot metadata: unexpected end of JSON input".to_owned()
        })?;
    }
    let sums = String::from_utf8_lossy(&sums.ok_or_else(|| missing(META))?).into_owned();
    for (name, bytes) in [(META, &meta), (STATE, &state)] {
        let bytes = bytes.as_ref().ok_or_else(|| missing(name))?;
        let line = sums.lines().filter_map(|line| line.split_once("  ")).find(|(_, file)| *file == name);
        let (wanted, _) = line.ok_or_else(|| damaged(format!("list missing hash for {name:?}")))?;
        if !wanted.eq_ignore_ascii_case(&sum(bytes)) {
            return Err(damaged(format!("hash check failed for {name:?}")));
        }
    }
    state.ok_or_else(|| missing(STATE))
}

/// The facts of an archived state: ours, or a real Consul's.
pub(crate) fn facts(state: &[u8], datacenter: &str) -> Result<Vec<Fact>, String> {
    let failed = |why: String| format!("failed to restore snapshot: {why}");
    match store::read_facts(state) {
        Err(ArchiveError::Foreign) if consul::is_state(state) => consul::facts(state, datacenter).map_err(failed),
        read => read.map_err(|error| failed(error.to_string())),
    }
}

fn unzip(packed: &[u8]) -> Result<Vec<u8>, String> {
    const MAGIC: [u8; 2] = [0x1f, 0x8b];
    const HEAD_BYTES: usize = 10;
    let undone = |why: &str| Err(format!("failed to decompress snapshot: {why}"));
    match packed.len() {
        0 => return undone("EOF"),
        1..HEAD_BYTES => return undone("unexpected EOF"),
        _ if packed[..2] != MAGIC => return undone("gzip: invalid header"),
        _ => {}
    }
    let mut out = Vec::new();
    let limit = LIMIT_BYTES as u64 + 1;
    GzDecoder::new(packed).take(limit).read_to_end(&mut out).map_err(|_| {
        "failed to read snapshot file: failed to read or write snapshot data: unexpected EOF".to_owned()
    })?;
    if out.len() > LIMIT_BYTES {
        return undone(&format!("it holds more than {LIMIT_BYTES} bytes"));
    }
    Ok(out)
}

fn sum(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let state: Vec<u8> = (0..5000_u32).map(|n| (n % 251) as u8).collect();
        let packed = pack(&serde_json::json!({"Index": 5}), &state, 1).unwrap();
        assert_eq!(unpack(&packed).unwrap(), state);
    }

    /// As a real Consul answers.
    #[test]
    fn what_is_no_snapshot_is_refused() {
        let whole = pack(&serde_json::json!({}), &[7; 9000], 1).unwrap();
        let mut tar = unzip(&whole).unwrap();
        let at = tar.iter().position(|byte| *byte == 7).unwrap();
        tar[at] = 8;
        for (packed, why) in [
            (b"".to_vec(), "failed to decompress snapshot: EOF"),
            (b"garbage".to_vec(), "failed to decompress snapshot: unexpected EOF"),
            (b"garbage garbage".to_vec(), "failed to decompress snapshot: gzip: invalid header"),
            (gzip(b"garbage"), "failed to read snapshot file: failed reading snapshot: unexpected EOF"),
            (
                gzip(b""),
                "failed to read snapshot file: failed checking integrity of snapshot: file missing for \"meta.json\"",
            ),
            (
                gzip(&tar),
                "failed to read snapshot file: failed checking integrity of snapshot: \
                 hash check failed for \"state.bin\"",
            ),
            (
                whole[..whole.len() / 2].to_vec(),
                "failed to read snapshot file: failed to read or write snapshot data: unexpected EOF",
            ),
        ] {
            assert_eq!(unpack(&packed).unwrap_err(), why);
        }
    }
}
