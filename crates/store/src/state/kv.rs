//! Reading keys, sessions and events.

use std::ops::RangeFrom;
use std::sync::Arc;

use imbl::OrdMap;
use model::{KvEntry, Session, UserEvent};

use super::change::Touched;
use super::table::Table;
use super::{Lookup, Name, State, Stored, leave};
use crate::fact::{Index, lower};
use crate::watch::Topic;

/// Removed keys that are remembered, so that the index of a prefix does not fall when a key under it goes.
const GRAVES_LIMIT: usize = 65_536;

#[derive(Debug, Clone, Default)]
pub(super) struct Kv {
    entries: Table<KvEntry>,
    graves: OrdMap<Name, Index>,
    /// No prefix has a smaller index: removals up to here are not remembered one by one.
    floor: Index,
    /// (session, key)
    held: Lookup,
    sessions: Table<Session>,
    /// (node, session id)
    by_node: Lookup,
    events: Table<UserEvent>,
}

impl State {
    pub fn kv(&self, key: &str) -> Option<&Stored<KvEntry>> {
        self.kv.entries.get(key)
    }

    /// Keys that begin with `prefix`, in order.
    pub fn kv_under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Stored<KvEntry>> {
        self.kv.entries.under(prefix)
    }

    /// The keys that a session holds locked.
    pub fn kv_held_by(&self, session: &str) -> impl Iterator<Item = &Stored<KvEntry>> {
        let keys = self.kv.held.get(session).into_iter().flat_map(|keys| keys.iter());
        keys.filter_map(|(_, key)| self.kv.entries.get(key))
    }

    pub fn session(&self, id: &str) -> Option<&Stored<Session>> {
        self.kv.sessions.get(id)
    }

    pub fn sessions(&self) -> impl Iterator<Item = &Stored<Session>> {
        self.kv.sessions.rows()
    }

    /// From the oldest to the newest.
    pub fn events(&self) -> Vec<&Stored<UserEvent>> {
        let mut events: Vec<_> = self.kv.events.rows().collect();
        events.sort_by_key(|event| event.create_index);
        events
    }

    /// Without case, as nodes are named.
    pub fn sessions_of(&self, node: &str) -> impl Iterator<Item = &Stored<Session>> {
        let ids = self.kv.by_node.get(&lower(node)).into_iter().flat_map(|ids| ids.iter());
        ids.filter_map(|(_, id)| self.kv.sessions.get(id))
    }
}

impl Kv {
    pub(super) fn entry_revision(&self, key: &str) -> Index {
        self.entries.revision(key)
    }

    pub(super) fn session_revision(&self, id: &str) -> Index {
        self.sessions.revision(id)
    }

    /// The newest change or removal under a prefix; none when nothing was ever there.
    pub(super) fn prefix_index(&self, prefix: &str) -> Option<Index> {
        let entries = self.entries.under(prefix).map(|entry| entry.modify_index).max();
        let from: RangeFrom<Name> = prefix.into()..;
        let graves = self.graves.range(from).take_while(|(key, _)| key.starts_with(prefix));
        let graves = graves.map(|(_, index)| *index).max();
        let floor = entries.map(|_| self.floor);
        entries.max(graves).max(floor)
    }

    /// A snapshot does not say what was removed before it.
    pub(super) fn forget_removals(&mut self, index: Index) {
        self.graves = OrdMap::new();
        self.floor = index;
    }

    pub(super) fn put_entry(&mut self, entry: &Arc<KvEntry>, at: (Index, Index), touched: &mut Touched) {
        let key: Name = entry.key.as_str().into();
        self.graves.remove(&key);
        let old = self.entries.put(key.clone(), entry, at.0, at.1);
        if let Some(old) = old.filter(|old| !old.session.is_empty()) {
            leave(&mut self.held, &old.session, &(old.session.as_str().into(), key.clone()));
        }
        if !entry.session.is_empty() {
            let session: Name = entry.session.as_str().into();
            self.held.entry(session.clone()).or_default().insert((session, key.clone()));
        }
        touched.topics.extend([Topic::Kvs, Topic::Kv(key)]);
    }

    pub(super) fn delete_entry(&mut self, key: &Name, touched: &mut Touched) {
        let Some(old) = self.entries.delete(key) else { return };
        if !old.session.is_empty() {
            leave(&mut self.held, &old.session, &(old.session.as_str().into(), key.clone()));
        }
        if self.graves.len() >= GRAVES_LIMIT {
            self.forget_removals(touched.index);
        }
        self.graves.insert(key.clone(), touched.index);
        touched.topics.extend([Topic::Kvs, Topic::Kv(key.clone())]);
    }

    pub(super) fn put_session(&mut self, session: &Arc<Session>, at: (Index, Index), touched: &mut Touched) {
        let (id, node): (Name, Name) = (session.id.as_str().into(), lower(&session.node));
        self.sessions.put(id.clone(), session, at.0, at.1);
        self.by_node.entry(node.clone()).or_default().insert((node.clone(), id.clone()));
        touched.topics.extend([Topic::Sessions, Topic::Session(id), Topic::NodeSessions(node)]);
    }

    pub(super) fn delete_session(&mut self, id: &Name, touched: &mut Touched) {
        let Some(old) = self.sessions.delete(id) else { return };
        let node = lower(&old.node);
        leave(&mut self.by_node, &node, &(node.clone(), id.clone()));
        touched.topics.extend([Topic::Sessions, Topic::Session(id.clone()), Topic::NodeSessions(node)]);
    }

    pub(super) fn event_revision(&self, id: &str) -> Index {
        self.events.revision(id)
    }

    pub(super) fn put_event(&mut self, event: &Arc<UserEvent>, at: (Index, Index), touched: &mut Touched) {
        self.events.put(event.id.as_str().into(), event, at.0, at.1);
        touched.topics.insert(Topic::Events);
    }

    pub(super) fn delete_event(&mut self, id: &str, touched: &mut Touched) {
        self.events.delete(id);
        touched.topics.insert(Topic::Events);
    }

    pub(super) fn has_session(&self, id: &str) -> bool {
        self.sessions.get(id).is_some()
    }

    pub(super) fn has_sessions_on(&self, node: &Name) -> bool {
        self.by_node.contains_key(node)
    }
}
