//! The sinks of a sidecar `web` that has had some traffic, for a judge outside: it scrapes the page and receives the
//! datagrams. Arguments: address of the Prometheus page, DogStatsD URL, StatsD URL. Ends when its input does.

use std::io::Read as _;
use std::time::Duration;

use telemetry::{SinkConfig, Sinks};

#[path = "../tests/it/world.rs"]
#[allow(dead_code)]
mod world;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let config = SinkConfig {
        prometheus_bind_addr: arguments.next(),
        dogstatsd_url: arguments.next(),
        statsd_url: arguments.next(),
        flush_interval: Duration::from_millis(200),
        ..SinkConfig::default()
    };
    let (registry, _recorder) = world::web();
    let (_sinks, warnings) = Sinks::start(registry, config).await;
    warnings.iter().for_each(|warning| eprintln!("{warning}"));
    println!("ready");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = ended.await;
}
