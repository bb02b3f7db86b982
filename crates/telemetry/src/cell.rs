//! One worker's counts for one combination of dimensions.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::histogram::{Histogram, coarse};
use crate::record::{CellKey, Flag, Outcome};
use crate::report::Totals;

/// Distinct pairs of response code and gRPC status that a cell tells apart; later ones are counted under the last
/// code of their class (`599`), so no request is ever lost from the totals.
pub const MAX_STATUSES_PER_CELL: usize = 24;

/// A gRPC status past the ones that exist, and "none".
const GRPC_NONE: u32 = 0xff;
/// Six classes (`0`, `1xx` … `5xx`) that no cap can push out.
const CLASSES: usize = 6;

/// Counts of (code, gRPC status); a slot is claimed by the first request that needs it.
#[derive(Debug, Default)]
struct Statuses {
    /// The packed pair + 1; zero is a free slot.
    keys: [AtomicU32; MAX_STATUSES_PER_CELL],
    counts: [AtomicU64; MAX_STATUSES_PER_CELL],
    rest: [AtomicU64; CLASSES],
}

impl Statuses {
    fn record(&self, code: u16, grpc: Option<u8>) {
        let wanted = ((u32::from(code) << 8) | grpc.map_or(GRPC_NONE, |s| u32::from(s.min(254)))) + 1;
        for (key, count) in self.keys.iter().zip(&self.counts) {
            let held = match key.load(Ordering::Relaxed) {
                0 => match key.compare_exchange(0, wanted, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => wanted,
                    Err(other) => other,
                },
                held => held,
            };
            if held == wanted {
                count.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.rest[usize::from(code / 100).min(CLASSES - 1)].fetch_add(1, Ordering::Relaxed);
    }

    fn add_to(&self, out: &mut Answers) {
        for (key, count) in self.keys.iter().zip(&self.counts) {
            let packed = key.load(Ordering::Relaxed);
            if packed == 0 {
                continue;
            }
            let packed = packed - 1;
            let grpc = u8::try_from(packed & 0xff).ok().filter(|&s| u32::from(s) != GRPC_NONE);
            let code = u16::try_from(packed >> 8).unwrap_or(u16::MAX);
            *out.statuses.entry((code, grpc)).or_default() += count.load(Ordering::Relaxed);
        }
        for (class, count) in (0_u16..).zip(&self.rest) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                *out.statuses.entry((class * 100 + if class == 0 { 0 } else { 99 }, None)).or_default() += count;
            }
        }
    }
}

/// Codes and latencies of one kind of answer.
#[derive(Debug, Default)]
struct Counts {
    statuses: Statuses,
    histogram: Histogram,
}

impl Counts {
    fn add_to(&self, out: &mut Answers) {
        self.statuses.add_to(out);
        self.histogram.add_to(&mut out.fine, &mut out.duration_us_sum);
    }
}

/// Codes and latencies, merged over workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    pub statuses: BTreeMap<(u16, Option<u8>), u64>,
    pub fine: BTreeMap<u8, u64>,
    pub duration_us_sum: u64,
}

impl Answers {
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Adds another's counts to these.
    pub fn merge(&mut self, other: &Answers) {
        for (key, count) in &other.statuses {
            *self.statuses.entry(*key).or_default() += count;
        }
        for (bucket, count) in &other.fine {
            *self.fine.entry(*bucket).or_default() += count;
        }
        self.duration_us_sum += other.duration_us_sum;
    }
}

/// One worker's counts for one [`CellKey`]. Recording takes no lock; allocation happens at most once more in a cell's
/// life, when the mesh itself first answers in place of an upstream.
#[derive(Debug)]
pub struct Cell {
    protocol: model::Protocol,
    /// Answered by an upstream, or for want of one.
    cluster: Counts,
    /// Answered by this proxy before any cluster was asked; rare, so made when needed.
    local: OnceLock<Box<Counts>>,
    flags: [AtomicU64; Flag::ALL.len()],
    retries: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    errors: AtomicU64,
    refused: AtomicU64,
    origin_failures: AtomicU64,
}

impl Cell {
    pub(crate) fn new(key: &CellKey) -> Self {
        Self {
            protocol: key.protocol,
            cluster: Counts::default(),
            local: OnceLock::new(),
            flags: Default::default(),
            retries: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            origin_failures: AtomicU64::new(0),
        }
    }

    /// Counts one finished request (for TCP: one finished connection).
    pub fn record(&self, outcome: &Outcome) {
        let counts = if outcome.is_local() { self.local.get_or_init(Box::default) } else { &self.cluster };
        counts.statuses.record(outcome.code, outcome.grpc_status);
        counts.histogram.record(outcome.duration);
        for flag in &outcome.flags {
            self.flags[flag.index()].fetch_add(1, Ordering::Relaxed);
        }
        let add = |counter: &AtomicU64, n: u64| {
            if n > 0 {
                counter.fetch_add(n, Ordering::Relaxed);
            }
        };
        add(&self.retries, u64::from(outcome.retries));
        add(&self.bytes_received, outcome.bytes_received);
        add(&self.bytes_sent, outcome.bytes_sent);
        add(&self.refused, u64::from(outcome.is_refused()));
        if outcome.is_error(self.protocol) {
            add(&self.errors, 1);
            add(&self.origin_failures, u64::from(outcome.origin));
        }
    }

