//! All facts at one index, in persistent maps: a snapshot costs a few reference counts.

mod acl;
mod catalog;
mod change;
mod kv;
mod query;
mod table;

pub use catalog::Instance;

use std::ops::Deref;
use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};
use model::{ConfigEntry, EntryKind, Intention, Node, NodeCoordinate, PreparedQuery, Service};

use crate::backend::Snapshot;
use crate::fact::{Autopilot, CaConfig, CaRoot, CheckFact, Index, Key, lower};
use crate::watch::Topic;

/// The index of what has never changed.
const EMPTY: Index = 1;

/// A value and where it was created and last changed.
#[derive(Debug, PartialEq)]
pub struct Stored<T> {
    pub value: Arc<T>,
    pub create_index: Index,
    pub modify_index: Index,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), ..*self }
    }
}

impl<T> Deref for Stored<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

type Name = Arc<str>;
/// By node, then by id.
type ByNode<T> = OrdMap<Name, OrdMap<Name, Stored<T>>>;
/// (node, id) by a name.
type Lookup = OrdMap<Name, OrdSet<(Name, Name)>>;

#[derive(Debug, Clone, Default)]
pub struct State {
    index: Index,
    nodes: OrdMap<Name, Stored<Node>>,
    services: ByNode<Service>,
    checks: ByNode<CheckFact>,
    /// Instances by service name (lower case).
    by_name: Lookup,
    /// Proxies and native instances by the service they speak for (lower case).
    by_identity: Lookup,
    configs: OrdMap<(EntryKind, Name), Stored<ConfigEntry>>,
    /// The sources of every `service-intentions` entry, one by one: by source and destination.
    intentions: OrdMap<(Name, Name), Stored<Intention>>,
    ca_config: Option<Stored<CaConfig>>,
    ca_roots: OrdMap<Name, Stored<CaRoot>>,
    ca_serial: (u64, Index),
    config_serial: (u64, Index),
    kv: kv::Kv,
    queries: table::Table<PreparedQuery>,
    /// By node, then by segment.
    coordinates: ByNode<NodeCoordinate>,
    autopilot: Option<Stored<Autopilot>>,
    acl: acl::Acl,
    topics: HashMap<Topic, Index>,
}

impl State {
    pub(crate) fn from_snapshot(snapshot: &Snapshot) -> Self {
        let mut state = Self { index: snapshot.index().max(EMPTY), ..Self::default() };
        for (fact, created, modified) in snapshot.facts() {
            state.load(fact, created, modified);
        }
        state.kv.forget_removals(state.index);
        state
    }

    /// The index of the newest fact.
    pub fn index(&self) -> Index {
        self.index
    }

    /// The newest index of any of these topics; never 0.
    pub fn index_of(&self, topics: &[Topic]) -> Index {
        topics.iter().map(|topic| self.index_of_one(topic)).max().unwrap_or(EMPTY)
    }

    /// What is gone or never was has the index of all its kind, which is not smaller than that of its removal.
    fn index_of_one(&self, topic: &Topic) -> Index {
        if let Some(index) = self.topics.get(topic) {
            return *index;
        }
        match topic {
            // A key that is not there has the index of all.
            Topic::Kv(key) => match self.kv.entry_revision(key) {
                0 => self.index_of_one(&Topic::Kvs),
                index => index,
            },
            Topic::KvPrefix(prefix) => match self.kv.prefix_index(prefix) {
                Some(index) if !prefix.is_empty() => index,
                _ => self.index_of_one(&Topic::Kvs),
            },
            Topic::Session(_) | Topic::NodeSessions(_) => self.index_of_one(&Topic::Sessions),
            Topic::Service(_) | Topic::Connect(_) => self.index_of_one(&Topic::Services),
            Topic::Node(_) => self.index_of_one(&Topic::Nodes),
            Topic::Config(kind, _) => self.index_of_one(&Topic::ConfigKind(*kind)),
            Topic::IntentionsFrom(_) | Topic::IntentionsTo(_) => self.index_of_one(&Topic::Intentions),
            _ => EMPTY,
        }
    }

