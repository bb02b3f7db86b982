//! Reading the opaque configuration of a method: keys in any case, unknown ones refused by name.

use model::OpaqueMap;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Error;

pub(crate) struct Config<'a>(&'a OpaqueMap);

impl<'a> Config<'a> {
    pub fn new(map: &'a OpaqueMap, known: &[&str]) -> Result<Self, Error> {
        let unknown = map.keys().filter(|key| !known.iter().any(|name| name.eq_ignore_ascii_case(key)));
        let unknown: Vec<&str> = unknown.map(String::as_str).collect();
        if unknown.is_empty() {
            return Ok(Self(map));
        }
        let names = unknown.join(", ");
        Err(Error::Config(format!("error decoding config: 1 error(s) decoding:\n\n* '' has invalid keys: {names}")))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find(|(key, value)| name.eq_ignore_ascii_case(key) && !value.is_null()).map(|(_, value)| value)
    }

    pub fn text(&self, name: &str) -> Result<String, Error> {
        match self.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// A single text may stand for a list of one.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Error> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(name, "a list of strings"));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }

    pub fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Error> {
        let wrong = || wrong(name, "a map of strings");
        let Some(value) = self.get(name) else { return Ok(BTreeMap::new()) };
        let pairs = value.as_object().ok_or_else(wrong)?.iter();
        pairs.map(|(key, value)| Ok((key.clone(), value.as_str().ok_or_else(wrong)?.to_owned()))).collect()
    }

    /// A time within which a mistake of clocks is forgiven: `default` when it is not said, none when negative.
    pub fn leeway(&self, name: &str, default: Duration) -> Result<i64, Error> {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        match self.get(name) {
            None => Ok(seconds(default)),
            Some(Value::Number(nanos)) => match nanos.as_i64().unwrap_or_default() {
                0 => Ok(seconds(default)),
                nanos => Ok((nanos / 1_000_000_000).max(0)),
            },
            Some(Value::String(text)) if text.starts_with('-') => Ok(0),
            Some(Value::String(text)) => match model::parse_duration(text) {
                Ok(Duration::ZERO) => Ok(seconds(default)),
                Ok(duration) => Ok(seconds(duration)),
                Err(_) => Err(wrong(name, "a duration such as \"10s\"")),
            },
            Some(_) => Err(wrong(name, "a duration such as \"10s\"")),
        }
    }
}

fn wrong(name: &str, expected: &str) -> Error {
    Error::Config(format!("error decoding config: 1 error(s) decoding:\n\n* '{name}' expected {expected}"))
}
