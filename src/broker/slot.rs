//! The state machine of one session, or of what else perishes. Pure: it is told the time and decides; the shell in
//! `cache.rs` acts.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::schedule::{Jitter, Renewal, Reserve, Schedule, retry_wait, schedule};
use super::{Cause, SessionError};
use crate::model::{Perishable, StsSession};

/// One role's session, the last failure, and whether a flight is under way.
#[derive(Debug)]
pub struct Slot<V = StsSession> {
    renewal: Renewal,
    held: Option<Held<V>>,
    failure: Option<Failure>,
    in_flight: bool,
    renewals: u64,
    failures: u64,
}

#[derive(Debug)]
struct Held<V> {
    session: Arc<V>,
    schedule: Schedule,
}

/// The latest failure of a role that is known to be failing.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What happened.
    pub error: SessionError,
    /// When it happened.
    pub at: SystemTime,
    /// When it is tried again.
    pub retry_at: SystemTime,
    /// Failures in a row.
    in_a_row: u32,
}

/// What an open may serve.
#[derive(Debug, Clone)]
#[must_use]
pub enum Serving<V = StsSession> {
    /// These keys, until the given instant; later the question has to be asked again.
    Live(Arc<V>, SystemTime),
    /// The reason there are no keys. Holds until a flight ends.
    Failing(SessionError),
    /// Nothing can be said yet: wait for the flight.
    Pending,
}

/// A snapshot of a slot for `status`.
#[derive(Debug, Clone)]
pub struct SlotStatus<V = StsSession> {
    /// The session held, expired or not.
    pub session: Option<Arc<V>>,
    /// When the next renewal or retry is due; `None` before the first answer.
    pub next_attempt: Option<SystemTime>,
    /// The latest failure, cleared by a success.
    pub failure: Option<Failure>,
    /// Sessions received so far.
    pub renewals: u64,
    /// Flights that failed so far.
    pub failures: u64,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self {
            renewal: Renewal::default(),
            held: None,
            failure: None,
            in_flight: false,
            renewals: 0,
            failures: 0,
        }
    }
}

impl<V: Perishable> Slot<V> {
    /// An empty slot of a session that is renewed like this.
    pub fn renewed(renewal: Renewal) -> Self {
        Self { renewal, ..Self::default() }
    }

    /// What an open at `now` may serve.
    ///
    /// 1. A session above its floor is served.
    /// 2. Below the floor, or without a session, an open waits for a flight;
    /// 3. unless the role is known to be failing: then it serves what is still valid, or the
    ///    failure, at once.
    /// 4. An expired session is never served.
    pub fn serving(&self, now: SystemTime) -> Serving<V> {
        let valid = self.held.as_ref().filter(|held| held.session.is_valid(now));
        match (valid, &self.failure) {
            (Some(held), None) if now < held.schedule.floor_at => {
                Serving::Live(held.session.clone(), held.schedule.floor_at)
            }
            (Some(held), Some(_)) => Serving::Live(held.session.clone(), held.session.expiration()),
            (None, Some(failure)) => Serving::Failing(failure.error.clone()),
            (_, None) => Serving::Pending,
        }
    }

    /// The session held, if it is valid at `now`, whatever its floor.
    pub fn valid(&self, now: SystemTime) -> Option<Arc<V>> {
        self.held.as_ref().map(|held| &held.session).filter(|s| s.is_valid(now)).cloned()
    }

    /// Whether a flight should start at `now`: none is under way, and the renewal or the retry is
    /// due, or nothing was ever fetched. A clock that was set back would put either out of reach,
    /// so it is due as well if the session or the failure is from the future.
    pub fn is_due(&self, now: SystemTime) -> bool {
        if self.in_flight {
            return false;
        }
        match (&self.failure, &self.held) {
            (Some(failure), _) => failure.retry_at <= now || now + CLOCK_TOLERANCE < failure.at,
            (None, Some(held)) => {
                held.schedule.refresh_at <= now || now + CLOCK_TOLERANCE < held.session.issued()
            }
            (None, None) => true,
        }
    }

