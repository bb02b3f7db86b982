//! The state of a real Consul (1.8), read into facts: what its servers' snapshots hold, record by record.

use std::collections::BTreeMap;

use model::acl::{AclPolicy, AclRole, AclToken, UnixNanos};
use model::{
    Action, Coordinate, EntryKind, Intention, KvEntry, NodeCoordinate, OpaqueMap, PreparedQuery, ServiceIntentions,
    Session, SessionBehavior,
};
use serde::Deserialize;
use serde_json::Value;
use store::{AclFact, CaConfig, CaRoot, Fact, Secret};

use super::msgpack::{Tree, read};
use crate::v1::stored_registration;

/// The kinds of records that are facts here. Others are the business of Consul's own servers.
mod kind {
    pub const REGISTER: u8 = 0;
    pub const KEY: u8 = 2;
    pub const SESSION: u8 = 3;
    pub const COORDINATES: u8 = 6;
    pub const QUERY: u8 = 7;
    pub const INTENTION: u8 = 12;
    pub const CA_ROOT: u8 = 13;
    pub const CA_STATE: u8 = 14;
    pub const CA_CONFIG: u8 = 15;
    pub const TOKEN: u8 = 17;
    pub const POLICY: u8 = 19;
    pub const ENTRY: u8 = 22;
    pub const ROLE: u8 = 23;
    pub const LAST: u8 = 31;
}

#[derive(Default)]
struct Reading {
    facts: Vec<Fact>,
    intentions: BTreeMap<String, ServiceIntentions>,
    roots: Vec<Value>,
    /// Private keys by the root that they belong to.
    keys: BTreeMap<String, String>,
}

/// Whether bytes begin as such a state does.
pub(super) fn is_state(bytes: &[u8]) -> bool {
    read(&mut &*bytes).is_some_and(|head| head.get("LastIndex").is_some())
}

/// All facts of a state, or which record cannot be read.
pub(super) fn facts(mut bytes: &[u8], datacenter: &str) -> Result<Vec<Fact>, String> {
    let _head = read(&mut bytes);
    let mut reading = Reading::default();
    let mut at = 0;
    while let Some((kind, mut rest)) = bytes.split_first() {
        let record = read(&mut rest).filter(|_| *kind <= kind::LAST);
        let record = record.ok_or_else(|| format!("record {at} of the state (kind {kind}) cannot be read"))?;
        reading.take(*kind, &record, datacenter).map_err(|why| format!("record {at} (kind {kind}): {why}"))?;
        (bytes, at) = (rest, at + 1);
    }
    reading.finish()
}

fn typed<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.to_string())
}

impl Reading {
    fn take(&mut self, kind: u8, record: &Tree, datacenter: &str) -> Result<(), String> {
        match kind {
            kind::REGISTER => self.registration(record, datacenter)?,
            kind::KEY => self.facts.push(Fact::Kv(key(record).into())),
            kind::SESSION => self.facts.push(Fact::Session(session(record).into())),
            kind::COORDINATES => self.coordinates(record)?,
            kind::QUERY => self.facts.push(Fact::Query(typed::<PreparedQuery>(&record.json())?.into())),
            kind::INTENTION => {
                let intention = intention(record);
                let name = &intention.destination_name;
                let rules = self.intentions.entry(name.clone()).or_insert_with(|| ServiceIntentions::of(name));
                rules.set(&intention);
            }
            kind::CA_ROOT => self.roots.push(root(record)),
            kind::CA_STATE => {
                self.keys.insert(record.text("RootCert"), record.text("PrivateKey"));
            }
            kind::CA_CONFIG => self.authority(record),
            kind::TOKEN => self.facts.push(Fact::Acl(AclFact::Token(token(record)?.into()))),
            kind::POLICY => self.facts.push(Fact::Acl(AclFact::Policy(policy(record)?.into()))),
            kind::ROLE => self.facts.push(Fact::Acl(AclFact::Role(role(record)?.into()))),
            kind::ENTRY => self.entry(record)?,
            _ => {}
        }
        Ok(())
    }

