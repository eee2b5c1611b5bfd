//! What an answer says about when to ask again. Must not know what was asked.

use std::time::{Duration, SystemTime};

use aws_smithy_runtime_api::http::Headers;

use super::http_date::http_date;

/// The `Retry-After` of an answer: seconds, or a date (RFC 9110, 10.2.3). A date is compared with the
/// clock of whoever answered, where the answer tells it, otherwise with our own, if it is given.
/// `None` without the header, and if it is garbage or in the past.
pub(super) fn retry_after(headers: &Headers, now: Option<SystemTime>) -> Option<Duration> {
    let text = headers.get("retry-after")?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0)?;
        return Some(Duration::from_secs(seconds));
    }
    let answered = headers.get("date").and_then(http_date).or(now)?;
    http_date(text)?.duration_since(answered).ok().filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-15T08:12:31Z
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_887_151)
    }

    fn heard(retry_after_header: &'static str, date: Option<&'static str>) -> Option<u64> {
        let mut headers = Headers::new();
        headers.insert("retry-after", retry_after_header);
        if let Some(date) = date {
            headers.insert("date", date);
        }
        retry_after(&headers, Some(now())).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_understood() {
        assert_eq!(heard("120", None), Some(120));
        assert_eq!(heard(" 1 ", None), Some(1));
    }

    #[test]
    fn a_date_is_understood_by_the_clock_of_who_answered() {
        let later = "Tue, 15 Nov 1994 08:13:01 GMT";
        assert_eq!(heard(later, None), Some(30));
        assert_eq!(heard(later, Some("Tue, 15 Nov 1994 08:12:51 GMT")), Some(10));
    }

    #[test]
    fn what_asks_for_nothing_is_nothing() {
        for header in ["", "0", "soon", "-5", "1.5", "99999999999999999999999"] {
            assert_eq!(heard(header, None), None, "{header}");
        }
        assert_eq!(heard("Tue, 15 Nov 1994 08:12:01 GMT", None), None, "in the past");
        assert_eq!(retry_after(&Headers::new(), Some(now())), None);
        let mut headers = Headers::new();
        headers.insert("retry-after", "Tue, 15 Nov 1994 08:13:01 GMT");
        assert_eq!(retry_after(&headers, None), None, "nobody knows what the time is");
    }
}
