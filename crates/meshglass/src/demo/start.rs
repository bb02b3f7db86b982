//! The start: agents, registrations, applications, sidecars, users; then waiting for Ctrl-C, and the end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use model::Node;
use proxy::Sidecar;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Level;

use super::apps::{App, Instance, serve};
use super::call::{GrpcUpstream, Upstream};
use super::error::DemoError;
use super::faults::Switchboard;
use super::layout::{Layout, NODES, Placed, config_entries, intentions};
use super::screen::{say, seconds, tick};
use super::traffic::{DEFAULT_RATE, MAX_RATE, Totals, Users};
use super::{api, summary};
use crate::assemble::{Member, Mesh, Options};
use crate::logging;

/// A mesh that carries nothing by then is broken.
const FIRST_REQUEST_LIMIT: Duration = Duration::from_secs(30);
const FIRST_REQUEST_PAUSE: Duration = Duration::from_millis(10);
/// What is still on its way when the demo ends gets this long.
const DRAIN_LIMIT: Duration = Duration::from_secs(3);
/// The port Consul's servers name in `status/leader`; nothing listens on it here.
const SERVER_PORT: u16 = 8300;
const DATACENTER: &str = "dc1";
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// What the command line says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DemoFlags {
    /// `errors:emojify-cache#1:30%`
    pub faults: Vec<String>,
    /// All ports from here on.
    pub ports_from: Option<u16>,
    /// Requests per second.
    pub rate: Option<f64>,
}

/// Runs the demo until Ctrl-C (or SIGTERM, or `agent/leave`).
///
/// # Errors
/// A flag that cannot be, a port that is taken, or a mesh that carries no request; one line each.
pub async fn run(flags: DemoFlags) -> Result<(), DemoError> {
    let rate = flags.rate.unwrap_or(DEFAULT_RATE);
    if !(rate > 0.0 && rate <= MAX_RATE) {
        return Err(DemoError::Rate(rate));
    }
    let layout = Layout::new(flags.ports_from)?;
    let faults =
        Switchboard::new(layout.instances.iter().filter(|i| i.has_faults()).map(|i| (i.service, i.number)).collect());
    for spec in &flags.faults {
        faults.switch_on(spec)?;
    }
    layout.check_free()?;
    let (left, leaving) = watch::channel(false);
    say("Meshglass demo: an application, its mesh, and traffic\n");
    let mut ended = std::pin::pin!(end(leaving));
    let running = tokio::select! {
        running = Running::start(&layout, &faults, rate, left) => running?,
        () = &mut ended => return Ok(()),
    };
    let specs: Vec<String> = faults.active().iter().map(ToString::to_string).collect();
    say(&summary::summary(&layout, rate, &specs));
    ended.await;
    say("\nStopping …\n");
    faults.switch_off("");
    tokio::select! {
        totals = running.stop() => say(&format!("traffic got {totals}\n")),
        // Whoever presses twice does not want to wait.
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// Ctrl-C, SIGTERM, or the agent's own leave.
async fn end(mut leaving: watch::Receiver<bool>) {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
        _ = leaving.wait_for(|left| *left) => {}
    }
}

/// Everything that runs.
struct Running {
    mesh: Mesh,
    second: Member,
    /// The applications; they end when this is dropped.
    apps: JoinSet<()>,
    sidecars: Vec<Sidecar>,
    users: Users,
    totals: Arc<Totals>,
}

impl Running {
    async fn start(
        layout: &Layout,
        faults: &Switchboard,
        rate: f64,
        left: watch::Sender<bool>,
    ) -> Result<Self, DemoError> {
        let began = Instant::now();
        let mut options = Options::new(agent_config(0), logging::start(Level::ERROR, false));
        options.http = vec![::api::listen::Endpoint::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, layout.api)))];
        options.more = api::router(faults.clone());
        options.left = left;
        let mesh = Mesh::start(options).await?;
        let second = mesh.join(node(1)).await?;
        let members = [mesh.member().clone(), second.clone()];
        tick("agents of node-1 and node-2, one catalog, one certificate authority");

        configure(mesh.client()).await?;
        tick("configuration: who speaks HTTP and gRPC; deny all, allow four (and the users)");

        let totals = Arc::<Totals>::default();
        let mut apps = JoinSet::new();
        let cache = App::cache();
        for instance in &layout.instances {
            let listener = bind(instance).await?;
            let who = Instance { service: instance.service, number: instance.number, faults: faults.clone() };
            apps.spawn(serve(listener, who, app(instance, &cache, &totals)));
        }
        for instance in &layout.instances {
            let path = "/v1/agent/service/register";
            put(&members[instance.node].client, path, &instance.registration()).await?;
        }
        tick(&format!("{} applications, registered with their health checks", layout.instances.len()));

        let sidecars = start_sidecars(layout, &members)?;
        futures_util::future::join_all(sidecars.iter().map(Sidecar::ready)).await;
        tick(&format!("{} sidecars, each with its own certificate", sidecars.len()));

        everybody_seen(layout, &sidecars, began).await?;
        let ingress = Upstream::new(summary::upstream(layout));
        first_request(&ingress, began, &totals).await?;
        tick(&format!("first meshed request, {} after the start", seconds(began.elapsed())));
        let users = Users::start(&ingress, rate, &totals);
        Ok(Self { mesh, second, apps, sidecars, users, totals })
    }

    /// Users first, so that what they count is complete; then the sidecars, then what they live by.
    async fn stop(mut self) -> String {
        self.users.stop().await;
        futures_util::future::join_all(self.sidecars.into_iter().map(Sidecar::drain)).await;
        self.apps.shutdown().await;
        self.second.agent.shutdown();
        self.mesh.stop().await;
        self.totals.line()
    }
}

