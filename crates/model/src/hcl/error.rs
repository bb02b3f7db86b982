//! Where a text stops being HCL or JSON, and why.

use std::borrow::Cow;
use std::fmt;

use super::value::Position;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub at: Position,
    reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    Expected {
        expected: Cow<'static, str>,
        got: Cow<'static, str>,
    },
    /// Where a value should stand: Consul has one sentence for it, which `config write` passes on.
    NoValue {
        token: &'static str,
        got: String,
    },
    /// Go's own sentence about a JSON text. Clients of the HTTP API match on these.
    Json(String),
}

impl SyntaxError {
    pub(super) fn new(at: Position, expected: impl Into<Cow<'static, str>>, got: impl Into<Cow<'static, str>>) -> Self {
        Self { at, reason: Reason::Expected { expected: expected.into(), got: got.into() } }
    }

    pub(super) fn no_value(at: Position, token: &'static str, got: String) -> Self {
        Self { at, reason: Reason::NoValue { token, got } }
    }

    pub(super) fn json(at: Position, text: impl Into<String>) -> Self {
        Self { at, reason: Reason::Json(text.into()) }
    }

    /// The sentence without its place, for JSON in Go's words.
    pub fn reason(&self) -> String {
        one_line(match &self.reason {
            Reason::Expected { expected, got } => format!("expected {expected}, got {got}"),
            Reason::NoValue { got, .. } => format!("expected a value, got {got}"),
            Reason::Json(text) => text.clone(),
        })
    }

    /// In the form Consul's command line prints, which puts the place of an HCL mistake into the sentence.
    pub fn consul_text(&self) -> String {
        match &self.reason {
            Reason::Expected { .. } => format!("At {}: {}", self.at, self.reason()),
            Reason::NoValue { token, got } => format!("At {}: Unknown token: {} {token} {got}", self.at, self.at),
            Reason::Json(text) => text.clone(),
        }
    }
}

/// Keys and values in a message are the user's: they may not break a line of the log, nor fill it.
pub(crate) fn one_line(text: String) -> String {
    const LONGEST: usize = 1000;
    if text.len() <= LONGEST && !text.contains(char::is_control) {
        return text;
    }
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let mut out: String = text.chars().take(LONGEST).map(escape).collect();
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.reason())
    }
}

impl std::error::Error for SyntaxError {}
