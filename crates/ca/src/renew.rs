//! When a leaf is asked for again, and how times are written.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A leaf is renewed at a random point between these shares of its life, so that a fleet started at one moment does
/// not come back at one moment, and a signer that is away for hours harms nobody.
const EARLIEST: f64 = 0.6;
const LATEST: f64 = 0.9;

/// The moment to renew a leaf, `random` being uniform in 0..1.
pub fn renew_at(valid_after: SystemTime, valid_before: SystemTime, random: f64) -> SystemTime {
    let life = valid_before.duration_since(valid_after).unwrap_or(Duration::ZERO);
    let random = if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.0 };
    valid_after + life.mul_f64(EARLIEST + (LATEST - EARLIEST) * random)
}

/// `2026-11-24T00:35:08Z`; whole seconds, as certificates have them.
pub fn rfc3339(at: SystemTime) -> String {
    seconds(at).format(&Rfc3339).unwrap_or_default()
}

/// X.509 knows no fractions of a second.
pub(crate) fn seconds(at: SystemTime) -> OffsetDateTime {
    let at = OffsetDateTime::from(at);
    at.replace_nanosecond(0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_lies_between_six_and_nine_tenths() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let end = start + Duration::from_secs(1000);
        assert_eq!(renew_at(start, end, 0.0), start + Duration::from_secs(600));
        assert_eq!(renew_at(start, end, 1.0), start + Duration::from_secs(900));
        for odd in [f64::NAN, -7.0, 7.0] {
            let at = renew_at(start, end, odd);
            assert!(at >= start + Duration::from_secs(600) && at <= start + Duration::from_secs(900));
        }
        assert_eq!(renew_at(end, start, 0.5), end, "a life of nothing is renewed at once");
    }

    #[test]
    fn times_are_written_as_consul_writes_them() {
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)), "1970-01-01T00:00:01Z");
    }
}
