//! The audit log of a daemon over its life: none, one, or another after a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::time::timeout;

use super::log::RECORD_DEADLINE;
use super::{AuditLog, AuditStatus, Counts, Event, NotRecorded, OnFailure, Sinks};

/// Where records go at present.
#[derive(Debug, Default)]
pub struct Recorder {
    log: RwLock<Option<Arc<AuditLog>>>,
    /// Held while an open is recorded, so that no log is closed before it has all that it was given.
    in_use: tokio::sync::RwLock<()>,
    notes: Arc<Counts>,
    is_finished: AtomicBool,
}

impl Recorder {
    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.log.read().is_some()
    }

    /// As [`AuditLog::record`]; without a log there is nothing to wait for. While a log takes the
    /// place of another, this waits for it; after [`Recorder::finish`] for ever. What takes longer
    /// than [`RECORD_DEADLINE`], as with a sink that is slow and a crowd before us, has failed.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub async fn record(&self, event: Event) -> Result<bool, NotRecorded> {
        if let Ok(recorded) = timeout(RECORD_DEADLINE, self.recorded(event)).await {
            return recorded;
        }
        if self.is_finished.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let log = self.log.read().clone();
        log.map_or(Ok(true), |log| log.gave_up())
    }

    async fn recorded(&self, event: Event) -> Result<bool, NotRecorded> {
        let _in_use = self.in_use.read().await;
        if self.is_finished.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        let log = self.log.read().clone();
        match log {
            Some(log) => log.record(event).await,
            None => Ok(true),
        }
    }

    /// As [`AuditLog::note`].
    pub fn note(&self, event: Event) {
        // Under the lock: a note is in the queue of a log before that can be closed.
        if let Some(log) = &*self.log.read() {
            log.note(event, &self.notes);
        }
    }

    /// What became of the notes, in all logs so far.
    pub fn notes(&self) -> &Counts {
        &self.notes
    }

    /// As [`AuditLog::reopen`].
    pub fn reopen(&self) {
        if let Some(log) = &*self.log.read() {
            log.reopen();
        }
    }

    /// The state of the log, if there is one.
    pub fn status(&self) -> Option<AuditStatus> {
        self.log.read().as_ref().map(|log| log.status())
    }

    /// Whether records go to these sinks already, with this rule about failures.
    pub fn is_for(&self, sinks: &Sinks, on_failure: OnFailure) -> bool {
        self.log.read().as_ref().is_some_and(|log| log.is_for(sinks, on_failure))
    }

    /// Records go to `log` from now on; returns when the one before has written all it has.
    pub async fn replace(&self, log: Option<Arc<AuditLog>>) {
        let _not_in_use = self.in_use.write().await;
        let before = std::mem::replace(&mut *self.log.write(), log);
        if let Some(before) = before {
            before.close().await;
        }
    }

    /// Returns when everything is written. An open that comes later would go unrecorded, so it is
    /// not answered at all: the daemon ends, and its connection to the kernel with it.
    pub async fn finish(&self) {
        let _not_in_use = self.in_use.write().await;
        let log = self.log.read().clone();
        if let Some(log) = log {
            self.is_finished.store(true, Ordering::Relaxed);
            log.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::audit::testing::numbered;

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_record_longer_than_its_deadline_save_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        for (on_failure, expected) in
            [(OnFailure::Serve, Ok(false)), (OnFailure::Refuse, Err(NotRecorded))]
        {
            let file = Some(dir.path().join("audit.jsonl"));
            let log = AuditLog::start(Sinks { file, journal: false }, on_failure).unwrap();
            let recorder = Recorder::default();
            recorder.replace(Some(log)).await;
            // As while another log takes its place, and the one before hangs.
            let replacing = recorder.in_use.write().await;
            let start = Instant::now();
            assert_eq!(recorder.record(numbered(1, 0)).await, expected);
            assert_eq!(start.elapsed(), RECORD_DEADLINE);
            assert_eq!(recorder.status().unwrap().failed, 1);
            drop(replacing);
            recorder.finish().await;
            let late = timeout(Duration::from_hours(1), recorder.record(numbered(1, 1))).await;
            assert!(late.is_err(), "an open that would go unrecorded is not answered");
        }
    }
}
