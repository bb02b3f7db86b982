//! Transactions: many operations decided one after the other on a draft of the state, committed as one batch.

use std::collections::HashSet;

use model::{KvEntry, Node, Service};

use super::catalog::{Registration, decide, remove_node, remove_service};
use super::kv::{KvCondition, KvWrite, decide_delete, decide_delete_tree, decide_put};
use super::session::{end, end_dependents, session_id};
use crate::error::Error;
use crate::fact::{Batch, CheckFact, Index, Key};
use crate::state::{State, Stored};
use crate::store::Store;

/// The index of what a transaction has changed while its own index is not known yet.
const PENDING: Index = Index::MAX;

/// One operation. What it fails with names its place in the list.
#[derive(Debug, Clone)]
pub enum TxnOp {
    /// Asks for nothing, but has a place in the list.
    Nothing,
    Kv(KvOp),
    Node {
        verb: CatalogVerb,
        node: Node,
        cas: Index,
    },
    Service {
        verb: CatalogVerb,
        node: String,
        service: Box<Service>,
        cas: Index,
    },
    Check {
        verb: CatalogVerb,
        check: Box<CheckFact>,
        cas: Index,
    },
    /// Only `delete` is known.
    Session {
        verb: String,
        id: String,
    },
}

#[derive(Debug, Clone)]
pub struct KvOp {
    pub verb: KvVerb,
    pub key: String,
    pub value: model::Blob,
    pub flags: u64,
    pub index: Index,
    pub session: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvVerb {
    Set,
    Cas,
    Lock,
    Unlock,
    Delete,
    DeleteTree,
    DeleteCas,
    Get,
    GetTree,
    CheckIndex,
    CheckSession,
    CheckNotExists,
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatalogVerb {
    Get,
    Set,
    Cas,
    Delete,
    DeleteCas,
    Unknown(String),
}

impl TxnOp {
    /// Cannot change anything.
    pub fn reads(&self) -> bool {
        use KvVerb::{CheckIndex, CheckNotExists, CheckSession, Get, GetTree, Unknown};
        match self {
            Self::Nothing => true,
            Self::Kv(op) => {
                matches!(op.verb, Get | GetTree | CheckIndex | CheckSession | CheckNotExists | Unknown(_))
            }
            Self::Node { verb, .. } | Self::Service { verb, .. } | Self::Check { verb, .. } => {
                *verb == CatalogVerb::Get
            }
            Self::Session { .. } => false,
        }
    }
}

/// What an operation has found or left.
#[derive(Debug)]
pub enum TxnResult {
    Kv { entry: Stored<KvEntry>, with_value: bool },
    Node(Stored<Node>),
    Service(Stored<Service>),
    Check(Stored<CheckFact>),
}

/// Why an operation has failed.
#[derive(Debug, PartialEq, Eq)]
pub struct TxnError {
    pub op: usize,
    pub what: String,
}

impl Store {
    /// All operations or none. What was read is guarded like what is written, except that a key which another writer
    /// creates under a `get-tree` in the very same moment may be missing from a transaction that writes as well.
    pub async fn transact(&self, ops: &[TxnOp]) -> Result<Result<Vec<TxnResult>, Vec<TxnError>>, Error> {
        let refused = self.refused(ops);
        if !refused.is_empty() {
            return Ok(Err(refused));
        }
        let (index, outcome) = self.write(|state| Ok(run(ops, state))).await?;
        Ok(outcome.map(|results| results.into_iter().map(|result| result.settled(index)).collect()))
    }

    /// What no state could make sense of, and locks that must rest.
    fn refused(&self, ops: &[TxnOp]) -> Vec<TxnError> {
        let complaint = |op: &TxnOp| match op {
            TxnOp::Kv(op) if op.key.is_empty() && op.verb != KvVerb::DeleteTree => Some(Error::NoKey.to_string()),
            TxnOp::Kv(op) if op.verb == KvVerb::Lock && self.lock_delayed(&op.key) => {
                Some(format!("failed to lock key {:?} due to lock delay", op.key))
            }
            _ => None,
        };
        let complaints = ops.iter().enumerate().filter_map(|(at, op)| complaint(op).map(|what| (at, what)));
        complaints.map(|(op, what)| TxnError { op, what }).collect()
    }
}

type Outcome = Result<Vec<TxnResult>, Vec<TxnError>>;

/// Every failing operation is told, not only the first.
fn run(ops: &[TxnOp], state: &State) -> (Batch, Outcome) {
    let mut draft = Draft::new(state);
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (at, op) in ops.iter().enumerate() {
        match draft.run(op) {
            Ok(found) => results.extend(found),
            Err(what) => errors.push(TxnError { op: at, what }),
        }
    }
    if errors.is_empty() { (draft.batch, Ok(results)) } else { (Batch::default(), Err(errors)) }
}

impl TxnResult {
    /// Gives what was changed the index at which it was.
    fn settled(self, index: Index) -> Self {
        fn settle<T>(stored: Stored<T>, index: Index) -> Stored<T> {
            let real = |at: Index| if at == PENDING { index } else { at };
            Stored {
                create_index: real(stored.create_index),
                modify_index: real(stored.modify_index),
                value: stored.value,
            }
        }
        match self {
            Self::Kv { entry, with_value } => Self::Kv { entry: settle(entry, index), with_value },
            Self::Node(node) => Self::Node(settle(node, index)),
            Self::Service(service) => Self::Service(settle(service, index)),
            Self::Check(check) => Self::Check(settle(check, index)),
        }
    }
}

/// A batch in the making, and the state as it would leave it: later operations see the earlier ones.
struct Draft<'a> {
    base: &'a State,
    state: State,
    batch: Batch,
    changed: HashSet<Key>,
}

impl<'a> Draft<'a> {
    fn new(base: &'a State) -> Self {
        Self { base, state: base.clone(), batch: Batch::default(), changed: HashSet::new() }
    }

