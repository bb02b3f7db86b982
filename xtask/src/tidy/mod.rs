//! The project's own rules, checked instead of remembered. Each rule names the place and what would satisfy it.

mod budgets;
mod dependencies;
mod documents;
mod source;
mod words;

use std::path::{Path, PathBuf};

use crate::run;

/// A broken rule: where, and what is expected.
pub struct Finding {
    pub place: String,
    pub says: String,
}

impl Finding {
    pub fn new(place: impl Into<String>, says: impl Into<String>) -> Self {
        Self { place: place.into(), says: says.into() }
    }
}

/// A file of the checkout, read once for all rules.
pub struct File {
    /// Relative to the root, with forward slashes.
    pub path: String,
    pub text: String,
}

pub fn run() -> run::Outcome {
    let files = tracked_files()?;
    let mut findings = Vec::new();
    findings.extend(budgets::check(&files));
    findings.extend(dependencies::check(&files));
    findings.extend(documents::check(&files));
    findings.extend(words::check(&files));
    findings.extend(dependencies::licences(&files)?);
    for Finding { place, says } in &findings {
        eprintln!("tidy: {place}: {says}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        return Ok(());
    }
    Err(format!("tidy: {} findings", findings.len()))
}

/// What git tracks, and what it does not ignore and will be asked to track.
fn tracked_files() -> Result<Vec<File>, String> {
    let listing = run::output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let root = run::root();
    let mut files = Vec::new();
    for path in listing.lines() {
        let full: PathBuf = root.join(Path::new(path));
        // A file deleted in the working tree is still listed; binary files have no rules.
        if let Ok(text) = std::fs::read_to_string(&full) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
