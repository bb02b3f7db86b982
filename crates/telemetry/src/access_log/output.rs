//! The open end of the log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::LogTarget;
use crate::error::Error;

/// How often a file is looked at to see whether it was moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Output {
    Stdout,
    Stderr,
    File { path: PathBuf, file: File, looked: Instant, told: bool },
}

impl Output {
    pub fn open(target: &LogTarget) -> Result<Self, Error> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::Stderr => Self::Stderr,
            LogTarget::File(path) => {
                let file =
                    append(path).map_err(|source| Error::OpenLog { path: path.display().to_string(), source })?;
                Self::File { path: path.clone(), file, looked: Instant::now(), told: false }
            }
        })
    }

    /// A log that cannot be written must not end the proxy: said once, then the text is given up.
    pub fn write(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        let result = match self {
            Self::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(text).and_then(|()| out.flush())
            }
            Self::Stderr => std::io::stderr().lock().write_all(text),
            Self::File { path, file, looked, .. } => {
                if looked.elapsed() >= LOOK_EVERY {
                    *looked = Instant::now();
                    if moved(path, file)
                        && let Ok(new) = append(path)
                    {
                        *file = new;
                    }
                }
                file.write_all(text)
            }
        };
        if let (Err(e), Self::File { path, told, .. }) = (result, self)
            && !std::mem::replace(told, true)
        {
            tracing::warn!("access log: cannot write {}: {e}", path.display());
        }
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The path is gone or names another file than the one held open.
#[cfg(unix)]
fn moved(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(held)) => (there.dev(), there.ino()) != (held.dev(), held.ino()),
        (Err(_), _) => true,
        (_, Err(_)) => false,
    }
}

#[cfg(not(unix))]
fn moved(path: &Path, _file: &File) -> bool {
    !path.exists()
}
