//! A table of facts that are named by one text and looked up by nothing else.

use std::ops::RangeFrom;
use std::sync::Arc;

use imbl::OrdMap;

use super::{Name, Stored, stored};
use crate::fact::Index;

#[derive(Debug)]
pub(super) struct Table<T> {
    rows: OrdMap<Name, Stored<T>>,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { rows: self.rows.clone() }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: OrdMap::new() }
    }
}

impl<T> Table<T> {
    pub(super) fn get(&self, name: &str) -> Option<&Stored<T>> {
        self.rows.get(name)
    }

    /// In the order of the names.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Stored<T>> {
        self.rows.values()
    }

    /// Those whose name begins with `prefix`, in order.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Stored<T>> {
        let from: RangeFrom<Name> = prefix.into()..;
        self.rows.range(from).take_while(move |(name, _)| name.starts_with(prefix)).map(|(_, row)| row)
    }

    /// Gives what was there before.
    pub(super) fn put(&mut self, name: Name, value: &Arc<T>, created: Index, modified: Index) -> Option<Stored<T>> {
        let new = stored(value, self.rows.get(&name), created, modified);
        self.rows.insert(name, new)
    }

    pub(super) fn delete(&mut self, name: &str) -> Option<Stored<T>> {
        self.rows.remove(name)
    }

    /// What a guard on `name` must say.
    pub(super) fn revision(&self, name: &str) -> Index {
        self.rows.get(name).map_or(0, |row| row.modify_index)
    }
}
