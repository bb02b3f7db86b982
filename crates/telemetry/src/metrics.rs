//! The agent's own metrics, in the three forms Consul has: gauges, counters and samples. Nothing on the path of a
//! proxied request is measured here, so that a lock is good enough.

mod push;

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use push::{Event, OUTBOX_LIMIT};

pub use push::PushTo;

/// Counters and samples are told by intervals of this length, as Consul tells them.
const INTERVAL: Duration = Duration::from_secs(10);
/// Names with their labels that are kept; later ones are dropped and counted.
const SERIES_LIMIT: usize = 2000;
/// Values from which quantiles are taken.
const RECENT_VALUES: usize = 256;
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

pub type Label = (&'static str, Cow<'static, str>);

/// What is measured: a name without the prefix (`api.http`) and its labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    pub name: &'static str,
    pub labels: Vec<Label>,
}

/// The values of one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Aggregate {
    pub count: u64,
    pub sum: f64,
    sum_of_squares: f64,
    pub min: f64,
    pub max: f64,
}

impl Aggregate {
    fn add(&mut self, value: f64) {
        self.min = if self.count == 0 { value } else { self.min.min(value) };
        self.max = if self.count == 0 { value } else { self.max.max(value) };
        self.count += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    pub fn rate(&self) -> f64 {
        self.sum / INTERVAL.as_secs_f64()
    }

    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    pub fn deviation(&self) -> f64 {
        let count = self.count as f64;
        if self.count < 2 {
            return 0.0;
        }
        ((count * self.sum_of_squares - self.sum * self.sum).max(0.0) / (count * (count - 1.0))).sqrt()
    }
}

/// A whole interval, with the gauges of now.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    pub prefix: String,
    pub since: SystemTime,
    pub gauges: BTreeMap<Series, f64>,
    pub counters: BTreeMap<Series, Aggregate>,
    pub samples: BTreeMap<Series, Aggregate>,
}

/// Where the parts of an agent say what they did. Clones write into the same.
#[derive(Clone)]
pub struct Metrics {
    prefix: Arc<str>,
    filter: Arc<Filter>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    begun: Instant,
    since: SystemTime,
    current: Interval,
    /// The last whole one, once there was one.
    last: Option<(SystemTime, Interval)>,
    gauges: BTreeMap<Series, f64>,
    counted: BTreeMap<Series, f64>,
    sampled: BTreeMap<Series, Total>,
    dropped: u64,
    /// What is still to be sent, when somebody sends it.
    outbox: Option<Vec<Event>>,
}

/// Names that are measured: of the rules whose start fits, the longest decides.
#[derive(Debug, Default)]
struct Filter {
    rules: Vec<(String, bool)>,
    otherwise_not: bool,
}

impl Filter {
    fn lets_through(&self, name: &str) -> bool {
        let fitting = self.rules.iter().filter(|(start, _)| name.starts_with(start.as_str()));
        fitting.max_by_key(|(start, _)| start.len()).map_or(!self.otherwise_not, |(_, allow)| *allow)
    }
}

#[derive(Clone, Default)]
struct Interval {
    counters: BTreeMap<Series, Aggregate>,
    samples: BTreeMap<Series, Aggregate>,
}

