//! One-second points per pair of instances, method and side, kept for fifteen minutes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use model::Protocol;
use telemetry::{Direction, Totals};

/// How far back points go.
pub const RETENTION_SECONDS: u64 = 15 * 60;
/// Pairs of instances times methods times sides; past it those that were silent longest are forgotten.
pub const MAX_SERIES: usize = 20_000;
/// Points of all series together, about 250 bytes each; past it the oldest go, whatever their age.
pub const MAX_POINTS: usize = 250_000;
/// How much is dropped at once when a limit is met: a twentieth, so that it is not met again at once.
const DROP_SHARE: usize = 20;

/// One side of a call. A service that is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    pub service: Arc<str>,
    pub instance: Arc<str>,
    pub node: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    /// Who says it: the client's sidecar (outbound) or the server's (inbound).
    pub view: Direction,
    pub source: End,
    pub destination: End,
    pub protocol: Protocol,
    pub grpc_service: Arc<str>,
    pub grpc_method: Arc<str>,
}

/// What happened in a stretch of time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    pub requests: u64,
    /// By class of the response code; 0 is TCP or no answer.
    pub classes: [u64; 6],
    pub grpc_statuses: BTreeMap<u8, u64>,
    pub errors: u64,
    pub refused: u64,
    pub retries: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// Requests per fine bucket of [`telemetry::histogram`].
    pub fine: BTreeMap<u8, u64>,
}

impl Sums {
    pub(crate) fn of(totals: &Totals) -> Self {
        let mut classes = [0; 6];
        for (code, count) in &totals.codes {
            classes[usize::from(code / 100).min(5)] += count;
        }
        Self {
            requests: totals.requests,
            classes,
            grpc_statuses: totals.grpc_statuses.clone(),
            errors: totals.errors,
            refused: totals.refused,
            retries: totals.retries,
            bytes_received: totals.bytes_received,
            bytes_sent: totals.bytes_sent,
            fine: totals.fine.clone(),
        }
    }

    pub(crate) fn add(&mut self, other: &Sums) {
        self.requests += other.requests;
        for (class, count) in self.classes.iter_mut().zip(&other.classes) {
            *class += count;
        }
        for (status, count) in &other.grpc_statuses {
            *self.grpc_statuses.entry(*status).or_default() += count;
        }
        self.errors += other.errors;
        self.refused += other.refused;
        self.retries += other.retries;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        for (bucket, count) in &other.fine {
            *self.fine.entry(*bucket).or_default() += count;
        }
    }
}

/// A point as it is kept: a quarter of a [`Sums`], because there are many.
#[derive(Debug)]
struct Point {
    second: u64,
    requests: u32,
    errors: u32,
    refused: u32,
    retries: u32,
    classes: [u32; 6],
    bytes_received: u64,
    bytes_sent: u64,
    grpc_statuses: Box<[(u8, u32)]>,
    fine: Box<[(u8, u32)]>,
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn packed(map: &BTreeMap<u8, u64>) -> Box<[(u8, u32)]> {
    map.iter().map(|(key, count)| (*key, small(*count))).collect()
}

impl Point {
    fn new(second: u64, sums: &Sums) -> Self {
        Self {
            second,
            requests: small(sums.requests),
            errors: small(sums.errors),
            refused: small(sums.refused),
            retries: small(sums.retries),
            classes: sums.classes.map(small),
            bytes_received: sums.bytes_received,
            bytes_sent: sums.bytes_sent,
            grpc_statuses: packed(&sums.grpc_statuses),
            fine: packed(&sums.fine),
        }
    }

