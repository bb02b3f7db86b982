//! The agent: its parts, and the calls the API makes.

mod gauges;
mod identity;
mod registry;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use client::{Client, Query};
use model::{CheckDefinition, EntryKind, ServiceDefinition, ServiceKind};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::central::Central;
use crate::checks::Runner;
use crate::config::Config;
use crate::error::Error;
use crate::follow::follow;
use crate::intentions::Intentions;
use crate::leaf::Leaves;
use crate::local::State;
use crate::plans::{PlanVersion, Plans};
use crate::roots::Roots;
use crate::storage::Storage;
use crate::syncer::Syncer;
use crate::tokens::Tokens;

pub use identity::Decision;
pub use registry::ServiceHealth;

/// A running agent. Registrations go in, the catalog, certificates, decisions and plans come out.
pub struct Agent {
    config: Config,
    client: Client,
    state: Mutex<State>,
    /// Locked around a change and its writing, so that of two changes the later one stays on disk.
    storage: Mutex<Option<Storage>>,
    /// Counts changes of the local state or of what is merged into it.
    version: watch::Sender<u64>,
    runner: Mutex<Runner>,
    central: RwLock<Arc<Central>>,
    roots: watch::Sender<Option<Roots>>,
    leaves: Leaves,
    intentions: Intentions,
    plans: Plans,
    replan: Notify,
    resync: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Agent {
    /// Starts an agent and its tasks. They end with [`shutdown`](Self::shutdown) or [`leave`](Self::leave).
    pub fn start(config: Config, client: Client) -> Arc<Self> {
        Self::start_with(config, client, Vec::new(), Vec::new()).0
    }

    /// The same with what the definition files say, and what was registered before the agent's last end: all of it is
    /// there before anything is compared with the catalog. Gives the definitions that were refused.
    pub fn start_with(
        config: Config,
        client: Client,
        services: Vec<ServiceDefinition>,
        checks: Vec<CheckDefinition>,
    ) -> (Arc<Self>, Vec<Error>) {
        let storage = config.data_dir.as_deref().and_then(|folder| {
            let opened = Storage::open(folder);
            opened.inspect_err(|error| tracing::error!("{}: {error}; nothing is kept", folder.display())).ok()
        });
        let agent = Arc::new(Self {
            state: Mutex::new(State::new(&config)),
            storage: Mutex::new(storage),
            config,
            client,
            version: watch::Sender::new(0),
            runner: Mutex::default(),
            central: RwLock::default(),
            roots: watch::Sender::new(None),
            leaves: Leaves::default(),
            intentions: Intentions::default(),
            plans: Plans::default(),
            replan: Notify::new(),
            resync: AtomicBool::new(false),
            tasks: Mutex::default(),
        });
        let refused = agent.restore(services, checks);
        let this = Arc::clone(&agent);
        agent.spawn(async move { Syncer::new(&this).run().await });
        let this = Arc::clone(&agent);
        agent.spawn(async move { this.follow_roots().await });
        let this = Arc::clone(&agent);
        agent.spawn(async move { this.follow_proxy_defaults().await });
        let this = Arc::clone(&agent);
        agent.spawn(async move { this.follow_service_defaults().await });
        for kind in [EntryKind::ServiceRouter, EntryKind::ServiceSplitter, EntryKind::ServiceResolver] {
            let this = Arc::clone(&agent);
            agent.spawn(async move { this.follow_traffic(kind).await });
        }
        let this = Arc::clone(&agent);
        agent.spawn(async move { this.plan_on_change().await });
        let this = Arc::clone(&agent);
        agent.spawn(async move { this.reap().await });
        if !agent.config.push_metrics_to.is_empty() {
            let this = Arc::clone(&agent);
            let servers = agent.config.push_metrics_to.clone();
            agent.spawn(async move { this.config.metrics.push(servers, || this.measure()).await });
        }
        (agent, refused)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        locked(&self.tasks).push(tokio::spawn(task).abort_handle());
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Compares everything with the catalog again: what was refused may be allowed now.
    pub fn sync_all(&self) {
        self.resync.store(true, Ordering::Relaxed);
        self.changed();
    }

    pub(crate) fn take_resync(&self) -> bool {
        self.resync.swap(false, Ordering::Relaxed)
    }

    pub fn tokens(&self) -> &Tokens {
        &self.config.tokens
    }

    // --- plans

    /// The plan of a local proxy, always the latest; none when no such proxy is registered here.
    pub fn plan(&self, proxy_id: &str) -> Option<watch::Receiver<Option<PlanVersion>>> {
        let is_proxy = self.state().services.get(proxy_id).is_some_and(|s| s.service.kind == ServiceKind::ConnectProxy);
        is_proxy.then(|| self.plans.watch(proxy_id))
    }

    /// Something that plans are made of has changed.
    pub(crate) fn replan(&self) {
        self.replan.notify_one();
    }

    async fn plan_on_change(self: Arc<Self>) {
        loop {
            let trust_domain = self.roots.borrow().as_ref().map(|roots| Arc::from(&*roots.trust_domain));
            // Without a trust domain nobody has an identity, so there is no plan to make.
            if let Some(trust_domain) = trust_domain {
                self.plans.compile(&self, &trust_domain);
            }
            self.replan.notified().await;
        }
    }

    // --- following the servers

    async fn follow_roots(&self) {
        follow::<Value>(
            || self.acting(),
            "/v1/connect/ca/roots",
            &[],
            |answer| {
                self.roots.send_replace(Some(Roots::new(answer.index, answer.value)));
                self.replan();
            },
        )
        .await;
    }

    async fn follow_proxy_defaults(&self) {
        follow::<Vec<Value>>(
            || self.acting(),
            "/v1/config/proxy-defaults",
            &[],
            |answer| {
                self.change_central(|central| central.set_proxy_defaults(&answer.value));
            },
        )
        .await;
    }

    async fn follow_service_defaults(&self) {
        follow::<Vec<Value>>(
            || self.acting(),
            "/v1/config/service-defaults",
            &[],
            |answer| {
                self.change_central(|central| central.set_service_defaults(&answer.value));
            },
        )
        .await;
    }

    /// Where calls go, by one kind of entry.
    async fn follow_traffic(&self, kind: EntryKind) {
        let path = format!("/v1/config/{}", kind.as_str());
        follow::<Vec<Value>>(
            || self.acting(),
            &path,
            &[],
            |answer| {
                self.change_central(|central| central.set_traffic(kind, &answer.value));
            },
        )
        .await;
    }

    pub(crate) fn central(&self) -> Arc<Central> {
        Arc::clone(&self.central.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_central(&self, change: impl FnOnce(&mut Central)) {
        {
            let mut slot = self.central.write().unwrap_or_else(PoisonError::into_inner);
            let mut next = Central::clone(&slot);
            change(&mut next);
            if next == **slot {
                return;
            }
            *slot = Arc::new(next);
        }
        self.changed();
    }

    async fn reap(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.config.reap_interval).await;
            let overdue = self.state().overdue(Instant::now());
            for id in overdue {
                tracing::info!("service {id:?} has been critical for longer than it allows: deregistering it");
                if let Err(error) = self.deregister_service(&id) {
                    tracing::warn!("deregistering {id:?}: {error}");
                }
            }
        }
    }

    // --- ending

    /// Ends all tasks. What is in the catalog stays there.
    pub fn shutdown(&self) {
        locked(&self.runner).stop();
        self.leaves.stop();
        self.intentions.stop();
        for task in locked(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// Ends all tasks and takes this node out of the catalog.
    pub async fn leave(&self) -> Result<(), Error> {
        self.shutdown();
        let node = &self.config.node;
        let body = json!({"Datacenter": node.datacenter, "Node": node.node});
        self.acting().put("/v1/catalog/deregister", &body).await?;
        Ok(())
    }

    /// Waits until the catalog has this node and the roots are known: then the agent can serve.
    pub async fn ready(&self) -> Result<(), Error> {
        self.roots(0, Duration::ZERO).await?;
        // The agent may not be allowed to see its node, or to write it; that can be mended while it runs.
        if self.config.acl_enabled {
            return Ok(());
        }
        let path = format!("/v1/catalog/node/{}", crate::follow::segment(&self.config.node.node));
        let deadline = tokio::time::Instant::now() + identity::FIRST_ANSWER;
        let mut index = 0;
        loop {
            let query = Query::blocking(index, Duration::from_secs(1));
            let answer = self.acting().get::<Value>(&path, &query).await?;
            if answer.value.get("Node").is_some_and(Value::is_object) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Error::NotReady("this node in the catalog".to_owned()));
            }
            index = answer.index;
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
