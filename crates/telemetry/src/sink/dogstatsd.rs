//! DogStatsD: Envoy's cut names with its tags, in its order; empty tags left out, because readers refuse them.

use super::datagram::Packer;
use super::deltas::{Change, Deltas, middle_ms, rate};
use super::names::{Metric, metrics};
use crate::registry::Snapshot;

/// Values packed into one line (DogStatsD 1.1); keeps a line well inside a datagram.
const MAX_PACKED_VALUES: usize = 40;

/// The datagrams of one flush.
pub(crate) fn datagrams(snapshot: &Snapshot, deltas: &mut Deltas) -> Vec<Vec<u8>> {
    deltas.begin();
    let mut packer = Packer::default();
    for metric in metrics(snapshot) {
        let name = format!("{}.{}", metric.scope.prefix, metric.dotted());
        let tags = tags(&metric);
        let Some(change) = deltas.change(&format!("{name}{tags}"), &metric.value) else { continue };
        match change {
            Change::Count(n) => packer.push(&format!("{name}:{n}|c{tags}")),
            Change::Gauge(n) => packer.push(&format!("{name}:{n}|g{tags}")),
            Change::Samples(samples) => {
                // Buckets with the same count share a line: a rate speaks for all values of its line.
                let mut by_count: Vec<(u64, u8)> = samples.into_iter().map(|(bucket, count)| (count, bucket)).collect();
                by_count.sort_unstable();
                for run in by_count.chunk_by(|a, b| a.0 == b.0) {
                    for part in run.chunks(MAX_PACKED_VALUES) {
                        let values: Vec<String> = part.iter().map(|(_, bucket)| middle_ms(*bucket)).collect();
                        packer.push(&format!("{name}:{}|ms{}{tags}", values.join(":"), rate(run[0].0)));
                    }
                }
            }
        }
    }
    packer.finish()
}

fn tags(metric: &Metric) -> String {
    let mut out = String::new();
    for (name, value) in metric.labels().filter(|(_, value)| !value.is_empty()) {
        out.push_str(if out.is_empty() { "|#" } else { "," });
        out.push_str(name);
        out.push(':');
        // A tag ends at a comma and a field at a bar; neither can be escaped.
        out.extend(value.chars().map(|c| if matches!(c, ',' | '|' | '\n' | '#') { '_' } else { c }));
    }
    out
}
