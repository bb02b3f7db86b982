//! User events: the newest few, the same on every server.

use std::sync::Arc;

use model::UserEvent;

use crate::error::Error;
use crate::fact::{Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

/// So many events are kept.
const EVENTS_LIMIT: usize = 256;

impl Store {
    /// Tells everybody; the oldest events make room.
    pub async fn fire_event(&self, event: UserEvent) -> Result<Index, Error> {
        let event = Arc::new(event);
        let decide = |state: &State| {
            let mut batch = Batch::default();
            let events = state.events();
            let surplus = (events.len() + 1).saturating_sub(EVENTS_LIMIT);
            batch.deletes.extend(events[..surplus].iter().map(|old| Key::Event(old.id.as_str().into())));
            batch.puts.push(Fact::Event(event.clone()));
            Ok((batch, ()))
        };
        self.write(decide).await.map(|(index, ())| index)
    }
}
