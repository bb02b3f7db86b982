//! Who may call whom.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::service::OpaqueMap;

pub const WILDCARD: &str = "*";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Allow,
    Deny,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceType {
    #[default]
    Consul,
}

/// One rule. Wildcards are whole (`*`), never parts of a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Intention {
    #[serde(rename = "ID", default)]
    pub id: String,
    #[serde(default)]
    pub description: String,
    #[serde(rename = "SourceNS")]
    pub source_ns: String,
    pub source_name: String,
    #[serde(rename = "DestinationNS")]
    pub destination_ns: String,
    pub destination_name: String,
    #[serde(default)]
    pub source_type: SourceType,
    /// Left out where permissions decide: then nobody is let in by this alone.
    #[serde(default = "deny")]
    pub action: Action,
    /// What is judged by request, instead of `action`. Kept as it stands in the entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<OpaqueMap>,
    #[serde(default)]
    pub meta: BTreeMap<String, String>,
    /// RFC 3339, set by the server.
    #[serde(default)]
    pub created_at: String,
    #[serde(default)]
    pub updated_at: String,
}

fn deny() -> Action {
    Action::Deny
}

impl Intention {
    pub fn new(source: &str, destination: &str, action: Action) -> Self {
        Self {
            id: String::new(),
            description: String::new(),
            source_ns: "default".to_owned(),
            source_name: source.to_owned(),
            destination_ns: "default".to_owned(),
            destination_name: destination.to_owned(),
            source_type: SourceType::Consul,
            action,
            permissions: Vec::new(),
            meta: BTreeMap::new(),
            created_at: String::new(),
            updated_at: String::new(),
        }
    }

    pub fn precedence(&self) -> u8 {
        precedence(&self.source_name, &self.destination_name)
    }

    pub fn matches(&self, source: &str, destination: &str) -> bool {
        (self.source_name == WILDCARD || self.source_name == source)
            && (self.destination_name == WILDCARD || self.destination_name == destination)
    }
}

/// Prints `DENY default/web => default/db (ID: …, Precedence: 9)`, the words Consul uses in reasons and errors.
impl fmt::Display for Intention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.action.as_str().to_uppercase();
        let Self { source_ns, source_name, destination_ns, destination_name, id, .. } = self;
        let precedence = self.precedence();
        write!(f, "{action} {source_ns}/{source_name} => {destination_ns}/{destination_name} (")?;
        match self.permissions.len() {
            0 => {}
            1 => f.write_str("1 permission, ")?,
            many => write!(f, "{many} permissions, ")?,
        }
        // One that is written as part of an entry has no id.
        if !id.is_empty() {
            write!(f, "ID: {id}, ")?;
        }
        write!(f, "Precedence: {precedence})")
    }
}

/// 9 exact, 8 `*` to a name, 6 a name to `*`, 5 `*` to `*` (the namespace is always exact here).
pub fn precedence(source: &str, destination: &str) -> u8 {
    match (source == WILDCARD, destination == WILDCARD) {
        (false, false) => 9,
        (true, false) => 8,
        (false, true) => 6,
        (true, true) => 5,
    }
}

/// Evaluation order: highest precedence first, then by names so that lists are stable.
pub fn sort_by_precedence(intentions: &mut [Intention]) {
    intentions.sort_by(|a, b| {
        b.precedence()
            .cmp(&a.precedence())
            .then_with(|| a.source_name.cmp(&b.source_name))
            .then_with(|| a.destination_name.cmp(&b.destination_name))
    });
}

/// The intention that decides over a call, or none: then the default policy decides.
pub fn decide<'a>(intentions: &'a [Intention], source: &str, destination: &str) -> Option<&'a Intention> {
    intentions.iter().filter(|i| i.matches(source, destination)).max_by_key(|i| i.precedence())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_most_exact_rule_decides_whatever_the_order() {
        let mut rules = vec![
            Intention::new("*", "*", Action::Deny),
            Intention::new("web", "*", Action::Deny),
            Intention::new("*", "db", Action::Deny),
            Intention::new("web", "db", Action::Allow),
        ];
        assert_eq!(decide(&rules, "web", "db").unwrap().precedence(), 9);
        assert_eq!(decide(&rules, "api", "db").unwrap().precedence(), 8);
        assert_eq!(decide(&rules, "web", "api").unwrap().precedence(), 6);
        assert_eq!(decide(&rules, "api", "api").unwrap().precedence(), 5);
        sort_by_precedence(&mut rules);
        let order: Vec<u8> = rules.iter().map(Intention::precedence).collect();
        assert_eq!(order, [9, 8, 6, 5]);
    }
}
