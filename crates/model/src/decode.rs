//! From the tree of a file or a request to typed fields, weakly, as Consul does: a block may stand for a list and a
//! list of one for a block, `"8080"` for a number, `1` for true. What is not understood is collected with its place,
//! so that a file with three mistakes is told of three.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::hcl::{Entry, Node, Object, Position, SyntaxError, Value, Warning, one_line};
use crate::service::OpaqueMap;

/// How many problems are collected from one text.
pub const MAX_PROBLEMS: usize = 20;

/// Who wrote the text: both are read by the same code, with a few differences that clients know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A configuration file: durations are texts.
    File,
    /// The body of a request: a duration may be a number of nanoseconds.
    Request,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub at: Position,
    /// The full path, such as `service.checks[0].ttl`.
    pub path: String,
    pub kind: ProblemKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    UnknownKey {
        key: String,
    },
    WrongType {
        expected: String,
        got: String,
    },
    BadDuration(String),
    /// A value that is understood and must not be.
    Invalid(String),
}

impl Problem {
    /// The sentence with the path and without the place.
    pub fn text(&self) -> String {
        let reason = match &self.kind {
            ProblemKind::UnknownKey { .. } => return one_line(format!("invalid config key {}", self.path)),
            ProblemKind::WrongType { expected, got } => format!("expected {expected}, got {got}"),
            ProblemKind::BadDuration(text) => format!("expected a duration such as \"10s\", got {text:?}"),
            ProblemKind::Invalid(text) => text.clone(),
        };
        one_line(if self.path.is_empty() { reason } else { format!("{}: {reason}", self.path) })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text())
    }
}

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    #[error("{}", lines(.0, ""))]
    Problems(Vec<Problem>),
}

