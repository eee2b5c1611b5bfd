//! The requests under way in all mounts of a daemon: bounded, so that no crowd of readers and no
//! `/proc` that hangs takes all memory or threads, and watched, so that a daemon which no longer
//! serves is known as such. Must not know what is asked for.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// `/proc` answers in microseconds unless something is badly wrong with the reader.
pub(super) const PROC_DEADLINE: Duration = Duration::from_secs(2);

/// What is under way. One for all mounts of a daemon.
#[derive(Debug)]
pub struct Traffic {
    /// How many opens may wait for sessions.
    most_waiting: AtomicUsize,
    waiting: AtomicUsize,
    /// Whether it was logged that too many wait, since few last did.
    is_told: AtomicBool,
    /// Threads that may read in `/proc`.
    proc_readers: Arc<Semaphore>,
    /// The opens that are not answered yet: by when each has to be, and a number.
    promised: Mutex<BTreeSet<(Instant, u64)>>,
    next_number: AtomicU64,
    start: Instant,
    threads: Mutex<Vec<Weak<Beat>>>,
}

impl Traffic {
    /// Nothing is under way; so many opens may wait for sessions at a time.
    pub fn new(most_waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            most_waiting: most_waiting.into(),
            waiting: AtomicUsize::new(0),
            is_told: AtomicBool::new(false),
            proc_readers: Arc::new(Semaphore::new(PROC_READERS)),
            promised: Mutex::default(),
            next_number: AtomicU64::new(0),
            start: Instant::now(),
            threads: Mutex::default(),
        })
    }

    /// From now on so many opens may wait for sessions at a time. Those that wait already do.
    pub fn limit(&self, most_waiting: usize) {
        self.most_waiting.store(most_waiting, Ordering::Relaxed);
    }

    /// How many opens wait for sessions.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Why this daemon has to be taken for one that does not serve any more, if so: a request was
    /// not answered by when it had to be at the latest, or a thread that takes requests has not got
    /// through one. Takes a few microseconds, asks nobody and touches no mount.
    pub fn stuck(&self, now: Instant) -> Option<String> {
        let late = |by: Instant| now.checked_duration_since(by).filter(|late| *late > TOLERANCE);
        let first = self.promised.lock().first().copied();
        if let Some(late) = first.and_then(|(by, _)| late(by)) {
            return Some(format!("an open is {} s behind its deadline", late.as_secs()));
        }
        let mut threads = self.threads.lock();
        threads.retain(|thread| thread.strong_count() > 0);
        let since = threads.iter().filter_map(|thread| thread.upgrade()?.busy_since());
        let inside = since.min().and_then(|since| late(self.start + since))?;
        Some(format!("a request has kept a FUSE thread busy for {} s", inside.as_secs()))
    }

    /// Where a thread that takes requests tells when it is busy with one.
    pub fn beat(&self) -> Arc<Beat> {
        let beat = Arc::new(Beat { start: self.start, busy_since: AtomicU64::new(IDLE) });
        self.threads.lock().push(Arc::downgrade(&beat));
        beat
    }

    /// A place among those that wait for sessions, if there is one.
    pub(super) fn wait(self: &Arc<Self>) -> Option<Place> {
        let most = self.most_waiting.load(Ordering::Relaxed);
        let next = |waiting: usize| (waiting < most).then_some(waiting + 1);
        let before = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        if before.is_err() && !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                max_waiting_opens = most,
                "too many opens wait for sessions; more are told so and not let wait"
            );
        }
        before.is_ok().then(|| Place(self.clone()))
    }

    /// Notes that an open has to be answered by `by`; until the result is dropped it is not.
    pub(super) fn promise(self: &Arc<Self>, by: Instant) -> Promise {
        let key = (by, self.next_number.fetch_add(1, Ordering::Relaxed));
        self.promised.lock().insert(key);
        Promise { traffic: self.clone(), key }
    }

    /// The answer of a thread that reads in `/proc`; `None` if it does not come in time, or panics.
    /// A thread that hangs there is not waited for, and there are few of them, so that those for
    /// other work are not used up.
    pub(super) async fn ask_proc<T: Send + 'static>(
        &self,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let by = Instant::now() + PROC_DEADLINE;
        let place = timeout_at(by, self.proc_readers.clone().acquire_owned()).await.ok()?.ok()?;
        let asked = tokio::task::spawn_blocking(move || {
            let _place = place;
            ask()
        });
        timeout_at(by, asked).await.ok()?.ok()
    }
}

/// A place among those that wait.
#[derive(Debug)]
pub(super) struct Place(Arc<Traffic>);

