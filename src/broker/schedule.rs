//! When to renew, when an open has to wait, when to try again. Pure: `now` and jitter are
//! arguments.
//!
//! Every window is a fraction of the lifetime that was really received, so a session of ten
//! seconds is handled by the same rules as one of twelve hours.
//!
//! The parameters are chosen by what a fleet does to STS; `broker::tests::fleet` simulates it and
//! bounds the figures. 10,000 daemons with 5 roles of 1 h each make 28 calls a second on average:
//!
//! - Renewals are spread over 30 % of the lifetime ([`RENEWAL_SPREAD`]). Daemons that start in one
//!   second are renewed over 18 min, not in one burst half an hour later, and are spread evenly
//!   after some hours.
//! - While STS fails, a role with keys to serve waits for a fraction of what is left of them
//!   ([`PATIENCE`], [`PATIENCE_BELOW_FLOOR`]). That fraction, and not a fixed pause of a minute, is
//!   what keeps the end of an outage from being a burst of all who waited for it; and since it
//!   shrinks with what is left, there is always another attempt before the keys expire.

use std::time::{Duration, SystemTime};

use super::{Cause, RetryClass, SessionError};
use crate::model::Perishable;

/// A random fraction in `0.0..=1.0` that spreads renewals and retries of many daemons.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// The middle of every spread: no jitter.
    pub const NONE: Self = Self(0.5);

    /// A fraction; values outside `0.0..=1.0` are clamped, NaN is the middle.
    pub fn new(fraction: f64) -> Self {
        if fraction.is_nan() { Self::NONE } else { Self(fraction.clamp(0.0, 1.0)) }
    }

    /// Takes off up to half.
    fn shorten(self, full: Duration) -> Duration {
        full.mul_f64(1.0 - self.0 / 2.0)
    }

    /// Adds up to half.
    fn lengthen(self, full: Duration) -> Duration {
        full.mul_f64(1.0 + self.0 / 2.0)
    }
}

/// The instants that rule one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From here on a background renewal is due.
    pub refresh_at: SystemTime,
    /// From here on an open first waits for a renewal.
    pub floor_at: SystemTime,
}

/// The remaining lifetime below which an open first waits for a renewal: the configured `min_ttl`
/// but at most 5/6 of the lifetime (or every open would renew), by default a third of the
/// lifetime and at most [`DEFAULT_FLOOR_LIMIT`].
pub fn floor(lifetime: Duration, min_ttl: Option<Duration>) -> Duration {
    match min_ttl {
        Some(min_ttl) => min_ttl.min(lifetime * 5 / 6),
        None => (lifetime / 3).min(DEFAULT_FLOOR_LIMIT),
    }
}

/// Who renews a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renewal {
    /// Nobody has to do anything.
    #[default]
    Unattended,
    /// A person, who has to give an MFA code each time.
    ByPerson,
}

/// The schedule of a session just received, renewed as `renewal` says: with nobody at hand, or
/// with a person who has to give a code.
pub fn schedule(
    session: &impl Perishable,
    renewal: Renewal,
    min_ttl: Option<Duration>,
    jitter: Jitter,
) -> Schedule {
    match renewal {
        Renewal::Unattended => unattended(session, min_ttl, jitter),
        Renewal::ByPerson => by_person(session, min_ttl),
    }
}

/// The schedule of a session that a person has to renew: nobody is asked before the last tenth of
/// the lifetime, nor more than [`LONGEST_NOTICE`] ahead, but before any open would have to wait.
///
/// Example: 36 h received: asked for after 34 h, floor 20 min before the end.
fn by_person(session: &impl Perishable, min_ttl: Option<Duration>) -> Schedule {
    let lifetime = session.lifetime();
    let floor = floor(lifetime, min_ttl);
    let notice = (lifetime / 10).min(LONGEST_NOTICE).max(floor);
    Schedule {
        refresh_at: session.issued() + lifetime.saturating_sub(notice),
        floor_at: session.issued() + lifetime.saturating_sub(floor),
    }
}

/// The schedule of a session that is renewed without anybody. Renewal starts around half of the lifetime, or earlier
/// where the floor is so high that opens would begin to wait; jitter moves it by up to
/// [`RENEWAL_SPREAD`] of the lifetime either way, never to the floor.
///
/// Example: 1 h received, no `min_ttl`: renewal between 21 and 39 min, floor at 40 min.
fn unattended(session: &impl Perishable, min_ttl: Option<Duration>, jitter: Jitter) -> Schedule {
    let lifetime = session.lifetime();
    let floor = floor(lifetime, min_ttl);
    let lead = (lifetime / 2).max(floor + lifetime.saturating_sub(floor) / 4);
    let spread = lifetime.mul_f64(RENEWAL_SPREAD).min(lead.saturating_sub(floor) * 9 / 10);
    let earliest = lead + spread;
    Schedule {
        refresh_at: session.issued()
            + lifetime.saturating_sub(earliest)
            + (spread * 2).mul_f64(jitter.0),
        floor_at: session.issued() + lifetime.saturating_sub(floor),
    }
}

