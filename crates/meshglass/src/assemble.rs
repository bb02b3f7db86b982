//! A whole mesh in one process: store, server routes, agent, agent routes, insight and page behind one HTTP port.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use agent::Agent;
use api::agent::{Action, AgentState};
use api::insight::InsightState;
use api::listen::{Endpoint, Limits, Listener, SocketAccess};
use api::policy::Policy;
use api::preview::PreviewState;
use api::server::{Identity, ServerState};
use api::tls::ServerTls;
use api::{Access, AclConfig};
use axum::Router;
use client::Client;
use insight::Insight;
use model::{CheckDefinition, ConfigEntry, Node, OpaqueMap, ServiceDefinition};
use store::{Backend, Etcd, EtcdError, File, FileError, FileOptions, Memory, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::facts;
use crate::logging::Logs;

/// Why a mesh did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen { what: &'static str, address: Endpoint, source: std::io::Error },
    #[error("the store did not open: {0}")]
    Store(#[from] store::Error),
    #[error("the data directory cannot be used: {0}")]
    DataDir(#[from] FileError),
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error("{0}")]
    Server(String),
    #[error("a definition was refused: {0}")]
    Definition(agent::Error),
}

/// Where a server keeps its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Gone with the process.
    Memory,
    /// A directory of this server alone.
    Directory(PathBuf, FileOptions),
    /// A cluster that several servers share.
    Etcd { endpoints: Vec<String>, prefix: String },
}

impl Storage {
    async fn open(&self) -> Result<Box<dyn Backend>, Error> {
        match self {
            Self::Memory => Ok(Box::new(Memory::new())),
            Self::Directory(path, options) => {
                let (path, options) = (path.clone(), options.clone());
                let opened = tokio::task::spawn_blocking(move || File::open(&path, options));
                let opened = opened.await.map_err(|error| Error::Server(error.to_string()))?;
                Ok(Box::new(opened?))
            }
            Self::Etcd { endpoints, prefix } => Ok(Box::new(Etcd::new(endpoints, prefix)?)),
        }
    }
}

/// What a mesh needs to start.
pub struct Options {
    pub agent: agent::Config,
    pub storage: Storage,
    pub http: Vec<Endpoint>,
    pub https: Vec<Endpoint>,
    /// What the HTTPS listeners serve with.
    pub tls: Option<ServerTls>,
    pub socket_access: SocketAccess,
    pub limits: Limits,
    pub policy: Policy,
    /// Indented JSON everywhere, as `agent -dev` answers.
    pub dev: bool,
    pub logs: Logs,
    /// Further routes beside `/v1` (the demo's switches).
    pub more: Router,
    pub reload: Action,
    /// Told when somebody asks the agent to leave.
    pub left: watch::Sender<bool>,
    /// `DebugConfig` of `agent/self`, without secrets.
    pub debug_config: serde_json::Value,
    /// The port that members say they gossip on; nothing listens there.
    pub serf_lan_port: u16,
    pub serf_wan_port: u16,
    /// Prometheus may read the agent's own metrics.
    pub prometheus: bool,
    /// Serve the page.
    pub ui: bool,
    /// Config entries written at the start, unless there are such already.
    pub entries: Vec<ConfigEntry>,
    /// What the first root of the certificate authority is made by.
    pub ca_config: OpaqueMap,
    /// None: no access control.
    pub acl: Option<AclConfig>,
    /// What is set of keys and sessions.
    pub kv: api::server::Limits,
    /// What the definition files say at the start.
    pub services: Vec<ServiceDefinition>,
    pub checks: Vec<CheckDefinition>,
}

impl Options {
    pub fn new(agent: agent::Config, logs: Logs) -> Self {
        Self {
            agent,
            storage: Storage::Memory,
            http: Vec::new(),
            https: Vec::new(),
            tls: None,
            socket_access: SocketAccess::default(),
            limits: Limits::default(),
            policy: Policy::default(),
            dev: true,
            logs,
            more: Router::new(),
            reload: action(|| async { Ok(()) }),
            left: watch::Sender::new(false),
            debug_config: serde_json::Value::Object(serde_json::Map::new()),
            serf_lan_port: 8301,
            prometheus: false,
            serf_wan_port: 8302,
            ui: true,
            entries: Vec::new(),
            ca_config: OpaqueMap::new(),
            acl: None,
            kv: api::server::Limits::default(),
            services: Vec::new(),
            checks: Vec::new(),
        }
    }
}

/// Boxes an action for the agent's routes.
pub fn action<F, R>(run: F) -> Action
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), String>> + Send + 'static,
{
    Arc::new(move || Box::pin(run()) as Pin<Box<dyn Future<Output = Result<(), String>> + Send>>)
}

/// An agent of this process, and a client of its own routes: what a sidecar on its node talks to.
#[derive(Clone)]
pub struct Member {
    pub agent: Arc<Agent>,
    pub client: Client,
}

/// A running mesh.
pub struct Mesh {
    first: Member,
    store: Store,
    access: Access,
    insight: Arc<Insight>,
    server: Router,
    logs: Logs,
    http: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    serving: Vec<JoinHandle<()>>,
}

