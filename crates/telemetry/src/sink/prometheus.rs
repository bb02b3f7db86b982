//! Prometheus text, version 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::names::{Metric, Value, metrics};
use crate::histogram::coarse;
use crate::registry::Snapshot;
use crate::report::BUCKETS_MS;

/// What the text is, for `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The whole page.
pub(crate) fn render(snapshot: &Snapshot) -> String {
    let all = metrics(snapshot);
    let mut families: BTreeMap<String, Vec<&Metric>> = BTreeMap::new();
    for metric in &all {
        families.entry(family(metric)).or_default().push(metric);
    }
    let mut out = String::with_capacity(16 * 1024);
    for (name, members) in &families {
        let (kind, help) = (kind(&members[0].value), help(members[0]));
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for metric in members {
            write_metric(&mut out, name, metric);
        }
    }
    out
}

fn is_ours(metric: &Metric) -> bool {
    metric.scope.dotted.is_empty()
}

/// Envoy's names have no unit suffix and keep milliseconds; ours follow Prometheus' own conventions.
fn family(metric: &Metric) -> String {
    let mut name = sanitized(&format!("{}_{}", metric.scope.prefix, metric.dotted()));
    if is_ours(metric) {
        name.push_str(match metric.value {
            Value::Counter(_) => "_total",
            Value::Histogram { .. } => "_seconds",
            Value::Gauge(_) => "",
        });
    }
    name
}

fn help(metric: &Metric) -> String {
    if !is_ours(metric) {
        return format!("Envoy's statistic {}.", metric.dotted());
    }
    match metric.stat {
        "requests" => "Requests by both ends, gRPC method and result; code 0 is TCP, or no answer.",
        "request_errors" => "Requests that failed through no fault of their caller.",
        "request_retries" => "Attempts beyond the first.",
        "requests_refused" => "Requests that an intention refused.",
        "request_origin_failures" => "Failures that began at the answering application.",
        "request_duration" => "From the first byte of the request to the last of the answer.",
        "limit_hits" => "How often a limit of this proxy was met.",
        _ => "Who this proxy is.",
    }
    .to_owned()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Counter(_) => "counter",
        Value::Gauge(_) => "gauge",
        Value::Histogram { .. } => "histogram",
    }
}

fn write_metric(out: &mut String, name: &str, metric: &Metric) {
    let labels = labels(metric);
    match &metric.value {
        Value::Counter(value) | Value::Gauge(value) => {
            let _ = writeln!(out, "{name}{} {value}", braced(&labels));
        }
        Value::Histogram { fine, sum_us } => {
            let scale = if is_ours(metric) { 1000.0 } else { 1.0 };
            let counts = coarse(fine);
            let mut below = 0;
            let bounds = BUCKETS_MS.iter().map(|ms| (ms / scale).to_string()).chain(["+Inf".to_owned()]);
            for (count, bound) in counts.iter().zip(bounds) {
                below += count;
                let comma = if labels.is_empty() { "" } else { "," };
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {below}");
            }
            let sum = *sum_us as f64 / 1000.0 / scale;
            let _ = writeln!(out, "{name}_sum{} {sum}\n{name}_count{} {below}", braced(&labels), braced(&labels));
        }
    }
}

fn braced(labels: &str) -> String {
    if labels.is_empty() { String::new() } else { format!("{{{labels}}}") }
}

fn labels(metric: &Metric) -> String {
    let mut out = String::new();
    for (name, value) in metric.labels() {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(&label_name(name));
        out.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out.push('"');
    }
    out
}

fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// A user's tag may begin with a digit, or with the two underscores that Prometheus keeps for itself.
fn label_name(name: &str) -> String {
    let name = sanitized(name);
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.starts_with("__") { format!("tag_{name}") } else { name }
}
