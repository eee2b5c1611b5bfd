//! A wall clock that keeps right where that of the machine is wrong: it is told the time of AWS by
//! the answers of AWS and carries it on by `CLOCK_BOOTTIME`.
//!
//! 1. The clock of the machine is believed while it is within [`TOLERANCE`] of the time of AWS.
//! 2. Beyond that, and where it is certainly behind, the time of AWS counts, as the last answer told
//!    it and carried on since; as late as it can be, since an answer takes its time and a `Date` has
//!    whole seconds.
//! 3. If the clock of the machine was also set forward since that answer, as much is added: the
//!    machine may have been a virtual one that was stopped, and its `CLOCK_BOOTTIME` with it.
//! 4. So however the clock of the machine is set, no expired session is taken for valid; at worst a
//!    valid one is renewed too early.
//! 5. A date is believed only if what became of the request bears it out: AWS accepts a signature
//!    of up to 5 minutes before or after its own time.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::{Clock, Machine, Reading, SystemClock};
use crate::model::ClockSkew;

/// What an answer told of the time.
#[derive(Debug, Clone, Copy)]
pub struct DateHeard {
    /// The `Date` of the answer: the second in which it was made.
    pub date: SystemTime,
    /// The time that the request was signed with.
    pub signed: SystemTime,
    /// When the request was sent.
    pub sent: Reading,
    /// Whether AWS refused the request because of the time it was signed with.
    pub refused: bool,
}

/// See the module documentation.
#[derive(Debug)]
pub struct CorrectedClock {
    machine: Box<dyn Machine>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heard: Option<Heard>,
    /// What was reported last.
    reported: Option<ClockSkew>,
}

/// The time of AWS when an answer came.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// The clocks of the machine then.
    at: Reading,
    /// By the middle of the request.
    aws: SystemTime,
    /// It was not earlier,
    earliest: SystemTime,
    /// and not later.
    latest: SystemTime,
}

impl CorrectedClock {
    /// A clock over `machine` that has heard nothing yet.
    pub fn over(machine: impl Machine) -> Self {
        Self { machine: Box::new(machine), state: Mutex::default() }
    }

    /// The clocks of the machine.
    pub fn read(&self) -> Reading {
        self.machine.read()
    }

    /// Takes note of the date of an answer that has just come. Returns what there is to tell about
    /// the clock of the machine, if that has changed: that it is wrong, wrong by another minute at
    /// least, or right again.
    pub fn hear(&self, it: &DateHeard) -> Option<ClockSkew> {
        let at = self.read();
        let mut state = self.state.lock();
        let apart = apart(it.date, it.signed);
        if it.refused && apart < TOLERANCE {
            // Somebody on the way wrote this date, and perhaps those before.
            *state = State::default();
            return None;
        }
        if !it.refused && apart > ACCEPTED {
            return None;
        }
        let took = at.boot.saturating_sub(it.sent.boot);
        let latest = it.date + DATE_PRECISION + took;
        let aws = it.date + (DATE_PRECISION + took) / 2;
        state.heard = Some(Heard { at, aws, earliest: it.date, latest });
        let skew = ClockSkew::between(at.wall, aws);
        let before = state.reported.unwrap_or_default();
        let changed = match (before.is_notable(), skew.is_notable()) {
            (true, true) => (before.seconds() - skew.seconds()).abs() >= 60,
            (before, now) => before != now,
        };
        changed.then(|| {
            state.reported = Some(skew);
            skew
        })
    }

    /// Whether the time of AWS is known: it was heard, and the clock of the machine was not set
    /// forward since to something else.
    pub fn is_sure(&self) -> bool {
        let reading = self.read();
        let heard = self.state.lock().heard;
        heard.is_some_and(|heard| heard.set_forward(reading).is_zero())
    }

    /// How far the clock of the machine is from that of AWS now; `None` before anything was heard.
    pub fn skew(&self) -> Option<ClockSkew> {
        let reading = self.read();
        let heard = self.state.lock().heard?;
        Some(ClockSkew::between(reading.wall, heard.aws + heard.since(reading)))
    }
}

impl Default for CorrectedClock {
    fn default() -> Self {
        Self::over(SystemClock)
    }
}

impl Clock for CorrectedClock {
    fn now(&self) -> SystemTime {
        let reading = self.read();
        let heard = self.state.lock().heard;
        heard.map_or(reading.wall, |heard| heard.now(reading))
    }

    fn corrected(&self) -> Option<&CorrectedClock> {
        Some(self)
    }
}

impl Heard {
    fn since(&self, now: Reading) -> Duration {
        now.boot.saturating_sub(self.at.boot)
    }

    fn now(&self, now: Reading) -> SystemTime {
        let since = self.since(now);
        if self.is_near(now) && now.wall >= self.earliest + since {
            return now.wall;
        }
        self.latest + since + self.set_forward(now)
    }

    fn is_near(&self, now: Reading) -> bool {
        apart(now.wall, self.aws + self.since(now)) < TOLERANCE
    }

    /// By how much the clock of the machine was set forward since, but not to the time of AWS.
    fn set_forward(&self, now: Reading) -> Duration {
        if self.is_near(now) {
            return Duration::ZERO;
        }
        let by = now.wall.duration_since(self.at.wall + self.since(now)).unwrap_or_default();
        // Between the two readings of the clocks of a machine passes a moment.
        if by < DATE_PRECISION { Duration::ZERO } else { by }
    }
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// How far the clock of the machine may be from that of AWS before it is no longer believed, and
/// reported: less than what AWS accepts.
const TOLERANCE: Duration = Duration::from_secs(ClockSkew::NOTABLE_SECONDS.unsigned_abs());

/// The farthest that the date of an answer can be from the time in a signature that was accepted:
/// 5 min (AWS IAM User Guide, "Signature Version 4 for API requests"), and what a request may take.
const ACCEPTED: Duration = Duration::from_mins(6);

/// `Date` has whole seconds (RFC 9110, section 5.6.7).
const DATE_PRECISION: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