    /// Whether somebody has to sign in. To look whether somebody has costs no call, so whoever needs
    /// a session may ask again at any time.
    pub fn awaits_login(&self) -> bool {
        let failure = self.failure.as_ref().map(|failure| failure.error.cause);
        failure == Some(Cause::LoginNeeded) && !self.in_flight
    }

    /// When [`Slot::is_due`] turns true by the passing of time alone; `None` while in flight.
    pub fn due_at(&self) -> Option<SystemTime> {
        if self.in_flight {
            return None;
        }
        let failing = self.failure.as_ref().map(|failure| failure.retry_at);
        failing.or_else(|| self.held.as_ref().map(|held| held.schedule.refresh_at))
    }

    /// Whether a flight is under way.
    pub fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Notes that a flight starts. Returns false if one is under way already.
    #[must_use]
    pub fn start(&mut self) -> bool {
        !std::mem::replace(&mut self.in_flight, true)
    }

    /// Notes how the flight ended.
    pub fn finish(
        &mut self,
        outcome: Result<V, SessionError>,
        min_ttl: Option<Duration>,
        now: SystemTime,
        jitter: Jitter,
    ) {
        self.in_flight = false;
        match outcome {
            Ok(session) if session.is_valid(now) => self.accept(session, min_ttl, now, jitter),
            Ok(session) => {
                let subject = session.key_id();
                let detail = "the session received is already expired";
                self.fail(SessionError::new(subject, Cause::BadAnswer, detail), now, jitter);
            }
            Err(error) => self.fail(error, now, jitter),
        }
    }

    /// Notes that a reader waited in vain until its deadline. From here on the role counts as
    /// failing, so that no later open waits for the same flight; the flight itself goes on.
    pub fn overdue(&mut self, error: SessionError, now: SystemTime) {
        if self.in_flight && self.failure.is_none() {
            let retry_at = now + retry_wait(&error, 1, self.reserve(now), Jitter::NONE);
            self.failure = Some(Failure { error, at: now, retry_at, in_a_row: 0 });
        }
    }

    /// For `status`.
    pub fn status(&self) -> SlotStatus<V> {
        SlotStatus {
            session: self.held.as_ref().map(|held| held.session.clone()),
            next_attempt: self.due_at(),
            failure: self.failure.clone(),
            renewals: self.renewals,
            failures: self.failures,
        }
    }

    fn accept(&mut self, session: V, min_ttl: Option<Duration>, now: SystemTime, jitter: Jitter) {
        self.renewals += 1;
        self.failure = None;
        let mut schedule = schedule(&session, self.renewal, min_ttl, jitter);
        let unchanged = self.held.as_ref().is_some_and(|held| held.session.is_same(&session));
        if unchanged {
            // A source that caches its keys (credential_process, SSO) has no newer ones yet:
            // nobody should wait for what cannot come, and asking again has to slow down no
            // further than the lifetime demands.
            schedule.floor_at = session.expiration();
            let pause = (session.remaining(now) / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            schedule.refresh_at = now + pause;
        }
        // However short the session, no busy loop.
        schedule.refresh_at = schedule.refresh_at.max(now + SHORTEST_PAUSE);
        self.held = Some(Held { session: Arc::new(session), schedule });
    }

    fn fail(&mut self, error: SessionError, now: SystemTime, jitter: Jitter) {
        self.failures += 1;
        let in_a_row = self.failure.as_ref().map_or(0, |failure| failure.in_a_row) + 1;
        let retry_at = now + retry_wait(&error, in_a_row, self.reserve(now), jitter);
        self.failure = Some(Failure { error, at: now, retry_at, in_a_row });
    }

    /// What is left to serve at `now` while the role fails.
    fn reserve(&self, now: SystemTime) -> Option<Reserve> {
        let held = self.held.as_ref().filter(|held| held.session.is_valid(now))?;
        let above_floor = now < held.schedule.floor_at;
        Some(Reserve { left: held.session.remaining(now), above_floor })
    }
}

/// How far the wall clock may run behind the instant of a session or a failure before it is tried
/// again for that alone.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);

/// The shortest time between a session and the background renewal of it.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// The longest time until a source that had no newer keys is asked again.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
