//! What is measured and where it goes: from the proxy's settings and `proxy-defaults { AccessLogs }`.

use std::time::Duration;

use model::{OpaqueMap, ProxyDefaults, ProxySettings};
use serde_json::Value;

use crate::merge::find;
use crate::{AccessLog, LogSink, Recording};

/// Envoy's own, which Consul's dashboards were made for.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

pub fn recording(settings: &ProxySettings, defaults: Option<&ProxyDefaults>, warnings: &mut Vec<String>) -> Recording {
    let empty = OpaqueMap::new();
    Recording {
        statsd_url: settings.statsd_url.clone(),
        dogstatsd_url: settings.dogstatsd_url.clone(),
        prometheus_bind_addr: settings.prometheus_bind_addr.clone(),
        stats_bind_addr: settings.stats_bind_addr.clone(),
        stats_tags: settings.stats_tags.iter().filter_map(|tag| pair(tag, warnings)).collect(),
        flush_interval: settings.stats_flush_interval.filter(|d| !d.is_zero()).unwrap_or(FLUSH_INTERVAL),
        access_log: access_log(defaults.map_or(&empty, |d| &d.access_logs), warnings),
    }
}

fn pair(tag: &str, warnings: &mut Vec<String>) -> Option<(String, String)> {
    let pair = tag.split_once('=').filter(|(name, _)| !name.is_empty());
    if pair.is_none() {
        warnings.push(format!("envoy_stats_tags: {tag:?} is not name=value and is left out"));
    }
    pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

fn access_log(map: &OpaqueMap, warnings: &mut Vec<String>) -> Option<AccessLog> {
    let text = |key| find(map, key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let yes = |key| find(map, key).and_then(Value::as_bool).unwrap_or(false);
    if !yes("enabled") {
        return None;
    }
    let sink = match (text("type").unwrap_or_default().as_str(), text("path")) {
        ("" | "stdout", _) => LogSink::Stdout,
        ("stderr", _) => LogSink::Stderr,
        ("file", Some(path)) => LogSink::File(path),
        (kind, _) => {
            let why = if kind == "file" { "a file needs a Path" } else { "Type must be stdout, stderr or file" };
            warnings.push(format!("AccessLogs of proxy-defaults: {why}; logging to stdout"));
            LogSink::Stdout
        }
    };
    Some(AccessLog {
        sink,
        json_format: text("jsonformat"),
        text_format: text("textformat"),
        disable_listener_logs: yes("disablelistenerlogs"),
    })
}
