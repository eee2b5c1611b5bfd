//! At most so many STS calls in any second, in the order asked, those that somebody waits for
//! first. [`Pace`] decides and is pure; `Pacer` waits. Must not know what is called.

use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU8;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Calls in any second when nothing says otherwise.
pub const DEFAULT_CALLS_PER_SECOND: NonZeroU8 = NonZeroU8::new(3).unwrap();

/// Decides who may call next. Instants are times since an origin that the caller chooses; they
/// never decrease.
#[derive(Debug)]
pub struct Pace {
    per_second: NonZeroU8,
    /// The latest calls, oldest first; as many as the limit.
    recent: VecDeque<Duration>,
    waiting: BTreeSet<Place>,
    asked: u64,
}

/// A place in the queue. The first is the one that is urgent and has asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    background: bool,
    number: u64,
}

/// What one place in the queue may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// Call now. The place is given up.
    Now,
    /// It is the first of the queue; not before this instant.
    NotBefore(Duration),
    /// Others come first.
    Behind,
}

impl Pace {
    /// At most `per_second` calls in any second; after a pause, all of them at once.
    pub fn new(per_second: NonZeroU8) -> Self {
        Self { per_second, recent: VecDeque::new(), waiting: BTreeSet::new(), asked: 0 }
    }

    /// From now on this many. Calls of the last second count.
    pub fn limit(&mut self, per_second: NonZeroU8) {
        self.per_second = per_second;
    }

    /// Queues up.
    pub fn join(&mut self, urgent: bool) -> Place {
        self.asked += 1;
        let place = Place { background: !urgent, number: self.asked };
        self.waiting.insert(place);
        place
    }

    /// Moves `place` to those that somebody waits for, among them in the order asked.
    pub fn hasten(&mut self, place: Place) -> Place {
        let urgent = Place { background: false, ..place };
        if self.waiting.remove(&place) {
            self.waiting.insert(urgent);
        }
        urgent
    }

    /// Gives the place up.
    pub fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
    }

    /// What `place` may do at `now`.
    pub fn turn(&mut self, place: Place, now: Duration) -> Turn {
        if self.waiting.first() != Some(&place) {
            return Turn::Behind;
        }
        let limit = usize::from(self.per_second.get());
        let free_at = match self.recent.len().checked_sub(limit) {
            Some(oldest) => self.recent[oldest] + SECOND,
            None => Duration::ZERO,
        };
        if now < free_at {
            return Turn::NotBefore(free_at);
        }
        self.recent.push_back(now);
        let outdated = self.recent.len().saturating_sub(limit);
        self.recent.drain(..outdated);
        self.waiting.remove(&place);
        Turn::Now
    }
}

/// Waits for turns, on the monotonic clock.
#[derive(Debug)]
pub(super) struct Pacer {
    origin: Instant,
    pace: Mutex<Pace>,
    /// Changes whenever another place may have become the first.
    moved: watch::Sender<()>,
}

impl Pacer {
    pub(super) fn new(per_second: NonZeroU8) -> Self {
        let pace = Mutex::new(Pace::new(per_second));
        Self { origin: Instant::now(), pace, moved: watch::Sender::new(()) }
    }

    /// See [`Pace::limit`].
    pub(super) fn limit(&self, per_second: NonZeroU8) {
        self.pace.lock().limit(per_second);
        self.moved.send_replace(());
    }

    /// Waits until one call may be made. As soon as `urgent` says so, it comes before all that
    /// nobody waits for. Dropping the future gives the place up.
    pub(super) async fn turn(&self, mut urgent: watch::Receiver<bool>) {
        let mut moved = self.moved.subscribe();
        let place = self.pace.lock().join(*urgent.borrow_and_update());
        let mut queued = Queued { pacer: self, place };
        loop {
            let turn = self.pace.lock().turn(queued.place, self.origin.elapsed());
            let not_before = match turn {
                Turn::Now => return,
                Turn::NotBefore(at) => Some(self.origin + at),
                Turn::Behind => None,
            };
            tokio::select! {
                () = sleep_until(not_before.unwrap_or(self.origin)), if not_before.is_some() => {}
                Ok(()) = urgent.changed() => {
                    if *urgent.borrow_and_update() {
                        queued.place = self.pace.lock().hasten(queued.place);
                        self.moved.send_replace(());
                    }
                }
                _ = moved.changed() => {}
            }
        }
    }
}

