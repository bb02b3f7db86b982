//! `service-intentions`: who may call one service. The older intentions are its sources, one by one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{ConfigEntry, EntryKind};
use crate::intention::{Action, Intention, precedence};
use crate::service::OpaqueMap;

/// The rules of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceIntentions {
    #[serde(skip)]
    pub name: String,
    pub sources: Vec<SourceIntention>,
    #[serde(flatten)]
    pub more: OpaqueMap,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SourceIntention {
    pub name: String,
    /// Empty when permissions decide.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<OpaqueMap>,
    #[serde(skip_serializing_if = "is_zero")]
    pub precedence: u8,
    /// What only the older API writes and reads.
    #[serde(rename = "LegacyID", skip_serializing_if = "String::is_empty")]
    pub legacy_id: String,
    #[serde(rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub legacy_meta: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub legacy_create_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub legacy_update_time: String,
    #[serde(flatten)]
    pub more: OpaqueMap,
}

fn is_zero(precedence: &u8) -> bool {
    *precedence == 0
}

impl ServiceIntentions {
    pub fn of(destination: &str) -> Self {
        Self { name: destination.to_owned(), ..Self::default() }
    }

    /// Puts a rule in the place of the one for the same source.
    pub fn set(&mut self, intention: &Intention) {
        self.remove(&intention.source_name);
        self.sources.push(SourceIntention::from(intention));
    }

    pub fn remove(&mut self, source: &str) {
        self.sources.retain(|known| known.name != source);
    }

    /// The rules one by one.
    pub fn intentions(&self) -> impl Iterator<Item = Intention> {
        // A rule about callers from elsewhere says nothing about ours.
        let ours = self.sources.iter().filter(|source| !source.is_foreign());
        ours.map(|source| source.intention(&self.name))
    }

    /// As it is kept: in the order of evaluation.
    pub fn into_entry(mut self) -> ConfigEntry {
        for source in &mut self.sources {
            source.precedence = precedence(&source.name, &self.name);
        }
        self.sources.sort_by(|a, b| b.precedence.cmp(&a.precedence).then_with(|| a.name.cmp(&b.name)));
        let name = std::mem::take(&mut self.name);
        let body = match serde_json::to_value(self) {
            Ok(Json::Object(body)) => body,
            _ => OpaqueMap::new(),
        };
        ConfigEntry::Other { kind: EntryKind::ServiceIntentions, name, body }
    }
}

impl SourceIntention {
    fn is_foreign(&self) -> bool {
        ["Peer", "SamenessGroup"].iter().any(|key| self.more.get(*key).is_some_and(|value| value != ""))
    }

    fn intention(&self, destination: &str) -> Intention {
        // Permissions are judged by request. Who cannot do that must not let anybody in.
        let action = if self.action == "allow" && self.permissions.is_empty() { Action::Allow } else { Action::Deny };
        Intention {
            id: self.legacy_id.clone(),
            description: self.description.clone(),
            permissions: self.permissions.clone(),
            meta: self.legacy_meta.clone(),
            created_at: self.legacy_create_time.clone(),
            updated_at: self.legacy_update_time.clone(),
            ..Intention::new(&self.name, destination, action)
        }
    }
}

impl From<&Intention> for SourceIntention {
    fn from(intention: &Intention) -> Self {
        let permits = !intention.permissions.is_empty();
        Self {
            name: intention.source_name.clone(),
            action: if permits { String::new() } else { intention.action.to_string() },
            permissions: intention.permissions.clone(),
            precedence: intention.precedence(),
            legacy_id: intention.id.clone(),
            kind: "consul".to_owned(),
            description: intention.description.clone(),
            legacy_meta: intention.meta.clone(),
            legacy_create_time: intention.created_at.clone(),
            legacy_update_time: intention.updated_at.clone(),
            more: OpaqueMap::new(),
        }
    }
}

impl ConfigEntry {
    pub fn intentions(&self) -> Option<ServiceIntentions> {
        let Self::Other { kind: EntryKind::ServiceIntentions, name, body } = self else { return None };
        let rules: ServiceIntentions = super::traffic::typed(body)?;
        Some(ServiceIntentions { name: name.clone(), ..rules })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::decode_config_entry_json;

    fn read(body: &str) -> ServiceIntentions {
        decode_config_entry_json(body.as_bytes()).unwrap().intentions().unwrap()
    }

    #[test]
    fn sources_and_intentions_are_two_views() {
        let rules = read(
            r#"{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"*","Action":"deny"},
                {"Name":"web","Action":"allow","Description":"d","LegacyID":"x"}]}"#,
        );
        let entry = rules.clone().into_entry();
        let sources = entry.intentions().unwrap().sources;
        assert_eq!(sources.iter().map(|s| (s.name.as_str(), s.precedence)).collect::<Vec<_>>(), [("web", 9), ("*", 8)]);
        assert!(sources[0].legacy_id.is_empty(), "an entry cannot choose the id of an older intention");
        let mut again = ServiceIntentions::of("db");
        rules.intentions().for_each(|intention| again.set(&intention));
        assert_eq!(again.into_entry(), entry);
    }

    #[test]
    fn permissions_let_nobody_in_that_does_not_judge_them() {
        let rules = read(
            r#"{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Permissions":[
                {"Action":"allow","HTTP":{"PathPrefix":"/","Methods":["get"]}}]}]}"#,
        );
        let intention = rules.intentions().next().unwrap();
        assert_eq!((intention.action, intention.permissions.len()), (Action::Deny, 1));
        assert_eq!(intention.permissions[0]["HTTP"]["Methods"][0], "GET");
        assert!(intention.to_string().contains("1 permission"), "{intention}");
    }
}
