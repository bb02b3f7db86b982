//! What is stored: keyed values, and the batches in which they change.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::acl::{AclPolicy, AclRole, AclToken, AuthMethod, BindingRule};
use model::{
    ConfigEntry, EntryKind, HealthCheck, KvEntry, Node, NodeCoordinate, OpaqueMap, PreparedQuery, Service, Session,
    UserEvent,
};
use serde::{Deserialize, Serialize};

/// A position in the history of the facts. 0 means "never".
pub type Index = u64;

/// A text that is stored and never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// A check with what only the one who put it into the catalog understands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CheckFact {
    pub check: HealthCheck,
    /// As Consul's `Definition`; empty for checks that an agent runs.
    pub definition: OpaqueMap,
}

/// The provider's configuration may hold the root's key: it prints its names only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct CaConfig {
    pub cluster_id: String,
    pub provider: String,
    pub config: OpaqueMap,
    #[serde(default)]
    pub force_without_cross_signing: bool,
}

impl fmt::Debug for CaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.config.keys().collect();
        f.debug_struct("CaConfig").field("provider", &self.provider).field("config", &keys).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaRoot {
    pub id: String,
    pub active: bool,
    /// The public description, as the certificate authority writes it.
    pub description: OpaqueMap,
    pub key: Secret,
    /// Certificates (PEM) in which the roots before this one vouch for it; they go with every leaf.
    #[serde(default)]
    pub intermediates: Vec<String>,
    /// Seconds since 1970 when another root took over; 0: never.
    #[serde(default)]
    pub rotated_out_at: u64,
}

/// How servers look after each other. Kept for those who read it back: one server has nobody to look after, and the
/// servers of an etcd cluster leave it to etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Autopilot {
    pub cleanup_dead_servers: bool,
    pub last_contact_threshold: Duration,
    pub max_trailing_logs: u64,
    pub min_quorum: u64,
    pub server_stabilization_time: Duration,
    pub redundancy_zone_tag: String,
    pub disable_upgrade_migration: bool,
    pub upgrade_version_tag: String,
}

impl Default for Autopilot {
    /// Consul's.
    fn default() -> Self {
        Self {
            cleanup_dead_servers: true,
            last_contact_threshold: Duration::from_millis(200),
            max_trailing_logs: 250,
            min_quorum: 0,
            server_stabilization_time: Duration::from_secs(10),
            redundancy_zone_tag: String::new(),
            disable_upgrade_migration: false,
            upgrade_version_tag: String::new(),
        }
    }
}

/// One stored value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Fact {
    Node(Arc<Node>),
    Service {
        node: Arc<str>,
        service: Arc<Service>,
    },
    Check(Arc<CheckFact>),
    Config(Arc<ConfigEntry>),
    CaConfig(Arc<CaConfig>),
    CaRoot(Arc<CaRoot>),
    /// The number of the last certificate signed.
    CaSerial(u64),
    /// Counts the writes that are judged by more than their own key (entries that chains are made of, names of
    /// queries), so that no two of them are decided on the same state.
    ConfigSerial(u64),
    Kv(Arc<KvEntry>),
    Session(Arc<Session>),
    Event(Arc<UserEvent>),
    Query(Arc<PreparedQuery>),
    Coordinate(Arc<NodeCoordinate>),
    Autopilot(Arc<Autopilot>),
    Acl(AclFact),
}

/// What access control stores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum AclFact {
    Token(Arc<AclToken>),
    Policy(Arc<AclPolicy>),
    Role(Arc<AclRole>),
    Method(Arc<AuthMethod>),
    Rule(Arc<BindingRule>),
    /// The first token of an administrator was made.
    Bootstrap,
    /// Every write to access control puts this, guarded: names and secrets are unique, though they are no keys.
    Turn,
}

/// The name of a fact. Names of nodes and config entries are compared without case, as DNS compares names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    Node(Arc<str>),
    Service { node: Arc<str>, id: Arc<str> },
    Check { node: Arc<str>, id: Arc<str> },
    Config { kind: EntryKind, name: Arc<str> },
    CaConfig,
    CaRoot(Arc<str>),
    CaSerial,
    ConfigSerial,
    Kv(Arc<str>),
    Session(Arc<str>),
    Event(Arc<str>),
    Query(Arc<str>),
    Coordinate { node: Arc<str>, segment: Arc<str> },
    Autopilot,
    Acl(AclKey),
}