fn lines(problems: &[Problem], file: &str) -> String {
    let line = |problem: &Problem| if file.is_empty() { problem.to_string() } else { format!("{file}:{problem}") };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl DecodeError {
    /// One line a mistake, each `file:line:column: …`.
    pub fn in_file(&self, file: &str) -> String {
        match self {
            Self::Syntax(error) => format!("{file}:{error}"),
            Self::Problems(problems) => lines(problems, file),
        }
    }

    /// In the form Consul's command line prints: `1 error occurred:\n\t* invalid config key bogus\n\n`. A key inside a
    /// block carries its place, which Consul does not say; one at the top is found without.
    pub fn consul_text(&self) -> String {
        let problems = match self {
            Self::Syntax(error) => return error.consul_text(),
            Self::Problems(problems) => problems,
        };
        let text = |problem: &Problem| {
            let top = matches!(&problem.kind, ProblemKind::UnknownKey { key } if *key == problem.path);
            if top { problem.text() } else { format!("{} (at {})", problem.text(), problem.at) }
        };
        several(&problems.iter().map(text).collect::<Vec<_>>())
    }
}

/// Several mistakes in the form of Go's multierror.
pub fn several(texts: &[String]) -> String {
    let count = texts.len();
    let errors = if count == 1 { "error" } else { "errors" };
    let list: String = texts.iter().map(|text| format!("\t* {text}\n")).collect();
    format!("{count} {errors} occurred:\n{list}\n")
}

/// What has been found on the way.
#[derive(Debug)]
pub struct Decoder {
    pub style: Style,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Warning>,
}

impl Decoder {
    pub fn new(style: Style) -> Self {
        Self { style, problems: Vec::new(), warnings: Vec::new() }
    }

    pub fn problem(&mut self, at: Position, path: &str, kind: ProblemKind) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { at, path: path.to_owned(), kind });
        }
    }

    pub fn wrong(&mut self, node: &Node, path: &str, expected: &str) {
        let kind = ProblemKind::WrongType { expected: expected.to_owned(), got: node.describe() };
        self.problem(node.at, path, kind);
    }

    pub fn invalid(&mut self, at: Position, path: &str, text: impl Into<String>) {
        self.problem(at, path, ProblemKind::Invalid(text.into()));
    }

    pub fn warn(&mut self, at: Position, text: impl Into<String>) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(Warning { at, text: text.into() });
        }
    }

    /// The value, if nothing was wrong.
    pub fn finish<T>(mut self, value: T) -> Result<(T, Vec<Warning>), DecodeError> {
        self.problems.sort_by_key(|problem| problem.at);
        if self.problems.is_empty() { Ok((value, self.warnings)) } else { Err(DecodeError::Problems(self.problems)) }
    }

    /// The one block at `node`, which a list of one may hold.
    pub fn block<'a>(&mut self, node: &'a Node, path: &str) -> Option<&'a Object> {
        match &node.value {
            Value::Object(object) => Some(object),
            Value::List(items) if items.len() == 1 => self.block(&items[0], path),
            Value::List(items) if items.is_empty() => None,
            Value::Null => None,
            _ => {
                self.wrong(node, path, "one block");
                None
            }
        }
    }

    /// The items of a list, which a single block or value may stand for. Lists in lists are one list.
    pub fn items<'a>(&mut self, node: &'a Node, path: &str) -> Vec<(&'a Node, String)> {
        let mut flat = Vec::new();
        flatten(node, &mut flat);
        flat.into_iter().enumerate().map(|(n, item)| (item, format!("{path}[{n}]"))).collect()
    }

    pub fn text(&mut self, node: &Node, path: &str) -> Option<String> {
        match &single(node).value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(b) => Some(b.to_string()),
            Value::Integer(n) => Some(n.to_string()),
            Value::Float(n) => Some(n.to_string()),
            Value::Null => None,
            _ => {
                self.wrong(node, path, "a text");
                None
            }
        }
    }

    pub fn boolean(&mut self, node: &Node, path: &str) -> Option<bool> {
        match &single(node).value {
            Value::Bool(b) => Some(*b),
            Value::Integer(n @ (0 | 1)) => Some(*n == 1),
            Value::Text(text) if matches!(text.as_str(), "true" | "1") => Some(true),
            Value::Text(text) if matches!(text.as_str(), "false" | "0") => Some(false),
            Value::Null => None,
            _ => {
                self.wrong(node, path, "true or false");
                None
            }
        }
    }

    /// A whole number between `low` and `high`.
    pub fn integer(&mut self, node: &Node, path: &str, low: i64, high: i64) -> Option<i64> {
        let number = match &single(node).value {
            Value::Integer(n) => Some(*n),
            Value::Float(n) if n.fract() == 0.0 && n.abs() < 9e15 => Some(*n as i64),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Null => return None,
            _ => None,
        };
        let number = number.filter(|n| (low..=high).contains(n));
        if number.is_none() {
            self.wrong(node, path, &format!("a whole number between {low} and {high}"));
        }
        number
    }

    pub fn number(&mut self, node: &Node, path: &str) -> Option<f64> {
        let number = match &single(node).value {
            Value::Integer(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            Value::Text(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
            Value::Null => return None,
            _ => None,
        };
        if number.is_none() {
            self.wrong(node, path, "a number");
        }
        number
    }

    pub fn duration(&mut self, node: &Node, path: &str) -> Option<Duration> {
        match (&single(node).value, self.style) {
            (Value::Null, _) => None,
            (Value::Text(text), _) if text.is_empty() => None,
            (Value::Text(text), _) => match crate::parse_duration(text) {
                Ok(duration) => Some(duration),
                Err(_) => {
                    self.problem(node.at, path, ProblemKind::BadDuration(text.clone()));
                    None
                }
            },
            (Value::Integer(nanos @ 0..), Style::Request) => Some(Duration::from_nanos(nanos.unsigned_abs())),
            _ => {
                self.wrong(node, path, "a duration such as \"10s\"");
                None
            }
        }
    }

    pub fn texts(&mut self, node: &Node, path: &str) -> Vec<String> {
        let items = self.items(node, path);
        items.iter().filter_map(|(item, path)| self.text(item, path)).collect()
    }

    pub fn text_map(&mut self, node: &Node, path: &str) -> BTreeMap<String, String> {
        let Some(object) = self.block(node, path) else {
            return BTreeMap::new();
        };
        let pair = |entry: &Entry| {
            let text = self.text(&entry.node, &join(path, &entry.key)).unwrap_or_default();
            (entry.key.clone(), text)
        };
        object.entries.iter().map(pair).collect()
    }

    pub fn opaque(&mut self, node: &Node, path: &str) -> OpaqueMap {
        let json = |entry: &Entry| (entry.key.clone(), entry.node.to_json());
        self.block(node, path).map(|object| object.entries.iter().map(json).collect()).unwrap_or_default()
    }
}

fn single(node: &Node) -> &Node {
    match &node.value {
        Value::List(items) if items.len() == 1 => single(&items[0]),
        _ => node,
    }
}

fn flatten<'a>(node: &'a Node, out: &mut Vec<&'a Node>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| flatten(item, out)),
        Value::Null => {}
        _ => out.push(node),
    }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether a key as written is `known`, which is in snake case. Case never counts, and a key without any underscore
