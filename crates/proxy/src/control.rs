//! The control thread: learns the plan, endpoints, leaf and roots, and hands the workers one snapshot of all.
//!
//! What cannot be learned now stays as it was last known, for ever; a source that fails is asked again with growing,
//! jittered pauses.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plan::{Plan, TargetId};
use telemetry::{ProxyLabels, Registry, Reporter};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::file::{self, Loaded};
use crate::follow;
use crate::hold::Waiting;
use crate::publish::Publisher;
use crate::sidecar::{Config, Phase, Source, advance};
use crate::snapshot::{Instance, Snapshot};
use crate::worker::ENDED;

/// A listener whose port is taken is tried again this often.
const BIND_AGAIN: Duration = Duration::from_secs(1);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// One report may take this long; the last one holds up a stop no longer.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// What is known so far. Parts are replaced whole, each by the one task that follows it.
#[derive(Default)]
pub(crate) struct Known {
    pub plan: Option<Arc<Plan>>,
    pub leaf: Option<Leaf>,
    pub roots: Option<Vec<String>>,
    pub endpoints: BTreeMap<TargetId, Arc<Vec<Instance>>>,
}

/// A certificate chain and its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub certificates: String,
    pub key: ca::PrivateKeyPem,
}

/// Shared by the tasks of the control thread.
pub(crate) struct Shared {
    pub known: RefCell<Known>,
    changed: Notify,
}

impl Shared {
    /// Changes what is known and has it published.
    pub fn update(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.borrow_mut());
        self.changed.notify_one();
    }

    /// Forgets instances of targets that no plan has any more, once the older plan is not served either.
    fn settle(&self, settled: impl FnOnce(&Arc<Plan>) -> bool) {
        let mut known = self.known.borrow_mut();
        if let Some(plan) = known.plan.clone().filter(settled) {
            known.endpoints.retain(|id, _| plan.targets.contains_key(id));
        }
    }
}

pub(crate) struct Control {
    config: Config,
    registry: Arc<Registry>,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    phase: watch::Sender<Phase>,
    applied: watch::Receiver<Vec<u64>>,
    workers: usize,
}

impl Control {
    pub fn new(
        config: Config,
        registry: Arc<Registry>,
        snapshots: watch::Sender<Option<Arc<Snapshot>>>,
        phase: watch::Sender<Phase>,
        applied: watch::Receiver<Vec<u64>>,
        workers: usize,
    ) -> Self {
        Self { config, registry, snapshots, phase, applied, workers }
    }
}

/// How the proxy is called in metrics before it knows its plan.
pub(crate) fn labels_before_a_plan(proxy_id: &str) -> ProxyLabels {
    ProxyLabels { proxy: proxy_id.to_owned(), ..ProxyLabels::default() }
}

pub(crate) fn run(control: Control, first: Option<Loaded>) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => LocalSet::new().block_on(&runtime, serve(control, first)),
        Err(error) => tracing::error!(%error, "the control thread has no runtime"),
    }
}

async fn serve(mut control: Control, first: Option<Loaded>) {
    let shared = Rc::new(Shared { known: RefCell::default(), changed: Notify::new() });
    let mut reports = None;
    match (&control.config.source, first) {
        (Source::Agent(client), _) => {
            let id = control.config.proxy_id.clone();
            let reporter = Rc::new(Reports::new(client.clone(), &id, control.registry.clone()));
            tokio::task::spawn_local(reporter.clone().every_second(control.snapshots.subscribe()));
            reports = Some(reporter);
            tokio::task::spawn_local(follow::agent(client.clone(), id, shared.clone()));
        }
        (Source::File(path), first) => {
            if let Some(first) = first {
                shared.update(|known| first.apply(known));
            }
            tokio::task::spawn_local(file::follow(path.clone(), shared.clone()));
        }
    }
    let mut publisher = Publisher::new(control.registry.clone(), control.workers);
    let mut phase = control.phase.subscribe();
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            () = shared.changed.notified() => {}
            () = again_at(waiting.again) => {}
            stop = phase.wait_for(|phase| *phase >= Phase::Draining) => {
                drop(stop);
                break;
            }
        }
        publish(&mut control, &shared, &mut publisher, &mut waiting).await;
    }
    if control.phase.borrow().eq(&Phase::Draining) {
        finish(&mut control, reports.as_deref(), &mut publisher).await;
    }
}