    fn sums(&self) -> Sums {
        let wide = |list: &[(u8, u32)]| list.iter().map(|(key, count)| (*key, u64::from(*count))).collect();
        Sums {
            requests: self.requests.into(),
            classes: self.classes.map(u64::from),
            grpc_statuses: wide(&self.grpc_statuses),
            errors: self.errors.into(),
            refused: self.refused.into(),
            retries: self.retries.into(),
            bytes_received: self.bytes_received,
            bytes_sent: self.bytes_sent,
            fine: wide(&self.fine),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Series {
    /// Oldest first; seconds without a request have no point.
    points: VecDeque<Point>,
    /// Everything since the proxies began.
    pub total: TotalCounts,
    pub last_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TotalCounts {
    pub requests: u64,
    pub errors: u64,
}

impl Series {
    /// Points of `[from, to)`, in seconds.
    pub fn between(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, Sums)> {
        let start = self.points.partition_point(|point| point.second < from);
        self.points.range(start..).take_while(move |point| point.second < to).map(|point| (point.second, point.sums()))
    }
}

/// All series, within their limits.
#[derive(Debug)]
pub(crate) struct Store {
    pub series: HashMap<SeriesKey, Series>,
    points: usize,
    max_series: usize,
    max_points: usize,
    pub series_dropped: u64,
    pub points_dropped: u64,
}

impl Store {
    pub fn new(max_series: usize, max_points: usize) -> Self {
        Self { series: HashMap::new(), points: 0, max_series, max_points, series_dropped: 0, points_dropped: 0 }
    }

    /// Adds what a proxy newly told. Without `second` it is old news: part of the total, not of the picture of now.
    pub fn add(&mut self, key: SeriesKey, sums: &Sums, second: Option<u64>, now_ms: u64) {
        if !self.series.contains_key(&key) && self.series.len() >= self.max_series {
            self.forget_silent();
        }
        let series = self.series.entry(key).or_default();
        series.total.requests += sums.requests;
        series.total.errors += sums.errors;
        series.last_ms = now_ms;
        let Some(second) = second else { return };
        // Two reports within a second: one point. Time that went back writes into the newest point.
        match series.points.back_mut() {
            Some(last) if last.second >= second => {
                let mut both = last.sums();
                both.add(sums);
                *last = Point::new(last.second, &both);
            }
            _ => {
                series.points.push_back(Point::new(second, sums));
                self.points += 1;
            }
        }
        if self.points > self.max_points {
            self.drop_oldest();
        }
    }

    /// Drops what is older than the retention.
    pub fn expire(&mut self, now_ms: u64) {
        self.drop_before((now_ms / 1000).saturating_sub(RETENTION_SECONDS));
    }

    fn drop_before(&mut self, second: u64) -> usize {
        let mut dropped = 0;
        for series in self.series.values_mut() {
            let old = series.points.partition_point(|point| point.second < second);
            series.points.drain(..old);
            dropped += old;
        }
        self.points -= dropped;
        dropped
    }

    fn drop_oldest(&mut self) {
        let fronts = self.series.values().filter_map(|series| series.points.front());
        let Some(oldest) = fronts.map(|point| point.second).min() else { return };
        let backs = self.series.values().filter_map(|series| series.points.back());
        let newest = backs.map(|point| point.second).max().unwrap_or(oldest);
        let share = (newest - oldest) / DROP_SHARE as u64;
        self.points_dropped += self.drop_before(oldest + share.max(1)) as u64;
    }

    fn forget_silent(&mut self) {
        let mut ages: Vec<u64> = self.series.values().map(|series| series.last_ms).collect();
        let count = (ages.len() / DROP_SHARE).max(1);
        let (_, &mut limit, _) = ages.select_nth_unstable(count - 1);
        let mut left = count;
        let mut freed = 0;
        self.series.retain(|_, series| {
            let drop = series.last_ms <= limit && left > 0;
            if drop {
                left -= 1;
                freed += series.points.len();
            }
            !drop
        });
        self.points -= freed;
        self.series_dropped += (count - left) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(instance: usize) -> SeriesKey {
        let end = |service: &str, instance: String| End {
            service: service.into(),
            instance: instance.into(),
            node: "n".into(),
        };
        SeriesKey {
            view: Direction::Outbound,
            source: end("web", "web-1".to_owned()),
            destination: end("db", format!("db-{instance}")),
            protocol: Protocol::Http,
            grpc_service: "".into(),
            grpc_method: "".into(),
        }
    }

    fn one() -> Sums {
        Sums { requests: 1, fine: BTreeMap::from([(3, 1)]), ..Sums::default() }
    }

    #[test]
    fn points_are_merged_read_back_and_expire() {
        let mut store = Store::new(10, 100);
        for second in [100, 100, 101, 105, 104] {
            store.add(key(1), &one(), Some(second), second * 1000);
        }
        store.add(key(1), &one(), None, 105_000);
        let series = &store.series[&key(1)];
        assert_eq!(series.total.requests, 6);
        let read: Vec<(u64, u64)> = series.between(100, 105).map(|(second, sums)| (second, sums.requests)).collect();
        assert_eq!(read, [(100, 2), (101, 1)]);
        assert_eq!(series.between(105, 106).map(|(_, sums)| sums.fine[&3]).sum::<u64>(), 2);
        store.expire((105 + RETENTION_SECONDS) * 1000);
        assert_eq!(store.points, 1);
        assert_eq!(store.series[&key(1)].total.requests, 6, "a total does not expire");
    }

    #[test]
    fn memory_is_bounded_and_what_goes_is_counted() {
        let mut store = Store::new(10, 100);
        for second in 0..1000 {
            store.add(key(1), &one(), Some(second), second * 1000);
        }
        assert!(store.points <= 100);
        assert_eq!(store.points_dropped as usize, 1000 - store.points);
        for instance in 0..50 {
            store.add(key(instance), &one(), Some(2000), 2_000_000 + instance as u64);
        }
        assert_eq!(store.series.len(), 10);
        assert_eq!(store.series_dropped, 40);
        assert!(store.series.contains_key(&key(49)) && !store.series.contains_key(&key(30)));
        assert_eq!(store.points, store.series.values().map(|s| s.points.len()).sum::<usize>());
    }
}