/// Since the start.
#[derive(Default)]
struct Total {
    count: u64,
    sum: f64,
    recent: VecDeque<f64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new("consul")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Metrics {
    pub fn new(prefix: &str) -> Self {
        let inner = Inner {
            begun: Instant::now(),
            since: SystemTime::now(),
            current: Interval::default(),
            last: None,
            gauges: BTreeMap::new(),
            counted: BTreeMap::new(),
            sampled: BTreeMap::new(),
            dropped: 0,
            outbox: None,
        };
        Self { prefix: prefix.into(), filter: Arc::default(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// `telemetry.prefix_filter` (`+consul.api`, `-consul.agent.check`) and `telemetry.filter_default`.
    #[must_use]
    pub fn filtered(mut self, rules: &[String], default: bool) -> Self {
        let own = format!("{}.", self.prefix);
        let rule = |rule: &String| {
            let (sign, name) = (rule.starts_with('+'), rule.strip_prefix(['+', '-'])?);
            // A rule may name less than the prefix: then it is about everything.
            let rest = name.strip_prefix(&own).or_else(|| own.starts_with(name).then_some(""))?;
            Some((rest.to_owned(), sign))
        };
        self.filter = Arc::new(Filter { rules: rules.iter().filter_map(rule).collect(), otherwise_not: !default });
        self
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.roll(Instant::now());
        inner
    }

    pub fn gauge(&self, name: &'static str, labels: Vec<Label>, value: f64) {
        if self.filter.lets_through(name) {
            let series = Series { name, labels };
            let mut inner = self.inner();
            inner.send(|| Event::Gauge(series.clone(), value));
            inner.gauges.insert(series, value);
        }
    }

    pub fn count(&self, name: &'static str, labels: Vec<Label>) {
        if !self.filter.lets_through(name) {
            return;
        }
        let series = Series { name, labels };
        let mut inner = self.inner();
        inner.send(|| Event::Count(series.clone()));
        let known = inner.counted.contains_key(&series);
        if inner.admits(known) {
            *inner.counted.entry(series.clone()).or_default() += 1.0;
            inner.current.counters.entry(series).or_default().add(1.0);
        }
    }

    /// How long something took, in milliseconds.
    pub fn took(&self, name: &'static str, labels: Vec<Label>, time: Duration) {
        if !self.filter.lets_through(name) {
            return;
        }
        let (series, value) = (Series { name, labels }, time.as_secs_f64() * 1000.0);
        let mut inner = self.inner();
        inner.send(|| Event::Took(series.clone(), value));
        let known = inner.sampled.contains_key(&series);
        if inner.admits(known) {
            inner.sampled.entry(series.clone()).or_default().add(value);
            inner.current.samples.entry(series).or_default().add(value);
        }
    }

    /// The last whole interval; before there is one, what there is.
    pub fn summary(&self) -> Summary {
        let inner = self.inner();
        let (since, interval) = match &inner.last {
            Some((since, interval)) => (*since, interval.clone()),
            None => (inner.since, inner.current.clone()),
        };
        let gauges = inner.gauges.clone();
        Summary {
            prefix: self.prefix.to_string(),
            since,
            gauges,
            counters: interval.counters,
            samples: interval.samples,
        }
    }

    /// Everything since the start, in Prometheus' text form.
    pub fn prometheus(&self) -> String {
        let inner = self.inner();
        let mut page = Page { prefix: &self.prefix, text: String::new(), family: "" };
        for (series, value) in &inner.gauges {
            page.family(series.name, "gauge");
            page.line(series, "", None, *value);
        }
        for (series, value) in &inner.counted {
            page.family(series.name, "counter");
            page.line(series, "", None, *value);
        }
        for (series, total) in &inner.sampled {
            page.family(series.name, "summary");
            for (quantile, value) in total.quantiles() {
                page.line(series, "", Some(quantile), value);
            }
            page.line(series, "_sum", None, total.sum);
            page.line(series, "_count", None, total.count as f64);
        }
        page.family("metrics.dropped", "counter");
        page.line(&Series { name: "metrics.dropped", labels: Vec::new() }, "", None, inner.dropped as f64);
        page.text
    }
}

impl Inner {
    /// Begins a new interval when the time has come. An interval in which nothing was measured is told too.
    fn roll(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.begun);
        if elapsed < INTERVAL {
            return;
        }
        let whole = std::mem::take(&mut self.current);
        let intervals = u32::try_from(elapsed.as_nanos() / INTERVAL.as_nanos()).unwrap_or(u32::MAX);
        let quiet = intervals > 1;
        let skipped = INTERVAL * intervals.saturating_sub(1);
        self.last = Some((self.since + skipped, if quiet { Interval::default() } else { whole }));
        self.begun += INTERVAL * intervals;
        self.since += INTERVAL * intervals;
    }

    fn send(&mut self, event: impl FnOnce() -> Event) {
        match &mut self.outbox {
            Some(outbox) if outbox.len() < OUTBOX_LIMIT => outbox.push(event()),
            Some(_) => self.dropped += 1,
            None => {}
        }
    }

    fn admits(&mut self, known: bool) -> bool {
        let room = known || self.counted.len() + self.sampled.len() < SERIES_LIMIT;
        if !room {
            self.dropped += 1;
        }
        room
    }
}

impl Total {
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if self.recent.len() == RECENT_VALUES {
            self.recent.pop_front();
        }
        self.recent.push_back(value);
    }

    fn quantiles(&self) -> impl Iterator<Item = (f64, f64)> {
        let mut sorted: Vec<f64> = self.recent.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        QUANTILES.into_iter().filter_map(move |quantile| {
            let at = (quantile * sorted.len() as f64).ceil() as usize;
            sorted.get(at.saturating_sub(1)).map(|value| (quantile, *value))
        })
    }
}

/// The text form: series of one name stand together, under one `TYPE`.
struct Page<'a> {
    prefix: &'a str,
    text: String,
    family: &'static str,
}

impl Page<'_> {
    fn family(&mut self, name: &'static str, kind: &str) {
        if self.family != name {
            self.family = name;
            let name = self.name(name);
            let _ = write!(self.text, "# HELP {name} {name}\n# TYPE {name} {kind}\n");
        }
    }

