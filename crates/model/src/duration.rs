//! Durations as Go writes them (`1h2m3.5s`, `500us`), which is how every Consul file and parameter writes them.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time: invalid duration {0:?}, expected a number with a unit such as 300ms, 1.5s or 1h30m")]
pub struct DurationError(pub String);

impl DurationError {
    /// The text of Go's own complaint, for those who match on it.
    pub fn go_text(&self) -> String {
        let text = &self.0;
        let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let what = if number { "missing unit in" } else { "invalid" };
        format!("time: {what} duration {text:?}")
    }
}

const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("h", 3.6e12)];

/// Parses Go's duration syntax. Negative durations are refused: no setting of ours has one.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let bad = || DurationError(text.to_owned());
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        nanos += number * scale;
        rest = &rest[unit_len..];
    }
    // Go's Duration is an i64 of nanoseconds, about 292 years.
    if nanos > i64::MAX as f64 {
        return Err(bad());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

/// Prints as Go's `Duration.String()`: `1h0m0s`, `1.5s`, `300ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        n if n < 1_000 => format!("{n}ns"),
        n if n < 1_000_000 => format!("{}µs", decimal(n, 1_000)),
        n if n < 1_000_000_000 => format!("{}ms", decimal(n, 1_000_000)),
        n => {
            let seconds = n / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = decimal(n - (hours * 3600 + minutes * 60) * 1_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, m) => format!("{m}m{rest}s"),
                (h, m) => format!("{h}h{m}m{rest}s"),
            }
        }
    }
}

fn decimal(value: u128, unit: u128) -> String {
    let (whole, part) = (value / unit, value % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{part:0width$}").trim_end_matches('0').to_owned()
}

/// `#[serde(with = "…")]`: a duration as its text, as it stands in every file.
pub(crate) mod go_text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&super::format_duration(*value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = Cow::<'de, str>::deserialize(input)?;
        super::parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_and_prints_what_go_does() {
        assert_eq!(DurationError("5".to_owned()).go_text(), "time: missing unit in duration \"5\"");
        assert_eq!(DurationError("soon".to_owned()).go_text(), "time: invalid duration \"soon\"");
        for (text, printed) in
            [("300ms", "300ms"), ("1h", "1h0m0s"), ("90s", "1m30s"), ("1.5s", "1.5s"), ("0", "0s"), ("10us", "10µs")]
        {
            assert_eq!(format_duration(parse_duration(text).unwrap()), printed, "{text}");
        }
        for bad in ["", "5", "s", "-1s", "1x", "1s2"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
