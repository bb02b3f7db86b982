//! Where a backend under test keeps its facts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use store::{Backend, File, FileError, FileOptions, Memory, Store};

use super::cluster::Cluster;

/// A directory that is removed in the end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("meshglass-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub enum Place {
    Memory,
    File(TempDir),
    Etcd(Cluster),
}

impl Place {
    pub fn memory() -> Option<Self> {
        Some(Self::Memory)
    }

    pub fn file() -> Option<Self> {
        Some(Self::File(TempDir::new()))
    }

    /// None when there is no etcd, which is said loudly and is a failure in CI.
    pub fn etcd() -> Option<Self> {
        Cluster::start().map(Self::Etcd)
    }

    /// Opens it anew; what it kept is there.
    pub fn open(&self) -> Box<dyn Backend> {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Box<dyn Backend>, FileError> {
        Ok(match self {
            Self::Memory => Box::new(Memory::new()),
            // Compacts often, so that every test crosses a snapshot.
            Self::File(folder) => {
                Box::new(File::open(folder.path(), FileOptions { compact_from_bytes: 2000, ..FileOptions::default() })?)
            }
            Self::Etcd(cluster) => Box::new(cluster.open()),
        })
    }

    pub fn tells_without_waiting(&self) -> bool {
        !matches!(self, Self::Etcd(_))
    }

    pub fn keeps(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

impl Place {
    /// The shortest time to live that this backend can count.
    pub fn shortest_ttl(&self) -> Duration {
        match self {
            Self::Memory | Self::File(_) => Duration::from_millis(200),
            Self::Etcd(_) => Duration::from_secs(2),
        }
    }

    /// A store that was dropped lets go of its backend a moment later.
    pub async fn reopen_store(&self) -> Store {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.try_open() {
                Ok(backend) => return Store::open(backend).await.unwrap(),
                Err(FileError::InUse(_)) if Instant::now() < deadline => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
