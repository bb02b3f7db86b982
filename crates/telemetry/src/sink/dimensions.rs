//! What Envoy cannot say: requests by the other end's instance, node, zone and version, and by gRPC service, method
//! and status as labels of one metric, not as metrics of their own.

use std::sync::Arc;

use super::names::{Labels, Metric, Scope, Value};
use crate::cell::CellValues;
use crate::record::{CellKey, Direction};
use crate::registry::{ProxyLabels, Snapshot};

const PREFIX: &str = "meshglass";

pub(super) fn metrics(snapshot: &Snapshot, out: &mut Vec<Metric>) {
    let tags = tags(&snapshot.labels);
    for (key, values) in &snapshot.cells {
        let all = values.all();
        if all.requests() > 0 {
            cell(&snapshot.labels, &tags, key, values, out);
        }
    }
    for (limit, hits) in [
        ("cells", snapshot.cell_overflow),
        ("grpc_methods", snapshot.method_overflow),
        ("statsd_datagrams", snapshot.sink_drops),
        ("access_log", snapshot.log_drops),
    ] {
        let scope = own([("limit", limit)], &tags);
        out.push(Metric { scope, stat: "limit_hits", lead: None, value: Value::Counter(hits) });
    }
    let l = &snapshot.labels;
    let info = [
        ("proxy", l.proxy.as_str()),
        ("service", &l.service),
        ("instance", &l.instance),
        ("node", &l.node),
        ("zone", &l.zone),
        ("version", &l.version),
        ("datacenter", &l.datacenter),
        ("trust_domain", &l.trust_domain),
    ];
    out.push(Metric { scope: own(info, &tags), stat: "proxy_info", lead: None, value: Value::Gauge(1) });
}

fn tags(labels: &ProxyLabels) -> Labels {
    labels.stats_tags.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

fn own<'a>(labels: impl IntoIterator<Item = (&'static str, &'a str)>, tags: &Labels) -> Arc<Scope> {
    let mut all: Labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    // A user's tag must not repeat one of the dimensions: a metric with a label twice is refused by every reader.
    let free: Labels = tags.iter().filter(|(tag, _)| all.iter().all(|(name, _)| name != tag)).cloned().collect();
    all.extend(free);
    Arc::new(Scope { prefix: PREFIX, dotted: "", plain: String::new(), labels: all })
}

fn cell(proxy: &ProxyLabels, tags: &Labels, key: &CellKey, values: &CellValues, out: &mut Vec<Metric>) {
    let (direction, source, destination) = match key.direction {
        Direction::Inbound => ("inbound", &*key.peer.service, proxy.service.as_str()),
        Direction::Outbound => ("outbound", proxy.service.as_str(), &*key.peer.service),
    };
    let protocol = format!("{:?}", key.protocol).to_ascii_lowercase();
    let base = [
        ("direction", direction),
        ("protocol", &protocol),
        ("source_service", source),
        ("destination_service", destination),
        ("instance", &key.peer.instance),
        ("node", &key.peer.node),
        ("zone", &key.peer.zone),
        ("version", &key.peer.version),
        ("route", &key.route),
        ("grpc_service", &key.grpc_service),
        ("grpc_method", &key.grpc_method),
    ];
    let all = values.all();
    for ((code, grpc), count) in &all.statuses {
        let code = code.to_string();
        let grpc = grpc.map(|status| status.to_string()).unwrap_or_default();
        let scope = own(base.into_iter().chain([("grpc_status", grpc.as_str()), ("code", code.as_str())]), tags);
        out.push(Metric { scope, stat: "requests", lead: None, value: Value::Counter(*count) });
    }
    let scope = own(base, tags);
    let mut push =
        |stat: &'static str, value: Value| out.push(Metric { scope: scope.clone(), stat, lead: None, value });
    for (stat, count) in [
        ("request_errors", values.errors),
        ("request_retries", values.retries),
        ("requests_refused", values.refused),
        ("request_origin_failures", values.origin_failures),
    ] {
        if count > 0 {
            push(stat, Value::Counter(count));
        }
    }
    push("request_duration", Value::Histogram { fine: all.fine, sum_us: all.duration_us_sum });
}
