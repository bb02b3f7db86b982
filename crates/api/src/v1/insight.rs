//! `/v1/insight/…`: what the mesh is doing, once or as a stream.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, header};
use insight::{Edge, Insight, InstanceView, Line, ServiceView, Stats, Topology};
use model::acl::Family;
use model::{Protocol, Status};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::access::Access;
use crate::authorizer::Right;
use crate::error::Error;
use crate::query_options::{Params, QueryOptions};
use crate::response;

/// What is looked at when the caller does not say.
const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
/// How far apart the events of a stream are.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// Pages that may watch at a time; more are told to come back.
const MAX_STREAMS: usize = 256;

/// The catalog's word on services, instances and checks; asked once per answer.
pub type CatalogFacts =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<insight::Service>> + Send>> + Send + Sync + 'static>;

#[derive(Clone)]
pub struct InsightState {
    insight: Arc<Insight>,
    catalog: CatalogFacts,
    datacenter: Arc<str>,
    access: Access,
    streams: Arc<Semaphore>,
}

impl InsightState {
    pub fn new<F, Fut>(insight: Arc<Insight>, datacenter: &str, catalog: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Vec<insight::Service>> + Send + 'static,
    {
        let catalog: CatalogFacts = Arc::new(move || Box::pin(catalog()));
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { insight, catalog, datacenter: datacenter.into(), access: Access::default(), streams }
    }

    /// The picture names every service: only who may see all of them may see it.
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    async fn topology(&self, window: Duration) -> TopologyBody {
        let catalog = (self.catalog)().await;
        let mut topology = self.insight.topology(now_ms(), window, &catalog);
        // Before the first report, only the agent knows where it is.
        if topology.datacenter.is_empty() {
            topology.datacenter = self.datacenter.to_string();
        }
        topology.into()
    }
}

pub fn router(state: InsightState) -> Router {
    Router::new().route("/v1/insight/topology", get(topology)).with_state(state)
}

async fn topology(
    State(state): State<InsightState>,
    options: QueryOptions,
    request: Request,
) -> Result<Response, Error> {
    if !state.access.authorizer(&options)?.may_all(Family::Service, Right::Read) {
        return Err(Error::PermissionDenied);
    }
    let window = match Params::parse(request.uri().query().unwrap_or_default()).get("window") {
        None | Some("") => DEFAULT_WINDOW,
        Some(text) => match model::parse_duration(text) {
            Ok(window) if !window.is_zero() => window,
            _ => return Err(Error::Invalid(format!("Invalid window {text:?}: expected a duration such as 60s"))),
        },
    };
    if !wants_events(request.headers()) {
        return response::json(&state.topology(window).await);
    }
    let Ok(permit) = state.streams.clone().try_acquire_owned() else {
        let text = format!("{MAX_STREAMS} streams are open already");
        return Err(Error::Status { status: http::StatusCode::SERVICE_UNAVAILABLE, text });
    };
    Ok(events(state, window, permit))
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|one| one.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")))
}

/// The document again every second, the first at once, until the reader goes away.
fn events(state: InsightState, window: Duration, permit: OwnedSemaphorePermit) -> Response {
    let mut ticks = interval(EVENT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let held: (InsightState, Interval, OwnedSemaphorePermit) = (state, ticks, permit);
    let events = stream::unfold(held, move |(state, mut ticks, permit)| async move {
        ticks.tick().await;
        let event = event(&state.topology(window).await);
        Some((event, (state, ticks, permit)))
    });
    let mut response = Body::from_stream(events.map(Ok::<Bytes, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// JSON holds no line break of its own, so one `data` line is enough.
fn event(body: &TopologyBody) -> Bytes {
    let mut text = b"event: topology\ndata: ".to_vec();
    if serde_json::to_writer(&mut text, body).is_err() {
        return Bytes::from_static(b": no answer could be written\n\n");
    }
    text.extend_from_slice(b"\n\n");
    text.into()
}

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0))
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TopologyBody {
    at: u64,
    window_seconds: u64,
    datacenter: String,
    services: Vec<ServiceBody>,
    edges: Vec<EdgeBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ServiceBody {
    name: String,
    status: Status,
    kind: String,
    inbound: StatsBody,
    instances: Vec<InstanceBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InstanceBody {
    #[serde(rename = "ID")]
    id: String,
    node: String,
    zone: String,
    version: String,
    address: String,
    status: Status,
    checks: Vec<CheckBody>,
    sidecar: String,
    sidecar_seen_ms: Option<u64>,
    inbound: StatsBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CheckBody {
    name: String,
    status: Status,
    output: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct EdgeBody {
    source: String,
    destination: String,
    protocol: Protocol,
    client: StatsBody,
    server: StatsBody,
    series: SeriesBody,
    pairs: Vec<PairBody>,
    methods: Vec<MethodBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SeriesBody {
    step_seconds: u64,
    end_ms: u64,
    rate: Vec<f64>,
    errors: Vec<f64>,
    #[serde(rename = "P99Ms")]
    p99_ms: Vec<Option<f64>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PairBody {
    source_instance: String,
    source_node: String,
    destination_instance: String,
    destination_node: String,
    client: StatsBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MethodBody {
    service: String,
    method: String,
    client: StatsBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatsBody {
    requests: u64,
    rate: f64,
    /// By first digit of the code; those that did not happen are left out. `0` is TCP or no answer.
    classes: BTreeMap<usize, u64>,
    #[serde(rename = "GRPCStatuses")]
    grpc_statuses: BTreeMap<u8, u64>,
    errors: u64,
    error_share: f64,
    refused: u64,
    #[serde(rename = "P50Ms")]
    p50_ms: Option<f64>,
    #[serde(rename = "P99Ms")]
    p99_ms: Option<f64>,
    retries: u64,
    bytes_received: u64,
    bytes_sent: u64,
    total_requests: u64,
    total_errors: u64,
}

/// Three digits after the point: microseconds, and a tenth of a percent of a percent. More would be noise on the wire.
fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}

impl From<Topology> for TopologyBody {
    fn from(t: Topology) -> Self {
        Self {
            at: t.at_ms,
            window_seconds: t.window_seconds,
            datacenter: t.datacenter,
            services: t.services.into_iter().map(Into::into).collect(),
            edges: t.edges.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ServiceView> for ServiceBody {
    fn from(s: ServiceView) -> Self {
        Self {
            name: s.name,
            status: s.status,
            kind: s.kind,
            inbound: s.inbound.into(),
            instances: s.instances.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<InstanceView> for InstanceBody {
    fn from(i: InstanceView) -> Self {
        let facts = i.facts;
        let check = |c: insight::Check| CheckBody { name: c.name, status: c.status, output: c.output };
        Self {
            id: facts.id,
            node: facts.node,
            zone: facts.zone,
            version: facts.version,
            address: facts.address,
            status: facts.status,
            checks: facts.checks.into_iter().map(check).collect(),
            sidecar: facts.sidecar,
            sidecar_seen_ms: i.sidecar_seen_ms,
            inbound: i.inbound.into(),
        }
    }
}

impl From<Edge> for EdgeBody {
    fn from(e: Edge) -> Self {
        let pair = |p: insight::Pair| PairBody {
            source_instance: p.source_instance,
            source_node: p.source_node,
            destination_instance: p.destination_instance,
            destination_node: p.destination_node,
            client: p.client.into(),
        };
        let method = |m: insight::Method| MethodBody { service: m.service, method: m.method, client: m.client.into() };
        Self {
            source: e.source,
            destination: e.destination,
            protocol: e.protocol,
            client: e.client.into(),
            server: e.server.into(),
            series: e.line.into(),
            pairs: e.pairs.into_iter().map(pair).collect(),
            methods: e.methods.into_iter().map(method).collect(),
        }
    }
}

impl From<Line> for SeriesBody {
    fn from(l: Line) -> Self {
        let rounded_all = |list: Vec<f64>| list.into_iter().map(rounded).collect();
        Self {
            step_seconds: l.step_seconds,
            end_ms: l.end_ms,
            rate: rounded_all(l.rate),
            errors: rounded_all(l.errors),
            p99_ms: l.p99_ms.into_iter().map(|ms| ms.map(rounded)).collect(),
        }
    }
}

impl From<Stats> for StatsBody {
    fn from(s: Stats) -> Self {
        let sums = s.sums;
        Self {
            requests: sums.requests,
            rate: rounded(s.rate),
            classes: sums.classes.into_iter().enumerate().filter(|(_, count)| *count > 0).collect(),
            grpc_statuses: sums.grpc_statuses,
            errors: sums.errors,
            error_share: (s.error_share * 1e6).round() / 1e6,
            refused: sums.refused,
            p50_ms: s.p50_ms.map(rounded),
            p99_ms: s.p99_ms.map(rounded),
            retries: sums.retries,
            bytes_received: sums.bytes_received,
            bytes_sent: sums.bytes_sent,
            total_requests: s.total_requests,
            total_errors: s.total_errors,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http_body_util::BodyExt;
    use telemetry::{CellKey, Direction, Outcome, Peer, ProxyLabels, Registry, Reporter};
    use tower::ServiceExt;

    use super::*;

    fn app() -> Router {
        let registry = Registry::new(ProxyLabels {
            proxy: "web-sidecar-proxy".into(),
            service: "web".into(),
            instance: "web-1".into(),
            ..ProxyLabels::default()
        });
        let cell = registry.recorder().cell(&CellKey {
            direction: Direction::Outbound,
            listener: "cache".into(),
            protocol: Protocol::Grpc,
            target: "cache.default.dc1".into(),
            peer: Peer { service: "cache".into(), instance: "cache-1".into(), ..Peer::default() },
            route: "".into(),
            grpc_service: "emojify.Cache".into(),
            grpc_method: "Get".into(),
        });
        cell.record(&Outcome {
            code: 200,
            grpc_status: Some(13),
            duration: Duration::from_millis(3),
            ..Outcome::default()
        });
        let insight = Arc::new(Insight::new());
        insight.ingest(&Reporter::new(registry).report(0), now_ms() - 2000);
        let catalog = || async {
            let check = insight::Check { name: "http".into(), status: Status::Passing, output: "200".into() };
            let instance = insight::Instance {
                id: "cache-1".into(),
                status: Status::Passing,
                checks: vec![check],
                ..insight::Instance::default()
            };
            vec![insight::Service { name: "cache".into(), instances: vec![instance], ..insight::Service::default() }]
        };
        router(InsightState::new(insight, "dc1", catalog))
    }

    async fn get(path: &str, accept: &str) -> Response {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        app().oneshot(request).await.unwrap()
    }

    fn check(document: &serde_json::Value) {
        assert_eq!(document["Datacenter"], "dc1");
        assert_eq!(document["WindowSeconds"], 60);
        let edge = &document["Edges"][0];
        assert_eq!((&edge["Source"], &edge["Destination"]), (&"web".into(), &"cache".into()));
        assert_eq!(edge["Protocol"], "grpc");
        let client = &edge["Client"];
        assert_eq!((&client["Requests"], &client["Errors"]), (&1.into(), &1.into()));
        assert_eq!(client["Classes"], serde_json::json!({"2": 1}));
        assert_eq!(client["GRPCStatuses"], serde_json::json!({"13": 1}));
        assert!(client["P99Ms"].as_f64().unwrap() > 2.0);
        assert_eq!(edge["Server"]["P99Ms"], serde_json::Value::Null);
        assert_eq!(edge["Series"]["Rate"].as_array().unwrap().len(), 60);
        assert_eq!(edge["Pairs"][0]["DestinationInstance"], "cache-1");
        assert_eq!(edge["Methods"][0]["Service"], "emojify.Cache");
        assert_eq!(document["Services"][0]["Name"], "cache");
        assert_eq!(document["Services"][0]["Instances"][0]["Checks"][0]["Status"], "passing");
        assert_eq!(document["Services"][0]["Instances"][0]["ID"], "cache-1");
    }

    #[tokio::test]
    async fn the_document_has_every_dimension() {
        let response = get("/v1/insight/topology", "*/*").await;
        assert_eq!(response.status(), 200);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        check(&serde_json::from_slice(&body).unwrap());
        assert_eq!(get("/v1/insight/topology?window=soon", "*/*").await.status(), 400);
        assert_eq!(get("/v1/insight/topology?window=5m", "*/*").await.status(), 200);
    }

    #[tokio::test]
    async fn a_stream_begins_at_once() {
        let response = get("/v1/insight/topology", "text/event-stream").await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        let mut body = response.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&first).unwrap();
        let data = text.strip_prefix("event: topology\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        check(&serde_json::from_str(data).unwrap());
        assert!(body.frame().await.unwrap().unwrap().into_data().unwrap().starts_with(b"event: topology\n"));
    }
}