    fn name(&self, name: &str) -> String {
        let letters = self.prefix.chars().chain(['_']).chain(name.chars());
        letters.map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
    }

    fn line(&mut self, series: &Series, suffix: &str, quantile: Option<f64>, value: f64) {
        let quantile = quantile.map(|quantile| ("quantile", Cow::Owned(quantile.to_string())));
        let labels: Vec<String> = series
            .labels
            .iter()
            .chain(quantile.as_ref())
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{labels} {value}", self.name(series.name));
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &'static str) -> Vec<Label> {
        vec![("path", path.into())]
    }

    #[test]
    fn an_interval_is_told_when_it_is_whole() {
        let metrics = Metrics::default();
        for millis in [10, 20, 30] {
            metrics.took("api.http", path("v1_kv_"), Duration::from_millis(millis));
        }
        metrics.count("client.rpc", Vec::new());
        let series = Series { name: "api.http", labels: path("v1_kv_") };
        let running = metrics.summary().samples[&series];
        assert_eq!((running.count, running.sum, running.min, running.max), (3, 60.0, 10.0, 30.0));
        assert_eq!((running.mean(), running.deviation(), running.rate()), (20.0, 10.0, 6.0));
        let begun = metrics.inner().begun;
        metrics.inner().roll(begun + INTERVAL);
        metrics.count("client.rpc", Vec::new());
        let whole = metrics.summary();
        assert_eq!(whole.samples[&series], running);
        assert_eq!(whole.counters.values().map(|c| c.count).collect::<Vec<_>>(), [1], "not of the one that runs");
        metrics.inner().roll(begun + INTERVAL * 5);
        assert!(metrics.summary().samples.is_empty(), "nothing happened in the last ten seconds");
    }

    #[test]
    fn prometheus_reads_everything_since_the_start() {
        let metrics = Metrics::new("consul");
        metrics.gauge("agent.services", Vec::new(), 2.0);
        metrics.count("client.rpc", Vec::new());
        metrics.count("client.rpc", Vec::new());
        metrics.took("api.http", vec![("method", "GET".into()), ("path", "a\"b".into())], Duration::from_millis(5));
        let text = metrics.prometheus();
        for line in [
            "# TYPE consul_agent_services gauge",
            "consul_agent_services 2",
            "# TYPE consul_client_rpc counter",
            "consul_client_rpc 2",
            "# TYPE consul_api_http summary",
            "consul_api_http{method=\"GET\",path=\"a\\\"b\",quantile=\"0.99\"} 5",
            "consul_api_http_sum{method=\"GET\",path=\"a\\\"b\"} 5",
            "consul_api_http_count{method=\"GET\",path=\"a\\\"b\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn the_longest_rule_that_fits_decides() {
        let rules = ["+consul.api", "-consul.api.http", "+bogus", "nonsense"].map(str::to_owned);
        let metrics = Metrics::default().filtered(&rules, false);
        for name in ["api.http", "api.other", "agent.check"] {
            metrics.took(name, Vec::new(), Duration::ZERO);
        }
        let names: Vec<&str> = metrics.summary().samples.keys().map(|series| series.name).collect();
        assert_eq!(names, ["api.other"]);
        let metrics = Metrics::default().filtered(&["-consul".to_owned()], true);
        metrics.count("api.http", Vec::new());
        assert!(metrics.summary().counters.is_empty());
    }

    #[test]
    fn names_that_others_choose_cannot_fill_the_memory() {
        let metrics = Metrics::default();
        for n in 0..SERIES_LIMIT + 5 {
            metrics.count("x", vec![("n", n.to_string().into())]);
        }
        assert_eq!(metrics.summary().counters.len(), SERIES_LIMIT);
        assert!(metrics.prometheus().ends_with("consul_metrics_dropped 5\n"));
    }
}