    fn registration(&mut self, record: &Tree, datacenter: &str) -> Result<(), String> {
        let registration = stored_registration(record.json(), datacenter).map_err(|error| error.to_string())?;
        let node = registration.node.node.as_str();
        if let Some(service) = registration.service {
            self.facts.push(Fact::Service { node: node.into(), service: service.into() });
        }
        for mut fact in registration.checks {
            let stored = record.get("Check").unwrap_or(&Tree::Nil);
            fact.check.service_name = stored.text("ServiceName");
            fact.check.service_tags = list(stored, "ServiceTags")?;
            self.facts.push(Fact::Check(fact.into()));
        }
        self.facts.push(Fact::Node(registration.node.into()));
        Ok(())
    }

    fn coordinates(&mut self, record: &Tree) -> Result<(), String> {
        let Tree::List(list) = record else { return Ok(()) };
        for place in list {
            let coordinate: Coordinate = typed(&place.get("Coord").unwrap_or(&Tree::Nil).json())?;
            let (node, segment) = (place.text("Node"), place.text("Segment"));
            self.facts.push(Fact::Coordinate(NodeCoordinate { node, segment, coordinate }.into()));
        }
        Ok(())
    }

    fn authority(&mut self, record: &Tree) {
        let config = match record.get("Config").map(Tree::json) {
            Some(Value::Object(config)) => config,
            _ => OpaqueMap::new(),
        };
        let (cluster_id, provider) = (record.text("ClusterID"), record.text("Provider"));
        // Consul counts on from the index.
        let serial = record.get("ModifyIndex").and_then(|index| index.json().as_u64()).unwrap_or_default();
        let config = CaConfig { cluster_id, provider, config, force_without_cross_signing: false };
        self.facts.push(Fact::CaConfig(config.into()));
        self.facts.push(Fact::CaSerial(serial + 1_000_000));
    }

    /// The kind's word, then the write of the entry, as one text of bytes.
    fn entry(&mut self, record: &Tree) -> Result<(), String> {
        let mut inner = record.bytes();
        let unreadable = || "the config entry cannot be read".to_owned();
        read(&mut inner).ok_or_else(unreadable)?;
        let request = read(&mut inner).ok_or_else(unreadable)?;
        let body = match request.get("Entry").ok_or_else(unreadable)? {
            // Some kinds are packed once more.
            Tree::Raw(packed) => read(&mut &packed[..]).ok_or_else(unreadable)?.json(),
            entry => entry.json(),
        };
        let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
        let entry = model::decode_config_entry_json(&body).map_err(|error| error.consul_text())?;
        if entry.kind() != EntryKind::ServiceIntentions {
            self.facts.push(Fact::Config(entry.into()));
        } else if let Some(rules) = entry.intentions() {
            self.intentions.insert(rules.name.clone(), rules);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Fact>, String> {
        for root in self.roots {
            let text = |name: &str| root[name].as_str().unwrap_or_default().to_owned();
            let active = root["Active"] == Value::Bool(true);
            let key = self.keys.get(&text("RootCert")).cloned().unwrap_or_default();
            if active && key.is_empty() {
                return Err("the active root of the certificate authority has no key in the state".to_owned());
            }
            let id = text("ID");
            let Value::Object(description) = root else { continue };
            let (key, intermediates) = (Secret::new(key), Vec::new());
            self.facts
                .push(Fact::CaRoot(CaRoot { id, active, description, key, intermediates, rotated_out_at: 0 }.into()));
        }
        let rules = self.intentions.into_values().map(|rules| Fact::Config(rules.into_entry().into()));
        self.facts.extend(rules);
        Ok(self.facts)
    }
}

fn key(record: &Tree) -> KvEntry {
    let number = |name: &str| record.get(name).and_then(|value| value.json().as_u64()).unwrap_or_default();
    KvEntry {
        key: record.text("Key"),
        value: record.get("Value").map_or(&[][..], Tree::bytes).into(),
        flags: number("Flags"),
        lock_index: number("LockIndex"),
        session: record.text("Session"),
    }
}

fn session(record: &Tree) -> Session {
    let body = record.json();
    let texts = |name: &str| -> Vec<String> {
        let items = body[name].as_array().into_iter().flatten();
        // Checks of services are named with their namespace.
        items.filter_map(|item| item.as_str().or_else(|| item["ID"].as_str())).map(str::to_owned).collect()
    };
    Session {
        id: record.text("ID"),
        name: record.text("Name"),
        node: record.text("Node"),
        node_checks: texts("NodeChecks"),
        service_checks: texts("ServiceChecks"),
        lock_delay: std::time::Duration::from_nanos(body["LockDelay"].as_u64().unwrap_or_default()),
        behavior: if body["Behavior"] == "delete" { SessionBehavior::Delete } else { SessionBehavior::Release },
        ttl: record.text("TTL"),
        ..Session::default()
    }
}

fn intention(record: &Tree) -> Intention {
    let action = if record.text("Action") == "allow" { Action::Allow } else { Action::Deny };
    let time = |name: &str| {
        let nanos = record.get(name).map_or(0, |time| unix_nanos(time.bytes()));
        ca::rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos))
    };
    Intention {
        id: record.text("ID"),
        description: record.text("Description"),
        meta: record.get("Meta").and_then(|meta| typed(&meta.json()).ok()).unwrap_or_default(),
        created_at: time("CreatedAt"),
        updated_at: time("UpdatedAt"),
        ..Intention::new(&record.text("SourceName"), &record.text("DestinationName"), action)
    }
}

