//! The page with an invented mesh behind it: `cargo run -p meshglass-ui --example preview -- [port] [services]`.
//!
//! Without `services` it is the demo's application and the fault switches change what it does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

const HISTORY_SECONDS: usize = 900;
const HANG_MS: f64 = 15_000.0;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Calls of one method (or none) from one instance to another.
#[derive(Clone)]
struct Flow {
    source: (String, String),
    destination: (String, String),
    method: &'static str,
    protocol: &'static str,
    rate: f64,
    ms: f64,
    refused: bool,
}

#[derive(Clone, Copy, Default)]
struct Sample {
    requests: u64,
    errors: u64,
    p50: f64,
    p99: f64,
}

#[derive(Clone, PartialEq)]
struct Fault {
    kind: String,
    target: String,
    value: String,
}

impl Fault {
    fn parse(spec: &str) -> Option<Self> {
        let mut parts = spec.splitn(3, ':');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let fault = Self { kind: next()?, target: next()?, value: next()? };
        let share = fault.share().is_some_and(|share| (0.0..=1.0).contains(&share));
        let known = match fault.kind.as_str() {
            "errors" | "hang" => share,
            "latency" => fault.delay().is_some(),
            _ => false,
        };
        known.then_some(fault)
    }

    fn share(&self) -> Option<f64> {
        self.value.strip_suffix('%')?.parse::<f64>().ok().map(|n| n / 100.0)
    }

    fn delay(&self) -> Option<f64> {
        self.value.strip_suffix("ms")?.parse().ok()
    }

    /// `emojify-cache#1` is the instance `emojify-cache-1`; without a number all of them.
    fn hits(&self, instance: &str) -> bool {
        let (service, number) = self.target.split_once('#').unwrap_or((&self.target, ""));
        instance.rsplit_once('-').is_some_and(|(name, n)| name == service && (number.is_empty() || n == number))
    }
}

struct Mesh {
    flows: Vec<Flow>,
    ticks: Vec<Vec<Sample>>,
    faults: Vec<Fault>,
    totals: Vec<(u64, u64)>,
    seed: u64,
}

impl Mesh {
    fn new(flows: Vec<Flow>) -> Self {
        let totals = vec![(0, 0); flows.len()];
        let mut mesh = Self { flows, ticks: Vec::new(), faults: Vec::new(), totals, seed: 0x9e37_79b9_7f4a_7c15 };
        for _ in 0..90 {
            mesh.tick();
        }
        mesh
    }

