//! Intentions one by one: each is a source of the `service-intentions` entry of its destination.

use std::sync::Arc;

use model::{EntryKind, Intention, ServiceIntentions};

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key, lower};
use crate::state::State;
use crate::store::Store;

impl Store {
    /// A new intention; its id is the caller's to choose.
    pub async fn create_intention(&self, intention: Intention) -> Result<Index, Error> {
        let decide = |state: &State| {
            refuse_duplicate(&intention, state)?;
            let mut batch = Batch::default();
            edit(state, &intention.destination_name, &mut batch, |rules| rules.set(&intention));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Changes the intention with this id; its creation time stays.
    pub async fn update_intention(&self, intention: Intention) -> Result<Index, Error> {
        let decide = |state: &State| {
            let id = &intention.id;
            let old = state.intention(id).ok_or_else(|| Error::NoSuchIntention(id.clone()))?;
            refuse_duplicate(&intention, state)?;
            let new = Intention { created_at: old.created_at.clone(), ..intention.clone() };
            let mut batch = Batch::default();
            if lower(&old.destination_name) == lower(&new.destination_name) {
                edit(state, &new.destination_name, &mut batch, |rules| {
                    rules.remove(&old.source_name);
                    rules.set(&new);
                });
            } else {
                edit(state, &old.destination_name, &mut batch, |rules| rules.remove(&old.source_name));
                edit(state, &new.destination_name, &mut batch, |rules| rules.set(&new));
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Creates or changes the intention of a pair of names; `intention.id` counts only for a new one.
    pub async fn upsert_intention(&self, intention: Intention) -> Result<Index, Error> {
        self.write(|state| Ok((upsert(state, &intention), ()))).await.map(|(index, ())| index)
    }

    /// The state now, and as it would be with this intention created or changed.
    pub fn rehearse_intention(&self, intention: &Intention) -> Result<(Arc<State>, State), Error> {
        self.rehearse(|state| Ok((upsert(state, intention), ())))
    }

    pub async fn delete_intention(&self, id: &str) -> Result<Index, Error> {
        let decide = |state: &State| {
            let old = state.intention(id).ok_or_else(|| Error::NoIntentionToDelete(id.to_owned()))?;
            let mut batch = Batch::default();
            edit(state, &old.destination_name, &mut batch, |rules| rules.remove(&old.source_name));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Removes the intention of a pair of names, if there is one.
    pub async fn delete_intention_of(&self, source: &str, destination: &str) -> Result<Index, Error> {
        let decide = |state: &State| {
            let mut batch = Batch::default();
            if state.intention_of(source, destination).is_some() {
                edit(state, destination, &mut batch, |rules| rules.remove(source));
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }
}

fn upsert(state: &State, intention: &Intention) -> Batch {
    let mut new = intention.clone();
    if let Some(old) = state.intention_of(&intention.source_name, &intention.destination_name) {
        new.id.clone_from(&old.id);
        new.created_at.clone_from(&old.created_at);
    }
    let mut batch = Batch::default();
    edit(state, &new.destination_name, &mut batch, |rules| rules.set(&new));
    batch
}

fn refuse_duplicate(intention: &Intention, state: &State) -> Result<(), Error> {
    let other = state.intention_of(&intention.source_name, &intention.destination_name);
    match other.filter(|other| other.id != intention.id) {
        Some(other) => Err(Error::DuplicateIntention(Box::new(Intention::clone(other)))),
        None => Ok(()),
    }
}

/// Changes the entry of one destination; without sources it goes.
fn edit(state: &State, destination: &str, batch: &mut Batch, change: impl FnOnce(&mut ServiceIntentions)) {
    let stored = state.config(EntryKind::ServiceIntentions, destination);
    let mut rules = stored.and_then(|entry| entry.intentions()).unwrap_or_else(|| ServiceIntentions::of(destination));
    change(&mut rules);
    let key = Key::config(EntryKind::ServiceIntentions, destination);
    batch.guard(key.clone(), state.revision(&key));
    match rules.sources.is_empty() {
        true => batch.deletes.push(key),
        false => batch.puts.push(Fact::Config(Arc::new(rules.into_entry()))),
    }
}