async fn publish(control: &mut Control, shared: &Shared, publisher: &mut Publisher, waiting: &mut Waiting) {
    waiting.again = None;
    let ready = {
        let known = shared.known.borrow();
        let (Some(plan), Some(leaf), Some(roots)) = (&known.plan, &known.leaf, &known.roots) else { return };
        let (plan, unknown) = waiting.serve(&known, plan);
        (plan, leaf.clone(), roots.clone(), known.endpoints.clone(), unknown)
    };
    let (plan, leaf, roots, endpoints, unknown) = ready;
    let snapshot = match publisher.snapshot(&plan, &leaf, &roots, endpoints, &unknown).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            tracing::error!(%error, "the new configuration cannot be used; going on with the old one");
            return;
        }
    };
    let sequence = snapshot.sequence;
    control.snapshots.send_replace(Some(Arc::new(snapshot)));
    // Workers answer at once; one that has died must not hold up the others' plans for ever.
    let all = control.applied.wait_for(|all| all.iter().all(|applied| *applied >= sequence));
    let applied = tokio::time::timeout(Duration::from_secs(5), all).await.is_ok_and(|all| all.is_ok());
    if !publisher.unbound.is_empty() {
        let again = Instant::now() + BIND_AGAIN;
        waiting.again = Some(waiting.again.map_or(again, |at| at.min(again)));
    } else if applied && unknown.is_empty() {
        shared.settle(|plan| waiting.is_settled(plan));
        control.phase.send_if_modified(|phase| advance(phase, Phase::Ready));
    }
}

async fn again_at(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The way of the counts to the agent. A task of its own: an agent that is slow to take them holds up no plan.
struct Reports {
    client: client::Client,
    path: String,
    reporter: Mutex<Reporter>,
}

impl Reports {
    fn new(client: client::Client, id: &str, registry: Arc<Registry>) -> Self {
        let path = format!("/v1/agent/connect/proxy/{id}/report");
        Self { client, path, reporter: Mutex::new(Reporter::new(registry)) }
    }

    async fn every_second(self: Rc<Self>, mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>) {
        // Before its first plan the proxy knows no name to report under.
        if snapshots.wait_for(Option::is_some).await.is_err() {
            return;
        }
        let first = tokio::time::Instant::now() + telemetry::first_report_in(SystemTime::now(), fastrand::f64());
        let mut ticks = tokio::time::interval_at(first, REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            self.send(false).await;
        }
    }

    async fn send(&self, last: bool) {
        let mut reporter = self.reporter.lock().await;
        let mut report = if last { reporter.last(now_ms()) } else { reporter.report(now_ms()) };
        let mut answer = tokio::time::timeout(REPORT_TIMEOUT, self.client.put(&self.path, &report)).await;
        // The last word may be too long for one report.
        while last && matches!(answer, Ok(Ok(_))) && {
            reporter.delivered(report.sequence);
            reporter.has_more()
        } {
            report = reporter.last(now_ms());
            answer = tokio::time::timeout(REPORT_TIMEOUT, self.client.put(&self.path, &report)).await;
        }
        match answer {
            Ok(Ok(_)) => reporter.delivered(report.sequence),
            Ok(Err(error)) if last => tracing::warn!(%error, "the agent did not take the last report"),
            Ok(Err(error)) => tracing::debug!(%error, "the agent did not take a report"),
            Err(_) => tracing::debug!("the agent did not take a report in time"),
        }
    }
}

/// After the workers: what they counted last is in the last report.
async fn finish(control: &mut Control, reports: Option<&Reports>, publisher: &mut Publisher) {
    let mut phase = control.phase.subscribe();
    let ended = control.applied.wait_for(|all| all.iter().all(|applied| *applied == ENDED));
    tokio::select! {
        _ = tokio::time::timeout(control.config.drain_timeout + Duration::from_secs(1), ended) => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Stopped) => return,
    }
    if let Some(reports) = reports.filter(|_| control.snapshots.borrow().is_some()) {
        reports.send(true).await;
    }
    publisher.flush().await;
}
