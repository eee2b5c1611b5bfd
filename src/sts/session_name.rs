//! The `RoleSessionName` of one call. Text and time are arguments.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::model::{
    LONGEST_SESSION_NAME, SESSION_TIME_LEN, SessionNamePart, SessionNamePattern, legal_session_name,
};

const PREFIX: &str = "credmount";
/// What a user name keeps when user and host do not both fit.
const USER_KEEPS: usize = 16;

/// `credmount-USER-HOST-TIMESTAMP`, so that `CloudTrail` tells who called, where and when, and
/// each call has a name of its own. At most 64 characters of `[\w+=,.@-]`: every other character
/// becomes `-`, and user and host are cut, never the timestamp (UTC, with milliseconds).
pub fn session_name(user: &str, host: &str, now: SystemTime) -> String {
    let timestamp = timestamp(now);
    let (user, host) = (legal_session_name(user), host_name(host));
    let separators = 3;
    let fixed = PREFIX.len() + timestamp.len() + separators;
    let (user, host) = cut(&user, &host, LONGEST_SESSION_NAME.saturating_sub(fixed));
    [PREFIX, user, host, &timestamp]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
}

/// `pattern` with its places filled in, by the same rules. A name that comes out shorter than STS
/// takes, because user or host is, has `credmount-` in front.
pub(super) fn filled_in(
    pattern: &SessionNamePattern,
    user: &str,
    host: &str,
    now: SystemTime,
) -> String {
    let parts = pattern.parts();
    let if_there = |part: SessionNamePart, text: String| {
        if parts.contains(&part) { text } else { String::new() }
    };
    let user = if_there(SessionNamePart::User, legal_session_name(user));
    let host = if_there(SessionNamePart::Host, host_name(host));
    let room = LONGEST_SESSION_NAME.saturating_sub(pattern.fixed_len());
    let (user, host) = cut(&user, &host, room);
    let mut name = String::with_capacity(LONGEST_SESSION_NAME);
    for part in parts {
        match part {
            SessionNamePart::Text(text) => name.push_str(text),
            SessionNamePart::User => name.push_str(user),
            SessionNamePart::Host => name.push_str(host),
            SessionNamePart::Time => name.push_str(&timestamp(now)),
        }
    }
    if name.len() < 2 { format!("{PREFIX}-{name}") } else { name }
}

/// A fully qualified name loses what it shares with its neighbours.
fn host_name(host: &str) -> String {
    legal_session_name(host.split('.').next().unwrap_or_default())
}

/// User and host, cut so that both fit in `room` together. Both are ASCII.
fn cut<'a>(user: &'a str, host: &'a str, room: usize) -> (&'a str, &'a str) {
    let user_room = room.saturating_sub(host.len()).max(USER_KEEPS).min(room);
    let user = &user[..user.len().min(user_room)];
    (user, &host[..host.len().min(room - user.len())])
}

/// [`SESSION_TIME_LEN`] characters.
fn timestamp(now: SystemTime) -> String {
    let text: String = humantime::format_rfc3339_millis(now)
        .to_string()
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    debug_assert_eq!(text.len(), SESSION_TIME_LEN, "{text}");
    text
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RoleSessionName, SessionNameTemplate};

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

    fn filled(text: &str, user: &str, host: &str) -> String {
        let pattern = SessionNameTemplate::parse(text).unwrap().bind("m/1", "prod").unwrap();
        filled_in(&pattern, user, host, at(NOW))
    }

    #[test]
    fn placeholders_are_filled_in_at_each_call() {
        assert_eq!(
            filled("{role}.{mount}-{user}@{host}-{time}", "ann", "web1.example.com"),
            format!("prod.m-1-ann@web1-{STAMP}")
        );
        assert_eq!(filled("fixed", "ann", "web1"), "fixed");
    }

    #[test]
    fn user_and_host_of_a_template_are_cut_and_its_text_and_time_are_not() {
        let name = filled("ci-{user}-{host}-{time}", &"u".repeat(100), &"h".repeat(100));
        let (user, host) = ("u".repeat(16), "h".repeat(23));
        assert_eq!(name, format!("ci-{user}-{host}-{STAMP}"));
        assert_eq!(filled("{user}", &"u".repeat(100), "h"), "u".repeat(64));
    }

    #[test]
    fn a_name_that_comes_out_too_short_is_led_by_ours() {
        assert_eq!(filled("{user}", "a", "h"), "credmount-a");
        assert_eq!(filled("{host}", "a", ""), "credmount-");
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

        #[test]
        fn every_template_is_filled_in_to_a_name_that_sts_takes(
            text in "(\\{mount\\})?[a-z]{0,9}(\\{user\\})?-?(\\{host\\})?(\\{time\\})?",
            mount in ".*",
            user in ".*",
            host in ".*",
        ) {
            let pattern = SessionNameTemplate::parse(&text).and_then(|it| it.bind(&mount, "r"));
            let Ok(pattern) = pattern else { return Ok(()) };
            let name = filled_in(&pattern, &user, &host, at(NOW));
            proptest::prop_assert!(RoleSessionName::parse(&name).is_ok(), "{name}");
        }
    }
}