    pub(crate) fn add_to(&self, out: &mut CellValues) {
        self.cluster.add_to(&mut out.cluster);
        if let Some(local) = self.local.get() {
            local.add_to(&mut out.local);
        }
        for (flag, count) in Flag::ALL.iter().zip(&self.flags) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                *out.flags.entry(*flag).or_default() += count;
            }
        }
        out.retries += self.retries.load(Ordering::Relaxed);
        out.bytes_received += self.bytes_received.load(Ordering::Relaxed);
        out.bytes_sent += self.bytes_sent.load(Ordering::Relaxed);
        out.errors += self.errors.load(Ordering::Relaxed);
        out.refused += self.refused.load(Ordering::Relaxed);
        out.origin_failures += self.origin_failures.load(Ordering::Relaxed);
    }
}

/// A cell's counts, merged over workers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CellValues {
    /// Charged to the cluster, as Envoy does.
    pub cluster: Answers,
    /// Answered by this proxy itself.
    pub local: Answers,
    pub flags: BTreeMap<Flag, u64>,
    pub retries: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub errors: u64,
    pub refused: u64,
    pub origin_failures: u64,
}

impl CellValues {
    /// Whoever answered.
    #[must_use]
    pub fn all(&self) -> Answers {
        let mut all = self.cluster.clone();
        all.merge(&self.local);
        all
    }

    /// As the report to the agent carries it.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let all = self.all();
        let mut totals = Totals {
            requests: all.requests(),
            flags: self.flags.clone(),
            retries: self.retries,
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            buckets: coarse(&all.fine),
            duration_us_sum: all.duration_us_sum,
            errors: self.errors,
            refused: self.refused,
            origin_failures: self.origin_failures,
            ..Totals::default()
        };
        for ((code, grpc), count) in &all.statuses {
            *totals.codes.entry(*code).or_default() += count;
            if let Some(grpc) = grpc {
                *totals.grpc_statuses.entry(*grpc).or_default() += count;
            }
        }
        totals.fine = all.fine;
        totals
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::tests::key;

    fn outcome(code: u16) -> Outcome {
        Outcome { code, duration: Duration::from_millis(3), bytes_sent: 5, ..Outcome::default() }
    }

    fn values(cell: &Cell) -> CellValues {
        let mut values = CellValues::default();
        cell.add_to(&mut values);
        values
    }

    #[test]
    fn what_the_mesh_refuses_is_charged_to_no_cluster() {
        let cell = Cell::new(&key("db", "db-1"));
        cell.record(&outcome(200));
        cell.record(&Outcome { flags: vec![Flag::RBAC], origin: false, ..outcome(403) });
        cell.record(&outcome(403));
        let values = values(&cell);
        assert_eq!(values.cluster.statuses, BTreeMap::from([((200, None), 1), ((403, None), 1)]));
        assert_eq!(values.local.statuses, BTreeMap::from([((403, None), 1)]));
        let totals = values.totals();
        assert_eq!((totals.requests, totals.refused, totals.errors, totals.bytes_sent), (3, 1, 0, 15));
        assert_eq!(totals.codes, BTreeMap::from([(200, 1), (403, 2)]));
        assert_eq!(totals.buckets[2], 3);
        assert_eq!(totals.fine.values().sum::<u64>(), 3);
    }

    #[test]
    fn past_the_cap_a_status_is_counted_under_its_class() {
        let cell = Cell::new(&key("db", "db-1"));
        for code in 400..460 {
            cell.record(&outcome(code));
        }
        let totals = values(&cell).totals();
        assert_eq!(totals.requests, 60);
        assert_eq!(totals.codes.len(), MAX_STATUSES_PER_CELL + 1);
        assert_eq!(totals.codes[&499], 36);
    }

    #[test]
    fn a_grpc_failure_inside_a_200_is_an_error_and_a_not_found_is_not() {
        let cell = Cell::new(&key("cache", "cache-1"));
        for status in [0, 5, 13] {
            cell.record(&Outcome { grpc_status: Some(status), ..outcome(200) });
        }
        let totals = values(&cell).totals();
        assert_eq!((totals.errors, totals.origin_failures), (1, 1));
        assert_eq!(totals.grpc_statuses, BTreeMap::from([(0, 1), (5, 1), (13, 1)]));
        assert_eq!(totals.codes, BTreeMap::from([(200, 3)]));
    }
}
