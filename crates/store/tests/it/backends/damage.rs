//! What only files can suffer.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{Backend, Batch, CommitError, Fact, File, FileError, FileOptions, Key};

use super::facts::{any, kv};
use super::place::TempDir;

const NEVER: FileOptions = FileOptions { compact_from_bytes: u64::MAX, compact_from_batches: u64::MAX };

fn put(key: &str) -> Batch {
    Batch { puts: vec![kv(key, key.as_bytes())], ..Batch::default() }
}

fn open(folder: &TempDir) -> Result<File, FileError> {
    File::open(folder.path(), NEVER)
}

fn named(folder: &TempDir, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect();
    found.sort();
    found
}

async fn keys(backend: &File) -> Vec<Key> {
    backend.load().await.unwrap().facts().map(|(fact, ..)| fact.key()).collect()
}

/// A log of `count` frames, each of one batch; the sizes of the file before each frame and in the end.
async fn small_log(folder: &TempDir, count: usize) -> (PathBuf, Vec<usize>) {
    let backend = open(folder).unwrap();
    let path = named(folder, "log-").remove(0);
    let size = || fs::metadata(&path).unwrap().len() as usize;
    let mut sizes = vec![size()];
    for n in 0..count {
        backend.commit(put(&format!("k{n}"))).await.unwrap();
        sizes.push(size());
    }
    (path, sizes)
}

#[tokio::test]
async fn a_log_cut_off_anywhere_opens_with_all_frames_before_the_cut() {
    let folder = TempDir::new();
    let (path, sizes) = small_log(&folder, 5).await;
    let whole = fs::read(&path).unwrap();
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        if cut < sizes[0] {
            let error = open(&folder).err().unwrap().to_string();
            assert!(error.contains("damaged at offset 0") && error.contains(path.to_str().unwrap()), "{error}");
            continue;
        }
        let backend = open(&folder).unwrap();
        let frames = sizes.iter().skip(1).filter(|end| **end <= cut).count();
        assert_eq!(keys(&backend).await.len(), frames, "cut at {cut}");
        // The next write stands where the torn one stood, and is there after the next start.
        let index = backend.commit(put("after")).await.unwrap();
        drop(backend);
        let backend = open(&folder).unwrap();
        assert_eq!(keys(&backend).await.len(), frames + 1);
        assert_eq!(backend.load().await.unwrap().index(), index);
    }
}

#[tokio::test]
async fn a_changed_byte_is_told_or_was_never_answered() {
    let folder = TempDir::new();
    let (path, sizes) = small_log(&folder, 4).await;
    let whole = fs::read(&path).unwrap();
    let last = sizes[sizes.len() - 2];
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&path, &bytes).unwrap();
            match open(&folder) {
                // In the last frame a changed byte cannot be told from an unfinished write; the others are there.
                Ok(backend) => {
                    assert!(at >= last, "a change at {at} of {} went unnoticed", whole.len());
                    assert_eq!(keys(&backend).await.len(), 3);
                }
                Err(FileError::Damaged { offset, path: named, .. }) => {
                    assert_eq!(named, path);
                    let frame = sizes.iter().rev().find(|start| **start <= at).copied().unwrap_or_default();
                    assert_eq!(offset as usize, frame, "changed at {at}");
                }
                Err(error) => panic!("changed at {at}: {error}"),
            }
        }
    }
}

