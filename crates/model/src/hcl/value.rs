//! The tree both readers build.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value as Json;

/// A place in a text; lines and columns (in characters) count from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl Position {
    pub const START: Self = Self { line: 1, column: 1 };

    pub(super) fn step(&mut self, c: char) {
        if c == '\n' {
            self.line = self.line.saturating_add(1);
            self.column = 1;
        } else {
            self.column = self.column.saturating_add(1);
        }
    }

    pub(super) fn after(text: &str) -> Self {
        let mut at = Self::START;
        text.chars().for_each(|c| at.step(c));
        at
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: Position,
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Also what a repeated block or list becomes.
    List(Vec<Node>),
    Object(Object),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub at: Position,
    pub node: Node,
}

/// Keys in the order in which they were written, each once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Object {
    pub entries: Vec<Entry>,
}

/// Something that is understood and yet deserves a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub at: Position,
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// A whole file.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// An object in HCL; in JSON whatever was written.
    pub root: Node,
    pub warnings: Vec<Warning>,
}

impl Object {
    /// The value under exactly this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }
}

impl Node {
    /// What stands here, for "expected …, got …". Texts are cut, so that a message stays a line.
    pub fn describe(&self) -> String {
        const LONGEST: usize = 40;
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Integer(n) => n.to_string(),
            Value::Float(n) => n.to_string(),
            Value::Text(text) if text.chars().count() > LONGEST => {
                format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Object(_) => "a block".to_owned(),
        }
    }

    /// The plain JSON value, for maps that are kept as written.
    ///
    /// A block is an object and a list stays a list, even of one. (Consul turns every list of one in such a map into
    /// its item, because its decoder cannot tell the two apart; every reader of ours takes both.)
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(*b),
            Value::Integer(n) => Json::from(*n),
            Value::Float(n) => Json::from(*n),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Object(object) => {
                Json::Object(object.entries.iter().map(|e| (e.key.clone(), e.node.to_json())).collect())
            }
        }
    }
}

/// Collects the entries of one object; finds repeated keys without comparing each with each.
#[derive(Default)]
pub(super) struct Builder {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl Builder {
    /// Adds or replaces: the rule of JSON.
    pub fn replace(&mut self, entry: Entry) {
        match self.places.get(&entry.key) {
            Some(&place) => self.entries[place] = entry,
            None => self.add(entry),
        }
    }

    /// Adds or merges, the rule of HCL: blocks and lists pile up, of other values the last counts. Gives the place of
    /// the earlier value when one was lost by it.
    pub fn merge(&mut self, entry: Entry) -> Option<Position> {
        let Some(&place) = self.places.get(&entry.key) else {
            self.add(entry);
            return None;
        };
        let old = &mut self.entries[place];
        match (&mut old.node.value, entry.node.value) {
            (Value::List(items), Value::List(more)) => items.extend(more),
            (Value::List(items), value @ Value::Object(_)) => items.push(Node { at: entry.node.at, value }),
            (first @ Value::Object(_), value @ (Value::Object(_) | Value::List(_))) => {
                let first = Node { at: old.node.at, value: std::mem::replace(first, Value::Null) };
                let mut items = vec![first];
                match value {
                    Value::List(more) => items.extend(more),
                    value => items.push(Node { at: entry.node.at, value }),
                }
                old.node.value = Value::List(items);
            }
            (_, value) => {
                let lost = old.at;
                *old = Entry { key: entry.key, at: entry.at, node: Node { at: entry.node.at, value } };
                return Some(lost);
            }
        }
        None
    }

    fn add(&mut self, entry: Entry) {
        self.places.insert(entry.key.clone(), self.entries.len());
        self.entries.push(entry);
    }

    pub fn finish(self) -> Object {
        Object { entries: self.entries }
    }
}
