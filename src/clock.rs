//! The wall clock as a parameter. Expirations are wall-clock instants, so a monotonic clock would
//! be wrong here: it stops during suspend.

use std::fmt::Debug;
use std::time::SystemTime;

/// Where the current wall-clock time comes from.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The current wall-clock time (`CLOCK_REALTIME`).
    fn now(&self) -> SystemTime;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}
