//! StatsD speaks in differences: what happened since the last flush.

use std::collections::{BTreeMap, HashMap};

use super::names::Value;

/// Every how many flushes an unchanged gauge is sent all the same, so that a server that was restarted learns it.
pub(crate) const GAUGE_REFRESH_FLUSHES: u64 = 12;

/// What is to be said of one metric.
#[derive(Debug, PartialEq)]
pub(crate) enum Change {
    Count(u64),
    Gauge(u64),
    /// New samples per fine bucket.
    Samples(BTreeMap<u8, u64>),
}

/// What was said before, per line's name and tags.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    said: HashMap<String, Value>,
    flushes: u64,
}

impl Deltas {
    pub fn begin(&mut self) {
        self.flushes += 1;
    }

    /// `None` when there is nothing new.
    pub fn change(&mut self, key: &str, value: &Value) -> Option<Change> {
        let before = self.said.get(key);
        let change = match (value, before) {
            (Value::Counter(now), before) => {
                let then = if let Some(Value::Counter(then)) = before { *then } else { 0 };
                (*now > then).then(|| Change::Count(now - then))
            }
            (Value::Gauge(now), before) => {
                let known = matches!(before, Some(Value::Gauge(then)) if then == now);
                (!known || self.flushes.is_multiple_of(GAUGE_REFRESH_FLUSHES)).then_some(Change::Gauge(*now))
            }
            (Value::Histogram { fine: now, .. }, before) => {
                let none = BTreeMap::new();
                let then = if let Some(Value::Histogram { fine, .. }) = before { fine } else { &none };
                let new: BTreeMap<u8, u64> = now
                    .iter()
                    .map(|(bucket, count)| (*bucket, count.saturating_sub(then.get(bucket).copied().unwrap_or(0))))
                    .filter(|(_, count)| *count > 0)
                    .collect();
                (!new.is_empty()).then_some(Change::Samples(new))
            }
        };
        if change.is_some() {
            self.said.insert(key.to_owned(), value.clone());
        }
        change
    }
}

/// A rate that a reader turns back into `count` samples, also one that rounds down.
pub(crate) fn rate(count: u64) -> String {
    if count <= 1 {
        return String::new();
    }
    let rate = (1e9 / count as f64).floor().max(1.0) / 1e9;
    format!("|@{rate:.9}").trim_end_matches('0').to_owned()
}

/// The value that stands for a bucket: its middle, in milliseconds.
pub(crate) fn middle_ms(bucket: u8) -> String {
    let (low, high) = crate::histogram::fine_bounds_ms(usize::from(bucket));
    let text = format!("{:.3}", f64::midpoint(low, high));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_news_is_told() {
        let mut deltas = Deltas::default();
        deltas.begin();
        assert_eq!(deltas.change("a", &Value::Counter(0)), None);
        assert_eq!(deltas.change("a", &Value::Counter(3)), Some(Change::Count(3)));
        assert_eq!(deltas.change("g", &Value::Gauge(0)), Some(Change::Gauge(0)));
        deltas.begin();
        assert_eq!(deltas.change("a", &Value::Counter(3)), None);
        assert_eq!(deltas.change("a", &Value::Counter(5)), Some(Change::Count(2)));
        assert_eq!(deltas.change("g", &Value::Gauge(0)), None);
        let samples = |pairs: &[(u8, u64)]| Value::Histogram { fine: pairs.iter().copied().collect(), sum_us: 0 };
        deltas.change("h", &samples(&[(3, 2)]));
        assert_eq!(
            deltas.change("h", &samples(&[(3, 5), (9, 1)])),
            Some(Change::Samples(BTreeMap::from([(3, 3), (9, 1)])))
        );
    }

    #[test]
    fn a_rate_reads_back_as_its_count() {
        for count in (1..2000).chain([12_345, 99_999, 1_000_000]) {
            let text = rate(count);
            let read = text.strip_prefix("|@").map_or(1.0, |r| 1.0 / r.parse::<f64>().unwrap());
            assert!(read >= count as f64 && read < count as f64 * 1.001 + 0.5, "{count} {text} {read}");
        }
    }
}
