//! Where measurements go. Every sink reads the registry's merged snapshot on its own time.

pub(crate) mod datagram;
mod deltas;
mod dimensions;
mod dogstatsd;
mod names;
mod process;
mod prometheus;
mod push;
mod scrape;
mod statsd;
pub(crate) mod url;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::registry::Registry;
use push::{Dialect, Push};

/// Envoy's default.
pub const DEFAULT_FLUSH_INTERVAL: Duration = Duration::from_secs(5);
/// Shorter intervals would send more than they tell.
pub const MIN_FLUSH_INTERVAL: Duration = Duration::from_millis(100);

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

impl SinkConfig {
    fn interval(&self) -> Duration {
        if self.flush_interval.is_zero() { DEFAULT_FLUSH_INTERVAL } else { self.flush_interval.max(MIN_FLUSH_INTERVAL) }
    }
}

/// A running part, and what it was started for.
#[derive(Debug)]
struct Part<S> {
    spec: S,
    task: JoinHandle<()>,
}

impl<S> Drop for Part<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The running sinks of one proxy. Dropping it stops them.
#[derive(Debug)]
pub struct Sinks {
    registry: Arc<Registry>,
    statsd: Option<(Part<(String, Duration)>, Push)>,
    dogstatsd: Option<(Part<(String, Duration)>, Push)>,
    prometheus: Option<Part<(String, String)>>,
    stats: Option<Part<(String, String)>>,
}

impl Sinks {
    /// Starts what `config` asks for on the current tokio runtime. What cannot work is a warning, never a failure:
    /// a proxy without its metrics is better than no proxy.
    pub async fn start(registry: Arc<Registry>, config: SinkConfig) -> (Self, Vec<String>) {
        let mut sinks = Self { registry, statsd: None, dogstatsd: None, prometheus: None, stats: None };
        let warnings = sinks.apply(config).await;
        (sinks, warnings)
    }

    /// Follows a changed configuration; what did not change runs on undisturbed.
    pub async fn apply(&mut self, config: SinkConfig) -> Vec<String> {
        let mut warnings = Vec::new();
        let interval = config.interval();
        let registry = &self.registry;
        let url = config.statsd_url.as_deref();
        push_part(&mut self.statsd, registry, Dialect::StatsD, url, interval, &mut warnings);
        let url = config.dogstatsd_url.as_deref();
        push_part(&mut self.dogstatsd, registry, Dialect::DogStatsD, url, interval, &mut warnings);
        let path = config.prometheus_scrape_path.as_str();
        let spec = config.prometheus_bind_addr.as_deref().map(|address| (address, path));
        serve_part(&mut self.prometheus, registry, "envoy_prometheus_bind_addr", spec, &mut warnings).await;
        let spec = config.stats_bind_addr.as_deref().map(|address| (address, ""));
        serve_part(&mut self.stats, registry, "envoy_stats_bind_addr", spec, &mut warnings).await;
        warnings
    }

    /// Sends what StatsD and DogStatsD have not sent yet: for a proxy that drains.
    pub async fn flush(&mut self) {
        for (_, push) in self.statsd.iter().chain(&self.dogstatsd) {
            push.flush().await;
        }
    }
}

fn push_part(
    slot: &mut Option<(Part<(String, Duration)>, Push)>,
    registry: &Arc<Registry>,
    dialect: Dialect,
    url: Option<&str>,
    interval: Duration,
    warnings: &mut Vec<String>,
) {
    let wanted = url.filter(|url| !url.is_empty()).map(|url| (url.to_owned(), interval));
    if slot.as_ref().map(|(part, _)| &part.spec) == wanted.as_ref() {
        return;
    }
    // What was said goes on from where it was when only the place or the pace changes.
    let deltas = slot.take().map(|(_, push)| push.into_deltas());
    let Some(spec) = wanted else { return };
    // Consul's rule: a URL may name a variable of the sidecar's own environment.
    match url::parse(dialect.setting(), &spec.0, dialect == Dialect::DogStatsD, |name| std::env::var(name).ok()) {
        Ok(to) => {
            let push = Push::new(registry.clone(), dialect, to, deltas);
            let task = tokio::spawn(push.clone().run(interval));
            *slot = Some((Part { spec, task }, push));
        }
        Err(e) => warnings.push(e.to_string()),
    }
}

async fn serve_part(
    slot: &mut Option<Part<(String, String)>>,
    registry: &Arc<Registry>,
    setting: &'static str,
    spec: Option<(&str, &str)>,
    warnings: &mut Vec<String>,
) {
    let wanted = spec.filter(|(a, _)| !a.is_empty()).map(|(a, path)| (a.to_owned(), path.to_owned()));
    if slot.as_ref().map(|part| &part.spec) == wanted.as_ref() {
        return;
    }
    if let Some(old) = slot.take() {
        // The address must be free before it can be bound again with another path.
        old.task.abort();
        while !old.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
    let Some(spec) = wanted else { return };
    let Ok(address) = spec.0.parse() else {
        warnings.push(format!("{setting}: {:?}: expected ip:port", spec.0));
        return;
    };
    let listener = match scrape::bind(address) {
        Ok(listener) => Some(listener),
        Err(e) => {
            warnings.push(format!("{setting}: cannot listen on {address}: {e}; trying again until it is free"));
            None
        }
    };
    let pages = scrape::Pages { registry: registry.clone(), metrics_path: spec.1.clone() };
    let task = tokio::spawn(scrape::serve(listener, address, pages));
    *slot = Some(Part { spec, task });
}
