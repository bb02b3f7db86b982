//! The task behind StatsD and DogStatsD: every interval, what changed, in as few datagrams as will hold it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::datagram::Socket;
use super::deltas::Deltas;
use super::url::Destination;
use super::{dogstatsd, statsd};
use crate::registry::{Registry, Snapshot};

/// Datagrams sent in a row before others get a turn: a receiver's default buffer holds about a hundred.
const BURST: usize = 32;
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    StatsD,
    DogStatsD,
}

impl Dialect {
    pub fn setting(self) -> &'static str {
        match self {
            Self::StatsD => "envoy_statsd_url",
            Self::DogStatsD => "envoy_dogstatsd_url",
        }
    }

    fn datagrams(self, snapshot: &Snapshot, deltas: &mut Deltas) -> Vec<Vec<u8>> {
        match self {
            Self::StatsD => statsd::datagrams(snapshot, deltas),
            Self::DogStatsD => dogstatsd::datagrams(snapshot, deltas),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Push(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Arc<Registry>,
    dialect: Dialect,
    to: Destination,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    socket: Option<Arc<Socket>>,
    deltas: Deltas,
    told: bool,
}

impl Push {
    pub fn new(registry: Arc<Registry>, dialect: Dialect, to: Destination, deltas: Option<Deltas>) -> Self {
        let state = State { deltas: deltas.unwrap_or_default(), ..State::default() };
        Self(Arc::new(Inner { registry, dialect, to, state: Mutex::new(state) }))
    }

    pub fn into_deltas(self) -> Deltas {
        std::mem::take(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner).deltas)
    }

    pub async fn run(self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.flush().await;
        }
    }

    pub async fn flush(&self) {
        let Some((socket, datagrams)) = self.prepare() else { return };
        let mut lost = 0;
        for (sent, datagram) in datagrams.iter().enumerate() {
            if sent > 0 && sent.is_multiple_of(BURST) {
                tokio::time::sleep(PAUSE).await;
            }
            lost += socket.send(datagram);
        }
        if lost > 0 {
            self.0.registry.count_sink_drops(lost);
        }
    }

    /// Without a socket nothing is taken from the differences, so nothing is lost while there is none.
    fn prepare(&self) -> Option<(Arc<Socket>, Vec<Vec<u8>>)> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = match &state.socket {
            Some(socket) => socket.clone(),
            None => match Socket::open(&self.0.to) {
                Ok(socket) => state.socket.insert(Arc::new(socket)).clone(),
                Err(e) => {
                    if !std::mem::replace(&mut state.told, true) {
                        tracing::warn!("{}: cannot open a socket to {:?}: {e}", self.0.dialect.setting(), self.0.to);
                    }
                    return None;
                }
            },
        };
        let datagrams = self.0.dialect.datagrams(&self.0.registry.snapshot(), &mut state.deltas);
        Some((socket, datagrams))
    }
}