/// What a role that fails still has to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserve {
    /// The remaining lifetime of its keys; above zero.
    pub left: Duration,
    /// Whether that is more than the floor.
    pub above_floor: bool,
}

/// How long to wait after the `failures`-th failed flight in a row (1 is the first). Jitter takes
/// off up to half:
///
/// - what somebody has to mend: 30 s, doubling up to 10 min;
/// - what may pass by itself, and nothing is left to serve: 1 s, doubling up to 1 min; throttling
///   5 s, doubling up to 2 min;
/// - what may pass by itself while keys are left ([`Reserve`]): if STS itself is in trouble
///   ([`Cause::is_overload`]), 10 s, then a fraction of what is left; else 5 s, times 4 each time,
///   up to that fraction. A retry always comes before the keys expire.
///
/// What STS asked for by Retry-After is kept, within [`LONGEST_RETRY_AFTER`], and jitter adds up
/// to half of it: all who were told the same do not come back at once.
pub fn retry_wait(
    error: &SessionError,
    failures: u32,
    reserve: Option<Reserve>,
    jitter: Jitter,
) -> Duration {
    let (first, factor, limit) = match (error.cause.retry(), reserve) {
        (RetryClass::Permanent, _) => (Duration::from_secs(30), 2, LONGEST_PERMANENT_RETRY),
        (RetryClass::Transient, Some(Reserve { left, above_floor })) => {
            let patience = if above_floor { PATIENCE } else { PATIENCE_BELOW_FLOOR };
            let limit = left.mul_f64(patience).clamp(SHORTEST_RETRY, LONGEST_PATIENCE);
            if error.cause.is_overload() {
                (Duration::from_secs(10), u32::MAX, limit)
            } else {
                (Duration::from_secs(5), 4, limit)
            }
        }
        (RetryClass::Transient, None) if error.cause == Cause::Throttled => {
            (Duration::from_secs(5), 2, Duration::from_mins(2))
        }
        (RetryClass::Transient, None) => (SHORTEST_RETRY, 2, Duration::from_mins(1)),
    };
    let growth = 1_u32.max(factor.saturating_pow(failures.saturating_sub(1)));
    let own = jitter.shorten(first.saturating_mul(growth).min(limit));
    let asked = error.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
    own.max(jitter.lengthen(asked))
}

/// How long a flight pauses before its next attempt, after its `attempt`-th one (1 is the first)
/// failed: 200 to 400 ms, or 500 ms to 1 s if STS itself is in trouble, doubled for the second.
///
/// `None` if it ends with that failure: the cause does not pass so soon, STS asks for a longer
/// pause than a flight should take, or there were enough attempts. Those are [`ATTEMPTS`] if
/// somebody waits (`urgent`). Otherwise there are two, and one if STS itself is in trouble: what
/// nobody waits for must not add to it.
pub fn pause_in_flight(
    error: &SessionError,
    attempt: u32,
    urgent: bool,
    jitter: Jitter,
) -> Option<Duration> {
    let overload = error.cause.is_overload();
    let asked = error.retry_after.unwrap_or_default();
    let attempts = match (error.cause.retry(), urgent) {
        (RetryClass::Permanent, _) => 1,
        // No clock is set right between two attempts.
        _ if error.cause == Cause::ClockSkew => 1,
        (RetryClass::Transient, true) => ATTEMPTS,
        (RetryClass::Transient, false) => {
            if overload {
                1
            } else {
                2
            }
        }
    };
    if attempt >= attempts || asked > LONGEST_PAUSE_IN_FLIGHT {
        return None;
    }
    let first = if overload { Duration::from_secs(1) } else { Duration::from_millis(400) };
    let own = jitter.shorten(first * 2_u32.pow(attempt.saturating_sub(1)));
    Some(own.max(asked))
}

/// The default floor never exceeds this: 15 min that some SDKs keep static keys without looking
/// again, and 5 min for skew and requests under way.
pub const DEFAULT_FLOOR_LIMIT: Duration = Duration::from_mins(20);

/// By how much of the lifetime jitter moves a renewal to either side.
pub const RENEWAL_SPREAD: f64 = 0.15;