    /// xorshift, 0..1
    fn chance(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How often an instance fails, itself or through those it calls, and how much slower it is.
    fn trouble(&self, instance: &str, depth: u32) -> (f64, f64) {
        let (mut share, mut delay) = (0.0_f64, 0.0_f64);
        for fault in self.faults.iter().filter(|fault| fault.hits(instance)) {
            match fault.kind.as_str() {
                "latency" => delay += fault.delay().unwrap_or(0.0),
                "hang" => delay = delay.max(HANG_MS),
                _ => {}
            }
            share = share.max(fault.share().unwrap_or(0.0));
        }
        if depth < 6 && !self.faults.is_empty() {
            let called: Vec<&Flow> =
                self.flows.iter().filter(|flow| !flow.refused && flow.source.1 == instance).collect();
            let all: f64 = called.iter().map(|flow| flow.rate).sum();
            for flow in called {
                let (inner, slower) = self.trouble(&flow.destination.1, depth + 1);
                share += inner * flow.rate / all;
                delay = delay.max(slower);
            }
        }
        (share.min(1.0), delay)
    }

    fn tick(&mut self) {
        let mut known = BTreeMap::new();
        let flows = std::mem::take(&mut self.flows);
        let mut samples = Vec::with_capacity(flows.len());
        self.flows = flows.clone();
        for (i, flow) in flows.iter().enumerate() {
            let (share, delay) =
                *known.entry(flow.destination.1.clone()).or_insert_with(|| self.trouble(&flow.destination.1, 0));
            let wave = 1.0 + 0.18 * (self.ticks.len() as f64 / 9.0 + i as f64).sin();
            let wish = flow.rate * wave * (0.8 + 0.4 * self.chance());
            let requests = wish as u64 + u64::from(self.chance() < wish.fract());
            let errors = (0..requests).filter(|_| !flow.refused && self.chance() < share).count() as u64;
            let p50 = flow.ms * (0.9 + 0.2 * self.chance()) + if delay < HANG_MS { delay } else { 0.0 };
            let p99 = flow.ms * (2.4 + 1.2 * self.chance()) + delay;
            samples.push(Sample { requests, errors, p50, p99 });
            self.totals[i].0 += requests;
            self.totals[i].1 += errors;
        }
        self.ticks.push(samples);
        if self.ticks.len() > HISTORY_SECONDS {
            self.ticks.remove(0);
        }
    }

    fn stats(&self, window: usize, wanted: impl Fn(&Flow) -> bool) -> Value {
        let seconds = window.min(self.ticks.len()).max(1);
        let ticks = &self.ticks[self.ticks.len() - seconds..];
        let (mut requests, mut errors, mut refused, mut total) = (0, 0, 0, (0, 0));
        let (mut p50, mut p99, mut is_grpc) = (0.0_f64, 0.0_f64, false);
        for (i, flow) in self.flows.iter().enumerate().filter(|(_, flow)| wanted(flow)) {
            let used: Vec<&Sample> = ticks.iter().map(|tick| &tick[i]).filter(|sample| sample.requests > 0).collect();
            let n: u64 = used.iter().map(|sample| sample.requests).sum();
            requests += n;
            errors += used.iter().map(|sample| sample.errors).sum::<u64>();
            refused += if flow.refused { n } else { 0 };
            let mean = |of: fn(&Sample) -> f64| used.iter().map(|s| of(s)).sum::<f64>() / used.len().max(1) as f64;
            p50 = p50.max(mean(|sample| sample.p50));
            p99 = p99.max(mean(|sample| sample.p99));
            total = (total.0 + self.totals[i].0, total.1 + self.totals[i].1);
            is_grpc |= flow.protocol == "grpc";
        }
        let good = requests - errors - refused;
        let (classes, statuses) = if is_grpc {
            (json!({"2": requests}), json!({"0": good, "13": errors}))
        } else {
            (json!({"2": good - good / 40, "3": good / 40, "4": refused, "5": errors}), json!({}))
        };
        json!({"Requests": requests, "Rate": requests as f64 / seconds as f64, "Classes": classes,
            "GRPCStatuses": statuses, "Errors": errors, "ErrorShare": errors as f64 / (requests.max(1)) as f64,
            "Refused": refused, "P50Ms": p50, "P99Ms": p99, "Retries": 0, "BytesReceived": requests * 412,
            "BytesSent": requests * 2_907, "TotalRequests": total.0, "TotalErrors": total.1})
    }

    fn series(&self, window: usize, wanted: impl Fn(&Flow) -> bool) -> Value {
        let step = window.div_ceil(60).max(1);
        let points = window / step;
        let (mut rate, mut errors, mut p99) = (Vec::new(), Vec::new(), Vec::new());
        for point in 0..points {
            let end = self.ticks.len() as isize - ((points - 1 - point) * step) as isize;
            let range = (end - step as isize).max(0) as usize..end.max(0) as usize;
            let (mut n, mut bad, mut slow) = (0, 0, 0.0_f64);
            for tick in &self.ticks[range] {
                for (sample, _) in tick.iter().zip(&self.flows).filter(|(_, flow)| wanted(flow)) {
                    n += sample.requests;
                    bad += sample.errors;
                    slow = if sample.requests > 0 { slow.max(sample.p99) } else { slow };
                }
            }
            rate.push(n as f64 / step as f64);
            errors.push(bad as f64 / step as f64);
            p99.push(slow);
        }
        json!({"StepSeconds": step, "EndMs": now_ms(), "Rate": rate, "Errors": errors, "P99Ms": p99})
    }

    fn topology(&self, window: usize) -> Value {
        let mut services: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut edges: BTreeMap<(&str, &str), &str> = BTreeMap::new();
        for flow in &self.flows {
            for (service, instance) in [&flow.source, &flow.destination] {
                let list = services.entry(service).or_default();
                if !list.contains(&instance.as_str()) {
                    list.push(instance);
                }
            }
            edges.insert((&flow.source.0, &flow.destination.0), flow.protocol);
        }
        let edges: Vec<Value> = edges.iter().map(|(ends, protocol)| self.edge(window, *ends, protocol)).collect();
        let services: Vec<Value> =
            services.iter().map(|(name, instances)| self.service(window, name, instances)).collect();
        json!({"At": now_ms(), "WindowSeconds": window, "Datacenter": "dc1", "Services": services, "Edges": edges})
    }

    fn service(&self, window: usize, name: &str, instances: &[&str]) -> Value {
        let instances: Vec<Value> = instances
            .iter()
            .enumerate()
            .map(|(i, id)| {
                json!({"ID": id, "Node": format!("node-{}", i + 1), "Zone": if i == 0 { "a" } else { "b" },
                    "Version": "1.0", "Address": format!("127.0.0.1:{}", 9000 + i), "Status": "passing",
                    "Checks": [{"Name": "TCP", "Status": "passing", "Output": "connected"}], "Sidecar": true,
                    "SidecarSeenMs": now_ms(), "Inbound": self.stats(window, |flow| flow.destination.1 == **id)})
            })
            .collect();
        json!({"Name": name, "Status": "passing", "Kind": "", "Instances": instances,
            "Inbound": self.stats(window, |flow| flow.destination.0 == name)})
    }

    fn edge(&self, window: usize, (source, destination): (&str, &str), protocol: &str) -> Value {
        let on = |flow: &Flow| flow.source.0 == source && flow.destination.0 == destination;
        let mut pairs: BTreeMap<(&str, &str), ()> = BTreeMap::new();
        let mut methods: BTreeMap<&str, ()> = BTreeMap::new();
        for flow in self.flows.iter().filter(|flow| on(flow)) {
            pairs.insert((&flow.source.1, &flow.destination.1), ());
            if !flow.method.is_empty() {
                methods.insert(flow.method, ());
            }
        }
        let pairs: Vec<Value> = pairs
            .keys()
            .map(|(from, to)| {
                json!({"SourceInstance": from, "SourceNode": node(from), "DestinationInstance": to,
                    "DestinationNode": node(to),
                    "Client": self.stats(window, |flow| flow.source.1 == **from && flow.destination.1 == **to)})
            })
            .collect();
        let methods: Vec<Value> = methods
            .keys()
            .map(|method| {
                json!({"Service": "emojify.Cache", "Method": method,
                    "Client": self.stats(window, |flow| on(flow) && flow.method == *method)})
            })
            .collect();
        json!({"Source": source, "Destination": destination, "Protocol": protocol, "Client": self.stats(window, on),
            "Server": self.stats(window, on), "Series": self.series(window, on), "Pairs": pairs, "Methods": methods})
    }
}

fn node(instance: &str) -> String {
    format!("node-{}", instance.rsplit('-').next().unwrap_or("1"))
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn flow(source: &str, destination: &str, method: &'static str, rate: f64, ms: f64) -> Flow {
    let service = |instance: &str| instance.rsplit_once('-').map_or(instance, |(name, _)| name).to_owned();
    Flow {
        source: (service(source), source.to_owned()),
        destination: (service(destination), destination.to_owned()),
        method,
        protocol: if method.is_empty() { "http" } else { "grpc" },
        rate,
        ms,
        refused: false,
    }
}

fn demo() -> Vec<Flow> {
    let mut flows = vec![flow("traffic-1", "emojify-ingress-1", "", 31.0, 21.0)];
    for n in ["1", "2"] {
        flows.push(flow("emojify-ingress-1", &format!("emojify-website-{n}"), "", 9.0, 1.8));
        flows.push(flow("emojify-ingress-1", &format!("emojify-api-{n}"), "", 6.5, 19.0));
        flows.push(flow(&format!("emojify-api-{n}"), "emojify-facebox-1", "", 2.2, 34.0));
        for m in ["1", "2"] {
            for (method, rate) in [("Check", 1.6), ("Get", 1.3), ("Put", 0.9), ("Exists", 0.4)] {
                flows.push(flow(&format!("emojify-api-{n}"), &format!("emojify-cache-{m}"), method, rate, 1.1));
            }
        }
    }
    flows.push(Flow { refused: true, ..flow("emojify-website-1", "emojify-cache-1", "", 0.3, 0.4) });
    flows
}

fn many(services: usize) -> Vec<Flow> {
    let layers = 7;
    let mut flows = Vec::new();
    for i in layers..services {
        for step in [1, 5] {
            let above = (i * 7 + step * 13) % services;
            let (from, to) = if above % layers < i % layers { (above, i) } else { (i, above) };
            if from % layers != to % layers {
                let rate = 1.0 + (i % 40) as f64;
                flows.push(flow(&format!("service-{from:03}-1"), &format!("service-{to:03}-1"), "", rate, 5.0));
            }
        }
    }
    flows
}

type Shared = Arc<Mutex<Mesh>>;

fn locked<T>(mesh: &Shared, read: impl FnOnce(&mut Mesh) -> T) -> T {
    read(&mut mesh.lock().unwrap_or_else(PoisonError::into_inner))
}

fn reply(status: StatusCode, kind: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn topology(mesh: &Shared, headers: &HeaderMap, uri: &Uri) -> Response {
    let window = uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("window=")));
    let window = window.and_then(|text| text.trim_end_matches('s').parse().ok()).unwrap_or(60).clamp(1, 900);
    if !headers.get(ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream")) {
        let body = locked(mesh, |mesh| mesh.topology(window)).to_string();
        return reply(StatusCode::OK, "application/json", body);
    }
    let events = stream::unfold(Arc::clone(mesh), move |mesh| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let body = locked(&mesh, |mesh| mesh.topology(window));
        Some((Ok::<_, Infallible>(Bytes::from(format!("event: topology\ndata: {body}\n\n"))), mesh))
    });
    reply(StatusCode::OK, "text/event-stream", Body::from_stream(events))
}

