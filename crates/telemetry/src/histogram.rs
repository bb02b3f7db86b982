//! Latency histograms: Envoy's 19 buckets as dashboards know them, each cut finer so that a p99 is worth showing.
//!
//! Every bound of [`BUCKETS_MS`] is also a bound of the fine buckets, so the coarse counts are sums of fine ones and
//! the two can never disagree.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::report::BUCKETS_MS;

/// Into how many parts each bucket of [`BUCKETS_MS`] is cut; the ratio of neighbours is at most 1.13 up to ten seconds.
const PARTS: [usize; 19] = [8, 6, 14, 6, 8, 6, 6, 8, 6, 6, 8, 6, 6, 6, 3, 3, 1, 1, 1];

/// Fine buckets, the last one for everything past an hour.
pub const FINE_BUCKETS: usize = 110;

/// Upper bounds of the fine buckets in nanoseconds, and the coarse bucket each belongs to.
struct Bounds {
    upper_ns: [u64; FINE_BUCKETS - 1],
    coarse: [usize; FINE_BUCKETS],
}

static BOUNDS: LazyLock<Bounds> = LazyLock::new(|| {
    let mut upper_ns = [0; FINE_BUCKETS - 1];
    let mut coarse = [BUCKETS_MS.len(); FINE_BUCKETS];
    let mut at = 0;
    let mut low = 0.0_f64;
    for (index, (&high, &parts)) in BUCKETS_MS.iter().zip(&PARTS).enumerate() {
        for part in 1..=parts {
            let share = part as f64 / parts as f64;
            // The first bucket starts at zero, where a logarithm has no place.
            let bound = if low == 0.0 { high * share } else { low * (high / low).powf(share) };
            upper_ns[at] = (bound * 1e6).round() as u64;
            coarse[at] = index;
            at += 1;
        }
        low = high;
    }
    Bounds { upper_ns, coarse }
});

/// The fine bucket of a duration. A bound belongs to the bucket below it (Prometheus' `le`).
#[must_use]
pub fn fine_bucket(duration: Duration) -> usize {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    BOUNDS.upper_ns.partition_point(|&upper| upper < ns)
}

/// Lower and upper bound of a fine bucket in milliseconds; the last one has no upper bound and repeats its lower.
#[must_use]
pub fn fine_bounds_ms(bucket: usize) -> (f64, f64) {
    let upper = |i: usize| BOUNDS.upper_ns[i.min(FINE_BUCKETS - 2)] as f64 / 1e6;
    let low = if bucket == 0 { 0.0 } else { upper(bucket - 1) };
    (low, upper(bucket))
}

/// Counts per coarse bucket (one more for the rest), from fine counts.
#[must_use]
pub fn coarse(fine: &BTreeMap<u8, u64>) -> Vec<u64> {
    let mut out = vec![0; BUCKETS_MS.len() + 1];
    for (&bucket, &count) in fine {
        let index = BOUNDS.coarse.get(usize::from(bucket)).copied().unwrap_or(BUCKETS_MS.len());
        out[index] += count;
    }
    out
}

/// The `q`-quantile in milliseconds, interpolated within its bucket; `None` when nothing was counted.
#[must_use]
pub fn quantile_ms(fine: &BTreeMap<u8, u64>, q: f64) -> Option<f64> {
    let total: u64 = fine.values().sum();
    if total == 0 {
        return None;
    }
    let rank = (q.clamp(0.0, 1.0) * total as f64).max(f64::MIN_POSITIVE);
    let mut below = 0.0;
    for (&bucket, &count) in fine {
        let upto = below + count as f64;
        if upto >= rank {
            let (low, high) = fine_bounds_ms(usize::from(bucket));
            return Some(low + (high - low) * ((rank - below) / count as f64));
        }
        below = upto;
    }
    fine.keys().next_back().map(|&last| fine_bounds_ms(usize::from(last)).1)
}

/// A worker's own histogram.
#[derive(Debug)]
pub(crate) struct Histogram {
    fine: [AtomicU64; FINE_BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { fine: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        self.fine[fine_bucket(duration)].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn add_to(&self, fine: &mut BTreeMap<u8, u64>, sum_us: &mut u64) {
        for (bucket, count) in (0_u8..).zip(&self.fine) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                *fine.entry(bucket).or_default() += count;
            }
        }
        *sum_us += self.sum_us.load(Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_coarse_bound_is_a_fine_bound() {
        assert_eq!(PARTS.iter().sum::<usize>(), FINE_BUCKETS - 1);
        assert!(BOUNDS.upper_ns.is_sorted());
        for (index, ms) in BUCKETS_MS.iter().enumerate() {
            let ns = (ms * 1e6) as u64;
            let fine = fine_bucket(Duration::from_nanos(ns));
            assert_eq!(BOUNDS.upper_ns[fine], ns);
            assert_eq!(BOUNDS.coarse[fine], index);
            assert_eq!(BOUNDS.coarse[fine_bucket(Duration::from_nanos(ns + 1))], index + 1);
        }
    }

    #[test]
    fn neighbours_are_close_where_requests_are() {
        for pair in BOUNDS.upper_ns.windows(2).filter(|p| p[0] >= 500_000 && p[1] <= 10_000_000_000) {
            assert!((pair[1] as f64) / (pair[0] as f64) < 1.13, "{pair:?}");
        }
    }

    #[test]
    fn a_quantile_is_within_a_bucket_of_the_truth() {
        let histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        let (mut fine, mut sum_us) = (BTreeMap::new(), 0);
        histogram.add_to(&mut fine, &mut sum_us);
        assert_eq!(sum_us, 500_500_000);
        assert_eq!(coarse(&fine).iter().sum::<u64>(), 1000);
        for (q, truth) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = quantile_ms(&fine, q).unwrap();
            assert!((got - truth).abs() / truth < 0.03, "{q}: {got}");
        }
        assert_eq!(quantile_ms(&BTreeMap::new(), 0.5), None);
    }

    #[test]
    fn an_age_goes_to_the_last_bucket() {
        assert_eq!(fine_bucket(Duration::MAX), FINE_BUCKETS - 1);
        assert_eq!(fine_bucket(Duration::ZERO), 0);
        let fine = BTreeMap::from([(u8::try_from(FINE_BUCKETS - 1).unwrap(), 3)]);
        assert_eq!(coarse(&fine)[BUCKETS_MS.len()], 3);
        assert!((quantile_ms(&fine, 0.5).unwrap() - 3_600_000.0).abs() < 1.0);
    }
}