/// A person is asked to renew a session this long before its end at most.
pub const LONGEST_NOTICE: Duration = Duration::from_hours(2);

/// The fraction of what is left above the floor that a failing role waits for at most.
pub const PATIENCE: f64 = 0.6;

/// The same below the floor.
pub const PATIENCE_BELOW_FLOOR: f64 = 0.5;

/// A role with keys of many hours left does not wait longer than this for a retry.
pub const LONGEST_PATIENCE: Duration = Duration::from_mins(20);

/// The longest pause between two attempts at what somebody has to mend.
pub const LONGEST_PERMANENT_RETRY: Duration = Duration::from_mins(10);

/// No Retry-After is heeded beyond this: it is chosen by whoever answered, perhaps a proxy.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(10);

/// AssumeRole calls that a flight makes at most.
pub const ATTEMPTS: u32 = 3;

/// A flight with a longer pause ahead ends as failed: its readers would wait in vain.
const LONGEST_PAUSE_IN_FLIGHT: Duration = Duration::from_secs(5);

const SHORTEST_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::testing::session_of;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    #[track_caller]
    fn check(lifetime: u64, min_ttl: Option<u64>, jitter: f64, refresh: u64, floor: u64) {
        let session = session_of("A", T0, Duration::from_secs(lifetime));
        let min_ttl = min_ttl.map(Duration::from_secs);
        let schedule = schedule(&session, Renewal::Unattended, min_ttl, Jitter::new(jitter));
        let expected = Schedule {
            refresh_at: T0 + Duration::from_secs(refresh),
            floor_at: T0 + Duration::from_secs(floor),
        };
        assert_eq!(schedule, expected);
    }

    #[test]
    fn an_hour_is_renewed_at_half_and_floored_at_forty_minutes() {
        check(3600, None, 0.5, 1800, 2400);
        check(3600, None, 0.0, 1260, 2400);
        check(3600, None, 1.0, 2340, 2400);
    }

    #[test]
    fn twelve_hours_have_a_floor_of_twenty_minutes() {
        check(43200, None, 0.5, 21600, 43200 - 1200);
    }

    #[test]
    fn a_high_min_ttl_moves_the_renewal_before_the_floor() {
        check(3600, Some(3000), 0.5, 450, 600);
        check(3600, Some(9000), 0.5, 450, 600);
    }

    #[test]
    fn a_person_is_asked_in_the_last_tenth_and_two_hours_ahead_at_most() {
        let times = |lifetime: u64| {
            let session = session_of("A", T0, Duration::from_secs(lifetime));
            let schedule = schedule(&session, Renewal::ByPerson, None, Jitter::new(0.0));
            let before_end = |at| session.expiration.duration_since(at).unwrap().as_secs();
            (before_end(schedule.refresh_at), before_end(schedule.floor_at))
        };
        assert_eq!(times(36 * 3600), (2 * 3600, 1200));
        assert_eq!(times(12 * 3600), (4320, 1200));
        assert_eq!(times(900), (300, 300), "before any open has to wait");
        assert_eq!(times(0), (0, 0));
    }

    #[test]
    fn a_session_that_arrives_expired_has_no_window() {
        check(0, None, 0.5, 0, 0);
    }

    #[test]
    fn retries_double_up_to_their_limit() {
        let waits = |cause, reserve| -> Vec<u64> {
            let error = SessionError::new("r", cause, "");
            let wait = |failures| retry_wait(&error, failures, reserve, Jitter::new(0.0));
            (1..9).map(|failures| wait(failures).as_secs()).collect()
        };
        assert_eq!(waits(Cause::Network, None), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits(Cause::ServiceUnavailable, None), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(waits(Cause::Throttled, None), [5, 10, 20, 40, 80, 120, 120, 120]);
        for reserve in [None, Some(reserve(1200, false))] {
            let permanent = waits(Cause::AccessDenied, reserve);
            assert_eq!(permanent, [30, 60, 120, 240, 480, 600, 600, 600]);
        }
        let error = SessionError::new("r", Cause::Network, "");
        let shortened = retry_wait(&error, 3, None, Jitter::new(1.0));
        assert_eq!(shortened, Duration::from_secs(2));
    }

    fn reserve(left: u64, above_floor: bool) -> Reserve {
        Reserve { left: Duration::from_secs(left), above_floor }
    }

    #[test]
    fn while_keys_are_left_retries_wait_for_a_fraction_of_them() {
        let waits = |cause, reserve| {
            let error = SessionError::new("r", cause, "");
            [1, 2, 3, 4, 5, 90]
                .map(|failures| retry_wait(&error, failures, reserve, Jitter::new(0.0)).as_secs())
        };
        for cause in [Cause::Throttled, Cause::ServiceUnavailable] {
            assert_eq!(waits(cause, Some(reserve(1800, true))), [10, 1080, 1080, 1080, 1080, 1080]);
            assert_eq!(waits(cause, Some(reserve(600, false))), [10, 300, 300, 300, 300, 300]);
        }
        let network = |left, above| waits(Cause::Network, Some(reserve(left, above)));
        assert_eq!(network(1800, true), [5, 20, 80, 320, 1080, 1080]);
        assert_eq!(network(600, false), [5, 20, 80, 300, 300, 300]);
        assert_eq!(network(8, false), [4, 4, 4, 4, 4, 4]);
        assert_eq!(network(40_000, true)[5], 1200);
    }

    #[test]
    fn a_retry_after_is_kept_and_spread_and_bounded() {
        let wait = |cause, asked, jitter| {
            let error = SessionError::new("r", cause, "");
            let error = error.with_retry_after(Some(Duration::from_secs(asked)));
            retry_wait(&error, 1, None, Jitter::new(jitter)).as_secs()
        };
        assert_eq!(wait(Cause::Throttled, 40, 0.0), 40);
        assert_eq!(wait(Cause::Throttled, 40, 1.0), 60);
        assert_eq!(wait(Cause::Throttled, 2, 0.0), 5, "less than we would wait anyway");
        assert_eq!(wait(Cause::ServiceUnavailable, u64::MAX, 0.0), 600);
    }

    #[test]
    fn a_flight_tries_again_only_where_that_may_help_somebody() {
        let pauses = |cause, asked: Option<u64>, urgent| {
            let error = SessionError::new("r", cause, "");
            let error = error.with_retry_after(asked.map(Duration::from_secs));
            let pause = |attempt| pause_in_flight(&error, attempt, urgent, Jitter::new(0.0));
            [1, 2, 3].map(|attempt| pause(attempt).map(|pause| pause.as_millis()))
        };
        assert_eq!(pauses(Cause::Network, None, true), [Some(400), Some(800), None]);
        assert_eq!(pauses(Cause::Network, None, false), [Some(400), None, None]);
        assert_eq!(pauses(Cause::Throttled, None, true), [Some(1000), Some(2000), None]);
        assert_eq!(pauses(Cause::Throttled, None, false), [None; 3]);
        assert_eq!(pauses(Cause::Throttled, Some(3), true), [Some(3000), Some(3000), None]);
        assert_eq!(pauses(Cause::Throttled, Some(6), true), [None; 3]);
        assert_eq!(pauses(Cause::AccessDenied, None, true), [None; 3]);
        assert_eq!(pauses(Cause::ClockSkew, None, true), [None; 3]);
    }

    proptest! {
        #[test]
        fn renewal_comes_before_the_floor_and_the_floor_before_expiry(
            lifetime in 1_u64..200_000, min_ttl in proptest::option::of(0_u64..200_000),
            jitter in 0.0_f64..=1.0,
        ) {
            let session = session_of("A", T0, Duration::from_secs(lifetime));
            let min_ttl = min_ttl.map(Duration::from_secs);
            let jitter = Jitter::new(jitter);
            let by_person = schedule(&session, Renewal::ByPerson, min_ttl, jitter);
            let schedule = schedule(&session, Renewal::Unattended, min_ttl, jitter);
            prop_assert!(T0 < by_person.refresh_at);
            prop_assert!(by_person.refresh_at <= by_person.floor_at);
            prop_assert!(by_person.floor_at == schedule.floor_at);
            prop_assert!(T0 < schedule.refresh_at);
            prop_assert!(schedule.refresh_at <= schedule.floor_at);
            prop_assert!(schedule.floor_at <= session.expiration);
            prop_assert!(schedule.refresh_at <= T0 + Duration::from_secs(lifetime) * 13 / 20);
        }

        #[test]
        fn a_role_with_keys_is_tried_again_before_they_expire(
            left in 2_000_u64..100_000_000, above_floor: bool, failures in 1_u32..1000,
            jitter in 0.0_f64..=1.0, cause in proptest::sample::select(Cause::ALL),
        ) {
            let left = Duration::from_millis(left);
            let reserve = Some(Reserve { left, above_floor });
            let error = SessionError::new("r", cause, "");
            let wait = retry_wait(&error, failures, reserve, Jitter::new(jitter));
            if cause.retry() == RetryClass::Transient {
                prop_assert!(wait * 10 <= left * 6, "{wait:?} of {left:?}");
            }
            prop_assert!(wait >= Duration::from_millis(500));
        }
    }
}
