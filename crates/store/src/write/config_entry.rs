//! Central configuration.

use std::sync::Arc;

use model::{ConfigEntry, EntryKind};

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;
use crate::write::entry_rules;

impl Store {
    /// Writes an entry; with `cas` only if it was last changed at that index (0: if it does not exist). False: it was
    /// not. Writing an equal entry moves its index all the same, as in Consul.
    pub async fn put_config(&self, entry: ConfigEntry, cas: Option<Index>) -> Result<bool, Error> {
        entry_rules::check(&entry).map_err(Error::Entry)?;
        let entry = Arc::new(entry);
        let decide = |state: &State| {
            let key = Key::config(entry.kind(), entry.name());
            let revision = state.revision(&key);
            let mut batch = Batch::default();
            let wanted = cas.is_none_or(|cas| cas == revision);
            if wanted {
                batch.puts.push(Fact::Config(entry.clone()));
                if cas.is_some() {
                    batch.guard(key, revision);
                }
            }
            Ok((batch, wanted))
        };
        self.write(decide).await.map(|(_, written)| written)
    }

    /// Removes an entry, with `cas` only if it was last changed at that index. Removing nothing is no error.
    pub async fn delete_config(&self, kind: EntryKind, name: &str, cas: Option<Index>) -> Result<bool, Error> {
        let decide = |state: &State| {
            let key = Key::config(kind, name);
            let revision = state.revision(&key);
            let mut batch = Batch::default();
            let wanted = cas.is_none_or(|cas| cas == revision);
            if wanted && revision != 0 {
                batch.guard(key.clone(), revision);
                batch.deletes.push(key);
            }
            Ok((batch, wanted))
        };
        self.write(decide).await.map(|(_, removed)| removed)
    }
}
