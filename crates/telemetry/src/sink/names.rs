//! A snapshot in Envoy's words: statistic names and tags as an Envoy set up by Consul emits them, in that order.
//!
//! Envoy keeps one dotted name per statistic, from which tag rules cut the variable parts. Both forms are needed: the
//! whole name for plain StatsD, the cut name with its tags for DogStatsD and Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Protocol;

use super::dimensions;
use crate::cell::Answers;
use crate::record::{CellKey, Direction};
use crate::registry::{ListenerSnapshot, Membership, ProxyLabels, Snapshot, TargetSnapshot};

pub(crate) type Labels = Vec<(String, String)>;

/// What statistics of one listener, target or process share.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    /// `envoy`, or `meshglass` for what Envoy cannot say.
    pub prefix: &'static str,
    /// `cluster`; empty for our own.
    pub dotted: &'static str,
    /// `cluster.db.default.dc1.internal.….consul`; empty when plain StatsD is not to have it.
    pub plain: String,
    /// Dotted tag names (`consul.source.service`).
    pub labels: Labels,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Counter(u64),
    Gauge(u64),
    Histogram { fine: BTreeMap<u8, u64>, sum_us: u64 },
}

#[derive(Debug, Clone)]
pub(crate) struct Metric {
    pub scope: Arc<Scope>,
    /// `upstream_rq_xx`
    pub stat: &'static str,
    /// The tag that stands before all others: response class or code.
    pub lead: Option<(&'static str, String)>,
    pub value: Value,
}

impl Metric {
    /// `cluster.upstream_rq_xx`, without the prefix.
    pub fn dotted(&self) -> String {
        if self.scope.dotted.is_empty() { self.stat.to_owned() } else { format!("{}.{}", self.scope.dotted, self.stat) }
    }

    /// `cluster.db.….upstream_rq_2xx`, without the prefix; `None` when plain StatsD is not to have it.
    pub fn plain(&self) -> Option<String> {
        if self.scope.plain.is_empty() {
            return None;
        }
        let stat = match &self.lead {
            None => self.stat.to_owned(),
            Some((CODE_CLASS, class)) => self.stat.replace("_xx", &format!("_{class}xx")),
            Some((_, code)) => format!("{}_{code}", self.stat),
        };
        Some(format!("{}.{stat}", self.scope.plain))
    }

    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let lead = self.lead.iter().map(|(name, value)| (*name, value.as_str()));
        lead.chain(self.scope.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }
}

const CODE_CLASS: &str = "envoy.response_code_class";
const CODE: &str = "envoy.response_code";
const LOCAL_APP: &str = "local_app";

/// Everything a sink may send.
pub(crate) fn metrics(snapshot: &Snapshot) -> Vec<Metric> {
    let mut out = Writer { common: common(&snapshot.labels), out: Vec::new() };
    let http = by_listener(snapshot);
    let clusters = by_target(snapshot);
    for ((direction, name), listener) in &snapshot.listeners {
        let none = Answers::default();
        let answers = http.get(&(*direction, name.as_str())).unwrap_or(&none);
        out.listener(*direction, name, listener, answers, &snapshot.labels);
    }
    let mut ids: Vec<&str> = snapshot.targets.keys().map(String::as_str).collect();
    ids.extend(clusters.keys().filter(|id| !snapshot.targets.contains_key(**id)));
    ids.sort_unstable();
    for id in ids {
        let unknown = TargetSnapshot::default();
        let target = snapshot.targets.get(id).unwrap_or(&unknown);
        out.target(id, target, clusters.get(id), &snapshot.labels);
    }
    out.server(snapshot);
    let mut metrics = out.out;
    dimensions::metrics(snapshot, &mut metrics);
    metrics
}

/// The tags that everything has: the user's own, which win, then Consul's.
fn common(labels: &ProxyLabels) -> Labels {
    let mut tags: Labels =
        labels.stats_tags.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    for (name, value) in [
        ("local_cluster", &labels.service),
        ("consul.source.service", &labels.service),
        ("consul.source.namespace", &labels.namespace),
        ("consul.source.partition", &labels.partition),
        ("consul.source.datacenter", &labels.datacenter),
    ] {
        if !tags.iter().any(|(given, _)| given == name) {
            tags.push((name.to_owned(), value.clone()));
        }
    }
    tags
}

fn by_listener(snapshot: &Snapshot) -> BTreeMap<(Direction, &str), Answers> {
    let mut out: BTreeMap<(Direction, &str), Answers> = BTreeMap::new();
    for (key, values) in http_cells(snapshot) {
        let answers = out.entry((key.direction, &*key.listener)).or_default();
        answers.merge(&values.cluster);
        answers.merge(&values.local);
    }
    out
}

fn by_target(snapshot: &Snapshot) -> BTreeMap<&str, Answers> {
    let mut out: BTreeMap<&str, Answers> = BTreeMap::new();
    for (key, values) in http_cells(snapshot).filter(|(key, _)| !key.target.is_empty()) {
        out.entry(&*key.target).or_default().merge(&values.cluster);
    }
    out
}

fn http_cells(snapshot: &Snapshot) -> impl Iterator<Item = (&CellKey, &crate::CellValues)> {
    snapshot.cells.iter().filter(|(key, _)| key.protocol != Protocol::Tcp)
}

/// Answers per code; requests that had none (their caller left) are left out, as Envoy does.
fn codes(answers: &Answers) -> BTreeMap<u16, u64> {
    let mut out = BTreeMap::new();
    for ((code, _), count) in answers.statuses.iter().filter(|((code, _), _)| *code >= 100) {
        *out.entry(*code).or_default() += count;
    }
    out
}

fn classes(codes: &BTreeMap<u16, u64>) -> BTreeMap<u16, u64> {
    let mut out = BTreeMap::new();
    for (code, count) in codes {
        *out.entry(code / 100).or_default() += count;
    }
    out
}

struct Writer {
    common: Labels,
    out: Vec<Metric>,
}

impl Writer {
    fn scope(&self, dotted: &'static str, plain: String, before: Labels, after: Labels) -> Arc<Scope> {
        let labels = before.into_iter().chain(self.common.iter().cloned()).chain(after).collect();
        Arc::new(Scope { prefix: "envoy", dotted, plain, labels })
    }

