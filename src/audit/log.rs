//! The audit log: takes records and tells when they are written. One thread writes; what comes
//! while it writes goes out together with its next write.
//!
//! 1. While the sinks work, no record is lost: when the queue is full, opens wait for a place.
//! 2. Records are written in the order in which they were put into the queue.
//! 3. [`AuditLog::record`] returns when every sink has the record, or when a sink has failed.
//! 4. A sink that takes nothing for [`SINK_DEADLINE`] while there is something to write hangs, and
//!    that is a failure. Until it moves again nobody else waits for it.
//! 5. A sink that fails is tried again with each batch.
//! 6. What a failure means for the reader is decided by [`OnFailure`] alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::counts::Counts;
use super::file::FileSink;
use super::journal::{self, JournalSink};
use super::queue::Entry;
use super::record::Event;
use super::sink::Sink;
use super::state::{OnFailure, PLACES, SINK_DEADLINE, Shared};
use super::writer::Writer;

/// How long anybody waits for a record to be written, also while the sinks move: a crowd may have
/// come before.
pub const RECORD_DEADLINE: Duration = SINK_DEADLINE.saturating_add(Duration::from_secs(1));

/// Where records go. With neither, nothing is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sinks {
    /// A file of JSON lines.
    pub file: Option<PathBuf>,
    /// The journal of systemd.
    pub journal: bool,
}

/// The record could not be written, and then the reader is to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the audit log cannot be written, and on_audit_failure is \"refuse\"; credmount status says why"
)]
pub struct NotRecorded;

/// What `status` tells of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Where records go: the file's path, `the journal`. Empty when nothing is recorded.
    pub sinks: Vec<String>,
    /// What becomes of an open that cannot be recorded.
    pub on_failure: OnFailure,
    /// Records that every sink has.
    pub written: u64,
    /// Records that were not in every sink when somebody had to be told. After a sink that hung,
    /// some may have been written late, and are counted as written too.
    pub failed: u64,
    /// Records that wait to be written at this moment.
    pub waiting: u64,
    /// Whether a sink fails or hangs now.
    pub failing: bool,
    /// The latest failure, also if it has passed.
    pub last_error: Option<String>,
}

impl AuditStatus {
    /// The file among the sinks.
    pub fn file(&self) -> Option<PathBuf> {
        self.sinks.iter().find(|sink| sink.starts_with('/')).map(PathBuf::from)
    }
}

/// The audit log of one daemon. Dropping it lets the writer end once the queue is empty;
/// [`AuditLog::close`] waits for that.
#[derive(Debug)]
pub struct AuditLog {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    /// Where records go, as it was asked for.
    sinks: Sinks,
    /// The same, as `status` tells it; empty if nothing is recorded.
    names: Vec<String>,
    /// Answered when the writer has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl AuditLog {
    /// Opens the sinks and starts the writer.
    ///
    /// # Errors
    /// If a sink cannot be opened or no thread be started; the error names the sink.
    pub fn start(sinks: Sinks, on_failure: OnFailure) -> io::Result<Arc<Self>> {
        let mut opened: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(path) = sinks.file.clone() {
            let name = format!("audit log {}", path.display());
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
            opened.push(Box::new(FileSink::open(path).map_err(named)?));
        }
        if sinks.journal {
            let named = |error: io::Error| {
                let socket = journal::SOCKET;
                let hint = "is systemd-journald running, and can this process see its socket?";
                io::Error::new(error.kind(), format!("journal at {socket}: {error}; {hint}"))
            };
            let sink = JournalSink::open(Path::new(journal::SOCKET)).map_err(named)?;
            opened.push(Box::new(sink));
        }
        Self::with_sinks(sinks, opened, on_failure)
    }

