//! What operators and agents say of the network and the servers.

use std::sync::Arc;

use model::NodeCoordinate;

use crate::error::Error;
use crate::fact::{Autopilot, Batch, Fact, Index, Key};
use crate::state::State;
use crate::store::Store;

impl Store {
    /// The place of a node. A node that is not in the catalog has none: its coordinate may just be late.
    pub async fn put_coordinate(&self, place: NodeCoordinate) -> Result<(), Error> {
        let place = Arc::new(place);
        let decide = |state: &State| {
            let mut batch = Batch::default();
            let known = state.coordinates_of(&place.node).find(|known| known.segment == place.segment);
            if state.node(&place.node).is_some() && known.is_none_or(|known| *known.value != *place) {
                batch.puts.push(Fact::Coordinate(place.clone()));
            }
            Ok((batch, ()))
        };
        self.write(decide).await.map(|_| ())
    }

    /// With `cas` only if it was last changed at that index. False: it was not.
    pub async fn put_autopilot(&self, autopilot: Autopilot, cas: Option<Index>) -> Result<bool, Error> {
        let autopilot = Arc::new(autopilot);
        let decide = |state: &State| {
            let revision = state.revision(&Key::Autopilot);
            let mut batch = Batch::default();
            // What nobody has written yet stands as written by the first index.
            let wanted = cas.is_none_or(|cas| cas == revision.max(1));
            if wanted {
                batch.puts.push(Fact::Autopilot(autopilot.clone()));
                if cas.is_some() {
                    batch.guard(Key::Autopilot, revision);
                }
            }
            Ok((batch, wanted))
        };
        self.write(decide).await.map(|(_, written)| written)
    }
}
