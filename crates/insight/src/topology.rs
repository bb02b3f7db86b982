//! The answer: services, who calls whom, and how it goes, joined from what both ends' proxies said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::{Protocol, Status};
use telemetry::Direction;
use telemetry::histogram::quantile_ms;

use crate::facts::{Instance, Service};
use crate::ingest::{Insight, State};
use crate::series::{RETENTION_SECONDS, Series, SeriesKey, Sums, TotalCounts};

/// Numbers in a line of an edge.
const LINE_STEPS: u64 = 60;

/// What one group of calls looks like over the window; the totals since its proxies began.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    pub sums: Sums,
    pub rate: f64,
    pub error_share: f64,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub total_requests: u64,
    pub total_errors: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    pub at_ms: u64,
    pub window_seconds: u64,
    pub datacenter: String,
    pub services: Vec<ServiceView>,
    pub edges: Vec<Edge>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceView {
    pub name: String,
    pub kind: String,
    pub status: Status,
    pub inbound: Stats,
    pub instances: Vec<InstanceView>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct InstanceView {
    pub facts: Instance,
    /// When its sidecar last reported.
    pub sidecar_seen_ms: Option<u64>,
    pub inbound: Stats,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    pub source: String,
    pub destination: String,
    pub protocol: Protocol,
    /// As client sidecars saw it, and as server sidecars did.
    pub client: Stats,
    pub server: Stats,
    pub line: Line,
    pub pairs: Vec<Pair>,
    pub methods: Vec<Method>,
}

/// The window as a row of numbers, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    pub step_seconds: u64,
    pub end_ms: u64,
    /// Per second.
    pub rate: Vec<f64>,
    pub errors: Vec<f64>,
    pub p99_ms: Vec<Option<f64>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    pub source_instance: String,
    pub source_node: String,
    pub destination_instance: String,
    pub destination_node: String,
    pub client: Stats,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    pub service: String,
    pub method: String,
    pub client: Stats,
}

/// Sums over the window and totals, on the way to [`Stats`].
#[derive(Debug, Clone, Default)]
struct Gathered {
    sums: Sums,
    total: TotalCounts,
}

impl Gathered {
    fn add(&mut self, other: &Gathered) {
        self.sums.add(&other.sums);
        self.total.requests += other.total.requests;
        self.total.errors += other.total.errors;
    }

    fn stats(self, seconds: f64) -> Stats {
        let Self { sums, total } = self;
        let requests = sums.requests as f64;
        Stats {
            rate: requests / seconds,
            error_share: if sums.requests == 0 { 0.0 } else { sums.errors as f64 / requests },
            p50_ms: quantile_ms(&sums.fine, 0.5),
            p99_ms: quantile_ms(&sums.fine, 0.99),
            total_requests: total.requests,
            total_errors: total.errors,
            sums,
        }
    }
}

/// The stretch of whole seconds that is looked at. The running second is left out: half of it is not told yet.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: u64,
    to: u64,
    /// By how much to divide for a rate: less than the window while the mesh is younger than it.
    seconds: f64,
}

type EdgeKey = (Arc<str>, Arc<str>);

#[derive(Debug, Default)]
struct EdgeParts {
    protocol: Option<Protocol>,
    client: Gathered,
    server: Gathered,
    steps_client: BTreeMap<u64, Sums>,
    steps_server: BTreeMap<u64, Sums>,
    pairs: BTreeMap<[Arc<str>; 4], Gathered>,
    methods: BTreeMap<[Arc<str>; 2], Gathered>,
}

impl Insight {
    /// The mesh over the last `window`, with the services of the catalog in it whether they are called or not.
    #[must_use]
    pub fn topology(&self, now_ms: u64, window: Duration, catalog: &[Service]) -> Topology {
        let state = self.lock();
        let seconds = window.as_secs().clamp(1, RETENTION_SECONDS);
        let to = now_ms / 1000;
        let age = state.first_ms.map_or(seconds, |first| to.saturating_sub(first / 1000).max(1));
        let window = Window { from: to.saturating_sub(seconds), to, seconds: seconds.min(age) as f64 };
        let step = seconds.div_ceil(LINE_STEPS).max(1);
        let mut edges: BTreeMap<EdgeKey, EdgeParts> = BTreeMap::new();
        let mut inbound = Inbound::default();
        for (key, series) in &state.store.series {
            let gathered = gather(series, window);
            inbound.add(key, &gathered);
            let parts = edges.entry((key.source.service.clone(), key.destination.service.clone())).or_default();
            parts.add(key, series, &gathered, window, step);
        }
        let services = services(&state, catalog, &edges, &inbound, window.seconds);
        let line_steps = seconds.div_ceil(step);
        Topology {
            at_ms: now_ms,
            window_seconds: seconds,
            datacenter: state.datacenter.clone(),
            services,
            edges: edges.into_iter().map(|(key, parts)| parts.edge(&key, window, step, line_steps)).collect(),
        }
    }
}

fn gather(series: &Series, window: Window) -> Gathered {
    let mut out = Gathered { sums: Sums::default(), total: series.total };
    series.between(window.from, window.to).for_each(|(_, sums)| out.sums.add(&sums));
    out
}