fn faults(mesh: &Shared) -> Response {
    let active: Vec<Value> = locked(mesh, |mesh| mesh.faults.clone())
        .iter()
        .map(|fault| json!({"Kind": fault.kind, "Target": fault.target, "Value": fault.value}))
        .collect();
    let targets = ["emojify-website", "emojify-api", "emojify-facebox", "emojify-cache"];
    let targets: Vec<String> = targets
        .iter()
        .flat_map(|name| {
            let instances = if *name == "emojify-facebox" { 1 } else { 2 };
            (1..=instances).map(move |n| format!("{name}#{n}"))
        })
        .collect();
    reply(StatusCode::OK, "application/json", json!({"Targets": targets, "Active": active}).to_string())
}

fn change(mesh: &Shared, body: &Bytes, on: bool) -> Response {
    let spec = serde_json::from_slice::<Value>(body).ok();
    let spec = spec.as_ref().and_then(|value| value["Spec"].as_str()).unwrap_or_default();
    let Some(fault) = Fault::parse(spec) else {
        let hint = "a fault is errors:<target>:<share>%, latency:<target>:<time>ms or hang:<target>:<share>%";
        return reply(StatusCode::BAD_REQUEST, "text/plain", format!("{spec:?}: {hint}"));
    };
    locked(mesh, |mesh| {
        mesh.faults.retain(|other| (&other.kind, &other.target) != (&fault.kind, &fault.target));
        mesh.faults.extend(on.then_some(fault));
    });
    faults(mesh)
}

fn app(mesh: &Shared) -> Router {
    let [a, b, c, d] = std::array::from_fn(|_| Arc::clone(mesh));
    let switches = get(move || async move { faults(&b) })
        .put(move |body: Bytes| async move { change(&c, &body, true) })
        .delete(move |body: Bytes| async move { change(&d, &body, false) });
    Router::new()
        .route(
            "/v1/insight/topology",
            get(move |headers: HeaderMap, uri: Uri| async move { topology(&a, &headers, &uri) }),
        )
        .route("/v1/demo/faults", switches)
        .merge(ui::router())
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().map_or(Ok(0), |text| text.parse())?;
    let flows = match arguments.next() {
        Some(services) => many(services.parse()?),
        None => demo(),
    };
    let mesh = Arc::new(Mutex::new(Mesh::new(flows)));
    let clock = Arc::clone(&mesh);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            locked(&clock, Mesh::tick);
        }
    });
    let app = app(&mesh);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}/ui/", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            // A browser that leaves in the middle of a stream is no news.
            let _ = server.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}
