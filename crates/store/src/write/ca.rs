//! The certificate authority's facts: configuration, roots, and the counter of serial numbers.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::fact::{Batch, CaConfig, CaRoot, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

impl Store {
    /// Puts the first configuration and root, unless another server was faster: then nothing is written.
    pub async fn initialise_ca(&self, config: CaConfig, root: CaRoot, serial: u64) -> Result<Index, Error> {
        let (config, root) = (Arc::new(config), Arc::new(root));
        let decide = |state: &State| {
            let mut batch = Batch::default();
            if state.ca_config().is_none() {
                batch.guard(Key::CaConfig, 0);
                batch.puts.push(Fact::CaConfig(config.clone()));
                batch.puts.push(Fact::CaRoot(root.clone()));
                batch.puts.push(Fact::CaSerial(serial));
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }

    /// The same authority under other rules; or, with `root`, another root in the place of `active`. False: meanwhile
    /// another one had taken over, and nothing is written.
    pub async fn put_ca_config(
        &self,
        config: CaConfig,
        root: Option<CaRoot>,
        active: &str,
        now: SystemTime,
    ) -> Result<bool, Error> {
        let (config, root) = (Arc::new(config), root.map(Arc::new));
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let decide = |state: &State| {
            let mut batch = Batch::default();
            if !state.ca_roots().any(|root| root.active && root.id == active) {
                return Ok((batch, false));
            }
            if state.ca_config().is_none_or(|old| *old.value != *config) {
                batch.guard(Key::CaConfig, state.revision(&Key::CaConfig));
                batch.puts.push(Fact::CaConfig(config.clone()));
            }
            if let Some(root) = &root {
                retire(state, now, &mut batch);
                batch.puts.push(Fact::CaRoot(root.clone()));
            }
            Ok((batch, true))
        };
        self.write(decide).await.map(|(_, written)| written)
    }

    /// Removes roots that gave way to another one before `before`: no leaf of theirs is valid any more.
    pub async fn prune_ca_roots(&self, before: SystemTime) -> Result<(), Error> {
        let before = before.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let decide = |state: &State| {
            let mut batch = Batch::default();
            for root in state.ca_roots().filter(|root| !root.active && root.rotated_out_at < before) {
                let key = Key::CaRoot(root.id.as_str().into());
                batch.guard(key.clone(), root.modify_index);
                batch.deletes.push(key);
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|_| ())
    }

    /// The next serial number, given to nobody else, and the index at which it was taken.
    pub async fn next_serial(&self) -> Result<(Index, u64), Error> {
        let decide = |state: &State| {
            let next = state.ca_serial() + 1;
            let mut batch = Batch::default();
            batch.guard(Key::CaSerial, state.revision(&Key::CaSerial));
            batch.puts.push(Fact::CaSerial(next));
            Ok((batch, next))
        };
        self.write(decide).await
    }
}

/// Every root that is there gives way; all of them move, as they do in Consul.
fn retire(state: &State, now: u64, batch: &mut Batch) {
    for old in state.ca_roots() {
        batch.guard(Key::CaRoot(old.id.as_str().into()), old.modify_index);
        let rotated_out_at = if old.active { now } else { old.rotated_out_at };
        batch.puts.push(Fact::CaRoot(Arc::new(CaRoot { active: false, rotated_out_at, ..CaRoot::clone(old) })));
    }
}
