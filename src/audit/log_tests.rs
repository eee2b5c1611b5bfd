//! The audit log as a whole: nothing lost, nothing mixed, and no reader kept waiting.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::log::{AuditLog, Sinks};
use super::record::Event;
use super::sink::Sink;
use super::state::{OnFailure, SINK_DEADLINE};
use super::testing::{all_kinds, numbered};

/// A sink in memory that can be made to fail and to hang.
#[derive(Debug, Clone, Default)]
struct Fake {
    stored: Arc<Mutex<Vec<Event>>>,
    batches: Arc<Mutex<Vec<usize>>>,
    is_full: Arc<AtomicBool>,
    is_removed: Arc<AtomicBool>,
    /// While something is in here, a write waits until its sender is dropped.
    hang: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
}

impl Sink for Fake {
    fn name(&self) -> String {
        "the fake".to_owned()
    }

    fn write(&mut self, events: &[Event], lost: &mut [bool]) -> io::Result<()> {
        if let Some(hang) = self.hang.lock().take() {
            // Fails when the test lets go.
            let _ = hang.recv();
        }
        if self.is_full.load(Ordering::Relaxed) {
            lost.fill(true);
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.batches.lock().push(events.len());
        self.stored.lock().extend_from_slice(events);
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let is_removed = self.is_removed.load(Ordering::Relaxed);
        if is_removed { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }
}

impl Fake {
    fn log(&self, on_failure: OnFailure) -> Arc<AuditLog> {
        AuditLog::with_sinks(Sinks::default(), vec![Box::new(self.clone())], on_failure).unwrap()
    }

    /// From here on the sink hangs, until what is returned is dropped.
    fn hang(&self) -> mpsc::Sender<()> {
        let (release, hang) = mpsc::channel();
        *self.hang.lock() = Some(hang);
        release
    }

    fn indexes(&self) -> Vec<u64> {
        let index = |event: &Event| match event {
            Event::Open(open) => open.latency_us,
            other => panic!("{other:?}"),
        };
        self.stored.lock().iter().map(index).collect()
    }
}

fn file_log(path: &std::path::Path) -> Arc<AuditLog> {
    let sinks = Sinks { file: Some(path.to_owned()), journal: false };
    AuditLog::start(sinks, OnFailure::Serve).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_readers_get_as_many_records_as_they_made_opens() {
    const READERS: u32 = 64;
    const OPENS: u64 = 1000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let log = file_log(&path);
    let mut readers = JoinSet::new();
    for pid in 0..READERS {
        let log = log.clone();
        readers.spawn(async move {
            for index in 0..OPENS {
                log.record(numbered(pid, index)).await.unwrap();
            }
        });
    }
    readers.join_all().await;
    // Written already, not only queued.
    let text = fs::read_to_string(&path).unwrap();
    let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for line in text.lines() {
        let Ok(Event::Open(open)) = serde_json::from_str(line) else { panic!("{line}") };
        seen.entry(open.reader.pid).or_default().push(open.latency_us);
    }
    let in_order: Vec<u64> = (0..OPENS).collect();
    assert_eq!(seen.len(), 64);
    assert!(seen.values().all(|indexes| *indexes == in_order));
    let status = log.status();
    assert_eq!((status.written, status.failed, status.waiting), (64_000, 0, 0));
    assert!(!status.failing && status.last_error.is_none());
}

#[tokio::test]
async fn what_comes_during_a_write_goes_out_with_the_next() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Serve);
    let release = fake.hang();
    (0..100).for_each(|index| log.note(numbered(1, index), &Arc::default()));
    while log.status().waiting > 99 {
        tokio::task::yield_now().await;
    }
    drop(release);
    log.close().await;
    assert_eq!(fake.indexes(), (0..100).collect::<Vec<u64>>());
    assert!(fake.batches.lock().len() <= 100 && fake.batches.lock().iter().max() > Some(&1));
}

#[tokio::test]
async fn notes_and_records_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let log = file_log(&path);
    let events = all_kinds();
    for (index, event) in events.iter().enumerate() {
        if index % 2 == 0 {
            log.note(event.clone(), &Arc::default());
        } else {
            log.record(event.clone()).await.unwrap();
        }
    }
    log.close().await;
    let text = fs::read_to_string(&path).unwrap();
    let found: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found, events);
    // Closed.
    log.note(numbered(1, 0), &Arc::default());
    assert_eq!(log.status().failed, 1);
    log.close().await;
}

#[tokio::test]
async fn a_dropped_log_is_still_written() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Serve);
    (0..500).for_each(|index| log.note(numbered(1, index), &Arc::default()));
    drop(log);
    while fake.stored.lock().len() < 500 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_full_disk_serves_or_refuses_as_configured_and_passes() {
    for (on_failure, is_served) in [(OnFailure::Serve, true), (OnFailure::Refuse, false)] {
        let fake = Fake::default();
        let log = fake.log(on_failure);
        log.record(numbered(1, 0)).await.unwrap();
        fake.is_full.store(true, Ordering::Relaxed);
        for index in 1..4 {
            assert_eq!(log.record(numbered(1, index)).await.is_ok(), is_served);
        }
        let status = log.status();
        assert_eq!((status.written, status.failed, status.failing), (1, 3, true));
        assert_eq!(status.last_error.unwrap(), "the fake: no storage space");
        fake.is_full.store(false, Ordering::Relaxed);
        log.record(numbered(1, 4)).await.unwrap();
        assert_eq!(fake.indexes(), [0, 4]);
        let status = log.status();
        assert_eq!((status.written, status.failed, status.failing), (2, 3, false));
        assert!(status.last_error.is_some(), "what has passed is still told");
    }
}

