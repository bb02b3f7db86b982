//! What can go wrong on the way out.

/// A measurement could not be given a place to go.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("access log: cannot open {path}: {source}")]
    OpenLog { path: String, source: std::io::Error },
    #[error("access log format: {0}")]
    LogFormat(String),
    #[error("{setting}: {url:?}: {why}")]
    Url { setting: &'static str, url: String, why: String },
}
