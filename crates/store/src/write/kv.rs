//! Writing keys: plainly, by compare-and-set, and as locks of sessions.

use std::sync::Arc;

use model::{Blob, KvEntry};

use super::session::known_session;
use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

/// When a key is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KvCondition {
    #[default]
    Always,
    /// Last changed at this index; 0: does not exist.
    Cas(Index),
    /// Held by nobody or by this session, which holds it from then on.
    Lock(String),
    /// Held by this session, which lets go.
    Unlock(String),
}

/// A key to write.
#[derive(Debug, Clone, Default)]
pub struct KvWrite {
    pub key: String,
    pub value: Blob,
    pub flags: u64,
    pub condition: KvCondition,
}

impl Store {
    /// False: the condition does not hold, or the key is under lock-delay.
    pub async fn put_kv(&self, write: &KvWrite) -> Result<bool, Error> {
        let decide = |state: &State| {
            if matches!(write.condition, KvCondition::Lock(_)) && self.lock_delayed(&write.key) {
                return Ok((Batch::default(), false));
            }
            let batch = decide_put(write, state)?;
            let met = batch.is_some();
            Ok((batch.unwrap_or_default(), met))
        };
        self.write(decide).await.map(|(_, met)| met)
    }

    /// Removes a key, with `cas` only if it was last changed at that index. Removing nothing is no error.
    pub async fn delete_kv(&self, key: &str, cas: Option<Index>) -> Result<bool, Error> {
        let decide = |state: &State| {
            let batch = decide_delete(key, cas, state);
            let met = batch.is_some();
            Ok((batch.unwrap_or_default(), met))
        };
        self.write(decide).await.map(|(_, met)| met)
    }

    /// Removes every key that begins with `prefix`.
    pub async fn delete_kv_tree(&self, prefix: &str) -> Result<Index, Error> {
        let decide = |state: &State| Ok((decide_delete_tree(prefix, state), ()));
        self.write(decide).await.map(|(index, ())| index)
    }
}

/// None: the condition does not hold. An equal entry is written without moving its index: the batch is empty.
pub(super) fn decide_put(write: &KvWrite, state: &State) -> Result<Option<Batch>, Error> {
    let old = state.kv(&write.key);
    let held = old.map_or("", |old| old.session.as_str());
    let mut batch = Batch::default();
    let (session, lock_index) = match &write.condition {
        KvCondition::Always => (held, 0),
        KvCondition::Cas(cas) if *cas == old.map_or(0, |old| old.modify_index) => (held, 0),
        KvCondition::Cas(_) => return Ok(None),
        KvCondition::Lock(id) => {
            let session = known_session(id, state)?;
            let locks = old.map_or(0, |old| old.lock_index);
            let locks = match held {
                "" => locks + 1,
                holder if holder == session.id => locks,
                _ => return Ok(None),
            };
            // A session that ends meanwhile must not leave a lock behind.
            batch.guard(Key::Session(session.id.as_str().into()), session.modify_index);
            (session.id.as_str(), locks)
        }
        KvCondition::Unlock(id) if id.is_empty() => return Err(Error::MissingSession),
        KvCondition::Unlock(id) => match old {
            Some(old) if !held.is_empty() && held.eq_ignore_ascii_case(id) => ("", old.lock_index),
            _ => return Ok(None),
        },
    };
    let same = old.is_some_and(|old| {
        old.value.value == write.value && old.flags == write.flags && old.lock_index == lock_index && held == session
    });
    let key: Arc<str> = write.key.as_str().into();
    batch.guard(Key::Kv(key), old.map_or(0, |old| old.modify_index));
    if !same {
        let entry = KvEntry {
            key: write.key.clone(),
            value: write.value.clone(),
            flags: write.flags,
            lock_index,
            session: session.to_owned(),
        };
        batch.puts.push(Fact::Kv(Arc::new(entry)));
    }
    Ok(Some(batch))
}

/// None: the condition does not hold.
pub(super) fn decide_delete(key: &str, cas: Option<Index>, state: &State) -> Option<Batch> {
    let mut batch = Batch::default();
    let Some(old) = state.kv(key) else {
        batch.guard(Key::Kv(key.into()), 0);
        return Some(batch);
    };
    if cas.is_some_and(|cas| cas != old.modify_index) {
        return None;
    }
    let key = Key::Kv(key.into());
    if cas.is_some() {
        batch.guard(key.clone(), old.modify_index);
    }
    batch.deletes.push(key);
    Some(batch)
}

pub(super) fn decide_delete_tree(prefix: &str, state: &State) -> Batch {
    let deletes = state.kv_under(prefix).map(|entry| Key::Kv(entry.key.as_str().into())).collect();
    Batch { deletes, ..Batch::default() }
}