impl Mesh {
    /// Listens, starts everything, and returns once the agent's node is in the catalog.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listeners = listeners(&options).await?;
        let store = Store::open(options.storage.open().await?).await?;
        let state =
            ServerState::start(store, &identity(&options)).await.map_err(|error| Error::Server(error.to_string()))?;
        for entry in &options.entries {
            if state.store.state().config(entry.kind(), entry.name()).is_none() {
                let written = state.put_config(entry.clone(), None).await;
                written.map_err(|error| Error::Server(error.to_string()))?;
            }
        }
        let insight = Arc::new(Insight::new());
        let server = api::server::router(state.clone());
        let client = api::in_process(api::App::new(false).merge(server.clone()).into_router());
        let (services, checks) = (options.services.clone(), options.checks.clone());
        let (agent, refused) = Agent::start_with(options.agent.clone(), client, services, checks);
        if let Some(refused) = refused.into_iter().next() {
            return Err(Error::Definition(refused));
        }
        agent.ready().await.map_err(|error| Error::Server(error.to_string()))?;
        let agent_state = agent_state(&agent, &state.access, &insight, &options);
        let router = api::App::new(options.dev)
            .with_policy(options.policy)
            .measured(options.agent.metrics.clone())
            .merge(server.clone())
            .merge(api::agent::router(agent_state))
            .merge(api::insight::router(insight_state(&state, &insight)))
            .merge(api::preview::router(PreviewState { server: state.clone(), insight: Arc::clone(&insight) }))
            .merge(if options.ui { ui::router() } else { Router::new() })
            .merge(options.more)
            .into_router();
        let (stop, stopping) = watch::channel(false);
        let http = listeners.iter().filter_map(Listener::local_addr).collect();
        let serving = listeners
            .into_iter()
            .map(|listener| tokio::spawn(serve(listener, router.clone(), stopping.clone())))
            .collect();
        let first = Member { agent, client: api::in_process(router) };
        Ok(Self {
            first,
            store: state.store,
            access: state.access,
            insight,
            server,
            logs: options.logs,
            http,
            stop,
            serving,
        })
    }

    /// Another node's agent in this process: its own local state, the same servers.
    pub async fn join(&self, node: Node) -> Result<Member, Error> {
        let config = agent::Config { server_port: None, ..self.first.agent.config().clone() };
        let options = Options::new(agent::Config { node, ..config }, self.logs.clone());
        let servers = api::App::new(false).merge(self.server.clone()).into_router();
        let agent = Agent::start(options.agent.clone(), api::in_process(servers));
        agent.ready().await.map_err(|error| Error::Server(error.to_string()))?;
        let routes = api::agent::router(agent_state(&agent, &self.access, &self.insight, &options));
        let router = api::App::new(true).merge(self.server.clone()).merge(routes).into_router();
        Ok(Member { agent, client: api::in_process(router) })
    }

    /// The agent that answers on the HTTP port.
    pub fn member(&self) -> &Member {
        &self.first
    }

    /// The facts, for what serves them in another language than HTTP.
    pub fn access(&self) -> &Access {
        &self.access
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn client(&self) -> &Client {
        &self.first.client
    }

    /// Where HTTP is really served: the kernel's choice for port 0.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.first().copied()
    }

    /// Lets open requests end and stops.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        self.first.agent.shutdown();
        for task in self.serving {
            let _ = task.await;
        }
    }
}

/// All addresses of the API; those of HTTP come first.
async fn listeners(options: &Options) -> Result<Vec<Listener>, Error> {
    let mut listeners = Vec::new();
    for endpoint in &options.http {
        listeners.push(listen("HTTP", endpoint, options).await?);
    }
    if let Some(tls) = &options.tls {
        for endpoint in &options.https {
            listeners.push(listen("HTTPS", endpoint, options).await?.with_tls(tls.clone()));
        }
    }
    Ok(listeners)
}

async fn listen(what: &'static str, endpoint: &Endpoint, options: &Options) -> Result<Listener, Error> {
    let bound = Listener::bind(endpoint, options.socket_access).await;
    let failed = |source| Error::Listen { what, address: endpoint.clone(), source };
    Ok(bound.map_err(failed)?.with_limits(options.limits))
}

async fn serve(listener: Listener, router: Router, mut stopping: watch::Receiver<bool>) {
    let stopped = async move {
        // An error means that the mesh is gone, which is a stop too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    if let Err(error) = api::serve(listener, router, stopped).await {
        tracing::error!(%error, "the HTTP server ended");
    }
}

fn identity(options: &Options) -> Identity {
    let config = &options.agent;
    let node = &config.node;
    Identity {
        datacenter: node.datacenter.clone(),
        node_name: node.node.clone(),
        node_id: node.id.clone(),
        address: node.address.clone(),
        server_port: config.server_port.unwrap_or(8300),
        default_allow: config.default_policy == model::Action::Allow,
        ca_config: options.ca_config.clone(),
        limits: options.kv,
        acl: options.acl.clone(),
    }
}

fn agent_state(agent: &Arc<Agent>, access: &Access, insight: &Arc<Insight>, options: &Options) -> AgentState {
    let insight = Arc::clone(insight);
    let (leaving, left) = (Arc::clone(agent), options.left.clone());
    AgentState {
        agent: Arc::clone(agent),
        access: access.clone(),
        report: Arc::new(move |report| insight.ingest(&report, now_ms())),
        reload: options.reload.clone(),
        leave: action(move || {
            let (agent, left) = (Arc::clone(&leaving), left.clone());
            async move {
                agent.shutdown();
                left.send_replace(true);
                Ok(())
            }
        }),
        logs: options.logs.clone(),
        debug_config: Arc::new(options.debug_config.clone()),
        serf_lan_port: options.serf_lan_port,
        serf_wan_port: options.serf_wan_port,
        prometheus: options.prometheus,
    }
}

fn insight_state(state: &ServerState, insight: &Arc<Insight>) -> InsightState {
    let store = state.store.clone();
    let catalog = move || {
        let store = store.clone();
        async move { facts::services(&store.state()) }
    };
    InsightState::new(Arc::clone(insight), &state.datacenter, catalog).with_access(state.access.clone())
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
