//! `log_file`: the log in a file that is set aside when it is large or old.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::config::LogFile;

/// The open file. A file that cannot be set aside is written on.
pub struct RotatingFile {
    settings: LogFile,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    bytes: u64,
    since: Instant,
}

impl RotatingFile {
    /// # Errors
    /// The file cannot be opened.
    pub fn open(settings: LogFile) -> io::Result<Self> {
        let open = Mutex::new(open(&settings.path)?);
        Ok(Self { settings, open })
    }

    /// Writes a line. A full disk must not stop the agent, so nobody hears of a line that is lost.
    pub fn line(&self, text: &str) {
        let mut now = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let full = self.settings.rotate_bytes.is_some_and(|limit| now.bytes >= limit);
        if (full || now.since.elapsed() >= self.settings.rotate_duration)
            && let Ok(fresh) = self.rotate()
        {
            *now = fresh;
        }
        if writeln!(now.file, "{text}").is_ok() {
            now.bytes += text.len() as u64 + 1;
        }
    }

    fn rotate(&self) -> io::Result<Open> {
        let path = &self.settings.path;
        std::fs::rename(path, aside(path))?;
        let fresh = open(path)?;
        if let Some(kept) = self.settings.max_files {
            let mut old = set_aside(path);
            let surplus = old.len().saturating_sub(kept);
            for file in old.drain(..surplus) {
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(fresh)
    }
}

fn open(path: &Path) -> io::Result<Open> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    Ok(Open { file, bytes, since: Instant::now() })
}

fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    (text(path.file_stem()), text(path.extension()))
}

/// `consul-1700000000000000000.log` beside `consul.log`.
fn aside(path: &Path) -> PathBuf {
    let (stem, extension) = parts(path);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    path.with_file_name(format!("{stem}-{now}.{extension}"))
}

/// The files that were set aside, oldest first.
fn set_aside(path: &Path) -> Vec<PathBuf> {
    let (stem, extension) = parts(path);
    let ours = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let time = name.strip_prefix(&format!("{stem}-")).and_then(|rest| rest.strip_suffix(&format!(".{extension}")));
        time.is_some_and(|time| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(ours).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_full_file_is_set_aside_and_only_the_newest_are_kept() {
        let directory = std::env::temp_dir().join(format!("meshglass-log-{}", uuid::Uuid::new_v4()));
        let path = directory.join("consul.log");
        let settings = LogFile {
            path: path.clone(),
            rotate_bytes: Some(10),
            rotate_duration: Duration::from_secs(3600),
            max_files: Some(2),
        };
        let file = RotatingFile::open(settings).unwrap();
        std::fs::write(directory.join("consul-notes.log"), "somebody's").unwrap();
        for number in 0..5 {
            file.line(&format!("line number {number}"));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "line number 4\n");
        let old = set_aside(&path);
        let texts: Vec<String> = old.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        assert_eq!(texts, ["line number 2\n", "line number 3\n"]);
        assert!(directory.join("consul-notes.log").exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