fn agent_config(index: usize) -> agent::Config {
    agent::Config { server_port: Some(SERVER_PORT), ..agent::Config::new(node(index)) }
}

fn node(index: usize) -> Node {
    let (name, zone) = NODES[index];
    let addresses = ["lan", "lan_ipv4", "wan", "wan_ipv4"].map(|kind| (kind.to_owned(), "127.0.0.1".to_owned()));
    Node {
        id: uuid::Uuid::new_v4().to_string(),
        node: name.to_owned(),
        address: "127.0.0.1".to_owned(),
        datacenter: DATACENTER.to_owned(),
        tagged_addresses: addresses.into(),
        meta: [("zone".to_owned(), zone.to_owned())].into(),
    }
}

async fn put(client: &client::Client, path: &str, body: &Value) -> Result<(), DemoError> {
    let answer = client.put(path, body).await;
    answer.map(drop).map_err(|source| DemoError::Call { what: format!("PUT {path}"), source })
}

/// The same calls that `meshglass config write` and `meshglass intention create` make.
async fn configure(client: &client::Client) -> Result<(), DemoError> {
    for entry in config_entries() {
        put(client, "/v1/config", &entry).await?;
    }
    let path = "/v1/connect/intentions";
    for intention in intentions() {
        let body = Bytes::from(intention.to_string());
        let answer = client.send(Method::POST, path, body, ATTEMPT_LIMIT).await;
        answer
            .and_then(client::Raw::success)
            .map_err(|source| DemoError::Call { what: format!("POST {path}"), source })?;
    }
    Ok(())
}

async fn bind(instance: &Placed) -> Result<TcpListener, DemoError> {
    let port = instance.port;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|source| DemoError::Port { port, what: instance.name(), source })
}

fn app(instance: &Placed, cache: &App, totals: &Arc<Totals>) -> App {
    let port =
        |service: &str| instance.upstreams.iter().find(|(name, _)| *name == service).map_or(0, |(_, port)| *port);
    match instance.service {
        "emojify-api" => App::Api {
            facebox: Upstream::new(port("emojify-facebox")),
            cache: GrpcUpstream::new(port("emojify-cache")),
        },
        "emojify-facebox" => App::Facebox,
        "emojify-cache" => cache.clone(),
        "emojify-ingress" => {
            App::Ingress { website: Upstream::new(port("emojify-website")), api: Upstream::new(port("emojify-api")) }
        }
        "traffic" => App::Traffic(totals.clone()),
        _ => App::Website,
    }
}

fn start_sidecars(layout: &Layout, members: &[Member]) -> Result<Vec<Sidecar>, DemoError> {
    let start = |instance: &Placed| {
        let mut config = proxy::Config::agent(&instance.sidecar_id(), members[instance.node].client.clone());
        config.drain_timeout = DRAIN_LIMIT;
        Sidecar::start(config).map_err(|source| DemoError::Sidecar { what: instance.name(), source })
    };
    layout.instances.iter().map(start).collect()
}

