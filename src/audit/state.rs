//! What the writer of an audit log and those who record have in common: the queue, counts, and whether
//! the sinks still answer. Must not know sinks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use super::queue::{Entry, Queue};

/// How long a sink may take for one batch before it counts as failed. Those who wait notice at
/// most half a second later.
pub const SINK_DEADLINE: Duration = Duration::from_secs(5);

/// How often those who wait look whether the sinks still answer.
const LOOK: Duration = Duration::from_millis(500);

/// No number of answers.
const NEVER: u64 = u64::MAX;

/// How many opens may wait in the queue; more of them wait in front of it.
pub(super) const PLACES: usize = 1024;

/// The most records in the queue, notes included. Reached only while a sink hangs.
const MOST: usize = 4 * PLACES;

/// What becomes of an open that cannot be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The reader is served, and the failure counted.
    #[default]
    Serve,
    /// The reader is refused.
    Refuse,
}

/// What the writer and those who record have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    pub(super) on_failure: OnFailure,
    pub(super) written: AtomicU64,
    pub(super) failed: AtomicU64,
    /// Whether a sink's latest write or reopening failed.
    pub(super) is_failing: AtomicBool,
    pub(super) last_error: Mutex<Option<String>>,
    /// How often the sinks have answered. That this does not move although somebody waits is how
    /// a sink that hangs is known: the writer itself cannot say so.
    answers: AtomicU64,
    /// The number of answers at which a sink was last found to hang, so that any answer ends it.
    hung_at: AtomicU64,
}

impl Shared {
    pub(super) fn new(on_failure: OnFailure) -> Self {
        Self {
            queue: Queue::default(),
            on_failure,
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            last_error: Mutex::new(None),
            answers: AtomicU64::new(0),
            hung_at: AtomicU64::new(NEVER),
        }
    }

    pub(super) fn push(&self, entry: Entry) {
        let Err(refused) = self.queue.push(entry, MOST) else { return };
        if !refused.is_counted {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(note) = refused.note {
            note.add(false);
        }
    }

    /// The sinks have answered.
    pub(super) fn answered(&self) {
        let before = self.answers.fetch_add(1, Ordering::Relaxed);
        if self.hung_at.load(Ordering::Relaxed) == before {
            tracing::info!("the audit log moves again");
        }
    }

    /// Whether a sink has taken nothing for [`SINK_DEADLINE`], and still does not.
    pub(super) fn is_hanging(&self) -> bool {
        self.hung_at.load(Ordering::Relaxed) == self.answers.load(Ordering::Relaxed)
    }

    /// The result of `work`, which the writer has to do; `None` if it hangs over it.
    pub(super) async fn unless_hanging<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let (mut answers, mut since) = (self.answers.load(Ordering::Relaxed), Instant::now());
        loop {
            if let Ok(done) = timeout(LOOK, &mut work).await {
                return Some(done);
            }
            let answers_now = self.answers.load(Ordering::Relaxed);
            if answers_now != answers {
                (answers, since) = (answers_now, Instant::now());
            } else if self.is_hanging() || since.elapsed() >= SINK_DEADLINE {
                self.hangs(answers);
                return None;
            }
        }
    }

    fn hangs(&self, answers: u64) {
        if self.hung_at.swap(answers, Ordering::Relaxed) == answers {
            return;
        }
        let seconds = SINK_DEADLINE.as_secs();
        *self.last_error.lock() = Some(format!("the audit log took nothing for {seconds} s"));
        tracing::error!(
            on_audit_failure = ?self.on_failure,
            "the audit log took nothing for {seconds} s; look after its disk or journald"
        );
    }
}
