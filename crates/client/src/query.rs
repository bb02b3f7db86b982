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

    /// `path?index=…&wait=…`
    pub fn path(&self, path: &str) -> String {
        let mut out = path.to_owned();
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            let _ = write!(out, "{separator}{}", escape(name));
            if !value.is_empty() {
                let _ = write!(out, "={}", escape(value));
            }
            separator = '&';
        };
        if let Some(index) = self.index {
            add("index", &index.to_string());
        }
        if let Some(hash) = &self.hash {
            add("hash", hash);
        }
        if let Some(wait) = self.wait {
            add("wait", &format!("{}ms", wait.as_millis()));
        }
        for (name, value) in &self.more {
            add(name, value);
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
