//! All facts as of one index: what guards are judged against, and what a reader begins with.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use crate::fact::{Batch, Fact, Guard, Index, Key};

/// A guard of 0 means "does not exist" and 1 is the index of an empty table, so the first change is at 2.
const FIRST: Index = 2;

/// Everything as of one index. A persistent map: a clone costs nothing and stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    index: Index,
    facts: OrdMap<Key, Row>,
    /// The names that live, where that is known across processes.
    pub(crate) live: Option<BTreeSet<Arc<str>>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    fact: Fact,
    created: Index,
    modified: Index,
}

impl Snapshot {
    pub(super) fn empty(index: Index) -> Self {
        Self { index, ..Self::default() }
    }

    /// The index of the newest change.
    pub fn index(&self) -> Index {
        self.index
    }

    pub(super) fn next_index(&self) -> Index {
        (self.index + 1).max(FIRST)
    }

    pub fn len(&self) -> usize {
        self.facts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Each with the indexes at which it was created and last changed; in the order of the keys.
    pub fn facts(&self) -> impl Iterator<Item = (&Fact, Index, Index)> {
        self.facts.values().map(|row| (&row.fact, row.created, row.modified))
    }

    /// Is every guarded fact as its guard wants it?
    pub(super) fn admits(&self, guards: &[Guard]) -> bool {
        let revision = |key| self.facts.get(key).map_or(0, |row| row.modified);
        guards.iter().all(|guard| revision(&guard.key) == guard.revision)
    }

    pub(super) fn apply(&mut self, index: Index, batch: &Batch) {
        self.index = index;
        for key in &batch.deletes {
            self.facts.remove(key);
        }
        for fact in &batch.puts {
            let row = Row { fact: fact.clone(), created: index, modified: index };
            match self.facts.entry(fact.key()) {
                imbl::ordmap::Entry::Occupied(mut old) => {
                    let created = old.get().created;
                    old.insert(Row { created, ..row });
                }
                imbl::ordmap::Entry::Vacant(free) => drop(free.insert(row)),
            }
        }
    }

    /// Puts a fact that was created and changed before.
    pub(super) fn restore(&mut self, fact: Fact, created: Index, modified: Index) {
        self.facts.insert(fact.key(), Row { fact, created, modified });
    }
}
