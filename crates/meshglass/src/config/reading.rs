//! Typed access to what was given, and the collection of what is to be said about it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use model::parse_duration;
use serde_json::Value as Json;

use super::error::Complaint;
use super::given::{Setting, Value};
use super::interfaces::{self, InterfaceAddress};
use super::keys::Role;

pub(super) struct Reading {
    pub settings: BTreeMap<&'static str, Setting>,
    pub complaints: Vec<Complaint>,
    pub notes: Vec<String>,
    /// Asked for at the first template.
    interfaces: Option<Vec<InterfaceAddress>>,
}

impl Reading {
    pub fn new(settings: BTreeMap<&'static str, Setting>) -> Self {
        Self { settings, complaints: Vec::new(), notes: Vec::new(), interfaces: None }
    }

    pub fn complain(&mut self, path: &str, text: impl Into<String>) {
        let origin = self.settings.get(path).map(|setting| setting.origin.clone()).unwrap_or_default();
        self.complaints.push(Complaint { origin, text: text.into() });
    }

    pub fn note(&mut self, path: &str, text: &str) {
        let origin = self.settings.get(path).map(|setting| setting.origin.as_str()).unwrap_or_default();
        self.notes.push(if origin.is_empty() { text.to_owned() } else { format!("{origin}: {text}") });
    }

    pub fn some_text(&self, path: &str) -> Option<String> {
        match &self.settings.get(path)?.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub fn text(&self, path: &str) -> String {
        self.some_text(path).unwrap_or_default()
    }

    /// As [`some_text`](Self::some_text); the empty text is none.
    pub fn full_text(&self, path: &str) -> Option<String> {
        self.some_text(path).filter(|text| !text.is_empty())
    }

    pub fn boolean(&self, path: &str) -> Option<bool> {
        match self.settings.get(path)?.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    pub fn on(&self, path: &str) -> bool {
        self.boolean(path) == Some(true)
    }

    pub fn number(&self, path: &str) -> Option<i64> {
        match self.settings.get(path)?.value {
            Value::Number(n) => Some(n),
            _ => None,
        }
    }

    /// A count: never below zero.
    pub fn count(&mut self, path: &str, default: i64) -> u64 {
        let number = self.number(path).unwrap_or(default);
        u64::try_from(number).unwrap_or_else(|_| {
            self.complain(path, format!("{path} cannot be {number}. Must be greater than or equal to zero"));
            0
        })
    }

    pub fn texts(&self, path: &str) -> Vec<String> {
        match self.settings.get(path).map(|setting| &setting.value) {
            Some(Value::Texts(texts)) => texts.clone(),
            _ => Vec::new(),
        }
    }

    pub fn map(&self, path: &str) -> BTreeMap<String, String> {
        match self.settings.get(path).map(|setting| &setting.value) {
            Some(Value::Map(map)) => map.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub fn json(&self, path: &str) -> Option<&Json> {
        match self.settings.get(path).map(|setting| &setting.value) {
            Some(Value::Any(json)) => Some(json),
            _ => None,
        }
    }

    /// What is wrong with a duration has been said before; a negative one is none.
    pub fn duration(&self, path: &str, default: Duration) -> Duration {
        let Some(text) = self.full_text(path) else { return default };
        if text.starts_with('-') { Duration::ZERO } else { parse_duration(&text).unwrap_or(default) }
    }

    /// The same where nothing was given; zero is nothing.
    pub fn some_duration(&self, path: &str) -> Option<Duration> {
        let duration = self.duration(path, Duration::ZERO);
        (!duration.is_zero()).then_some(duration)
    }

    pub fn bad_duration(&mut self, path: &str, name: &str, text: &str) {
        self.complain(path, format!("{name}: invalid duration: {text:?}, expected one such as \"10s\""));
    }

    /// Says what has no effect, and refuses what must not be ignored. A switch that is off asks for nothing.
    pub fn roles(&mut self) {
        let mut complaints = Vec::new();
        for (path, Setting { value, origin, role, .. }) in &self.settings {
            let asks = asks(value);
            match role {
                Role::Later if asks => self.notes.push(format!("{origin}: {path} is accepted and has no effect yet")),
                Role::Moot(why) if asks => self.notes.push(format!("{origin}: {path} has no effect: {why}")),
                Role::Refused(why) if asks => {
                    let text = format!("{path} is set, but {why}; take it out to start without");
                    complaints.push(Complaint { origin: origin.clone(), text });
                }
                _ => {}
            }
        }
        self.complaints.append(&mut complaints);
    }

    /// The text with its templates filled in.
    pub fn expanded(&mut self, path: &str, text: &str) -> Option<String> {
        if !text.contains("{{") {
            return Some(text.to_owned());
        }
        if self.interfaces.is_none() {
            match interfaces::all() {
                Ok(found) => self.interfaces = Some(found),
                Err(error) => {
                    self.complain(path, format!("{path}: cannot list the network interfaces: {error}"));
                    return None;
                }
            }
        }
        let interfaces = self.interfaces.as_deref().unwrap_or_default();
        match super::template::expand(text, interfaces) {
            Ok(filled) if filled.trim().is_empty() => {
                self.complain(path, format!("{path}: {text:?} gives no address on this machine"));
                None
            }
            Ok(filled) => Some(filled),
            Err(error) => {
                self.complain(path, format!("{path}: error parsing {text:?}: {error}"));
                None
            }
        }
    }
}

fn asks(value: &Value) -> bool {
    match value {
        Value::Bool(on) => *on,
        Value::Text(text) => !text.is_empty(),
        Value::Number(_) | Value::Float(_) => true,
        Value::Texts(texts) => !texts.is_empty(),
        Value::Map(map) => !map.is_empty(),
        Value::Any(json) => match json {
            Json::Array(items) => !items.is_empty(),
            Json::Object(object) => !object.is_empty(),
            Json::Null => false,
            _ => true,
        },
    }
}

/// `localhost`, and addresses with or without brackets.
pub(super) fn ip(text: &str) -> Option<std::net::IpAddr> {
    let text = text.trim();
    if text == "localhost" {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}
