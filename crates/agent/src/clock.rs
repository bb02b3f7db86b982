//! Times as Go writes them in JSON.

use std::time::{Duration, SystemTime};

/// Reads `2026-11-24T00:35:08Z`, with or without a fraction or an offset. Nothing before 1970: no certificate is.
pub(crate) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let (date, time) = text.split_once(['T', 't'])?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = time.split_at(zone);
    let mut time = time.splitn(3, ':');
    let (hour, minute): (i64, i64) = (time.next()?.parse().ok()?, time.next()?.parse().ok()?);
    let second: f64 = time.next()?.parse().ok()?;
    let offset = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    let seconds = days(year, month, day)? * 86_400 + hour * 3600 + minute * 60 - offset;
    let whole = u64::try_from(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole) + Duration::try_from_secs_f64(second).ok()?)
}

/// Days since 1970, of the Gregorian calendar: years begin in March, so that the leap day is their last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=9999).contains(&year) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes() {
        let at = |seconds: u64, millis| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis));
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), at(0, 0));
        assert_eq!(parse_rfc3339("2026-11-24T00:35:08Z"), at(1_795_480_508, 0));
        assert_eq!(parse_rfc3339("2024-02-29T23:59:59.5+02:00"), at(1_709_243_999, 500));
        assert_eq!(parse_rfc3339("2000-03-01T00:00:00-00:30"), at(951_870_600, 0));
        for bad in ["", "2026-11-24", "2026-13-24T00:00:00Z", "1969-12-31T23:59:59Z", "2026-11-24T00:00Z"] {
            assert_eq!(parse_rfc3339(bad), None, "{bad}");
        }
    }
}
