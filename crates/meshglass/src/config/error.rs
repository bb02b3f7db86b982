//! Why a configuration is none.

use std::fmt;

use model::EntryError;
use model::decode::DecodeError;

/// A value that is understood and cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// `file:line:column`, `-flag`, or empty when nothing was written.
    pub origin: String,
    pub text: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.origin, self.text) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {}", reason(source))]
    Read { path: String, source: std::io::Error },
    #[error("cannot write {path}: {}", reason(source))]
    Write { path: String, source: std::io::Error },
    #[error("{}", content.in_file(file))]
    Content { file: String, content: DecodeError },
    /// An item of `config_entries { bootstrap = […] }`.
    #[error("{error}")]
    Entry { number: usize, error: EntryError },
    #[error("-config-format is {0:?}, expected hcl or json")]
    Format(String),
    #[error("-{flag}: expected {expected}, got {got:?}")]
    Flag { flag: String, expected: &'static str, got: String },
    #[error("{}", join(.0))]
    Invalid(Vec<Complaint>),
}

fn join(complaints: &[Complaint]) -> String {
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl ConfigError {
    /// As Consul's command line says it, for those who compare.
    pub fn consul_text(&self) -> String {
        match self {
            Self::Read { path, source } => format!("config: Open failed on {path}. open {path}: {}", reason(source)),
            Self::Content { file, content } => format!("failed to parse {file}: {}", content.consul_text()),
            Self::Entry { number, error } => {
                format!("config_entries.bootstrap[{number}]: {}", error.consul_text())
            }
            other => other.to_string(),
        }
    }
}

/// The system's words without the number of the error, as Go prints them.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}