impl Drop for Place {
    fn drop(&mut self) {
        let before = self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        if before <= self.0.most_waiting.load(Ordering::Relaxed) / 2 {
            self.0.is_told.store(false, Ordering::Relaxed);
        }
    }
}

/// An open that is not answered yet.
#[derive(Debug)]
pub(super) struct Promise {
    traffic: Arc<Traffic>,
    key: (Instant, u64),
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.traffic.promised.lock().remove(&self.key);
    }
}

/// Since when a thread is busy with one request.
#[derive(Debug)]
pub struct Beat {
    start: Instant,
    /// In milliseconds after `start`.
    busy_since: AtomicU64,
}

impl Beat {
    /// The thread is busy until the result is dropped, also by a panic.
    pub fn busy(&self) -> Busy<'_> {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.busy_since.store(since, Ordering::Relaxed);
        Busy(self)
    }

    fn busy_since(&self) -> Option<Duration> {
        let since = self.busy_since.load(Ordering::Relaxed);
        (since != IDLE).then(|| Duration::from_millis(since))
    }
}

/// One request.
#[derive(Debug)]
pub struct Busy<'a>(&'a Beat);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy_since.store(IDLE, Ordering::Relaxed);
    }
}

/// No number of milliseconds.
const IDLE: u64 = u64::MAX;

/// A machine that is busy or was suspended may be so late without anything being wrong. No request
/// takes a thread that takes requests even a millisecond.
const TOLERANCE: Duration = Duration::from_secs(3);

/// Enough for tens of thousands of callers a second, and few beside the 512 threads for blocking
/// work that tokio starts at most.
const PROC_READERS: usize = 32;

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_open_that_is_not_answered_in_time_is_stuck_until_it_is() {
        let traffic = Traffic::new(1);
        let by = Instant::now() + Duration::from_secs(10);
        let (late, other) = (traffic.promise(by), traffic.promise(by));
        assert_eq!(traffic.stuck(by), None);
        let told = traffic.stuck(by + Duration::from_secs(4)).unwrap();
        assert_eq!(told, "an open is 4 s behind its deadline");
        drop(late);
        assert!(traffic.stuck(by + Duration::from_secs(4)).is_some());
        drop(other);
        assert_eq!(traffic.stuck(by + Duration::from_hours(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_does_not_get_through_a_request_is_stuck() {
        let traffic = Traffic::new(1);
        let (first, second) = (traffic.beat(), traffic.beat());
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(traffic.stuck(Instant::now()), None, "nobody asks");
        let inside = first.busy();
        drop(second.busy());
        tokio::time::advance(Duration::from_secs(4)).await;
        let told = traffic.stuck(Instant::now()).unwrap();
        assert_eq!(told, "a request has kept a FUSE thread busy for 4 s");
        drop(inside);
        assert_eq!(traffic.stuck(Instant::now()), None);
        let thread = std::panic::catch_unwind(|| {
            let _inside = second.busy();
            panic!("in a request");
        });
        assert!(thread.is_err());
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(traffic.stuck(Instant::now()), None);
    }

    #[test]
    fn no_more_wait_than_may_and_a_place_is_given_back() {
        let traffic = Traffic::new(2);
        let places = [traffic.wait().unwrap(), traffic.wait().unwrap()];
        assert!(traffic.wait().is_none());
        assert_eq!(traffic.waiting(), 2);
        drop(places);
        assert!(traffic.wait().is_some());
        traffic.limit(0);
        assert!(traffic.wait().is_none());
    }

    #[tokio::test]
    async fn hanging_reads_of_proc_take_a_bounded_number_of_threads() {
        let traffic = Traffic::new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let begun = Arc::new(AtomicUsize::new(0));
        let hang = || {
            let (begun, ended) = (begun.clone(), ended.clone());
            move || {
                begun.fetch_add(1, Ordering::Relaxed);
                let _ = ended.lock().recv();
            }
        };
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..2 * PROC_READERS {
            let (traffic, hang) = (traffic.clone(), hang());
            asking.spawn(async move { traffic.ask_proc(hang).await });
        }
        let answers = asking.join_all().await;
        assert!(answers.iter().all(Option::is_none));
        assert_eq!(begun.load(Ordering::Relaxed), PROC_READERS);
        drop(end);
        let answer = timeout(Duration::from_secs(10), async {
            while traffic.ask_proc(|| ()).await.is_none() {}
        });
        assert!(answer.await.is_ok(), "threads that no longer hang are used again");
    }

    #[tokio::test]
    async fn a_panic_while_proc_is_read_is_no_answer() {
        let traffic = Traffic::new(1);
        assert_eq!(traffic.ask_proc(|| panic!("in /proc")).await, None::<()>);
        assert_eq!(traffic.ask_proc(|| 7).await, Some(7));
    }
}
