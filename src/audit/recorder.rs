//! The audit log of a daemon over its life: none, one, or another after a reload.

use std::sync::Arc;

use parking_lot::RwLock;

use super::{AuditLog, AuditStatus, Event, NotRecorded};

/// Where records go at present.
#[derive(Debug, Default)]
pub struct Recorder(RwLock<Option<Arc<AuditLog>>>);

impl Recorder {
    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.read().is_some()
    }

    /// As [`AuditLog::record`]; without a log there is nothing to wait for.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub async fn record(&self, event: Event) -> Result<bool, NotRecorded> {
        let log = self.0.read().clone();
        match log {
            Some(log) => log.record(event).await,
            None => Ok(true),
        }
    }

    /// As [`AuditLog::note`].
    pub fn note(&self, event: Event) {
        if let Some(log) = &*self.0.read() {
            log.note(event);
        }
    }

    /// As [`AuditLog::reopen`].
    pub fn reopen(&self) {
        if let Some(log) = &*self.0.read() {
            log.reopen();
        }
    }

    /// The state of the log, if there is one.
    pub fn status(&self) -> Option<AuditStatus> {
        self.0.read().as_ref().map(|log| log.status())
    }

    /// Records go to `log` from now on; returns when the one before has written all it has.
    pub async fn replace(&self, log: Option<Arc<AuditLog>>) {
        let before = std::mem::replace(&mut *self.0.write(), log);
        if let Some(before) = before {
            before.close().await;
        }
    }
}