    fn absorb(&mut self, batch: Batch) {
        self.state.apply(PENDING, &batch);
        let Batch { guards, puts, deletes } = batch;
        let ours = &self.changed;
        self.batch.guards.extend(guards.into_iter().filter(|guard| !ours.contains(&guard.key)));
        for key in deletes {
            self.forget(&key);
            if self.base.revision(&key) != 0 {
                self.batch.deletes.push(key);
            }
        }
        for fact in puts {
            self.forget(&fact.key());
            self.batch.puts.push(fact);
        }
    }

    /// A later change of a key takes the place of the earlier one.
    fn forget(&mut self, key: &Key) {
        if !self.changed.insert(key.clone()) {
            self.batch.puts.retain(|fact| fact.key() != *key);
            self.batch.deletes.retain(|deleted| deleted != key);
        }
    }

    /// What was read must still be so when the batch is committed.
    fn rely_on(&mut self, key: Key) {
        if !self.changed.contains(&key) {
            let revision = self.base.revision(&key);
            self.batch.guard(key, revision);
        }
    }

    fn run(&mut self, op: &TxnOp) -> Result<Vec<TxnResult>, String> {
        match op {
            TxnOp::Nothing => Ok(Vec::new()),
            TxnOp::Kv(op) => self.kv(op),
            TxnOp::Node { verb, node, cas } => self.node(verb, node, *cas),
            TxnOp::Service { verb, node, service, cas } => self.service(verb, node, service, *cas),
            TxnOp::Check { verb, check, cas } => self.check(verb, check, *cas),
            TxnOp::Session { verb, id } => self.session(verb, id),
        }
    }

    fn kv(&mut self, op: &KvOp) -> Result<Vec<TxnResult>, String> {
        let key = op.key.as_str();
        match &op.verb {
            KvVerb::Set => self.put(op, KvCondition::Always, ""),
            KvVerb::Cas => {
                let stale = format!("failed to set key {key:?}, index is stale");
                self.put(op, KvCondition::Cas(op.index), &stale)
            }
            KvVerb::Lock => {
                let held = format!("failed to lock key {key:?}, lock is already held");
                self.put(op, KvCondition::Lock(op.session.clone()), &held)
            }
            KvVerb::Unlock => {
                let lost = format!("failed to unlock key {key:?}, lock isn't held, or is held by another session");
                self.put(op, KvCondition::Unlock(op.session.clone()), &lost)
            }
            KvVerb::Delete => self.delete(key, None),
            KvVerb::DeleteCas => self.delete(key, Some(op.index)),
            KvVerb::DeleteTree => {
                self.absorb(decide_delete_tree(key, &self.state));
                Ok(Vec::new())
            }
            KvVerb::GetTree => {
                let found: Vec<_> = self.state.kv_under(key).cloned().collect();
                found.iter().for_each(|entry| self.rely_on(Key::Kv(entry.key.as_str().into())));
                let base = self.base;
                let result = |entry: Stored<KvEntry>| {
                    let old = base.kv(&entry.key);
                    TxnResult::Kv { entry: known(&entry, old), with_value: true }
                };
                Ok(found.into_iter().map(result).collect())
            }
            KvVerb::Get | KvVerb::CheckIndex | KvVerb::CheckSession | KvVerb::CheckNotExists => self.look(op),
            KvVerb::Unknown(verb) => Err(format!("unknown KV verb {verb:?}")),
        }
    }