    pub(super) fn with_sinks(
        sinks: Sinks,
        opened: Vec<Box<dyn Sink>>,
        on_failure: OnFailure,
    ) -> io::Result<Arc<Self>> {
        let shared = Arc::new(Shared::new(on_failure));
        let names = opened.iter().map(|sink| sink.name()).collect();
        let (end, ended) = oneshot::channel();
        if !opened.is_empty() {
            let writer = Writer::new(shared.clone(), opened);
            std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
                writer.run();
                // Nobody may be waiting for it.
                let _ = end.send(());
            })?;
        }
        Ok(Arc::new(Self {
            shared,
            places: Arc::new(Semaphore::new(PLACES)),
            sinks,
            names,
            ended: Mutex::new(Some(ended)),
        }))
    }

    /// Records the event; returns once it is in every sink, and whether it is. A sink that hangs is
    /// waited for until it has taken nothing for [`SINK_DEADLINE`], and not at all after that.
    ///
    /// If the future is dropped early the event may be recorded all the same.
    ///
    /// # Errors
    /// If a sink failed and [`OnFailure::Refuse`] was given. Another sink may have the record.
    pub async fn record(&self, event: Event) -> Result<bool, NotRecorded> {
        if self.names.is_empty() || self.is_recorded(event).await {
            return Ok(true);
        }
        self.without_record()
    }

    /// Counts a record as failed for which somebody has stopped waiting.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub(super) fn gave_up(&self) -> Result<bool, NotRecorded> {
        if self.names.is_empty() {
            return Ok(true);
        }
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        self.without_record()
    }

    fn without_record(&self) -> Result<bool, NotRecorded> {
        match self.shared.on_failure {
            OnFailure::Serve => Ok(false),
            OnFailure::Refuse => Err(NotRecorded),
        }
    }

    /// Records the event without waiting for it, and tells `counts` what became of it. Nothing is
    /// lost unless a sink hangs for thousands of records; the order with [`AuditLog::record`] is
    /// kept.
    pub fn note(&self, event: Event, counts: &Arc<Counts>) {
        if !self.names.is_empty() {
            let note = Some(counts.clone());
            self.shared.push(Entry { event, answer: None, is_counted: false, note, place: None });
        }
    }

    /// Whether this is a log of these sinks with this rule about failures.
    pub fn is_for(&self, sinks: &Sinks, on_failure: OnFailure) -> bool {
        self.sinks == *sinks && self.shared.on_failure == on_failure
    }

    /// Opens the file anew, after it was renamed. If that fails the old one stays in use, and
    /// status and log say so.
    pub fn reopen(&self) {
        if !self.names.is_empty() {
            self.shared.queue.reopen();
        }
    }

    /// The state of this moment.
    pub fn status(&self) -> AuditStatus {
        let shared = &self.shared;
        AuditStatus {
            sinks: self.names.clone(),
            on_failure: shared.on_failure,
            written: shared.written.load(Ordering::Relaxed),
            failed: shared.failed.load(Ordering::Relaxed),
            waiting: u64::try_from(shared.queue.len()).unwrap_or(u64::MAX),
            failing: shared.is_hanging() || shared.is_failing.load(Ordering::Relaxed),
            last_error: shared.last_error.lock().clone(),
        }
    }

    /// Writes what is in the queue and ends the writer. What comes later counts as failed. A sink
    /// that hangs is waited for as in [`AuditLog::record`].
    pub async fn close(&self) {
        self.shared.queue.close();
        let ended = self.ended.lock().take();
        let Some(ended) = ended.filter(|_| !self.names.is_empty()) else { return };
        if self.shared.unless_hanging(ended).await.is_none() {
            let waiting = self.shared.queue.len();
            tracing::error!(waiting, "the audit log hangs; records that wait for it are lost");
        }
    }

    /// Whether the event is in every sink. Counts it as failed if not.
    async fn is_recorded(&self, event: Event) -> bool {
        let shared = &self.shared;
        if shared.is_hanging() {
            self.leave(event);
            return false;
        }
        let is_recorded = shared.unless_hanging(self.queued(event)).await;
        if is_recorded.is_none() {
            shared.failed.fetch_add(1, Ordering::Relaxed);
        }
        is_recorded.unwrap_or(false)
    }

    /// Waits for a place, then for the writer, which counts.
    async fn queued(&self, event: Event) -> bool {
        // The semaphore is never closed.
        let place = self.places.clone().acquire_owned().await.ok();
        let (answer, is_written) = oneshot::channel();
        let answer = Some(answer);
        self.shared.push(Entry { event, answer, is_counted: false, note: None, place });
        is_written.await.unwrap_or(false)
    }

    /// For when a sink hangs: the open that is served is recorded late, if there is a place. That
    /// of a reader who is refused is not: the record would say that it was allowed.
    fn leave(&self, event: Event) {
        self.shared.failed.fetch_add(1, Ordering::Relaxed);
        if self.shared.on_failure == OnFailure::Serve
            && let Ok(place) = self.places.clone().try_acquire_owned()
        {
            let place = Some(place);
            self.shared.push(Entry { event, answer: None, is_counted: true, note: None, place });
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}