#[tokio::test]
async fn a_record_counts_only_when_both_sinks_have_it() {
    let (good, bad) = (Fake::default(), Fake::default());
    bad.is_full.store(true, Ordering::Relaxed);
    let sinks: Vec<Box<dyn Sink>> = vec![Box::new(bad), Box::new(good.clone())];
    let log = AuditLog::with_sinks(Sinks::default(), sinks, OnFailure::Refuse).unwrap();
    log.record(numbered(1, 0)).await.unwrap_err();
    assert_eq!(good.indexes(), [0], "the failure of one keeps nothing from the other");
    assert_eq!((log.status().written, log.status().failed), (0, 1));
}

/// Tokio's time stands still and jumps to the deadline, while the writer hangs in real time.
#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_waited_for_once() {
    for (on_failure, is_served) in [(OnFailure::Serve, true), (OnFailure::Refuse, false)] {
        let fake = Fake::default();
        let log = fake.log(on_failure);
        let release = fake.hang();
        let began = Instant::now();
        let mut readers = JoinSet::new();
        for index in 0..10 {
            let log = log.clone();
            readers.spawn(async move { log.record(numbered(1, index)).await.is_ok() });
        }
        assert_eq!(readers.join_all().await, [is_served; 10]);
        let waited = began.elapsed();
        assert!(
            waited >= SINK_DEADLINE && waited <= SINK_DEADLINE + Duration::from_secs(1),
            "{waited:?}"
        );
        // Known to hang: nobody waits any more.
        let began = Instant::now();
        assert_eq!(log.record(numbered(1, 10)).await.is_ok(), is_served);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let status = log.status();
        assert!(status.failing && status.failed == 11, "{status:?}");
        assert_eq!(status.last_error.unwrap(), "the audit log took nothing for 5 s");
        drop(release);
        tokio::time::resume();
        // It is not waited for again before it moves.
        while log.status().failing {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        log.close().await;
        tokio::time::pause();
        // What was served is in the log after all. What was refused is not told to be allowed,
        // but for the batch that the sink had in hand.
        let (stored, failed) = (fake.indexes(), log.status().failed);
        if is_served {
            assert_eq!(stored, (0..=10).collect::<Vec<u64>>());
        } else {
            assert!(!stored.contains(&10), "{stored:?}");
        }
        assert_eq!(failed, 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_moves_again_is_used_again() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Refuse);
    let release = fake.hang();
    log.record(numbered(1, 0)).await.unwrap_err();
    drop(release);
    tokio::time::resume();
    while log.status().failing {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    log.record(numbered(1, 1)).await.unwrap();
    assert_eq!(fake.indexes().last(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_ever() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Serve);
    let _release = fake.hang();
    log.note(numbered(1, 0), &Arc::default());
    log.close().await;
    assert!(log.status().failing);
}

#[tokio::test(start_paused = true)]
async fn while_a_sink_hangs_the_queue_stays_bounded() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Serve);
    let _release = fake.hang();
    log.record(numbered(1, 0)).await.unwrap();
    for index in 0..10_000 {
        log.record(numbered(1, index)).await.unwrap();
        log.note(numbered(1, index), &Arc::default());
    }
    let waiting = log.status().waiting;
    assert!((1000..=4096).contains(&waiting), "{waiting}");
}

#[tokio::test]
async fn after_a_rotation_records_go_to_the_new_file() {
    let dir = tempfile::tempdir().unwrap();
    let (path, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
    let log = file_log(&path);
    log.record(numbered(1, 0)).await.unwrap();
    fs::rename(&path, &old).unwrap();
    log.record(numbered(1, 1)).await.unwrap();
    log.reopen();
    log.record(numbered(1, 2)).await.unwrap();
    let lines = |path| fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&old), lines(&path)), (2, 1));
}

#[tokio::test]
async fn a_rotation_that_fails_is_told_and_loses_nothing() {
    let fake = Fake::default();
    let log = fake.log(OnFailure::Refuse);
    fake.is_removed.store(true, Ordering::Relaxed);
    log.reopen();
    log.record(numbered(1, 0)).await.unwrap();
    let status = log.status();
    assert!(status.failing && status.last_error.unwrap().contains("the old file is in use"));
    fake.is_removed.store(false, Ordering::Relaxed);
    log.reopen();
    log.record(numbered(1, 1)).await.unwrap();
    assert!(!log.status().failing);
    assert_eq!(fake.indexes(), [0, 1]);
}

#[tokio::test]
async fn without_sinks_nothing_is_recorded_and_nothing_fails() {
    let log = AuditLog::start(Sinks::default(), OnFailure::Refuse).unwrap();
    log.record(numbered(1, 0)).await.unwrap();
    log.note(numbered(1, 1), &Arc::default());
    log.reopen();
    log.close().await;
    let status = log.status();
    assert_eq!((status.written, status.failed, status.sinks.len()), (0, 0, 0));
}

#[tokio::test]
async fn a_sink_that_cannot_be_opened_is_named() {
    let file = Some("/proc/none/audit.jsonl".into());
    let error = AuditLog::start(Sinks { file, journal: false }, OnFailure::Serve).unwrap_err();
    assert!(error.to_string().starts_with("audit log /proc/none/audit.jsonl: "), "{error}");
}
