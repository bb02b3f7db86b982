//! Keeps the catalog equal to the local state: changes at once, everything once a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::Query;
use http::StatusCode;
use model::{HealthCheck, Node, Service, Status};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::error::Error;
use crate::follow::{Backoff, segment};
use crate::sync::{NodeView, Write, diff, output_only};
use crate::wire;

pub(crate) const SERF_HEALTH: &str = "serfHealth";
const SERVER_SERVICE: &str = "consul";
/// The type of checks that nothing runs: they mean what they say at once.
const MAINTENANCE: &str = "maintenance";
/// How long after its start an agent waits for the first word of a check that the catalog knows to be well.
const FIRST_WORDS: Duration = Duration::from_secs(2);

pub(crate) struct Syncer<'a> {
    agent: &'a Agent,
    /// What the catalog has, as last read and written; `None` until it was read.
    catalog: Option<NodeView>,
    /// Until when a check's new output waits.
    held: BTreeMap<String, Instant>,
    next_full: Instant,
    started: Instant,
    backoff: Backoff,
}

impl<'a> Syncer<'a> {
    pub fn new(agent: &'a Agent) -> Self {
        let now = Instant::now();
        Self { agent, catalog: None, held: BTreeMap::new(), next_full: now, started: now, backoff: Backoff::default() }
    }

