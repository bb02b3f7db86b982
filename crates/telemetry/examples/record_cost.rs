//! What one `cell.record` costs, in nanoseconds: `cargo run --release -p meshglass-telemetry --example record_cost`.

use std::time::{Duration, Instant};

use telemetry::{Outcome, ProxyLabels, Registry};

#[path = "../tests/it/world.rs"]
#[allow(dead_code)]
mod world;

const RECORDS: u32 = 5_000_000;

fn main() {
    let registry = Registry::new(ProxyLabels::default());
    let recorder = registry.recorder();
    let cell =
        recorder.cell(&world::key(telemetry::Direction::Outbound, "db", model::Protocol::Http, "db.default.dc1", "db"));
    let outcomes: Vec<Outcome> = (0..64)
        .map(|i| Outcome {
            code: if i % 16 == 0 { 503 } else { 200 },
            duration: Duration::from_micros(300 + i * 217),
            bytes_received: 100,
            bytes_sent: 2000,
            ..Outcome::default()
        })
        .collect();
    let start = Instant::now();
    for i in 0..RECORDS {
        cell.record(std::hint::black_box(&outcomes[i as usize % outcomes.len()]));
    }
    let each = start.elapsed().as_nanos() as f64 / f64::from(RECORDS);
    println!("{each:.1} ns a record; {} bytes a cell", std::mem::size_of::<telemetry::Cell>());
}
