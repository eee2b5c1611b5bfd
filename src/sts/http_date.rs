//! The time in the headers of an answer.

use std::time::SystemTime;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// The time in a `Date` header (RFC 9110, 5.6.7).
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok()
}