    /// For ever.
    pub async fn run(mut self) {
        let mut changed = self.agent.watch_local();
        loop {
            changed.borrow_and_update();
            let pause = match self.round().await {
                Ok(pause) => {
                    self.backoff.succeeded("catalog");
                    pause
                }
                Err(error) => {
                    // What was written is not known for sure: read it again.
                    self.next_full = Instant::now();
                    self.backoff.failed("writing to the catalog", &error)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = changed.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Makes the catalog equal to the local state; gives how long nothing needs to be done unless something changes.
    async fn round(&mut self) -> Result<Duration, Error> {
        let now = Instant::now();
        if self.agent.take_resync() || self.catalog.is_none() || now >= self.next_full {
            let catalog = read(self.agent).await?;
            self.agent.adopt_tags(&catalog.services);
            self.catalog = Some(catalog);
            let interval = self.agent.config().sync_interval;
            self.next_full = now + interval + interval.mul_f64(fastrand::f64() / 4.0);
        }
        let mut wanted = self.agent.wanted();
        let began = Instant::now();
        let Some(catalog) = self.catalog.as_mut() else { return Ok(Duration::ZERO) };
        let patience = (self.started + FIRST_WORDS).saturating_duration_since(now);
        let unheard = !patience.is_zero() && leave_unheard(&mut wanted, catalog);
        let quiet: BTreeSet<String> = output_only(&wanted, catalog).cloned().collect();
        self.held.retain(|id, _| quiet.contains(id));
        let interval = self.agent.config().check_update_interval;
        for id in quiet {
            // At a random moment, or a thousand agents started together would write together for ever.
            let wait = interval.mul_f64(0.5 + fastrand::f64() / 2.0);
            self.held.entry(id).or_insert(now + wait);
        }
        let held = self.held.iter().filter(|(_, until)| **until > now).map(|(id, _)| id.clone()).collect();
        let writes = diff(&wanted, catalog, &held);
        write_all(self.agent, writes, catalog).await?;
        self.agent.config().metrics.took("agent.sync", Vec::new(), began.elapsed());
        let again = unheard.then_some(now + patience);
        let next = self.held.values().copied().filter(|until| *until > now).chain(again).chain([self.next_full]).min();
        Ok(next.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now())))
    }
}

fn what(write: &Write) -> String {
    match write {
        Write::Node(_) => "Node info update".to_owned(),
        Write::Service(service, _) => format!("Service registration of {:?}", service.id),
        Write::Check(check) => format!("Check registration of {:?}", check.check_id),
        Write::RemoveService(id) => format!("Service deregistration of {id:?}"),
        Write::RemoveCheck(id) => format!("Check deregistration of {id:?}"),
    }
}

/// What a check that has said nothing yet is in the catalog since before this agent started, it stays: all of a node's
/// services would be taken for broken, and given back a moment later, each time its agent is started again.
fn leave_unheard(wanted: &mut NodeView, catalog: &NodeView) -> bool {
    let mut left = false;
    for (id, check) in &mut wanted.checks {
        let unheard = check.status == Status::Critical && check.output.is_empty() && check.kind != MAINTENANCE;
        if let Some(known) = catalog.checks.get(id).filter(|known| unheard && known.status != Status::Critical) {
            check.status = known.status;
            check.output.clone_from(&known.output);
            left = true;
        }
    }
    left
}

/// What the servers refuse does not stop the rest.
async fn write_all(agent: &Agent, writes: Vec<Write>, catalog: &mut NodeView) -> Result<(), Error> {
    let metrics = &agent.config().metrics;
    let mut failed = Ok(());
    for write in writes {
        let (path, body) = write.request(&agent.config().node);
        let client = agent.client().clone().with_token(agent.token_of(&write));
        metrics.count("client.rpc", Vec::new());
        let Err(error) = client.put(path, &body).await else {
            say(&write);
            write.apply(catalog);
            continue;
        };
        metrics.count("client.rpc.failed", Vec::new());
        match error.status() {
            // Until the next full comparison: a token will not get more rights by being shown again and again.
            Some(StatusCode::FORBIDDEN) => {
                tracing::warn!("{} blocked by ACLs: {error}", what(&write));
                write.apply(catalog);
            }
            Some(_) => {
                tracing::warn!("{} could not be written to the catalog: {error}", what(&write));
                failed = Err(error.into());
            }
            None => return Err(error.into()),
        }
    }
    failed
}

/// In Consul's words, which operators grep for.
fn say(write: &Write) {
    match write {
        Write::Node(node) => tracing::info!(node = node.node, "Synced node info"),
        Write::Service(service, _) => tracing::info!(service = service.id, "Synced service"),
        Write::Check(check) => tracing::info!(check = check.check_id, status = %check.status, "Synced check"),
        Write::RemoveService(id) => tracing::info!(service = id, "Deregistered service"),
        Write::RemoveCheck(id) => tracing::info!(check = id, "Deregistered check"),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CatalogNode {
    node: Value,
    services: BTreeMap<String, Value>,
}

async fn read(agent: &Agent) -> Result<NodeView, Error> {
    let name = segment(&agent.config().node.node);
    let path = format!("/v1/catalog/node/{name}");
    let known = agent.acting().get::<Option<CatalogNode>>(&path, &Query::default()).await?.value;
    let Some(known) = known else { return Ok(NodeView::default()) };
    let path = format!("/v1/health/node/{name}");
    let checks = agent.acting().get::<Vec<Value>>(&path, &Query::default()).await?.value;
    Ok(NodeView {
        node: wire::decode::<Node>(&known.node),
        services: known.services.values().filter_map(wire::decode_service).map(|s| (s.id.clone(), s)).collect(),
        checks: checks.iter().filter_map(wire::decode_check).map(|c| (c.check_id.clone(), c)).collect(),
    })
}

/// What every agent says of itself beside what is registered on it: that it is alive, and on a server the `consul`
/// service. Consul's leader writes these; here each agent owns all of its node.
pub(crate) fn own_entries(agent: &Agent) -> (Option<Service>, HealthCheck) {
    let config = agent.config();
    let alive = HealthCheck {
        node: config.node.node.clone(),
        check_id: SERF_HEALTH.to_owned(),
        name: "Serf Health Status".to_owned(),
        status: Status::Passing,
        output: "Agent alive and reachable".to_owned(),
        ..HealthCheck::default()
    };
    let server = config.server_port.map(|port| Service {
        id: SERVER_SERVICE.to_owned(),
        service: SERVER_SERVICE.to_owned(),
        port,
        meta: [
            ("raft_version", "3"),
            ("serf_protocol_current", "2"),
            ("serf_protocol_max", "5"),
            ("serf_protocol_min", "1"),
        ]
        .into_iter()
        .chain([("version", config.version.as_str())])
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect(),
        ..Service::default()
    });
    (server, alive)
}