#[tokio::test]
async fn any_bytes_open_or_are_refused() {
    let folder = TempDir::new();
    let (path, _) = small_log(&folder, 6).await;
    let whole = fs::read(&path).unwrap();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..=rng.usize(..4) {
            let at = rng.usize(..bytes.len());
            match rng.u8(..4) {
                0 => bytes[at] = rng.u8(..),
                1 => bytes.truncate(at.max(1)),
                2 => bytes.extend((0..rng.usize(..40)).map(|_| rng.u8(..))),
                _ => bytes.extend_from_within(..at),
            }
        }
        fs::write(&path, &bytes).unwrap();
        match open(&folder) {
            Ok(backend) => assert!(keys(&backend).await.len() <= 6),
            Err(FileError::Damaged { .. } | FileError::Newer { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_whole_or_refused_and_its_log_must_be_there() {
    let folder = TempDir::new();
    let backend = File::open(folder.path(), FileOptions { compact_from_bytes: 500, ..FileOptions::default() }).unwrap();
    for n in 0..60 {
        backend.commit(put(&format!("k{n}"))).await.unwrap();
    }
    let before = keys(&backend).await;
    drop(backend);
    assert_eq!(named(&folder, "snapshot-").len(), 1, "older ones are gone");
    assert_eq!(keys(&open(&folder).unwrap()).await, before);
    let path = named(&folder, "snapshot-").remove(0);
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        for bytes in [&bytes[..], &whole[..at]] {
            fs::write(&path, bytes).unwrap();
            let error = open(&folder).err().unwrap_or_else(|| panic!("{at} went unnoticed"));
            assert!(matches!(error, FileError::Damaged { .. }), "{error}");
        }
    }
    fs::write(&path, &whole).unwrap();
    let log = named(&folder, "log-").remove(0);
    let aside = folder.path().join("aside");
    fs::rename(&log, &aside).unwrap();
    assert!(matches!(open(&folder).err(), Some(FileError::Missing(path)) if path == log));
    fs::rename(&aside, &log).unwrap();
    assert_eq!(keys(&open(&folder).unwrap()).await, before);
}

/// Copies the directory at many moments of its life, as a crash would leave it, and opens each copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_any_moment_holds_what_was_answered_before() {
    let folder = TempDir::new();
    let backend =
        Arc::new(File::open(folder.path(), FileOptions { compact_from_bytes: 800, ..FileOptions::default() }).unwrap());
    let (answered, latest) = tokio::sync::watch::channel(0_u64);
    let writing = Arc::clone(&backend);
    let writer = tokio::spawn(async move {
        let mut rng = fastrand::Rng::new();
        loop {
            let batch = Batch { puts: vec![any(&mut rng), kv("a", b""), kv("b", b"")], ..Batch::default() };
            let index = writing.commit(batch).await.unwrap();
            answered.send_replace(index);
        }
    });
    let (mut copies, mut last) = (0, 0);
    while copies < 60 {
        let before = *latest.borrow();
        if before == last {
            tokio::task::yield_now().await;
            continue;
        }
        last = before;
        let copy = TempDir::new();
        // A file that a snapshot has just made superfluous may be gone before it is copied: not a moment of a crash.
        if !copy_all(folder.path(), copy.path()) {
            continue;
        }
        match open(&copy) {
            Ok(opened) => assert!(opened.load().await.unwrap().index() >= before),
            // The copy is not of one moment: it may hold a log's name and an older list of the others.
            Err(FileError::Missing(_)) => continue,
            Err(error) => panic!("{error}"),
        }
        copies += 1;
    }
    writer.abort();
}

fn copy_all(from: &Path, to: &Path) -> bool {
    // Logs in order, then what may replace them: as a crash would see them.
    let mut files: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    files.iter().filter(|name| *name != "lock").all(|name| fs::copy(from.join(name), to.join(name)).is_ok())
}

#[tokio::test]
async fn two_servers_cannot_share_a_directory() {
    let folder = TempDir::new();
    let first = open(&folder).unwrap();
    let error = open(&folder).err().unwrap();
    assert_eq!(error.to_string(), format!("{} is in use by another server", folder.path().display()));
    drop(first);
    open(&folder).unwrap();
}

/// They hold the keys of the certificate authority.
#[tokio::test]
async fn nobody_else_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new();
    let directory = folder.path().join("data/store");
    let backend = File::open(&directory, FileOptions { compact_from_batches: 1, ..FileOptions::default() }).unwrap();
    backend.commit(put("k")).await.unwrap();
    drop(backend);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<PathBuf> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    let holding = files.iter().filter(|path| !path.ends_with("lock"));
    assert_eq!(holding.map(|path| mode(path)).collect::<Vec<_>>(), [0o600, 0o600]);
}

#[tokio::test]
async fn a_newer_format_is_refused_by_its_number() {
    let folder = TempDir::new();
    let (path, _) = small_log(&folder, 1).await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = open(&folder).err().unwrap().to_string();
    assert!(error.contains("has format 9, written by a newer version"), "{error}");
}

/// What was written by the first version of a type is read by every later one: fields that did not exist have their
/// defaults, and fields that are gone are passed over.
#[test]
fn facts_of_other_versions_are_read() {
    #[derive(serde::Serialize)]
    struct OldNode {
        #[serde(rename = "Node")]
        node: &'static str,
        #[serde(rename = "Gone")]
        gone: Vec<u8>,
    }
    #[derive(serde::Serialize)]
    enum OldFact {
        Node(OldNode),
    }
    let mut bytes = Vec::new();
    rmp_serde::encode::write_named(&mut bytes, &OldFact::Node(OldNode { node: "n", gone: vec![1] })).unwrap();
    let Fact::Node(node) = rmp_serde::from_slice(&bytes).unwrap() else { panic!("a node") };
    assert_eq!(*node, model::Node { node: "n".to_owned(), ..model::Node::default() });
}

/// A file system of its own that is soon full.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = TempDir::new();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a small file system");
        eprintln!("\n*** NOT RUN: mounting a small file system needs root\n");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_whole_and_takes_them_again_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 300 << 10]).unwrap();
    let backend = open(&disk.0).unwrap();
    let value = vec![1; 10 << 10];
    let large =
        |n: usize| Batch { puts: vec![kv(&format!("a{n}"), &value), kv(&format!("b{n}"), &value)], ..Batch::default() };
    let mut written = 0;
    let error = loop {
        match backend.commit(large(written)).await {
            Ok(_) => written += 1,
            Err(CommitError::Failed(error)) => break error.to_string(),
            Err(CommitError::Conflict) => panic!("nothing is guarded"),
        }
    };
    assert!(written > 5 && error.contains("No space left on device"), "{written}: {error}");
    // Nothing half, reading goes on, and a small write still finds its place.
    assert_eq!(keys(&backend).await.len(), 2 * written);
    backend.commit(put("small")).await.unwrap();
    assert!(backend.commit(large(written)).await.is_err());
    fs::remove_file(&ballast).unwrap();
    backend.commit(large(written)).await.unwrap();
    drop(backend);
    assert_eq!(keys(&open(&disk.0).unwrap()).await.len(), 2 * written + 3);
}

#[tokio::test]
async fn a_snapshot_that_finds_no_room_changes_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let backend =
        File::open(disk.0.path(), FileOptions { compact_from_bytes: 600 << 10, ..FileOptions::default() }).unwrap();
    let value = vec![1; 10 << 10];
    let mut written = 0;
    while backend.commit(Batch { puts: vec![kv(&written.to_string(), &value)], ..Batch::default() }).await.is_ok() {
        written += 1;
    }
    assert!(written > 60);
    drop(backend);
    assert!(named(&disk.0, "snapshot-").is_empty());
    assert_eq!(keys(&open(&disk.0).unwrap()).await.len(), written);
}