    fn push(&mut self, scope: &Arc<Scope>, stat: &'static str, value: Value) {
        self.out.push(Metric { scope: scope.clone(), stat, lead: None, value });
    }

    fn counters(&mut self, scope: &Arc<Scope>, list: &[(&'static str, u64)]) {
        for (stat, value) in list {
            self.push(scope, stat, Value::Counter(*value));
        }
    }

    fn gauges(&mut self, scope: &Arc<Scope>, list: &[(&'static str, u64)]) {
        for (stat, value) in list {
            self.push(scope, stat, Value::Gauge(*value));
        }
    }

    /// `_xx` per class. Envoy knows all five classes of a listener from the start, those of a cluster once seen.
    fn by_class(&mut self, scope: &Arc<Scope>, stat: &'static str, codes: &BTreeMap<u16, u64>, all: bool) {
        let seen = classes(codes);
        for class in 1..=5 {
            let count = seen.get(&class).copied();
            if all || count.is_some() {
                let lead = Some((CODE_CLASS, class.to_string()));
                let value = Value::Counter(count.unwrap_or_default());
                self.out.push(Metric { scope: scope.clone(), stat, lead, value });
            }
        }
    }

    fn by_code(&mut self, scope: &Arc<Scope>, stat: &'static str, codes: &BTreeMap<u16, u64>) {
        for (code, count) in codes {
            let lead = Some((CODE, code.to_string()));
            self.out.push(Metric { scope: scope.clone(), stat, lead, value: Value::Counter(*count) });
        }
    }

    fn listener(
        &mut self,
        direction: Direction,
        name: &str,
        listener: &ListenerSnapshot,
        answers: &Answers,
        labels: &ProxyLabels,
    ) {
        let v = &listener.values;
        // A metric name must not hold a colon, so Envoy writes the address with an underscore.
        let address = listener.info.address.replace(':', "_");
        let place = vec![("envoy.listener_address".to_owned(), address.clone())];
        let at = self.scope("listener", format!("listener.{address}"), vec![], place.clone());
        self.counters(
            &at,
            &[
                ("downstream_cx_total", v.cx_total),
                ("downstream_cx_destroy", v.cx_total.saturating_sub(v.cx_active)),
                ("downstream_cx_overflow", v.overflow),
                ("downstream_cx_overload_reject", 0),
                ("downstream_global_cx_overflow", 0),
            ],
        );
        self.gauges(&at, &[("downstream_cx_active", v.cx_active)]);
        if direction == Direction::Inbound {
            self.counters(
                &at,
                &[
                    ("ssl.handshake", v.ssl_handshake),
                    ("ssl.session_reused", v.ssl_session_reused),
                    ("ssl.connection_error", v.ssl_connection_error),
                    ("ssl.fail_verify_no_cert", v.ssl_fail_verify_no_cert),
                    ("ssl.fail_verify_error", v.ssl_fail_verify_error),
                    ("ssl.fail_verify_san", v.ssl_fail_verify_san),
                ],
            );
        }
        let front = stat_prefix(direction, name, labels);
        if listener.info.protocol == Protocol::Tcp {
            self.tcp(direction, listener, front);
        } else {
            let (prefix, plain) = (front.label, front.plain.clone());
            self.http(direction, listener, answers, front);
            if direction == Direction::Inbound {
                // The upstreams' form of this one keeps the upstream in the metric's name: a family per upstream.
                let mut after = vec![("envoy.http_conn_manager_prefix".to_owned(), prefix.to_owned())];
                after.extend(place);
                let plain = format!("listener.{address}.http.{plain}");
                let scope = self.scope("listener.http", plain, vec![], after);
                let codes = codes(answers);
                self.counters(&scope, &[("downstream_rq_completed", codes.values().sum())]);
                self.by_class(&scope, "downstream_rq_xx", &codes, true);
            }
        }
    }

    fn tcp(&mut self, direction: Direction, listener: &ListenerSnapshot, front: StatPrefix) {
        let v = &listener.values;
        let after = vec![("envoy.tcp_prefix".to_owned(), front.label.to_owned())];
        let scope = self.scope("tcp", format!("tcp.{}", front.plain), front.tags, after);
        self.counters(
            &scope,
            &[
                ("downstream_cx_total", v.cx_total),
                ("downstream_cx_no_route", v.no_route),
                ("downstream_cx_rx_bytes_total", v.rx_bytes),
                ("downstream_cx_tx_bytes_total", v.tx_bytes),
                ("idle_timeout", v.cx_idle_timeout),
            ],
        );
        // Nothing is held back here: what is read is written before more is read.
        self.gauges(&scope, &[("downstream_cx_rx_bytes_buffered", 0), ("downstream_cx_tx_bytes_buffered", 0)]);
        if direction == Direction::Inbound {
            let after = vec![("envoy.rbac_prefix".to_owned(), "connect_authz".to_owned())];
            let scope = self.scope("rbac", "connect_authz.rbac".to_owned(), vec![], after);
            self.counters(&scope, &[("allowed", v.rbac_allowed), ("denied", v.rbac_denied)]);
        }
    }

    fn http(&mut self, direction: Direction, listener: &ListenerSnapshot, answers: &Answers, front: StatPrefix) {
        let v = &listener.values;
        let after = vec![("envoy.http_conn_manager_prefix".to_owned(), front.label.to_owned())];
        let scope = self.scope("http", format!("http.{}", front.plain), front.tags, after);
        let codes = codes(answers);
        self.counters(
            &scope,
            &[
                ("downstream_cx_total", v.cx_total),
                ("downstream_cx_destroy", v.cx_total.saturating_sub(v.cx_active)),
                ("downstream_cx_destroy_local", v.cx_destroy_local),
                ("downstream_cx_destroy_remote", v.cx_destroy_remote),
                ("downstream_cx_http1_total", v.cx_http1_total),
                ("downstream_cx_http2_total", v.cx_http2_total),
                ("downstream_cx_upgrades_total", v.cx_upgrades_total),
                ("downstream_cx_protocol_error", v.cx_protocol_error),
                ("downstream_cx_idle_timeout", v.cx_idle_timeout),
                ("downstream_cx_rx_bytes_total", v.rx_bytes),
                ("downstream_cx_tx_bytes_total", v.tx_bytes),
                ("downstream_rq_total", v.rq_total.max(answers.requests())),
                ("downstream_rq_completed", codes.values().sum()),
                ("downstream_rq_rx_reset", v.rq_rx_reset),
                ("downstream_rq_tx_reset", v.rq_tx_reset),
                ("downstream_rq_timeout", v.rq_timeout),
                ("no_route", v.no_route),
            ],
        );
        if direction == Direction::Inbound {
            self.counters(&scope, &[("rbac.allowed", v.rbac_allowed), ("rbac.denied", v.rbac_denied)]);
        }
        self.by_class(&scope, "downstream_rq_xx", &codes, true);
        self.gauges(
            &scope,
            &[
                ("downstream_cx_active", v.cx_active),
                ("downstream_rq_active", v.rq_active),
                ("downstream_cx_rx_bytes_buffered", 0),
                ("downstream_cx_tx_bytes_buffered", 0),
            ],
        );
        let time = Value::Histogram { fine: answers.fine.clone(), sum_us: answers.duration_us_sum };
        self.push(&scope, "downstream_rq_time", time);
    }

    fn target(&mut self, id: &str, target: &TargetSnapshot, answers: Option<&Answers>, labels: &ProxyLabels) {
        let v = &target.values;
        let (plain, after) = cluster_tags(id, labels);
        let scope = self.scope("cluster", format!("cluster.{plain}"), vec![], after);
        let codes = answers.map(codes).unwrap_or_default();
        let tried = &[
            ("upstream_rq_total", v.rq_total),
            ("upstream_rq_completed", codes.values().sum()),
            ("upstream_rq_pending_total", v.rq_pending_total),
            ("upstream_rq_pending_overflow", v.rq_pending_overflow),
            ("upstream_rq_pending_failure_eject", v.rq_pending_failure_eject),
            ("outlier_detection_ejections_enforced_total", v.ejections_total),
            ("upstream_rq_retry", v.rq_retry),
            ("upstream_rq_retry_success", v.rq_retry_success),
            ("upstream_rq_retry_overflow", v.rq_retry_overflow),
            ("upstream_rq_retry_limit_exceeded", v.rq_retry_limit_exceeded),
            ("upstream_rq_timeout", v.rq_timeout),
            ("upstream_rq_per_try_timeout", v.rq_per_try_timeout),
            ("upstream_rq_rx_reset", v.rq_rx_reset),
            ("upstream_rq_tx_reset", v.rq_tx_reset),
            ("upstream_rq_cancelled", v.rq_cancelled),
        ];
        self.counters(&scope, tried);
        let connections = &[
            ("upstream_cx_total", v.cx_total),
            ("upstream_cx_http1_total", v.cx_http1_total),
            ("upstream_cx_http2_total", v.cx_http2_total),
            ("upstream_cx_connect_fail", v.cx_connect_fail),
            ("upstream_cx_connect_timeout", v.cx_connect_timeout),
            ("upstream_cx_destroy", v.cx_destroy.max(v.cx_destroy_local + v.cx_destroy_remote)),
            ("upstream_cx_destroy_local", v.cx_destroy_local),
            ("upstream_cx_destroy_remote", v.cx_destroy_remote),
            ("upstream_cx_none_healthy", v.cx_none_healthy),
            ("upstream_cx_overflow", v.cx_overflow),
            ("upstream_cx_idle_timeout", v.cx_idle_timeout),
            ("upstream_cx_protocol_error", v.cx_protocol_error),
            ("upstream_cx_rx_bytes_total", v.rx_bytes),
            ("upstream_cx_tx_bytes_total", v.tx_bytes),
        ];
        self.counters(&scope, connections);
        if id != LOCAL_APP {
            let handshakes = &[
                ("ssl.handshake", v.ssl_handshake),
                ("ssl.session_reused", v.ssl_session_reused),
                ("ssl.connection_error", v.ssl_connection_error),
                ("ssl.fail_verify_error", v.ssl_fail_verify_error),
                ("ssl.fail_verify_san", v.ssl_fail_verify_san),
            ];
            self.counters(&scope, handshakes);
        }
        // The application is one member, and whether it is well is its health check's business.
        let alone = Membership { total: 1, healthy: 1 };
        let members = if id == LOCAL_APP { alone } else { target.membership };
        self.gauges(
            &scope,
            &[
                ("membership_healthy", u64::from(members.healthy)),
                ("membership_total", u64::from(members.total)),
                ("upstream_cx_active", v.cx_active),
                ("upstream_rq_active", v.rq_active),
                ("upstream_rq_pending_active", v.rq_pending_active),
            ],
        );
        self.by_code(&scope, "upstream_rq", &codes);
        self.by_class(&scope, "upstream_rq_xx", &codes, false);
        if let Some(answers) = answers {
            let time = Value::Histogram { fine: answers.fine.clone(), sum_us: answers.duration_us_sum };
            self.push(&scope, "upstream_rq_time", time);
        }
    }

    fn server(&mut self, snapshot: &Snapshot) {
        let scope = self.scope("server", "server".to_owned(), vec![], vec![]);
        let memory = super::process::memory();
        self.gauges(
            &scope,
            &[
                ("live", u64::from(snapshot.live)),
                // Envoy's states: 0 live, 1 draining.
                ("state", u64::from(!snapshot.live)),
                ("uptime", snapshot.uptime_seconds),
                ("concurrency", snapshot.workers),
                ("memory_allocated", memory.resident),
                ("memory_heap_size", memory.anonymous),
                ("memory_physical_size", memory.resident),
                ("total_connections", snapshot.listeners.values().map(|l| l.values.cx_active).sum()),
            ],
        );
    }
}

/// The connection manager's or TCP proxy's `stat_prefix`.
struct StatPrefix {
    /// What is left of it as a label.
    label: &'static str,
    /// The whole of it.
    plain: String,
    /// What is cut out of it.
    tags: Labels,
}

fn stat_prefix(direction: Direction, name: &str, labels: &ProxyLabels) -> StatPrefix {
    if direction == Direction::Inbound {
        return StatPrefix { label: "public_listener", plain: "public_listener".to_owned(), tags: vec![] };
    }
    let (service, query) = name.split_once('?').unwrap_or((name, ""));
    let of = |key: &str, or: &str| {
        let pair = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        pair.unwrap_or(or).to_owned()
    };
    let datacenter = of("dc", &labels.datacenter);
    let (namespace, partition) = (of("ns", "default"), of("partition", "default"));
    let plain = format!("upstream.{service}.{namespace}.{partition}.{datacenter}");
    let tags = [
        ("service", service.to_owned()),
        ("datacenter", datacenter),
        ("namespace", namespace),
        ("partition", partition),
    ];
    let tags = tags.map(|(part, value)| (format!("consul.upstream.{part}"), value)).into();
    StatPrefix { label: "upstream", plain, tags }
}

/// A cluster's whole name and its tags. Parts that a target does not have are empty, as Envoy's tag rules leave them.
fn cluster_tags(id: &str, labels: &ProxyLabels) -> (String, Labels) {
    let name_tag = |name: &str| ("envoy.cluster_name".to_owned(), name.to_owned());
    if id == LOCAL_APP {
        return (id.to_owned(), vec![name_tag(id)]);
    }
    let parts: Vec<&str> = id.split('.').collect();
    let (subset, service, namespace, datacenter) = match parts[..] {
        [service, namespace, datacenter] => ("", service, namespace, datacenter),
        [subset, service, namespace, datacenter] => (subset, service, namespace, datacenter),
        _ => ("", id, "default", labels.datacenter.as_str()),
    };
    let full = format!("{id}.internal.{}", labels.trust_domain.trim_end_matches(".consul"));
    let trust_domain = labels.trust_domain.trim_end_matches(".consul");
    let tags = [
        ("custom_hash", ""),
        ("service_subset", subset),
        ("service", service),
        ("namespace", namespace),
        ("partition", ""),
        ("datacenter", datacenter),
        ("routing_type", "internal"),
        ("trust_domain", trust_domain),
        ("target", id),
        ("full_target", &full),
    ];
    // Envoy takes the first segment, so a subset hides the service here.
    let mut out = vec![name_tag(id.split('.').next().unwrap_or(id))];
    out.extend(tags.map(|(part, value)| (format!("consul.destination.{part}"), value.to_owned())));
    (format!("{full}.consul"), out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> ProxyLabels {
        ProxyLabels {
            service: "web".into(),
            datacenter: "dc1".into(),
            trust_domain: "11111111-2222-3333-4444-555555555555.consul".into(),
            ..ProxyLabels::default()
        }
    }

    #[test]
    fn a_subset_hides_the_service_in_the_clusters_name_as_in_envoy() {
        let (plain, tags) = cluster_tags("v2.api.default.dc1", &labels());
        assert_eq!(plain, "v2.api.default.dc1.internal.11111111-2222-3333-4444-555555555555.consul");
        assert_eq!(tags[0], ("envoy.cluster_name".to_owned(), "v2".to_owned()));
        assert!(tags.contains(&("consul.destination.service_subset".to_owned(), "v2".to_owned())));
        assert!(tags.contains(&("consul.destination.service".to_owned(), "api".to_owned())));
    }

    #[test]
    fn an_upstream_elsewhere_keeps_its_datacenter() {
        let front = stat_prefix(Direction::Outbound, "db?dc=dc2", &labels());
        assert_eq!((front.label, front.plain.as_str()), ("upstream", "upstream.db.default.default.dc2"));
        assert_eq!(front.tags[1], ("consul.upstream.datacenter".to_owned(), "dc2".to_owned()));
    }

    #[test]
    fn the_users_tag_wins_and_stands_first() {
        let mut labels = labels();
        labels.stats_tags = vec![("Local_Cluster".into(), "mine".into()), ("team".into(), "a".into())];
        let tags = common(&labels);
        assert_eq!(tags[0], ("local_cluster".to_owned(), "mine".to_owned()));
        assert_eq!(tags.iter().filter(|(name, _)| name == "local_cluster").count(), 1);
    }
}
