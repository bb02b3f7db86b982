//! The keys of the opaque maps that we understand. Parsed once, here; every other crate reads the result.

use std::time::Duration;

use serde_json::Value;

use crate::service::{OpaqueMap, Protocol};

/// What a proxy's merged `config` map means.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxySettings {
    pub protocol: Protocol,
    pub bind_address: Option<String>,
    pub bind_port: Option<u16>,
    pub local_connect_timeout: Option<Duration>,
    pub local_request_timeout: Option<Duration>,
    pub local_idle_timeout: Option<Duration>,
    pub max_inbound_connections: Option<u32>,
    pub statsd_url: Option<String>,
    pub dogstatsd_url: Option<String>,
    pub prometheus_bind_addr: Option<String>,
    pub stats_bind_addr: Option<String>,
    /// `k=v`, as written.
    pub stats_tags: Vec<String>,
    pub stats_flush_interval: Option<Duration>,
    /// One sentence each: a key nobody knows, or a value of the wrong type. For the log and the plan, never dropped.
    pub warnings: Vec<String>,
}

/// What an upstream's `config` map means.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpstreamSettings {
    pub protocol: Protocol,
    pub connect_timeout: Option<Duration>,
    pub max_connections: Option<u32>,
    pub max_pending_requests: Option<u32>,
    pub max_concurrent_requests: Option<u32>,
    pub passive_health_check_interval: Option<Duration>,
    pub passive_health_check_max_failures: Option<u32>,
    pub passive_health_check_base_ejection_time: Option<Duration>,
    /// Percent.
    pub passive_health_check_max_ejection_percent: Option<u32>,
    /// Percent: how often an ejection that is due is carried out.
    pub passive_health_check_enforcing: Option<u32>,
    pub warnings: Vec<String>,
}

/// Keys that only a real Envoy can honour. Said once, so that nobody waits for an effect.
const ENVOY_ONLY: [&str; 14] = [
    "envoy_bootstrap_json_tpl",
    "envoy_cluster_json",
    "envoy_extra_static_clusters_json",
    "envoy_extra_static_listeners_json",
    "envoy_extra_stats_sinks_json",
    "envoy_listener_json",
    "envoy_listener_tracing_json",
    "envoy_local_cluster_json",
    "envoy_public_listener_json",
    "envoy_stats_config_json",
    "envoy_telemetry_collector_bind_socket_dir",
    "envoy_tracing_json",
    "envoy_dns_discovery_type",
    "xds_fetch_timeout_ms",
];

/// Keys of Consul that are taken and have no effect yet.
const ACCEPTED: [&str; 4] =
    ["balance_inbound_connections", "balance_outbound_connections", "max_request_headers_kb", "mesh_gateway"];

impl ProxySettings {
    pub fn parse(map: &OpaqueMap) -> Self {
        let mut out = Self::default();
        for (key, value) in map {
            let mut read = Reader { key, value, warnings: Vec::new() };
            match key.to_ascii_lowercase().as_str() {
                "protocol" => out.protocol = read.protocol(),
                "bind_address" => out.bind_address = read.text(),
                "bind_port" => out.bind_port = read.number(),
                "local_connect_timeout_ms" => out.local_connect_timeout = read.millis(),
                "local_request_timeout_ms" => out.local_request_timeout = read.millis(),
                "local_idle_timeout_ms" => out.local_idle_timeout = read.millis(),
                "max_inbound_connections" => out.max_inbound_connections = read.number(),
                "envoy_statsd_url" => out.statsd_url = read.text(),
                "envoy_dogstatsd_url" => out.dogstatsd_url = read.text(),
                "envoy_prometheus_bind_addr" => out.prometheus_bind_addr = read.text(),
                "envoy_stats_bind_addr" => out.stats_bind_addr = read.text(),
                "envoy_stats_tags" => out.stats_tags = read.texts(),
                "envoy_stats_flush_interval" => out.stats_flush_interval = read.duration(),
                // What the removed managed proxies wrote beside these is read by the definition parser.
                _ => read.unknown(),
            }
            out.warnings.append(&mut read.warnings);
        }
        out
    }
}

impl UpstreamSettings {
    pub fn parse(map: &OpaqueMap) -> Self {
        let mut out = Self::default();
        for (key, value) in map {
            let mut read = Reader { key, value, warnings: Vec::new() };
            match key.to_ascii_lowercase().as_str() {
                "protocol" => out.protocol = read.protocol(),
                "connect_timeout_ms" => out.connect_timeout = read.millis(),
                "limits" => out.limits(&mut read),
                "passive_health_check" => out.passive_health_check(&mut read),
                _ => read.unknown(),
            }
            out.warnings.append(&mut read.warnings);
        }
        out
    }

