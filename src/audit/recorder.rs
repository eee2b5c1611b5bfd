//! The audit log of a daemon over its life: none, one, or another after a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::time::{Instant, sleep};

use super::{AuditLog, AuditStatus, Event, NotRecorded, SINK_DEADLINE};

/// Where records go at present.
#[derive(Debug, Default)]
pub struct Recorder {
    log: RwLock<Option<Arc<AuditLog>>>,
    /// What logs before the present one have written, so that counts never fall.
    written_before: AtomicU64,
    failed_before: AtomicU64,
}

impl Recorder {
    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.log.read().is_some()
    }

    /// As [`AuditLog::record`]; without a log there is nothing to wait for.
    ///
    /// # Errors
    /// As [`AuditLog::record`].
    pub async fn record(&self, event: Event) -> Result<bool, NotRecorded> {
        let log = self.log.read().clone();
        match log {
            Some(log) => log.record(event).await,
            None => Ok(true),
        }
    }

    /// As [`AuditLog::note`].
    pub fn note(&self, event: Event) {
        if let Some(log) = &*self.log.read() {
            log.note(event);
        }
    }

    /// As [`AuditLog::reopen`].
    pub fn reopen(&self) {
        if let Some(log) = &*self.log.read() {
            log.reopen();
        }
    }

    /// The state of the log, if there is one; its counts are those of the daemon's life.
    pub fn status(&self) -> Option<AuditStatus> {
        let mut status = self.log.read().as_ref().map(|log| log.status())?;
        status.written += self.written_before.load(Ordering::Relaxed);
        status.failed += self.failed_before.load(Ordering::Relaxed);
        Some(status)
    }

    /// Records go to `log` from now on; returns when the one before has written all it has, also
    /// for opens that began with it.
    pub async fn replace(&self, log: Option<Arc<AuditLog>>) {
        let before = std::mem::replace(&mut *self.log.write(), log);
        let Some(before) = before else { return };
        let began = Instant::now();
        while Arc::strong_count(&before) > 1 && began.elapsed() < SINK_DEADLINE {
            sleep(LAST_OPENS_CHECK).await;
        }
        before.close().await;
        let status = before.status();
        self.written_before.fetch_add(status.written, Ordering::Relaxed);
        self.failed_before.fetch_add(status.failed, Ordering::Relaxed);
    }
}

/// How often it is looked whether the last open has recorded itself.
const LAST_OPENS_CHECK: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::SystemTime;

    use super::*;
    use crate::audit::{Moment, OnFailure, Sinks};

    fn log(path: &Path) -> Arc<AuditLog> {
        let sinks = Sinks { file: Some(path.to_owned()), journal: false };
        AuditLog::start(sinks, OnFailure::Refuse).unwrap()
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).unwrap().lines().count()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_record_is_lost_or_refused_while_the_log_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Arc::new(Recorder::default());
        recorder.replace(Some(log(&dir.path().join("0")))).await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let recorder = recorder.clone();
            tasks.spawn(async move {
                for _ in 0..200 {
                    let event = Event::Lock(Moment { time: SystemTime::UNIX_EPOCH });
                    assert_eq!(recorder.record(event).await, Ok(true));
                }
            });
        }
        for number in 1..10 {
            recorder.replace(Some(log(&dir.path().join(number.to_string())))).await;
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap();
        }
        let status = recorder.status().unwrap();
        assert_eq!((status.written, status.failed), (1600, 0));
        recorder.replace(None).await;
        let written: usize = (0..10).map(|n| lines(&dir.path().join(n.to_string()))).sum();
        assert_eq!(written, 1600);
        assert!(!recorder.is_on());
    }
}