    fn put(&mut self, op: &KvOp, condition: KvCondition, unmet: &str) -> Result<Vec<TxnResult>, String> {
        let write = KvWrite { key: op.key.clone(), value: op.value.clone(), flags: op.flags, condition };
        match decide_put(&write, &self.state).map_err(|error| error.to_string())? {
            Some(batch) => self.absorb(batch),
            None => return Err(unmet.to_owned()),
        }
        Ok(self.entry(&op.key, false))
    }

    fn delete(&mut self, key: &str, cas: Option<Index>) -> Result<Vec<TxnResult>, String> {
        let stale = || format!("failed to delete key {key:?}, index is stale");
        let batch = decide_delete(key, cas, &self.state).ok_or_else(stale)?;
        self.absorb(batch);
        Ok(Vec::new())
    }

    fn look(&mut self, op: &KvOp) -> Result<Vec<TxnResult>, String> {
        let key = op.key.as_str();
        self.rely_on(Key::Kv(key.into()));
        let entry = self.state.kv(key);
        match (&op.verb, entry) {
            (KvVerb::CheckNotExists, None) => Ok(Vec::new()),
            (KvVerb::CheckNotExists, Some(_)) => Err(format!("key {key:?} exists")),
            (KvVerb::CheckIndex, None) => Err(format!("failed to check index, key {key:?} doesn't exist")),
            (KvVerb::CheckSession, None) => Err(format!("failed to check session, key {key:?} doesn't exist")),
            (_, None) => Err(format!("key {key:?} doesn't exist")),
            (KvVerb::CheckIndex, Some(entry)) if entry.modify_index != op.index => {
                let (now, wanted) = (entry.modify_index, op.index);
                Err(format!("failed index check for key {key:?}, current modify index {now} != {wanted}"))
            }
            (KvVerb::CheckSession, Some(entry)) if entry.session != op.session => {
                let (now, wanted) = (&entry.session, &op.session);
                Err(format!("failed session check for key {key:?}, current session {now:?} != {wanted:?}"))
            }
            (verb, Some(_)) => {
                let with_value = *verb == KvVerb::Get;
                Ok(self.entry(key, with_value))
            }
        }
    }

    fn entry(&self, key: &str, with_value: bool) -> Vec<TxnResult> {
        let entry = self.state.kv(key).map(|entry| known(entry, self.base.kv(key)));
        entry.map(|entry| TxnResult::Kv { entry, with_value }).into_iter().collect()
    }

    fn node(&mut self, verb: &CatalogVerb, node: &Node, cas: Index) -> Result<Vec<TxnResult>, String> {
        let by_id = self.state.node_by_id(&node.id).filter(|_| !node.id.is_empty());
        let found = if node.node.is_empty() { by_id } else { self.state.node(&node.node) };
        let name = found.map_or_else(|| node.node.clone(), |found| found.node.clone());
        let now = found.map(|found| found.modify_index);
        self.rely_on(Key::node(&name));
        match verb {
            CatalogVerb::Get if now.is_none() => Err(format!("node {name:?} doesn't exist")),
            CatalogVerb::Cas if cas != now.unwrap_or_default() => {
                Err(format!("failed to set node {name:?}, index is stale"))
            }
            CatalogVerb::DeleteCas if now != Some(cas) => {
                Err(format!("failed to delete node {name:?}, index is stale"))
            }
            CatalogVerb::Unknown(verb) => Err(format!("unknown Node verb {verb:?}")),
            CatalogVerb::Get => Ok(self.node_result(&name)),
            CatalogVerb::Set | CatalogVerb::Cas => {
                let registration = Registration { node: node.clone(), ..Registration::default() };
                self.register(&registration)?;
                Ok(self.node_result(&node.node))
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.remove(|state, batch| remove_node(&name, state, batch));
                Ok(Vec::new())
            }
        }
    }

    fn node_result(&self, name: &str) -> Vec<TxnResult> {
        let node = self.state.node(name).map(|node| known(node, self.base.node(name)));
        node.map(TxnResult::Node).into_iter().collect()
    }