    /// What a guard on this key must say for the key to be as it is here.
    pub fn revision(&self, key: &Key) -> Index {
        fn of<T>(stored: Option<&Stored<T>>) -> Index {
            stored.map_or(0, |stored| stored.modify_index)
        }
        match key {
            Key::Node(name) => of(self.nodes.get(name)),
            Key::Service { node, id } => of(self.services.get(node).and_then(|services| services.get(id))),
            Key::Check { node, id } => of(self.checks.get(node).and_then(|checks| checks.get(id))),
            Key::Config { kind, name } => of(self.configs.get(&(*kind, name.clone()))),
            Key::CaConfig => of(self.ca_config.as_ref()),
            Key::CaRoot(id) => of(self.ca_roots.get(id)),
            Key::CaSerial => self.ca_serial.1,
            Key::ConfigSerial => self.config_serial.1,
            Key::Kv(key) => self.kv.entry_revision(key),
            Key::Event(id) => self.kv.event_revision(id),
            Key::Session(id) => self.kv.session_revision(id),
            Key::Query(id) => self.queries.revision(id),
            Key::Coordinate { node, segment } => of(self.coordinates.get(node).and_then(|places| places.get(segment))),
            Key::Autopilot => of(self.autopilot.as_ref()),
            Key::Acl(key) => self.acl.revision(key),
        }
    }

    pub fn config(&self, kind: EntryKind, name: &str) -> Option<&Stored<ConfigEntry>> {
        self.configs.get(&(kind, lower(name)))
    }

    /// Entries of a kind, or of all kinds, by the kind's word and name.
    pub fn configs(&self, kind: Option<EntryKind>) -> Vec<Stored<ConfigEntry>> {
        let entries = self.configs.iter().filter(|((of, _), _)| kind.is_none_or(|kind| kind == *of));
        let mut entries: Vec<_> = entries.map(|((kind, name), entry)| (kind.as_str(), name, entry)).collect();
        entries.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        entries.into_iter().map(|(_, _, entry)| entry.clone()).collect()
    }

    /// Entries of one kind, by name.
    pub fn configs_of(&self, kind: EntryKind) -> impl Iterator<Item = &ConfigEntry> {
        let from: std::ops::RangeFrom<(EntryKind, Name)> = (kind, "".into())..;
        self.configs.range(from).take_while(move |((of, _), _)| *of == kind).map(|(_, entry)| &*entry.value)
    }

    pub fn intention(&self, id: &str) -> Option<&Stored<Intention>> {
        self.intentions.values().find(|intention| intention.id == id)
    }

    /// In evaluation order: highest precedence first, then by names.
    pub fn intentions(&self) -> Vec<Stored<Intention>> {
        let mut all: Vec<_> = self.intentions.values().cloned().collect();
        all.sort_by(|a, b| {
            let order = b.precedence().cmp(&a.precedence());
            order
                .then_with(|| a.source_name.cmp(&b.source_name))
                .then_with(|| a.destination_name.cmp(&b.destination_name))
        });
        all
    }

    pub fn intention_of(&self, source: &str, destination: &str) -> Option<&Stored<Intention>> {
        self.intentions.get(&(source.into(), destination.into()))
    }

    /// Without case; one for each segment of the node.
    pub fn coordinates_of(&self, node: &str) -> impl Iterator<Item = &Stored<NodeCoordinate>> {
        self.coordinates.get(&lower(node)).into_iter().flat_map(|places| places.values())
    }

    pub fn coordinates(&self) -> impl Iterator<Item = &Stored<NodeCoordinate>> {
        self.coordinates.values().flat_map(|places| places.values())
    }

    /// None: nobody has said otherwise than the default.
    pub fn autopilot(&self) -> Option<&Stored<Autopilot>> {
        self.autopilot.as_ref()
    }

    pub fn ca_config(&self) -> Option<&Stored<CaConfig>> {
        self.ca_config.as_ref()
    }

    pub fn ca_roots(&self) -> impl Iterator<Item = &Stored<CaRoot>> {
        self.ca_roots.values()
    }

    /// How many writes of entries that chains are made of there were.
    pub(crate) fn config_serial(&self) -> u64 {
        self.config_serial.0
    }

    /// The number of the last certificate signed.
    pub fn ca_serial(&self) -> u64 {
        self.ca_serial.0
    }
}

fn stored<T>(value: &Arc<T>, old: Option<&Stored<T>>, created: Index, modified: Index) -> Stored<T> {
    let create_index = old.map_or(created, |old| old.create_index);
    Stored { value: value.clone(), create_index, modify_index: modified }
}

fn leave(lookup: &mut Lookup, name: &str, member: &(Name, Name)) {
    if let Some(members) = lookup.get_mut(name) {
        members.remove(member);
        if members.is_empty() {
            lookup.remove(name);
        }
    }
}
