//! Intentions: one for each pair of names.

use std::sync::Arc;

use model::Intention;

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

impl Store {
    /// A new intention; its id is the caller's to choose.
    pub async fn create_intention(&self, intention: Intention) -> Result<Index, Error> {
        let intention = Arc::new(intention);
        let decide = |state: &State| {
            refuse_duplicate(&intention, state)?;
            Ok((put(&intention, state), ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Changes the intention with this id; its creation time stays.
    pub async fn update_intention(&self, intention: Intention) -> Result<Index, Error> {
        let decide = |state: &State| {
            let id = &intention.id;
            let old = state.intention(id).ok_or_else(|| Error::NoSuchIntention(id.clone()))?;
            refuse_duplicate(&intention, state)?;
            let new = Arc::new(Intention { created_at: old.created_at.clone(), ..intention.clone() });
            let mut batch = put(&new, state);
            let key = Key::intention(old);
            if key != Key::intention(&new) {
                batch.guard(key.clone(), old.modify_index);
                batch.deletes.push(key);
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// Creates or changes the intention of a pair of names; `intention.id` counts only for a new one.
    pub async fn upsert_intention(&self, intention: Intention) -> Result<Index, Error> {
        let decide = |state: &State| {
            let new = match state.intention_of(&intention.source_name, &intention.destination_name) {
                Some(old) => {
                    let (id, created_at) = (old.id.clone(), old.created_at.clone());
                    Arc::new(Intention { id, created_at, ..intention.clone() })
                }
                None => Arc::new(intention.clone()),
            };
            Ok((put(&new, state), ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    pub async fn delete_intention(&self, id: &str) -> Result<Index, Error> {
        let decide = |state: &State| {
            let old = state.intention(id).ok_or_else(|| Error::NoIntentionToDelete(id.to_owned()))?;
            let key = Key::intention(old);
            let mut batch = Batch::default();
            batch.guard(key.clone(), old.modify_index);
            batch.deletes.push(key);
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }
}

fn refuse_duplicate(intention: &Intention, state: &State) -> Result<(), Error> {
    let other = state.intention_of(&intention.source_name, &intention.destination_name);
    match other.filter(|other| other.id != intention.id) {
        Some(other) => Err(Error::DuplicateIntention(Box::new(Intention::clone(other)))),
        None => Ok(()),
    }
}

fn put(intention: &Arc<Intention>, state: &State) -> Batch {
    let key = Key::intention(intention);
    let mut batch = Batch::default();
    batch.guard(key.clone(), state.revision(&key));
    batch.puts.push(Fact::Intention(intention.clone()));
    batch
}
