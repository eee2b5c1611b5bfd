//! When to renew, when an open has to wait, when to try again. Pure: `now` and jitter are
//! arguments.
//!
//! Every window is a fraction of the lifetime that was really received, so a session of ten
//! seconds is handled by the same rules as one of twelve hours.

use std::time::{Duration, SystemTime};

use super::RetryClass;
use crate::model::StsSession;

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

/// The schedule of a session just received. Renewal starts at half of the lifetime, or earlier
/// where the floor is so high that opens would begin to wait; jitter moves it by up to ± 5 % of
/// the lifetime, never past the floor.
///
/// Example: 1 h received, no `min_ttl`: renewal between 27 and 33 min, floor at 40 min.
pub fn schedule(session: &StsSession, min_ttl: Option<Duration>, jitter: Jitter) -> Schedule {
    let lifetime = session.lifetime();
    let floor = floor(lifetime, min_ttl);
    let lead = (lifetime / 2).max(floor + lifetime.saturating_sub(floor) / 4);
    let spread = (lifetime / 20).min(lead.saturating_sub(floor) / 2);
    let earliest = lead + spread;
    Schedule {
        refresh_at: session.issued
            + lifetime.saturating_sub(earliest)
            + (spread * 2).mul_f64(jitter.0),
        floor_at: session.issued + lifetime.saturating_sub(floor),
    }
}

/// How long to wait after the `failures`-th failure in a row (1 is the first): exponential, from
/// 1 s to 1 min for what may pass by itself, from 30 s to 10 min for what somebody has to mend;
/// jitter takes off up to half.
pub fn retry_after(class: RetryClass, failures: u32, jitter: Jitter) -> Duration {
    let (first, limit) = match class {
        RetryClass::Transient => (Duration::from_secs(1), Duration::from_mins(1)),
        RetryClass::Permanent => (Duration::from_secs(30), LONGEST_RETRY),
    };
    let doublings = failures.saturating_sub(1).min(16);
    let full = (first * 2_u32.pow(doublings)).min(limit);
    full.mul_f64(1.0 - jitter.0 / 2.0)
}

/// The default floor never exceeds this: 15 min that some SDKs keep static keys without looking
/// again, and 5 min for skew and requests under way.
pub const DEFAULT_FLOOR_LIMIT: Duration = Duration::from_mins(20);

/// No failure is remembered longer than this without a new attempt.
pub const LONGEST_RETRY: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::broker::testing::session_of;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    #[track_caller]
    fn check(lifetime: u64, min_ttl: Option<u64>, jitter: f64, refresh: u64, floor: u64) {
        let session = session_of("A", T0, Duration::from_secs(lifetime));
        let schedule = schedule(&session, min_ttl.map(Duration::from_secs), Jitter::new(jitter));
        let expected = Schedule {
            refresh_at: T0 + Duration::from_secs(refresh),
            floor_at: T0 + Duration::from_secs(floor),
        };
        assert_eq!(schedule, expected);
    }

    #[test]
    fn an_hour_is_renewed_at_half_and_floored_at_forty_minutes() {
        check(3600, None, 0.5, 1800, 2400);
        check(3600, None, 0.0, 1620, 2400);
        check(3600, None, 1.0, 1980, 2400);
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
    fn a_session_that_arrives_expired_has_no_window() {
        check(0, None, 0.5, 0, 0);
    }

    #[test]
    fn retries_double_up_to_their_limit() {
        let transient: Vec<u64> = (1..9)
            .map(|n| retry_after(RetryClass::Transient, n, Jitter::new(0.0)).as_secs())
            .collect();
        assert_eq!(transient, [1, 2, 4, 8, 16, 32, 60, 60]);
        let permanent: Vec<u64> = (1..8)
            .map(|n| retry_after(RetryClass::Permanent, n, Jitter::new(0.0)).as_secs())
            .collect();
        assert_eq!(permanent, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(retry_after(RetryClass::Transient, 3, Jitter::new(1.0)), Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn renewal_comes_before_the_floor_and_the_floor_before_expiry(
            lifetime in 1_u64..200_000, min_ttl in proptest::option::of(0_u64..200_000),
            jitter in 0.0_f64..=1.0,
        ) {
            let session = session_of("A", T0, Duration::from_secs(lifetime));
            let min_ttl = min_ttl.map(Duration::from_secs);
            let schedule = schedule(&session, min_ttl, Jitter::new(jitter));
            prop_assert!(T0 < schedule.refresh_at);
            prop_assert!(schedule.refresh_at <= schedule.floor_at);
            prop_assert!(schedule.floor_at <= session.expiration);
            prop_assert!(schedule.refresh_at <= T0 + Duration::from_secs(lifetime) * 11 / 20);
        }
    }
}