/// Waits until each sidecar knows every instance of its upstreams as healthy: users who come earlier would see 503, as
/// they should, and the demo would begin with errors.
async fn everybody_seen(layout: &Layout, sidecars: &[Sidecar], began: Instant) -> Result<(), DemoError> {
    for (instance, sidecar) in layout.instances.iter().zip(sidecars) {
        let registry = sidecar.telemetry();
        for (service, _) in &instance.upstreams {
            let target = format!("{service}.default.{DATACENTER}");
            let wanted = layout.count(service);
            let healthy = || registry.snapshot().targets.get(&target).map_or(0, |t| t.membership.healthy as usize);
            while healthy() < wanted {
                if began.elapsed() > FIRST_REQUEST_LIMIT {
                    let last = format!("{} sees {} of {wanted} healthy {service}", instance.name(), healthy());
                    return Err(DemoError::Silent { limit: FIRST_REQUEST_LIMIT.as_secs(), last });
                }
                tokio::time::sleep(FIRST_REQUEST_PAUSE).await;
            }
        }
    }
    Ok(())
}

/// Knocks until the page comes all the way through the mesh. What is sent is counted like the users' requests, or
/// their totals would not be the sidecars'.
async fn first_request(ingress: &Upstream, began: Instant, totals: &Totals) -> Result<(), DemoError> {
    loop {
        let answer = ingress.send(Method::GET, "/", &HeaderMap::new(), Bytes::new()).await;
        totals.count_answer(answer.as_ref().ok().map(|answer| answer.status()));
        let last = match answer {
            Ok(answer) if answer.status() == StatusCode::OK => return Ok(()),
            Ok(answer) => format!("{} {}", answer.status(), String::from_utf8_lossy(answer.body()).trim()),
            Err(error) => error.to_string(),
        };
        if began.elapsed() > FIRST_REQUEST_LIMIT {
            return Err(DemoError::Silent { limit: FIRST_REQUEST_LIMIT.as_secs(), last });
        }
        tokio::time::sleep(FIRST_REQUEST_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use telemetry::{Direction, Registry};

    /// A stretch of ports that is free now. The kernel's own choices lie elsewhere or come singly, so another test
    /// seldom gets in between; then the next stretch is tried.
    fn free_layout() -> Layout {
        loop {
            let probe = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let from = probe.local_addr().unwrap().port();
            drop(probe);
            if let Ok(layout) = Layout::new(Some(from))
                && layout.check_free().is_ok()
            {
                return layout;
            }
        }
    }

    fn requests(registry: &Registry, direction: Direction) -> u64 {
        let cells = registry.snapshot().cells;
        cells.iter().filter(|(key, _)| key.direction == direction).map(|(_, values)| values.totals().requests).sum()
    }

    async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds().await {
            assert!(Instant::now() < deadline, "{what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn users_sidecars_and_page_count_the_same_requests() {
        let layout = free_layout();
        let targets = layout.instances.iter().map(|i| (i.service, i.number)).collect();
        let faults = Switchboard::new(targets);
        faults.switch_on("errors:emojify-cache#1:30%").unwrap();
        let running = Running::start(&layout, &faults, 200.0, watch::Sender::new(false)).await.unwrap();
        until("the users are answered", async || running.totals.requests() > 300).await;
        assert!(!running.totals.line().contains(" 0 5xx"), "the fault shows: {}", running.totals.line());
        let Running { mesh, second, mut apps, sidecars, users, totals } = running;
        users.stop().await;
        let registry_of = |service: &str| {
            let at = layout.instances.iter().position(|i| i.service == service).unwrap();
            sidecars[at].telemetry()
        };
        let (client, server) = (registry_of("traffic"), registry_of("emojify-ingress"));
        let sent = totals.requests();
        until("the users' sidecar counted what they sent", async || requests(&client, Direction::Outbound) == sent)
            .await;
        until("so did the ingress's sidecar", async || requests(&server, Direction::Inbound) == sent).await;
        let query = client::Query::default().with("window", "60s");
        until("and the page", async || {
            let page = mesh.client().get::<Value>("/v1/insight/topology", &query).await.unwrap().value;
            let edges = page["Edges"].as_array().unwrap().clone();
            edges.iter().any(|edge| {
                edge["Source"] == "traffic"
                    && edge["Client"]["TotalRequests"] == sent
                    && edge["Server"]["TotalRequests"] == sent
            })
        })
        .await;
        futures_util::future::join_all(sidecars.into_iter().map(Sidecar::drain)).await;
        apps.shutdown().await;
        second.agent.shutdown();
        mesh.stop().await;
    }
}
