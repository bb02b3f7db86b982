//! The certificate authority's facts: configuration, roots, and the counter of serial numbers.

use std::sync::Arc;

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

    /// The same authority under other rules.
    pub async fn put_ca_config(&self, config: CaConfig) -> Result<Index, Error> {
        let config = Arc::new(config);
        let decide = |state: &State| {
            let mut batch = Batch::default();
            batch.guard(Key::CaConfig, state.revision(&Key::CaConfig));
            batch.puts.push(Fact::CaConfig(config.clone()));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
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
