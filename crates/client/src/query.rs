//! Query parameters and the headers that answer them.

use std::fmt::Write as _;
use std::time::Duration;

/// The parameters every read understands. Build a path with [`Query::path`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Block until the index is past this one.
    pub index: Option<u64>,
    /// Block until the content's hash is another one (agent endpoints).
    pub hash: Option<String>,
    pub wait: Option<Duration>,
    /// Further `name=value` or bare `name` pairs, unescaped.
    pub more: Vec<(String, String)>,
}

impl Query {
    pub fn blocking(index: u64, wait: Duration) -> Self {
        Self { index: Some(index), wait: Some(wait), ..Self::default() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.more.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `path?index=…&wait=…`: in the order of their names and each with its `=`, as Go's clients write them.
    pub fn path(&self, path: &str) -> String {
        let own = [
            self.index.map(|index| ("index", index.to_string())),
            self.hash.clone().map(|hash| ("hash", hash)),
            self.wait.map(|wait| ("wait", format!("{}ms", wait.as_millis()))),
        ];
        let more = self.more.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let mut all: Vec<(&str, String)> = own.into_iter().flatten().chain(more).collect();
        all.sort_by_key(|(name, _)| *name);
        let mut out = path.to_owned();
        for (at, (name, value)) in all.iter().enumerate() {
            let separator = if at == 0 { '?' } else { '&' };
            let _ = write!(out, "{separator}{}={}", escape(name), escape(value));
        }
        out
    }
}

/// Percent-encodes everything but unreserved characters and `/`.
pub fn escape(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
        out
    })
}

/// A decoded answer with the position it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    pub value: T,
    /// `X-Consul-Index`; 0 when the endpoint has none.
    pub index: u64,
    /// `X-Consul-Contenthash`
    pub hash: Option<String>,
}