fn root(record: &Tree) -> Value {
    let mut root = record.json();
    for name in ["NotBefore", "NotAfter"] {
        let nanos = record.get(name).map_or(0, |time| unix_nanos(time.bytes()));
        root[name] = ca::rfc3339(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanos)).into();
    }
    root
}

/// A time as Go writes it in binary: a version, seconds since the year 1, nanoseconds, and an offset that is for show.
fn unix_nanos(bytes: &[u8]) -> UnixNanos {
    const YEAR_1: i64 = -62_135_596_800;
    let Some((seconds, rest)) = bytes.get(1..).and_then(<[u8]>::split_first_chunk::<8>) else { return 0 };
    let nanos = rest.first_chunk::<4>().map_or(0, |nanos| u32::from_be_bytes(*nanos));
    let seconds = i64::from_be_bytes(*seconds).saturating_add(YEAR_1);
    u64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(nanos)))
}

fn list<T: for<'de> Deserialize<'de>>(record: &Tree, name: &str) -> Result<Vec<T>, String> {
    record.get(name).map_or(Ok(Vec::new()), |list| match list {
        Tree::Nil => Ok(Vec::new()),
        list => typed(&list.json()),
    })
}

fn token(record: &Tree) -> Result<AclToken, String> {
    let expires = record.get("ExpirationTime").map_or(0, |time| unix_nanos(time.bytes()));
    Ok(AclToken {
        accessor_id: record.text("AccessorID"),
        secret_id: model::Token(record.text("SecretID")),
        description: record.text("Description"),
        policies: list(record, "Policies")?,
        roles: list(record, "Roles")?,
        service_identities: list(record, "ServiceIdentities")?,
        node_identities: list(record, "NodeIdentities")?,
        local: record.get("Local") == Some(&Tree::Bool(true)),
        auth_method: record.text("AuthMethod"),
        created: record.get("CreateTime").map_or(0, |time| unix_nanos(time.bytes())),
        expires: Some(expires).filter(|at| *at != 0),
    })
}

fn policy(record: &Tree) -> Result<AclPolicy, String> {
    Ok(AclPolicy {
        id: record.text("ID"),
        name: record.text("Name"),
        description: record.text("Description"),
        rules: record.text("Rules"),
        datacenters: list(record, "Datacenters")?,
    })
}

fn role(record: &Tree) -> Result<AclRole, String> {
    Ok(AclRole {
        id: record.text("ID"),
        name: record.text("Name"),
        description: record.text("Description"),
        policies: list(record, "Policies")?,
        service_identities: list(record, "ServiceIdentities")?,
        node_identities: list(record, "NodeIdentities")?,
    })
}
