//! The tasks of the checks, kept equal to what is registered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{CheckDefinition, CheckKind, Status};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::thresholds::Thresholds;
use crate::agent::Agent;

/// A check that never passed is asked again after this, then after twice as long each time, up to its interval. Consul
/// waits up to a whole interval, so nothing flows through a new mesh for ten seconds.
const RAMP_START: Duration = Duration::from_millis(100);
/// Failures of a check this young are not told: its application is just being started.
const GRACE: Duration = Duration::from_secs(1);

struct Task {
    generation: u64,
    abort: AbortHandle,
    /// Of a TTL check: a new report starts its time again.
    ttl: Option<Ttl>,
}

/// Tells the task of a TTL check that the application has spoken.
type Ttl = watch::Sender<()>;

/// One task per running check.
#[derive(Default)]
pub(crate) struct Runner {
    tasks: BTreeMap<String, Task>,
}

impl Runner {
    /// Starts, restarts or ends the task of one check, until it is that of `wanted`.
    pub fn reconcile(&mut self, agent: &Arc<Agent>, id: &str, wanted: Option<(u64, &CheckDefinition)>) {
        let running = self.tasks.get(id).map(|task| task.generation);
        if running == wanted.map(|(generation, _)| generation) {
            return;
        }
        if let Some(task) = self.tasks.remove(id) {
            task.abort.abort();
        }
        let Some((generation, check)) = wanted else { return };
        let (ttl, spoken) = watch::channel(());
        let ttl = matches!(check.kind, CheckKind::Ttl(_)).then_some(ttl);
        let running = run(Arc::clone(agent), id.to_owned(), generation, check.clone(), spoken);
        let abort = tokio::spawn(running).abort_handle();
        self.tasks.insert(id.to_owned(), Task { generation, abort, ttl });
    }

    /// The application has reported: its time starts again. False when the id is no TTL check.
    pub fn touch(&self, id: &str) -> bool {
        let ttl = self.tasks.get(id).and_then(|task| task.ttl.as_ref());
        ttl.is_some_and(|ttl| ttl.send(()).is_ok())
    }

    pub fn stop(&mut self) {
        for task in self.tasks.values() {
            task.abort.abort();
        }
        self.tasks.clear();
    }
}

async fn run(agent: Arc<Agent>, id: String, generation: u64, check: CheckDefinition, mut spoken: watch::Receiver<()>) {
    match &check.kind {
        CheckKind::Ttl(limit) => ttl(&agent, &id, generation, *limit, &mut spoken).await,
        CheckKind::Alias { node, service_id } if !node.is_empty() && *node != agent.config().node.node => {
            super::alias::follow(&agent, &id, generation, node, service_id).await;
        }
        // Aliases of this node are settled by the state itself, at once.
        CheckKind::Alias { .. } => {}
        _ => ask_again_and_again(&agent, &id, generation, &check).await,
    }
}

/// Silence for longer than the limit is critical.
async fn ttl(agent: &Agent, id: &str, generation: u64, limit: Duration, spoken: &mut watch::Receiver<()>) {
    loop {
        match tokio::time::timeout(limit, spoken.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                let last = agent.check_output(id);
                let output = match last.as_str() {
                    "" => "TTL expired".to_owned(),
                    last => format!("TTL expired (last output before timeout follows): {last}"),
                };
                agent.report_check(id, generation, Status::Critical, output);
                if spoken.changed().await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn ask_again_and_again(agent: &Agent, id: &str, generation: u64, check: &CheckDefinition) {
    let started = Instant::now();
    let mut thresholds = Thresholds::of(check);
    // A program is not run ten times a second, and has more to say about a failure than that nobody listens yet.
    let program = starts_programs(&check.kind);
    let mut ramp = Some(if program { check.interval } else { RAMP_START });
    loop {
        let asked = Instant::now();
        let (found, output) = super::probe(check, agent.config()).await;
        measure(agent, check, found, asked.elapsed());
        let young = !program && ramp.is_some() && started.elapsed() < GRACE;
        if let Some(status) = thresholds.believe(found) {
            if status != Status::Critical {
                ramp = None;
            }
            if status != Status::Critical || !young {
                let limit = super::output_limit(check, agent.config()) + CAPTION_BYTES;
                agent.report_check(id, generation, status, super::cut(&output, limit).to_owned());
            }
        }
        let pause = match ramp {
            Some(pause) if pause < check.interval => {
                ramp = Some(pause * 2);
                pause
            }
            // Many checks registered together must not go on being asked together.
            Some(_) => {
                ramp = None;
                check.interval.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
            None => check.interval,
        };
        tokio::time::sleep(pause).await;
    }
}

fn measure(agent: &Agent, check: &CheckDefinition, found: Status, time: Duration) {
    let labels = vec![("type", check.kind.name().into()), ("status", found.as_str().into())];
    agent.config().metrics.took("agent.check", labels, time);
}

fn starts_programs(kind: &CheckKind) -> bool {
    kind.runs_programs() || matches!(kind, CheckKind::OsService(_))
}

/// Room for the words around a captured body.
const CAPTION_BYTES: usize = 4096;