/// The name of an [`AclFact`]. A secret is never one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AclKey {
    /// By accessor.
    Token(Arc<str>),
    Policy(Arc<str>),
    Role(Arc<str>),
    Method(Arc<str>),
    Rule(Arc<str>),
    Bootstrap,
    Turn,
}

/// The form in which names are keys.
pub(crate) fn lower(name: &str) -> Arc<str> {
    name.to_lowercase().into()
}

impl Key {
    pub fn node(name: &str) -> Self {
        Self::Node(lower(name))
    }

    pub fn service(node: &str, id: &str) -> Self {
        Self::Service { node: lower(node), id: id.into() }
    }

    pub fn check(node: &str, id: &str) -> Self {
        Self::Check { node: lower(node), id: id.into() }
    }

    pub fn config(kind: EntryKind, name: &str) -> Self {
        Self::Config { kind, name: lower(name) }
    }

    pub fn query(id: &str) -> Self {
        Self::Query(lower(id))
    }

    pub fn coordinate(node: &str, segment: &str) -> Self {
        Self::Coordinate { node: lower(node), segment: segment.into() }
    }
}

impl Fact {
    pub fn key(&self) -> Key {
        match self {
            Self::Node(node) => Key::node(&node.node),
            Self::Service { node, service } => Key::service(node, &service.id),
            Self::Check(fact) => Key::check(&fact.check.node, &fact.check.check_id),
            Self::Config(entry) => Key::config(entry.kind(), entry.name()),
            Self::CaConfig(_) => Key::CaConfig,
            Self::CaRoot(root) => Key::CaRoot(root.id.as_str().into()),
            Self::CaSerial(_) => Key::CaSerial,
            Self::ConfigSerial(_) => Key::ConfigSerial,
            Self::Kv(entry) => Key::Kv(entry.key.as_str().into()),
            Self::Event(event) => Key::Event(event.id.as_str().into()),
            Self::Session(session) => Key::Session(session.id.as_str().into()),
            Self::Query(query) => Key::query(&query.id),
            Self::Coordinate(place) => Key::coordinate(&place.node, &place.segment),
            Self::Autopilot(_) => Key::Autopilot,
            Self::Acl(fact) => Key::Acl(fact.key()),
        }
    }
}

impl AclFact {
    fn key(&self) -> AclKey {
        match self {
            Self::Token(token) => AclKey::Token(token.accessor_id.as_str().into()),
            Self::Policy(policy) => AclKey::Policy(policy.id.as_str().into()),
            Self::Role(role) => AclKey::Role(role.id.as_str().into()),
            Self::Method(method) => AclKey::Method(method.name.as_str().into()),
            Self::Rule(rule) => AclKey::Rule(rule.id.as_str().into()),
            Self::Bootstrap => AclKey::Bootstrap,
            Self::Turn => AclKey::Turn,
        }
    }
}

/// The batch is refused unless `key` was last changed at `revision` (0: does not exist).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    pub key: Key,
    pub revision: Index,
}

/// All or nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    pub guards: Vec<Guard>,
    pub puts: Vec<Fact>,
    pub deletes: Vec<Key>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }

    /// Drops what a later part of the batch overrides: deletes come before puts, and the last put of a key counts.
    pub(crate) fn name_each_key_once(&mut self) {
        if self.puts.len() + self.deletes.len() < 2 {
            return;
        }
        let mut named = HashSet::new();
        let mut puts: Vec<Fact> = std::mem::take(&mut self.puts);
        puts.reverse();
        puts.retain(|fact| named.insert(fact.key()));
        puts.reverse();
        self.puts = puts;
        self.deletes.retain(|key| named.insert(key.clone()));
    }

    pub fn guard(&mut self, key: Key, revision: Index) {
        self.guards.push(Guard { key, revision });
    }
}