    fn service(
        &mut self,
        verb: &CatalogVerb,
        node: &str,
        service: &Service,
        cas: Index,
    ) -> Result<Vec<TxnResult>, String> {
        let id = if service.id.is_empty() { &service.service } else { &service.id };
        let now = self.state.service(node, id).map(|service| service.modify_index);
        self.rely_on(Key::service(node, id));
        let failed = |what: &str| Err(format!("failed to {what} service {id:?} on node {node:?}, index is stale"));
        match verb {
            CatalogVerb::Get if now.is_none() => Err(format!("service {id:?} on node {node:?} doesn't exist")),
            CatalogVerb::Cas if cas != now.unwrap_or_default() => failed("set"),
            CatalogVerb::DeleteCas if now != Some(cas) => failed("delete"),
            CatalogVerb::Unknown(verb) => Err(format!("unknown Service verb {verb:?}")),
            CatalogVerb::Get => Ok(self.service_result(node, id)),
            CatalogVerb::Set | CatalogVerb::Cas => {
                let service = Service { id: id.clone(), ..service.clone() };
                self.register(&Registration { service: Some(service), ..self.on(node)? })?;
                Ok(self.service_result(node, id))
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.remove(|state, batch| remove_service(node, id, state, batch));
                Ok(Vec::new())
            }
        }
    }

    fn service_result(&self, node: &str, id: &str) -> Vec<TxnResult> {
        let service = self.state.service(node, id).map(|service| known(service, self.base.service(node, id)));
        service.map(TxnResult::Service).into_iter().collect()
    }

    fn check(&mut self, verb: &CatalogVerb, fact: &CheckFact, cas: Index) -> Result<Vec<TxnResult>, String> {
        let (node, check) = (&fact.check.node, &fact.check);
        let id = if check.check_id.is_empty() { &check.name } else { &check.check_id };
        let now = self.state.check(node, id).map(|check| check.modify_index);
        self.rely_on(Key::check(node, id));
        let failed = |what: &str| Err(format!("failed to {what} check {id:?} on node {node:?}, index is stale"));
        match verb {
            CatalogVerb::Get if now.is_none() => Err(format!("check {id:?} on node {node:?} doesn't exist")),
            CatalogVerb::Cas if cas != now.unwrap_or_default() => failed("set"),
            CatalogVerb::DeleteCas if now != Some(cas) => failed("delete"),
            CatalogVerb::Unknown(verb) => Err(format!("unknown Check verb {verb:?}")),
            CatalogVerb::Get => Ok(self.check_result(node, id)),
            CatalogVerb::Set | CatalogVerb::Cas => {
                let mut fact = fact.clone();
                fact.check.check_id.clone_from(id);
                self.register(&Registration { checks: vec![fact], ..self.on(node)? })?;
                Ok(self.check_result(node, id))
            }
            CatalogVerb::Delete | CatalogVerb::DeleteCas => {
                self.remove(|state, batch| batch.deletes.extend(state.check(node, id).map(|_| Key::check(node, id))));
                Ok(Vec::new())
            }
        }
    }

    fn check_result(&self, node: &str, id: &str) -> Vec<TxnResult> {
        let check = self.state.check(node, id).map(|check| known(check, self.base.check(node, id)));
        check.map(TxnResult::Check).into_iter().collect()
    }

    fn session(&mut self, verb: &str, id: &str) -> Result<Vec<TxnResult>, String> {
        if verb != "delete" {
            return Err(format!("unknown Session verb {verb:?}"));
        }
        let id = session_id(id).map_err(|error| error.to_string())?;
        self.rely_on(Key::Session(id.as_str().into()));
        if let Some(session) = self.state.session(&id) {
            let mut batch = Batch::default();
            end(session, &self.state, &mut batch);
            self.absorb(batch);
        }
        Ok(Vec::new())
    }

    /// A registration of something on a node that must be there.
    fn on(&self, node: &str) -> Result<Registration, String> {
        let node = self.state.node(node).ok_or_else(|| Error::NoSuchNode.to_string())?;
        Ok(Registration { node: Node::clone(node), skip_node_update: true, ..Registration::default() })
    }

    fn register(&mut self, registration: &Registration) -> Result<(), String> {
        let service = registration.service.as_ref();
        let refused = match decide(registration, &self.state) {
            _ if registration.node.node.is_empty() => Error::NoNode.to_string(),
            _ if service.is_some_and(|service| service.service.is_empty()) => Error::NoServiceName.to_string(),
            Ok(batch) => {
                self.absorb(batch);
                return Ok(());
            }
            Err(Error::NoSuchService(_)) => "Missing service registration".to_owned(),
            Err(error) => error.to_string(),
        };
        Err(refused)
    }

    fn remove(&mut self, remove: impl FnOnce(&State, &mut Batch)) {
        let mut batch = Batch::default();
        remove(&self.state, &mut batch);
        end_dependents(&self.state, &mut batch);
        self.absorb(batch);
    }
}

/// What was there before the transaction keeps the index of its creation, whatever happened to it in between.
fn known<T>(stored: &Stored<T>, base: Option<&Stored<T>>) -> Stored<T> {
    let create_index = base.map_or(stored.create_index, |base| base.create_index);
    Stored { create_index, ..stored.clone() }
}