/// may be the CamelCase form, as the HTTP API has it.
pub fn same_key(written: &str, known: &str) -> bool {
    if written.eq_ignore_ascii_case(known) {
        return true;
    }
    let lower = |text: &str| text.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase()).collect::<Vec<u8>>();
    !written.contains('_') && written.len() <= known.len() && lower(written) == lower(known)
}

/// The keys of one block, taken one after the other; what is left at the end is unknown.
pub struct Fields<'a> {
    entries: Vec<Option<&'a Entry>>,
    pub path: String,
    pub at: Position,
}

impl<'a> Fields<'a> {
    pub fn of(decoder: &mut Decoder, node: &'a Node, path: &str) -> Self {
        let entries = decoder.block(node, path).map(|o| o.entries.iter().map(Some).collect()).unwrap_or_default();
        Self { entries, path: path.to_owned(), at: node.at }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// The value under `key` (in snake case), whichever way it is written; of several the last. JSON's null is absence.
    pub fn take(&mut self, key: &str) -> Option<&'a Entry> {
        let mut found = None;
        for slot in &mut self.entries {
            if slot.is_some_and(|entry| same_key(&entry.key, key)) {
                found = slot.take();
            }
        }
        found.filter(|entry| entry.node.value != Value::Null)
    }

    /// Takes `key` and reads it with one of the decoder's readers.
    pub fn read<T>(
        &mut self,
        decoder: &mut Decoder,
        key: &str,
        reader: impl FnOnce(&mut Decoder, &'a Node, &str) -> T,
    ) -> Option<T> {
        let entry = self.take(key)?;
        Some(reader(decoder, &entry.node, &join(&self.path, &entry.key)))
    }

    pub fn text(&mut self, decoder: &mut Decoder, key: &str) -> String {
        self.read(decoder, key, Decoder::text).flatten().unwrap_or_default()
    }

    pub fn boolean(&mut self, decoder: &mut Decoder, key: &str) -> bool {
        self.read(decoder, key, Decoder::boolean).flatten().unwrap_or_default()
    }

    pub fn port(&mut self, decoder: &mut Decoder, key: &str) -> u16 {
        let port = self.read(decoder, key, |d, node, path| d.integer(node, path, 0, i64::from(u16::MAX))).flatten();
        port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default()
    }

    pub fn count(&mut self, decoder: &mut Decoder, key: &str) -> Option<u32> {
        let count = self.read(decoder, key, |d, node, path| d.integer(node, path, 0, i64::from(u32::MAX))).flatten();
        count.and_then(|count| u32::try_from(count).ok())
    }

    pub fn duration(&mut self, decoder: &mut Decoder, key: &str) -> Option<Duration> {
        self.read(decoder, key, Decoder::duration).flatten()
    }

    pub fn texts(&mut self, decoder: &mut Decoder, key: &str) -> Vec<String> {
        self.read(decoder, key, Decoder::texts).unwrap_or_default()
    }

    pub fn text_map(&mut self, decoder: &mut Decoder, key: &str) -> BTreeMap<String, String> {
        self.read(decoder, key, Decoder::text_map).unwrap_or_default()
    }

    pub fn opaque(&mut self, decoder: &mut Decoder, key: &str) -> OpaqueMap {
        self.read(decoder, key, Decoder::opaque).unwrap_or_default()
    }

    /// Everything that nobody took, for a reader of its own.
    pub fn into_entries(self) -> impl Iterator<Item = &'a Entry> {
        self.entries.into_iter().flatten()
    }

    /// Everything that nobody took, kept as written.
    pub fn rest(self) -> OpaqueMap {
        self.entries.into_iter().flatten().map(|entry| (entry.key.clone(), entry.node.to_json())).collect()
    }

    /// Reports every key that nobody took.
    pub fn finish(self, decoder: &mut Decoder) {
        for entry in self.entries.into_iter().flatten() {
            let kind = ProblemKind::UnknownKey { key: entry.key.clone() };
            decoder.problem(entry.at, &join(&self.path, &entry.key), kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_in_snake_and_camel_case() {
        for written in ["local_bind_port", "LocalBindPort", "localbindport", "LOCAL_BIND_PORT"] {
            assert!(same_key(written, "local_bind_port"), "{written}");
        }
        for written in ["local_bindport", "LocalBindPorts", "local", "", "localbindpört"] {
            assert!(!same_key(written, "local_bind_port"), "{written}");
        }
    }
}
