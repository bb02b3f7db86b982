//! Central configuration.

use std::sync::Arc;

use model::{ConfigEntry, EntryKind};

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key, lower};
use crate::state::State;
use crate::store::Store;
use crate::write::entry_rules;

/// The configuration as it would be after a write, for those who judge whether it still makes sense as a whole.
pub struct Proposal<'a> {
    state: &'a State,
    kind: EntryKind,
    name: &'a str,
    entry: Option<&'a ConfigEntry>,
}

impl<'a> Proposal<'a> {
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    pub fn name(&self) -> &'a str {
        self.name
    }

    /// None: it is to be removed.
    pub fn entry(&self) -> Option<&'a ConfigEntry> {
        self.entry
    }

    /// Every entry of a kind.
    pub fn configs(&self, kind: EntryKind) -> impl Iterator<Item = &'a ConfigEntry> {
        let changed = self.kind == kind;
        let (name, new) = (self.name, self.entry.filter(|_| changed));
        self.state.configs_of(kind).filter(move |entry| !(changed && lower(entry.name()) == lower(name))).chain(new)
    }
}

/// Whether an entry of this kind is part of chains.
fn is_linked(kind: EntryKind) -> bool {
    matches!(
        kind,
        EntryKind::ProxyDefaults
            | EntryKind::ServiceDefaults
            | EntryKind::ServiceRouter
            | EntryKind::ServiceSplitter
            | EntryKind::ServiceResolver
            | EntryKind::IngressGateway
            | EntryKind::TerminatingGateway
    )
}

/// Serialises writes that are judged as a whole: the judgement holds for the state that the write is applied to.
pub(super) fn serialise(batch: &mut Batch, state: &State) {
    batch.guard(Key::ConfigSerial, state.revision(&Key::ConfigSerial));
    batch.puts.push(Fact::ConfigSerial(state.config_serial() + 1));
}

impl Store {
    /// Writes an entry; with `cas` only if it was last changed at that index (0: if it does not exist). False: it was
    /// not. Writing an equal entry moves its index all the same, as in Consul. `judge` may refuse the whole.
    pub async fn put_config(
        &self,
        entry: ConfigEntry,
        cas: Option<Index>,
        judge: impl Fn(&Proposal<'_>) -> Result<(), String>,
    ) -> Result<bool, Error> {
        entry_rules::check(&entry).map_err(Error::Entry)?;
        let entry = Arc::new(entry);
        let decide = |state: &State| put(state, &entry, cas, &judge);
        self.write(decide).await.map(|(_, written)| written)
    }

    /// The state now, and as it would be with this entry written; or why the entry would be refused.
    pub fn rehearse_config(
        &self,
        entry: ConfigEntry,
        judge: impl Fn(&Proposal<'_>) -> Result<(), String>,
    ) -> Result<(Arc<State>, State), Error> {
        entry_rules::check(&entry).map_err(Error::Entry)?;
        let entry = Arc::new(entry);
        self.rehearse(|state| put(state, &entry, None, &judge))
    }

    /// Removes an entry, with `cas` only if it was last changed at that index. Removing nothing is no error.
    pub async fn delete_config(
        &self,
        kind: EntryKind,
        name: &str,
        cas: Option<Index>,
        judge: impl Fn(&Proposal<'_>) -> Result<(), String>,
    ) -> Result<bool, Error> {
        let decide = |state: &State| {
            let key = Key::config(kind, name);
            let revision = state.revision(&key);
            let mut batch = Batch::default();
            let wanted = cas.is_none_or(|cas| cas == revision);
            if wanted && revision != 0 {
                judge(&Proposal { state, kind, name, entry: None }).map_err(Error::Entry)?;
                if is_linked(kind) {
                    serialise(&mut batch, state);
                }
                batch.guard(key.clone(), revision);
                batch.deletes.push(key);
            }
            Ok((batch, wanted))
        };
        self.write(decide).await.map(|(_, removed)| removed)
    }
}

fn put(
    state: &State,
    entry: &Arc<ConfigEntry>,
    cas: Option<Index>,
    judge: &impl Fn(&Proposal<'_>) -> Result<(), String>,
) -> Result<(Batch, bool), Error> {
    let (kind, name) = (entry.kind(), entry.name());
    let key = Key::config(kind, name);
    let revision = state.revision(&key);
    let mut batch = Batch::default();
    let wanted = cas.is_none_or(|cas| cas == revision);
    if wanted {
        judge(&Proposal { state, kind, name, entry: Some(entry) }).map_err(Error::Entry)?;
        if is_linked(kind) {
            serialise(&mut batch, state);
        }
        batch.puts.push(Fact::Config(entry.clone()));
        if cas.is_some() {
            batch.guard(key, revision);
        }
    }
    Ok((batch, wanted))
}