    fn limits(&mut self, read: &mut Reader<'_>) {
        read.each(|name, value| match name {
            "max_connections" => self.max_connections = value.number(),
            "max_pending_requests" => self.max_pending_requests = value.number(),
            "max_concurrent_requests" => self.max_concurrent_requests = value.number(),
            _ => value.unknown(),
        });
    }

    fn passive_health_check(&mut self, read: &mut Reader<'_>) {
        read.each(|name, value| match name {
            "interval" => self.passive_health_check_interval = value.duration(),
            "max_failures" => self.passive_health_check_max_failures = value.number(),
            "base_ejection_time" => self.passive_health_check_base_ejection_time = value.duration(),
            "max_ejection_percent" => self.passive_health_check_max_ejection_percent = value.number(),
            "enforcing_consecutive_5xx" | "enforcing_consecutive5xx" => {
                self.passive_health_check_enforcing = value.number();
            }
            _ => value.unknown(),
        });
    }
}

/// Reads one value the weak way Consul does: a number may be a string, a duration a string or nanoseconds.
struct Reader<'a> {
    key: &'a str,
    value: &'a Value,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn wrong(&mut self, expected: &str) {
        self.warnings.push(format!("config key {:?}: expected {expected}, got {}", self.key, self.value));
    }

    fn unknown(&mut self) {
        let key = self.key.to_ascii_lowercase();
        if ENVOY_ONLY.contains(&key.as_str()) {
            self.warnings.push(format!("config key {key:?} is for Envoy only and has no effect on this proxy"));
        } else if !ACCEPTED.contains(&key.as_str()) {
            self.warnings.push(format!("config key {:?} is unknown and has no effect", self.key));
        }
    }

    fn text(&mut self) -> Option<String> {
        let text = self.value.as_str().map(str::to_owned);
        if text.is_none() {
            self.wrong("a string");
        }
        text
    }

    fn texts(&mut self) -> Vec<String> {
        let list: Option<Vec<String>> =
            self.value.as_array().and_then(|list| list.iter().map(|v| v.as_str().map(str::to_owned)).collect());
        list.unwrap_or_else(|| {
            self.wrong("a list of strings");
            Vec::new()
        })
    }

    fn number<N: TryFrom<u64>>(&mut self) -> Option<N> {
        let number = match self.value {
            Value::String(text) => text.parse().ok(),
            // HCL and JSON may carry 5000.0.
            Value::Number(n) => {
                n.as_u64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64))
            }
            _ => None,
        };
        let number = number.and_then(|n: u64| N::try_from(n).ok());
        if number.is_none() {
            self.wrong("a whole number in range");
        }
        number
    }

    fn millis(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_millis)
    }

    fn duration(&mut self) -> Option<Duration> {
        let duration = match self.value {
            Value::String(text) => crate::parse_duration(text).ok(),
            Value::Number(n) => n.as_u64().map(Duration::from_nanos),
            _ => None,
        };
        if duration.is_none() {
            self.wrong("a duration such as \"5s\"");
        }
        duration
    }

    fn protocol(&mut self) -> Protocol {
        let protocol = self.value.as_str().and_then(Protocol::parse);
        if protocol.is_none() {
            self.wrong("tcp, http, http2 or grpc");
        }
        protocol.unwrap_or_default()
    }

    /// HCL writes a nested block as a list of one object, JSON as an object.
    fn each(&mut self, mut field: impl FnMut(&str, &mut Reader<'_>)) {
        let object = match self.value {
            Value::Array(list) if list.len() == 1 => list[0].as_object(),
            value => value.as_object(),
        };
        let Some(object) = object else {
            return self.wrong("a block");
        };
        for (name, value) in object {
            let mut inner = Reader { key: name, value, warnings: Vec::new() };
            field(&name.to_ascii_lowercase(), &mut inner);
            self.warnings.append(&mut inner.warnings);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn map(json: &str) -> OpaqueMap {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn reads_weakly_and_reports_what_it_does_not_know() {
        let settings = ProxySettings::parse(&map(
            r#"{"protocol":"http","envoy_dogstatsd_url":"udp://127.0.0.1:9125","local_request_timeout_ms":"2500",
                "envoy_tracing_json":"{}","bogus":1,"bind_port":70000}"#,
        ));
        assert_eq!(settings.protocol, Protocol::Http);
        assert_eq!(settings.dogstatsd_url.as_deref(), Some("udp://127.0.0.1:9125"));
        assert_eq!(settings.local_request_timeout, Some(Duration::from_millis(2500)));
        assert_eq!(settings.warnings.len(), 3, "{:?}", settings.warnings);
    }

    #[test]
    fn upstream_blocks_come_as_lists_from_hcl() {
        let settings = UpstreamSettings::parse(&map(
            r#"{"limits":[{"max_connections":5}],"passive_health_check":{"interval":"3s","max_failures":2}}"#,
        ));
        assert_eq!(settings.max_connections, Some(5));
        assert_eq!(settings.passive_health_check_interval, Some(Duration::from_secs(3)));
        assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    }
}