impl EdgeParts {
    fn add(&mut self, key: &SeriesKey, series: &Series, gathered: &Gathered, window: Window, step: u64) {
        // The two ends may disagree; the one that knows more than "bytes" is believed.
        self.protocol = self.protocol.max(Some(key.protocol));
        let (side, steps) = match key.view {
            Direction::Outbound => (&mut self.client, &mut self.steps_client),
            Direction::Inbound => (&mut self.server, &mut self.steps_server),
        };
        side.add(gathered);
        for (second, sums) in series.between(window.from, window.to) {
            steps.entry((window.to - 1 - second) / step).or_default().add(&sums);
        }
        if key.view == Direction::Outbound {
            let pair = [&key.source.instance, &key.source.node, &key.destination.instance, &key.destination.node];
            self.pairs.entry(pair.map(Clone::clone)).or_default().add(gathered);
            if !key.grpc_service.is_empty() {
                let method = [key.grpc_service.clone(), key.grpc_method.clone()];
                self.methods.entry(method).or_default().add(gathered);
            }
        }
    }

    fn edge(self, key: &EdgeKey, window: Window, step: u64, steps: u64) -> Edge {
        // A caller without a sidecar that reports here is still seen by the other end.
        let told = if self.client.total.requests > 0 { &self.steps_client } else { &self.steps_server };
        Edge {
            source: key.0.to_string(),
            destination: key.1.to_string(),
            protocol: self.protocol.unwrap_or_default(),
            line: line(told, window, step, steps),
            client: self.client.stats(window.seconds),
            server: self.server.stats(window.seconds),
            pairs: self
                .pairs
                .into_iter()
                .map(|([source_instance, source_node, destination_instance, destination_node], gathered)| Pair {
                    source_instance: source_instance.to_string(),
                    source_node: source_node.to_string(),
                    destination_instance: destination_instance.to_string(),
                    destination_node: destination_node.to_string(),
                    client: gathered.stats(window.seconds),
                })
                .collect(),
            methods: self
                .methods
                .into_iter()
                .map(|([service, method], gathered)| Method {
                    service: service.to_string(),
                    method: method.to_string(),
                    client: gathered.stats(window.seconds),
                })
                .collect(),
        }
    }
}

fn line(told: &BTreeMap<u64, Sums>, window: Window, step: u64, steps: u64) -> Line {
    let mut out = Line { step_seconds: step, end_ms: window.to * 1000, ..Line::default() };
    for ago in (0..steps).rev() {
        let sums = told.get(&ago);
        let per_second = |n: Option<u64>| n.unwrap_or(0) as f64 / step as f64;
        out.rate.push(per_second(sums.map(|s| s.requests)));
        out.errors.push(per_second(sums.map(|s| s.errors)));
        out.p99_ms.push(sums.and_then(|s| quantile_ms(&s.fine, 0.99)));
    }
    out
}

/// Calls into services and instances, by who says so.
#[derive(Debug, Default)]
struct Inbound {
    services: BTreeMap<Arc<str>, [Gathered; 2]>,
    instances: BTreeMap<[Arc<str>; 2], [Gathered; 2]>,
}

impl Inbound {
    fn add(&mut self, key: &SeriesKey, gathered: &Gathered) {
        let side = usize::from(key.view == Direction::Outbound);
        let to = &key.destination;
        self.services.entry(to.service.clone()).or_default()[side].add(gathered);
        self.instances.entry([to.service.clone(), to.instance.clone()]).or_default()[side].add(gathered);
    }

    /// The server's own sidecar knows best; where it never spoke, its callers are believed.
    fn best([server, client]: &[Gathered; 2]) -> Gathered {
        if server.total.requests > 0 { server.clone() } else { client.clone() }
    }

    fn service(&self, name: &str) -> Gathered {
        self.services.get(name).map(Self::best).unwrap_or_default()
    }

    fn instance(&self, service: &str, id: &str) -> Gathered {
        self.instances.get(&[Arc::from(service), Arc::from(id)]).map(Self::best).unwrap_or_default()
    }
}

fn services(
    state: &State,
    catalog: &[Service],
    edges: &BTreeMap<EdgeKey, EdgeParts>,
    inbound: &Inbound,
    seconds: f64,
) -> Vec<ServiceView> {
    let known: BTreeSet<&str> = catalog.iter().map(|service| service.name.as_str()).collect();
    let named: BTreeSet<&Arc<str>> = edges.keys().flat_map(|(source, destination)| [source, destination]).collect();
    let called: BTreeSet<&Arc<str>> = edges.keys().map(|(_, destination)| destination).collect();
    let mut out: Vec<ServiceView> = catalog
        .iter()
        .map(|service| ServiceView {
            name: service.name.clone(),
            kind: service.kind.clone(),
            status: service.status(),
            inbound: inbound.service(&service.name).stats(seconds),
            instances: service
                .instances
                .iter()
                .map(|facts| InstanceView {
                    sidecar_seen_ms: state.proxies.get(&facts.sidecar).map(|proxy| proxy.seen_ms),
                    inbound: inbound.instance(&service.name, &facts.id).stats(seconds),
                    facts: facts.clone(),
                })
                .collect(),
        })
        .collect();
    // Someone calls what nobody registered: worth seeing. Someone unregistered who calls is merely not ours.
    for name in named.into_iter().filter(|name| !known.contains(&***name)) {
        out.push(ServiceView {
            name: name.to_string(),
            kind: String::new(),
            status: if called.contains(name) { Status::Critical } else { Status::Passing },
            inbound: inbound.service(name).stats(seconds),
            instances: Vec::new(),
        });
    }
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}
