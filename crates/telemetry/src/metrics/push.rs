//! The agent's metrics as StatsD and DogStatsD datagrams: every event as it was, packed once a second.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::{Metrics, Series};
use crate::sink::datagram::{Packer, Socket};
use crate::sink::url::Destination;

const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Gauges are looked at once in so many flushes.
const FLUSHES_PER_LOOK: u32 = 10;
/// Events kept for the next flush; more are dropped and counted.
pub(super) const OUTBOX_LIMIT: usize = 20_000;

/// One thing that happened.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Gauge(Series, f64),
    Count(Series),
    Took(Series, f64),
}

/// A server that takes datagrams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushTo {
    /// `telemetry.statsd_address`: `host:port`. Labels become parts of the name.
    StatsD(String),
    /// `telemetry.dogstatsd_addr`: `host:port` or `unix:///path`, with tags for everything.
    DogStatsD(String, Vec<String>),
}

impl PushTo {
    fn address(&self) -> &str {
        match self {
            Self::StatsD(address) | Self::DogStatsD(address, _) => address,
        }
    }

    fn line(&self, prefix: &str, event: &Event) -> String {
        let (series, value, kind) = match event {
            Event::Gauge(series, value) => (series, *value, "g"),
            Event::Count(series) => (series, 1.0, "c"),
            Event::Took(series, value) => (series, *value, "ms"),
        };
        match self {
            Self::StatsD(_) => {
                let labels: String = series.labels.iter().map(|(_, value)| format!(".{value}")).collect();
                format!("{}:{value}|{kind}", plain(&format!("{prefix}.{}{labels}", series.name)))
            }
            Self::DogStatsD(_, tags) => {
                let labels = series.labels.iter().map(|(name, value)| format!("{name}:{value}"));
                let tags: Vec<String> =
                    labels.chain(tags.iter().cloned()).map(|tag| tag.replace(['|', ',', '\n'], "_")).collect();
                let tags = if tags.is_empty() { String::new() } else { format!("|#{}", tags.join(",")) };
                format!("{}:{value}|{kind}{tags}", plain(&format!("{prefix}.{}", series.name)))
            }
        }
    }

    async fn open(&self) -> std::io::Result<Socket> {
        let address = self.address();
        if let (Self::DogStatsD(..), Some(path)) = (self, address.strip_prefix("unix://")) {
            return Socket::open(&Destination::Unix(PathBuf::from(path)));
        }
        let found = tokio::net::lookup_host(address).await?.next();
        Socket::open(&Destination::Udp(found.ok_or_else(|| std::io::Error::other("no such host"))?))
    }
}

/// What would end a name in these protocols.
fn plain(name: &str) -> String {
    name.chars().map(|c| if matches!(c, ':' | '|' | '@' | '\n' | ' ') { '_' } else { c }).collect()
}

impl Metrics {
    /// Sends everything there, for ever. `look` sets the gauges.
    pub async fn push(&self, servers: Vec<PushTo>, look: impl Fn()) {
        self.inner().outbox = Some(Vec::new());
        let mut servers: Vec<(PushTo, Option<Socket>)> = servers.into_iter().map(|server| (server, None)).collect();
        let mut ticks = interval(FLUSH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for flush in (0..FLUSHES_PER_LOOK).cycle() {
            ticks.tick().await;
            if flush == 0 {
                look();
            }
            let events = std::mem::take(self.inner().outbox.get_or_insert_default());
            for (server, socket) in &mut servers {
                self.send(server, socket, &events).await;
            }
        }
    }

    async fn send(&self, server: &PushTo, socket: &mut Option<Socket>, events: &[Event]) {
        if socket.is_none() {
            match server.open().await {
                Ok(open) => *socket = Some(open),
                Err(error) => return tracing::debug!("metrics to {}: {error}", server.address()),
            }
        }
        let mut packer = Packer::default();
        events.iter().for_each(|event| packer.push(&server.line(&self.prefix, event)));
        let lost: u64 = match socket {
            Some(socket) => packer.finish().iter().map(|datagram| socket.send(datagram)).sum(),
            None => 0,
        };
        if lost > 0 {
            // Whoever listened may have moved: its name is looked up again.
            *socket = None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::UdpSocket;

    use super::*;

    #[test]
    fn both_dialects() {
        let series = Series { name: "api.http", labels: vec![("method", "GET".into()), ("path", "v1_kv_".into())] };
        let (took, count) = (Event::Took(series.clone(), 1.5), Event::Count(series));
        let statsd = PushTo::StatsD(String::new());
        assert_eq!(statsd.line("consul", &took), "consul.api.http.GET.v1_kv_:1.5|ms");
        let dog = PushTo::DogStatsD(String::new(), vec!["env:a|b".to_owned()]);
        assert_eq!(dog.line("consul", &count), "consul.api.http:1|c|#method:GET,path:v1_kv_,env:a_b");
    }

    #[tokio::test]
    async fn events_and_gauges_arrive() {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = receiver.local_addr().unwrap().to_string();
        let metrics = Metrics::default();
        let (pushing, looking) = (metrics.clone(), metrics.clone());
        let task = tokio::spawn(async move {
            let look = || looking.gauge("agent.services", Vec::new(), 3.0);
            pushing.push(vec![PushTo::StatsD(address)], look).await;
        });
        let mut buffer = [0; 2048];
        let received = tokio::time::timeout(Duration::from_secs(10), receiver.recv(&mut buffer)).await;
        let text = String::from_utf8_lossy(&buffer[..received.unwrap().unwrap()]).into_owned();
        assert_eq!(text, "consul.agent.services:3|g");
        metrics.count("client.rpc", Vec::new());
        let received = tokio::time::timeout(Duration::from_secs(10), receiver.recv(&mut buffer)).await;
        let text = String::from_utf8_lossy(&buffer[..received.unwrap().unwrap()]).into_owned();
        assert_eq!(text, "consul.client.rpc:1|c");
        task.abort();
    }
}
