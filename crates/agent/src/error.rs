//! Why the agent refused or failed.

/// Texts are Consul's where its clients match on them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request itself is wrong: HTTP 400.
    #[error("{0}")]
    Invalid(String),
    /// Nothing is registered under that id: HTTP 404.
    #[error("{0}")]
    Unknown(String),
    /// Right in form, refused by what is registered here: HTTP 500.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Client(#[from] client::Error),
    #[error("making a certificate request for {service:?}: {reason}")]
    Csr { service: String, reason: String },
    #[error("failed persisting {what} {id:?}: {source}")]
    Save { what: &'static str, id: String, source: std::io::Error },
    #[error("no answer from the servers yet: {0}")]
    NotReady(String),
}

impl Error {
    /// The status code Consul gives for it.
    pub fn status(&self) -> http::StatusCode {
        match self {
            Self::Invalid(_) => http::StatusCode::BAD_REQUEST,
            Self::Unknown(_) => http::StatusCode::NOT_FOUND,
            _ => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Several complaints as one text, in the form of Go's multierror that Consul's clients see.
pub(crate) fn several(complaints: &[String]) -> Error {
    let count = complaints.len();
    let noun = if count == 1 { "error" } else { "errors" };
    let lines: String = complaints.iter().map(|line| format!("\t* {line}\n")).collect();
    Error::Invalid(format!("{count} {noun} occurred:\n{lines}\n"))
}
