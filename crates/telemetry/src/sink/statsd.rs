//! Plain StatsD: Envoy's whole names, one value per line, no tags.

use super::datagram::Packer;
use super::deltas::{Change, Deltas, middle_ms, rate};
use super::names::metrics;
use crate::registry::Snapshot;

/// The datagrams of one flush.
pub(crate) fn datagrams(snapshot: &Snapshot, deltas: &mut Deltas) -> Vec<Vec<u8>> {
    deltas.begin();
    let mut packer = Packer::default();
    for metric in metrics(snapshot) {
        let Some(plain) = metric.plain() else { continue };
        // The address of an IPv6 listener, or a service's name, may hold what ends a name here.
        let plain: String = plain.chars().map(|c| if matches!(c, ':' | '|' | '\n' | '@') { '_' } else { c }).collect();
        let name = format!("envoy.{plain}");
        match deltas.change(&name, &metric.value) {
            Some(Change::Count(n)) => packer.push(&format!("{name}:{n}|c")),
            Some(Change::Gauge(n)) => packer.push(&format!("{name}:{n}|g")),
            Some(Change::Samples(samples)) => {
                for (bucket, count) in samples {
                    packer.push(&format!("{name}:{}|ms{}", middle_ms(bucket), rate(count)));
                }
            }
            None => {}
        }
    }
    packer.finish()
}
