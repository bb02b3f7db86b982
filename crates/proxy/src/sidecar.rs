//! A running sidecar: one control thread, and workers that own everything a request touches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use telemetry::{Direction, Registry};
use tokio::sync::watch;

use crate::Error;
use crate::control::{self, Control};
use crate::file::PlanFile;
use crate::snapshot::Snapshot;
use crate::worker;

/// How long a drain waits for requests in flight.
pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// More than this is a mistake in a flag, not a machine.
pub const MAX_WORKERS: usize = 256;

/// Where the plan, the endpoints and the certificates come from.
#[derive(Clone)]
pub enum Source {
    /// The agent that runs on this node.
    Agent(client::Client),
    /// A file; no control plane at all.
    File(PathBuf),
}

/// What a sidecar needs to start.
#[derive(Clone)]
pub struct Config {
    /// The proxy's own service id, `web-sidecar-proxy`.
    pub proxy_id: String,
    pub source: Source,
    /// Threads that serve traffic. One is right for a sidecar.
    pub workers: usize,
    pub drain_timeout: Duration,
}

impl Config {
    pub fn agent(proxy_id: &str, client: client::Client) -> Self {
        Self {
            proxy_id: proxy_id.to_owned(),
            source: Source::Agent(client),
            workers: 1,
            drain_timeout: DEFAULT_DRAIN_TIMEOUT,
        }
    }

    /// From a plan file (see [`PlanFile`](crate::PlanFile)); the proxy's id is the plan's.
    pub fn file(path: PathBuf) -> Self {
        Self { proxy_id: String::new(), source: Source::File(path), workers: 1, drain_timeout: DEFAULT_DRAIN_TIMEOUT }
    }
}

/// How far a sidecar is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Starting,
    Ready,
    Draining,
    Stopped,
}

/// A running sidecar. Dropping it stops it at once; [`drain`](Self::drain) stops it gently.
pub struct Sidecar {
    registry: Arc<Registry>,
    phase: watch::Sender<Phase>,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    threads: Vec<JoinHandle<()>>,
    drain_timeout: Duration,
}

impl Sidecar {
    /// Starts the threads. With a plan file, a file that cannot be used is an error here; with an agent the sidecar
    /// asks until it gets a plan.
    ///
    /// # Errors
    /// The plan file or its certificates cannot be used, or a thread cannot be started.
    pub fn start(config: Config) -> Result<Self, Error> {
        let first = match &config.source {
            Source::File(path) => Some(PlanFile::load(path)?),
            Source::Agent(_) => None,
        };
        let registry = Registry::new(control::labels_before_a_plan(&config.proxy_id));
        let (phase, _) = watch::channel(Phase::Starting);
        let (publish, snapshots) = watch::channel(None);
        let workers = config.workers.clamp(1, MAX_WORKERS);
        let (applied, applies) = worker::applied_channel(workers);
        let mut threads = Vec::with_capacity(workers + 1);
        for index in 0..workers {
            let context = worker::Context {
                index,
                workers,
                snapshots: snapshots.clone(),
                phase: phase.clone(),
                recorder: registry.recorder(),
                applied: applied.clone(),
                drain_timeout: config.drain_timeout,
            };
            threads.push(spawn(format!("mesh-worker-{index}"), move || worker::run(context))?);
        }
        let drain_timeout = config.drain_timeout;
        let control = Control::new(config, registry.clone(), publish, phase.clone(), applies, workers);
        threads.push(spawn("mesh-control".to_owned(), move || control::run(control, first))?);
        Ok(Self { registry, phase, snapshots, threads, drain_timeout })
    }

    /// Returns once every listener of the first plan accepts connections.
    pub async fn ready(&self) {
        let mut phase = self.phase.subscribe();
        // An error means that the sender is gone, which cannot be while `self` lives.
        let _ = phase.wait_for(|phase| *phase >= Phase::Ready).await;
    }

    /// Where the listeners listen, by name: the kernel's choice where the plan says port 0.
    pub fn addresses(&self) -> BTreeMap<(Direction, String), SocketAddr> {
        let snapshot = self.snapshots.borrow().clone();
        let Some(snapshot) = snapshot else { return BTreeMap::new() };
        snapshot.sockets.values().map(|s| ((s.direction, s.name.clone()), s.local)).collect()
    }

    pub fn telemetry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// Stops accepting, lets requests in flight end (up to the drain timeout), sends the last report and ends the
    /// threads.
    pub async fn drain(mut self) {
        self.registry.set_live(false);
        self.phase.send_if_modified(|phase| advance(phase, Phase::Draining));
        let threads = std::mem::take(&mut self.threads);
        // The workers end by themselves; a little more than their own limit is only for a thread that hangs.
        let limit = self.drain_timeout + Duration::from_secs(5);
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|t| drop(t.join())));
        if tokio::time::timeout(limit, joined).await.is_err() {
            tracing::warn!("the sidecar's threads did not end within {limit:?}");
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        self.phase.send_if_modified(|phase| advance(phase, Phase::Stopped));
    }
}

pub(crate) fn advance(phase: &mut Phase, to: Phase) -> bool {
    let forward = to > *phase;
    if forward {
        *phase = to;
    }
    forward
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name).spawn(body).map_err(Error::Thread)
}
