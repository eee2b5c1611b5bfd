//! Instants and the three ways AWS writes them. Knows nothing of requests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// The farthest the emulated clock may be off, in seconds (about 30 years): every instant then
/// stays within what the date formats can write.
const MAX_OFFSET_SECONDS: i64 = 1_000_000_000;

/// The wall clock of the machine, moved by `offset_seconds` (cut to about ±30 years).
#[expect(clippy::disallowed_methods, reason = "the one place of the emulator that reads the clock")]
pub(crate) fn now(offset_seconds: i64) -> SystemTime {
    moved(SystemTime::now(), offset_seconds)
}

/// `instant`, moved by `seconds` (cut to about ±30 years).
pub(crate) fn moved(instant: SystemTime, seconds: i64) -> SystemTime {
    let seconds = seconds.clamp(-MAX_OFFSET_SECONDS, MAX_OFFSET_SECONDS);
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { instant - by } else { instant + by }
}

/// `instant` without its fraction of a second.
pub(crate) fn floor_to_second(instant: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_seconds(instant))
}

/// Whole seconds since 1970; 0 for anything before.
pub(crate) fn unix_seconds(instant: SystemTime) -> u64 {
    instant.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// RFC 3339 with whole seconds and `Z`, as STS writes `Expiration`.
pub(crate) fn rfc3339(instant: SystemTime) -> String {
    write(instant, Format::DateTime)
}

/// The form of the `Date` header.
pub(crate) fn http_date(instant: SystemTime) -> String {
    write(instant, Format::HttpDate)
}

/// ISO 8601 basic form of `X-Amz-Date`: `20261122T022600Z`.
pub(crate) fn amz_date(instant: SystemTime) -> String {
    rfc3339(instant).replace(['-', ':'], "")
}

/// Reads the form that [`amz_date`] writes; `None` for anything else.
pub(crate) fn parse_amz_date(text: &str) -> Option<SystemTime> {
    let shape_fits = text.len() == 16
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shape_fits {
        return None;
    }
    let (date, time) = (&text[..8], &text[9..15]);
    let extended = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    SystemTime::try_from(DateTime::from_str(&extended, Format::DateTime).ok()?).ok()
}

#[expect(clippy::expect_used, reason = "the offset limit keeps every year within four digits")]
fn write(instant: SystemTime, format: Format) -> String {
    DateTime::from(floor_to_second(instant)).fmt(format).expect("a year of four digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amz_dates_are_read_as_they_are_written() {
        let instant = UNIX_EPOCH + Duration::from_secs(1_795_314_361);
        assert_eq!(parse_amz_date(&amz_date(instant)), Some(instant));
        assert_eq!(rfc3339(instant), "2026-11-22T02:26:01Z");
    }

    #[test]
    fn other_date_forms_are_no_amz_dates() {
        for text in ["", "2026-11-22T02:26:00Z", "20261122T022600", "20261322T022600Z", "ü"] {
            assert_eq!(parse_amz_date(text), None, "{text}");
        }
    }
}
