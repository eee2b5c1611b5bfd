//! The wall clock as a parameter. Expirations are wall-clock instants, so a monotonic clock would
//! be wrong here: it stops during suspend. Must not know who tells it the time.

mod corrected;

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

pub use corrected::{CorrectedClock, DateHeard};

/// Where the current wall-clock time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current wall-clock time.
    fn now(&self) -> SystemTime;

    /// The clock that can be told the time of AWS, if this is one.
    fn corrected(&self) -> Option<&CorrectedClock> {
        None
    }
}

/// The two clocks of a machine at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_REALTIME`, which anybody may set.
    pub wall: SystemTime,
    /// `CLOCK_BOOTTIME`, which nobody can set and which goes on during suspend
    /// (`clock_gettime(2)`).
    pub boot: Duration,
}

/// A machine with clocks.
pub trait Machine: Debug + Send + Sync + 'static {
    /// Reads both clocks.
    fn read(&self) -> Reading;
}

/// The clock of the machine, as it is set.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Machine for SystemClock {
    fn read(&self) -> Reading {
        // The time since boot is never negative, which alone could not be converted.
        let boot = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
        Reading { wall: self.now(), boot }
    }
}
