//! The files behind `-config-file` and `-config-dir`.

use std::fs;
use std::io::Read;
use std::path::Path;

use model::hcl::{Format, MAX_BYTES};

use super::error::ConfigError;

/// One text of configuration.
pub(super) struct Source {
    /// For messages.
    pub name: String,
    pub format: Format,
    pub bytes: Vec<u8>,
}

/// The files in the order in which they count. What is passed over is told in `skipped`.
pub(super) fn open(
    paths: &[String],
    forced: Option<&str>,
    skipped: &mut Vec<String>,
) -> Result<Vec<Source>, ConfigError> {
    let forced = match forced.filter(|text| !text.is_empty()) {
        None => None,
        Some("hcl") => Some(Format::Hcl),
        Some("json") => Some(Format::Json),
        Some(other) => return Err(ConfigError::Format(other.to_owned())),
    };
    let mut sources = Vec::new();
    for path in paths {
        for file in files(path)? {
            let Some(format) = forced.or_else(|| Format::of_path(&file)) else {
                skipped.push(format!(
                    "skipping file {file}, extension must be .hcl or .json, or config format must be set"
                ));
                continue;
            };
            let bytes = read(&file).map_err(|source| ConfigError::Read { path: file.clone(), source })?;
            sources.push(Source { name: file, format, bytes });
        }
    }
    Ok(sources)
}

/// The file itself, or the files of a directory by name. Directories in a directory are not entered, as in Consul.
fn files(path: &str) -> Result<Vec<String>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir()) {
            names.push(entry.file_name());
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| Path::new(path).join(name).display().to_string()).collect())
}

/// One byte more than is allowed tells the parser that there is too much, without loading a disk image.
fn read(path: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
