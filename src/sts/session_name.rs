//! The `RoleSessionName` of one call. Text and time are arguments.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

/// The longest `RoleSessionName` that STS takes.
const LONGEST: usize = 64;
const PREFIX: &str = "credmount";
/// What a user name keeps when user and host do not both fit.
const USER_KEEPS: usize = 16;

/// `credmount-USER-HOST-TIMESTAMP`, so that `CloudTrail` tells who called, where and when, and
/// each call has a name of its own. At most 64 characters of `[\w+=,.@-]`: every other character
/// becomes `-`, and user and host are cut, never the timestamp (UTC, with milliseconds).
pub fn session_name(user: &str, host: &str, now: SystemTime) -> String {
    let timestamp: String = humantime::format_rfc3339_millis(now)
        .to_string()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    let user = legal(user);
    // A fully qualified name loses what it shares with its neighbours.
    let host = legal(host.split('.').next().unwrap_or_default());
    let separators = 3;
    let room = LONGEST.saturating_sub(PREFIX.len() + timestamp.len() + separators);
    let user_room = room.saturating_sub(host.len()).max(USER_KEEPS).min(room);
    let user = &user[..user.len().min(user_room)];
    let host = &host[..host.len().min(room - user.len())];
    [PREFIX, user, host, &timestamp]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// Instants for session names: one for each call, also of two calls in one millisecond.
#[derive(Debug)]
pub(super) struct Stamps(Mutex<SystemTime>);

impl Stamps {
    pub(super) fn new() -> Self {
        Self(Mutex::new(SystemTime::UNIX_EPOCH))
    }

    /// `now`, or the millisecond after the last one given, if that is later; but `now` if the
    /// clock was set back.
    pub(super) fn next(&self, now: SystemTime) -> SystemTime {
        let mut last = self.0.lock();
        let was_set_back = now + Duration::from_mins(1) < *last;
        *last = if was_set_back { now } else { now.max(*last + Duration::from_millis(1)) };
        *last
    }
}

/// `text` with every character outside `[\w+=,.@-]` replaced; the result is ASCII.
fn legal(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    const NOW: u64 = 1_795_314_438_123;
    const STAMP: &str = "20261122T022718.123Z";

    #[test]
    fn two_calls_in_one_millisecond_have_different_names() {
        let stamps = Stamps::new();
        let names: std::collections::HashSet<_> =
            (0..5).map(|_| session_name("ann", "web1", stamps.next(at(NOW)))).collect();
        assert_eq!(names.len(), 5);
        assert_eq!(stamps.next(at(NOW + 1000)), at(NOW + 1000));
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let stamps = Stamps::new();
        stamps.next(at(NOW + 37 * 3_600_000));
        assert_eq!(stamps.next(at(NOW)), at(NOW));
    }

    #[test]
    fn it_names_user_host_and_time() {
        assert_eq!(session_name("ann", "web1", at(NOW)), format!("credmount-ann-web1-{STAMP}"));
    }

    #[test]
    fn the_domain_of_the_host_is_left_out() {
        assert_eq!(
            session_name("ann", "web1.example.com", at(NOW)),
            format!("credmount-ann-web1-{STAMP}")
        );
    }

    #[test]
    fn illegal_characters_are_replaced() {
        assert_eq!(
            session_name("DOM\\jörg x", "a/b", at(NOW)),
            format!("credmount-DOM-j-rg-x-a-b-{STAMP}")
        );
    }

    #[test]
    fn empty_parts_leave_no_double_dash() {
        assert_eq!(session_name("", "", at(NOW)), format!("credmount-{STAMP}"));
    }

    #[test]
    fn the_timestamp_survives_the_cut() {
        let name = session_name(&"u".repeat(100), &"h".repeat(100), at(NOW));
        assert_eq!(name.len(), 64);
        assert!(name.ends_with(STAMP), "{name}");
        assert!(name.contains("uuuuuuuuuuuuuuuu-hhhhhhhhhhhh"), "{name}");
    }

    #[test]
    fn a_long_host_leaves_a_short_user_whole() {
        let name = session_name("ann", &"h".repeat(100), at(NOW));
        assert_eq!(name.len(), 64);
        assert!(name.starts_with("credmount-ann-hhhh"), "{name}");
    }

    #[test]
    fn two_calls_in_one_second_differ() {
        assert_ne!(session_name("a", "b", at(NOW)), session_name("a", "b", at(NOW + 1)));
    }

    proptest::proptest! {
        #[test]
        fn every_name_is_one_that_sts_takes(user in ".*", host in ".*", millis in 0_u64..4_000_000_000_000) {
            let name = session_name(&user, &host, at(millis));
            proptest::prop_assert!((2..=64).contains(&name.len()));
            proptest::prop_assert!(
                name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
            );
        }
    }
}
