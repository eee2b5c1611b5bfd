//! The audit log of a daemon over its life: none, one, or another after a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

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
    /// place of another, this waits for it; after [`Recorder::finish`] for ever.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub async fn record(&self, event: Event) -> Result<bool, NotRecorded> {
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
