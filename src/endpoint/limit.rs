//! How often something may happen. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// A bucket that holds a number of turns and gets new ones at a steady pace.
#[derive(Debug)]
pub(super) struct Bucket {
    most: u32,
    /// The time for one turn.
    pace: Duration,
    left: u32,
    /// Up to when new turns have been added.
    since: Instant,
}

impl Bucket {
    /// A full bucket of `most` turns, to which one is added each `pace`.
    pub(super) fn new(most: u32, pace: Duration, now: Instant) -> Self {
        Self { most, pace, left: most, since: now }
    }

    /// Takes a turn, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = now.saturating_duration_since(self.since).as_nanos() / self.pace.as_nanos();
        match u32::try_from(due) {
            Ok(due) if due < self.most - self.left => {
                self.left += due;
                self.since += self.pace * due;
            }
            _ => (self.left, self.since) = (self.most, now),
        }
        let has_turn = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_through_and_then_the_pace_holds() {
        let (start, pace) = (Instant::now(), Duration::from_millis(100));
        let mut bucket = Bucket::new(3, pace, start);
        let mut take = |ms| bucket.take(start + Duration::from_millis(ms));
        assert_eq!([take(0), take(0), take(0), take(0)], [true, true, true, false]);
        assert_eq!([take(99), take(100), take(150), take(200)], [false, true, false, true]);
        assert_eq!([take(10_000), take(10_000), take(10_000)], [true, true, true]);
        assert!(!take(10_000), "no more than a full bucket is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_long_run_nobody_gets_more_than_the_pace() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, Duration::from_millis(20), start);
        let asked = (0..10_000).map(|ms| start + Duration::from_millis(ms));
        let taken = asked.filter(|at| bucket.take(*at)).count();
        assert_eq!(taken, 10 + 499);
    }
}