/// A place in the queue that is left when dropped.
struct Queued<'a> {
    pacer: &'a Pacer,
    place: Place,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.pacer.pace.lock().leave(self.place);
        self.pacer.moved.send_replace(());
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::time::sleep;

    use super::*;

    fn three() -> NonZeroU8 {
        NonZeroU8::new(3).unwrap()
    }

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn three_go_at_once_and_the_fourth_a_second_after_the_first() {
        let mut pace = Pace::new(three());
        let places: Vec<Place> = (0..4).map(|_| pace.join(false)).collect();
        for (place, at) in places.iter().zip([0, 100, 200]) {
            assert_eq!(pace.turn(*place, millis(at)), Turn::Now);
        }
        assert_eq!(pace.turn(places[3], millis(999)), Turn::NotBefore(millis(1000)));
        assert_eq!(pace.turn(places[3], millis(1000)), Turn::Now);
    }

    #[test]
    fn those_that_somebody_waits_for_go_first_each_in_the_order_asked() {
        let mut pace = Pace::new(NonZeroU8::MAX);
        let background = [pace.join(false), pace.join(false), pace.join(false)];
        let reader = pace.join(true);
        let hastened = pace.hasten(background[1]);
        for place in [hastened, reader, background[0], background[2]] {
            assert_eq!(pace.turn(place, SECOND), Turn::Now);
            assert_eq!(pace.turn(place, SECOND), Turn::Behind, "a turn is for one call");
        }
    }

    #[test]
    fn a_place_that_is_left_keeps_nobody_waiting() {
        let mut pace = Pace::new(three());
        let (first, second) = (pace.join(false), pace.join(false));
        assert_eq!(pace.turn(second, Duration::ZERO), Turn::Behind);
        pace.leave(first);
        assert_eq!(pace.turn(second, Duration::ZERO), Turn::Now);
        assert_ne!(pace.hasten(first), first);
        let third = pace.join(false);
        assert_eq!(pace.turn(third, Duration::ZERO), Turn::Now, "what is left does not come back");
    }

    #[test]
    fn another_limit_counts_the_calls_of_the_last_second() {
        let mut pace = Pace::new(three());
        let go = |pace: &mut Pace, at| {
            let asked = pace.join(true);
            let turn = pace.turn(asked, millis(at));
            pace.leave(asked);
            turn
        };
        for at in [0, 0, 0] {
            assert_eq!(go(&mut pace, at), Turn::Now);
        }
        pace.limit(NonZeroU8::new(4).unwrap());
        assert_eq!(go(&mut pace, 1), Turn::Now);
        assert_eq!(go(&mut pace, 2), Turn::NotBefore(SECOND));
        pace.limit(NonZeroU8::MIN);
        assert_eq!(go(&mut pace, 1000), Turn::NotBefore(millis(1001)));
    }

    proptest! {
        #[test]
        fn no_second_ever_has_more_calls_than_the_limit(
            limit in 1_u8..=5, gaps in proptest::collection::vec(0_u64..1500, 1..60),
        ) {
            let mut pace = Pace::new(NonZeroU8::new(limit).unwrap());
            let (mut now, mut calls) = (Duration::ZERO, Vec::new());
            for gap in gaps {
                now += millis(gap);
                let place = pace.join(gap % 2 == 0);
                loop {
                    match pace.turn(place, now) {
                        Turn::Now => break,
                        Turn::NotBefore(at) => {
                            prop_assert!(now < at && at <= now + SECOND);
                            now = at;
                        }
                        Turn::Behind => prop_assert!(false, "it is alone"),
                    }
                }
                calls.push(now);
            }
            let limit = usize::from(limit);
            prop_assert!(calls.windows(limit + 1).all(|it| it[limit] >= it[0] + SECOND));
        }
    }

    /// What went when, in tenths of a second; each name waits from the given instant on.
    async fn order(pacer: Arc<Pacer>, waits: &[(&'static str, u64, bool)]) -> Vec<(String, u64)> {
        let start = Instant::now();
        let went = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = waits
            .iter()
            .map(|&(name, from, urgent)| {
                let (pacer, went) = (pacer.clone(), went.clone());
                tokio::spawn(async move {
                    sleep(millis(from)).await;
                    let urgent = watch::Sender::new(urgent);
                    pacer.turn(urgent.subscribe()).await;
                    let tenths = u64::try_from(start.elapsed().as_millis()).unwrap() / 100;
                    went.lock().push((name.to_owned(), tenths));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let went = went.lock();
        went.clone()
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_in_order_and_wakes_everybody_in_time() {
        let waits = [
            ("a", 0, false),
            ("b", 1, false),
            ("c", 2, false),
            ("d", 3, false),
            ("e", 4, false),
            ("reader", 500, true),
            ("f", 5, false),
        ];
        let went = order(Arc::new(Pacer::new(three())), &waits).await;
        let names: Vec<&str> = went.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "reader", "d", "e", "f"]);
        let tenths: Vec<u64> = went.iter().map(|(_, tenths)| *tenths).collect();
        assert_eq!(tenths, [0, 0, 0, 10, 10, 10, 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_lets_the_next_go_in_its_place() {
        let pacer = Arc::new(Pacer::new(NonZeroU8::MIN));
        let calm = watch::Sender::new(false);
        pacer.turn(calm.subscribe()).await;
        let start = Instant::now();
        let second = {
            let (pacer, urgent) = (pacer.clone(), calm.subscribe());
            tokio::spawn(async move { pacer.turn(urgent).await })
        };
        sleep(millis(10)).await;
        let third = {
            let (pacer, urgent) = (pacer.clone(), calm.subscribe());
            tokio::spawn(async move { pacer.turn(urgent).await })
        };
        sleep(millis(10)).await;
        second.abort();
        third.await.unwrap();
        assert_eq!(start.elapsed().as_millis(), 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_becomes_urgent_while_it_waits_overtakes() {
        let pacer = Arc::new(Pacer::new(NonZeroU8::MIN));
        let calm = watch::Sender::new(false);
        pacer.turn(calm.subscribe()).await;
        let urgent = watch::Sender::new(false);
        let start = Instant::now();
        let wait = |receiver| {
            let pacer = pacer.clone();
            tokio::spawn(async move {
                pacer.turn(receiver).await;
                start.elapsed().as_secs()
            })
        };
        let first = wait(calm.subscribe());
        sleep(millis(10)).await;
        let second = wait(urgent.subscribe());
        sleep(millis(10)).await;
        urgent.send_replace(true);
        assert_eq!((second.await.unwrap(), first.await.unwrap()), (1, 2));
    }
}
