//! When a daemon that ended is started again. Pure.

use std::time::Duration;

use super::RESTART;
use super::worker::End;

/// What to do once a daemon has ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Next {
    /// It was meant to end: end with this exit code.
    End(u8),
    /// Start it again after a pause.
    After(Duration),
    /// It cannot be kept alive.
    GiveUp,
}

/// Counts how often in a row a daemon ended too soon.
#[derive(Debug, Default)]
pub(super) struct Pace {
    ever_served: bool,
    in_a_row: u32,
}

impl Pace {
    /// Decides after a daemon that `served`, or never came to it, ended after `lifetime`.
    pub(super) fn next(&mut self, end: End, served: bool, lifetime: Duration) -> Next {
        self.ever_served |= served;
        match end {
            End::Code(RESTART) => {
                self.in_a_row = 0;
                return Next::After(Duration::ZERO);
            }
            End::Code(0) => return Next::End(0),
            // Nothing is mounted yet, and the error is told.
            End::Code(code) if !self.ever_served => return Next::End(code),
            End::Signal(_) if !self.ever_served => return Next::End(1),
            End::Code(_) | End::Signal(_) | End::NotStarted => {}
        }
        self.in_a_row = if served && lifetime >= STABLE { 0 } else { self.in_a_row + 1 };
        if self.in_a_row > MOST_IN_A_ROW {
            return Next::GiveUp;
        }
        let doublings = self.in_a_row.saturating_sub(1).min(16);
        Next::After((FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE))
    }
}

/// A daemon that served so long and crashes is no daemon that crashes over and over: one that a
/// request brings down gets that request again as soon as it serves.
const STABLE: Duration = Duration::from_secs(1);
/// About a minute of attempts: readers wait meanwhile.
const MOST_IN_A_ROW: u32 = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(300);
    const LONG: Duration = Duration::from_mins(5);

    #[test]
    fn a_daemon_that_meant_to_end_is_not_started_again() {
        assert_eq!(Pace::default().next(End::Code(0), true, LONG), Next::End(0));
        assert_eq!(Pace::default().next(End::Code(2), false, SHORT), Next::End(2));
        assert_eq!(Pace::default().next(End::Signal(9), false, SHORT), Next::End(1));
    }

    #[test]
    fn a_crash_is_followed_by_a_start_almost_at_once() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.next(End::Signal(9), true, LONG), Next::After(FIRST_PAUSE));
        }
    }

    #[test]
    fn a_restart_that_was_asked_for_is_no_crash() {
        let mut pace = Pace::default();
        for _ in 0..100 {
            assert_eq!(pace.next(End::Code(RESTART), true, SHORT), Next::After(Duration::ZERO));
        }
    }

    #[test]
    fn a_daemon_that_cannot_be_started_is_tried_again() {
        let mut pace = Pace::default();
        let _ = pace.next(End::Signal(9), true, LONG);
        assert_eq!(pace.next(End::NotStarted, false, SHORT), Next::After(FIRST_PAUSE));
    }

    #[test]
    fn a_daemon_that_cannot_be_kept_alive_is_given_up() {
        let mut pace = Pace::default();
        let mut paused = Duration::ZERO;
        let mut starts = 0;
        // It served once; now its configuration is broken.
        let _ = pace.next(End::Signal(11), true, LONG);
        while let Next::After(pause) = pace.next(End::Code(2), false, SHORT) {
            paused += pause;
            starts += 1;
        }
        assert_eq!(starts, MOST_IN_A_ROW);
        assert!(paused > Duration::from_secs(30) && paused < Duration::from_secs(90), "{paused:?}");
    }
}
