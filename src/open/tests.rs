//! Opens without a kernel: answered in time whatever hangs or panics, bounded when many wait, and
//! handles of an earlier daemon.

use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::testing::{DEADLINE, OWNER, service};
use super::*;
use crate::model::Part;
use crate::policy::AllowRule;
use crate::publish::testing::{Answer, Roles};
use crate::tree::{FileId, Told, View};

fn reader() -> Requester {
    Requester { uid: OWNER, gid: OWNER, tid: 77, resent: false, at: Instant::now() }
}

/// A rule that lets in one program and nobody else.
fn only(exe: &str) -> Vec<AllowRule> {
    let exe = Some(glob::Pattern::new(exe).unwrap());
    vec![
        AllowRule { exe, ..AllowRule::default() },
        AllowRule { only: Some(Part::default()), ..AllowRule::default() },
    ]
}

async fn open(service: &Arc<OpenService>, roles: &Roles) -> String {
    roles.read(service.open_later(FileId::Credentials, reader()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn while_sts_hangs_every_open_is_answered_at_its_deadline() {
    let roles = Roles::new();
    *roles.answer.lock() = Answer::Hang;
    let service = service(&roles, Vec::new(), 100);
    let start = Instant::now();
    assert!(open(&service, &roles).await.contains("no answer came in time"));
    assert_eq!(start.elapsed(), DEADLINE);
    assert_eq!(service.traffic().waiting(), 0);
    assert_eq!(service.traffic().stuck(Instant::now() + Duration::from_hours(1)), None);
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_readers_those_who_may_not_wait_are_told_so_at_once() {
    let roles = Arc::new(Roles::new());
    roles.broker.refresh(&roles.prod).await.unwrap();
    *roles.answer.lock() = Answer::Hang;
    let service = service(&roles, Vec::new(), 10);
    let start = Instant::now();
    let mut readers = JoinSet::new();
    for _ in 0..1000 {
        let (service, roles) = (service.clone(), roles.clone());
        readers.spawn(async move { (open(&service, &roles).await, Instant::now()) });
    }
    let answers = readers.join_all().await;
    let told = |reason: &str, after: Duration| {
        let is_so = |(text, at): &&(String, Instant)| {
            assert!(text.contains("ASIA0"), "a role that is live stays so");
            text.contains(reason) && *at == start + after
        };
        answers.iter().filter(is_so).count()
    };
    assert_eq!(told("dev has no keys: too many programs wait for this role", Duration::ZERO), 990);
    assert_eq!(told("dev has no keys: no answer came in time", DEADLINE), 10);
    assert_eq!((service.traffic().waiting(), roles.tree.open_handles()), (0, 0));
    let metrics = service.metrics();
    assert!(metrics.contains("credmount_open_busy_total{mount=\"test\"} 990"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_a_file_is_made_costs_no_reader_its_keys() {
    let roles = Roles::new();
    roles.broker.refresh(&roles.prod).await.unwrap();
    let service = service(&roles, Vec::new(), 10);
    roles.clock.panics.store(true, Ordering::Relaxed);
    let text = open(&service, &roles).await;
    assert!(!roles.clock.panics.load(Ordering::Relaxed), "the panic was had");
    assert!(text.contains("ASIA0") && text.contains("dev has no keys"), "{text}");
    // Neither locks nor tables are the worse for it.
    assert!(open(&service, &roles).await.contains("ASIA1"));
}

/// A mount after a restart, with a handle of the daemon before. The first daemon's token had
/// `before` bytes, the second one's `now`.
async fn restarted(before: usize, now: usize) -> (Roles, Fh) {
    let roles = Roles::new();
    *roles.answer.lock() = Answer::Session(before);
    roles.fetch().await;
    let Open::Ready(fh) = roles.tree.open(FileId::Credentials, View::ALL, roles.clock.now()) else {
        panic!("published")
    };
    let next = Roles::after(&roles.tree.told());
    *next.answer.lock() = Answer::Session(now);
    (next, fh)
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_an_earlier_daemon_begins_anew_at_the_start_only() {
    let (roles, fh) = restarted(100, 100).await;
    let (service, ino) = (service(&roles, Vec::new(), 10), roles.tree.ino(FileId::Credentials));
    let size = roles.tree.attr(ino).unwrap().size;
    assert_eq!(service.resume(ino, fh, 0), Ok(Resumed::FromStart(FileId::Credentials)));
    assert_eq!(service.resume(ino, fh, 4096.min(size - 1)), Err(FsError::StaleHandle));
    for offset in [size, size + 1, u64::MAX] {
        assert_eq!(service.resume(ino, fh, offset), Ok(Resumed::AtEnd));
    }
    assert_eq!(service.resume(Ino(99), fh, 0), Err(FsError::StaleHandle));

    // Nothing is there yet, so it waits as an open does, and what it got stays.
    service.open_again(FileId::Credentials, fh, reader()).await.unwrap();
    let first = roles.tree.read(fh, 0, u32::MAX).unwrap().bytes().to_vec();
    assert!(String::from_utf8_lossy(&first).contains("ASIA0"));
    roles.fetch().await;
    // A read that the kernel sent once more changes nothing for one that has begun to read.
    service.open_again(FileId::Credentials, fh, reader()).await.unwrap();
    assert_eq!(roles.tree.read(fh, 0, u32::MAX).unwrap().bytes(), first);
    assert_eq!(roles.tree.open_handles(), 1);
    roles.tree.release(fh);
    assert_eq!(roles.tree.open_handles(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_this_daemon_or_of_one_that_told_nothing_is_never_begun_anew() {
    let (roles, fh) = restarted(100, 100).await;
    let ino = roles.tree.ino(FileId::Credentials);
    let own = service(&roles, Vec::new(), 10).open_later(FileId::Credentials, reader()).await;
    roles.tree.release(own.unwrap());
    let service = service(&roles, Vec::new(), 10);
    assert_eq!(service.resume(ino, own.unwrap(), 0), Err(FsError::StaleHandle));
    let forgetful = Roles::after(&Told::default());
    let service = self::service(&forgetful, Vec::new(), 10);
    assert_eq!(service.resume(ino, fh, 0), Err(FsError::StaleHandle));
}

#[tokio::test(start_paused = true)]
async fn content_larger_than_what_an_earlier_daemon_told_is_not_cut_but_refused() {
    let (roles, fh) = restarted(100, 4000).await;
    let service = service(&roles, Vec::new(), 10);
    let again = service.open_again(FileId::Credentials, fh, reader()).await;
    assert_eq!(again, Err(FsError::StaleHandle));
    assert_eq!(roles.tree.open_handles(), 0);
    let (roles, fh) = restarted(4000, 100).await;
    let service = self::service(&roles, Vec::new(), 10);
    assert_eq!(service.open_again(FileId::Credentials, fh, reader()).await, Ok(()));
}

#[tokio::test]
async fn a_reader_with_a_handle_of_an_earlier_daemon_is_judged_anew() {
    let (roles, fh) = restarted(100, 100).await;
    roles.fetch().await;
    let own = service(&roles, only("/usr/bin/reader"), 10);
    let others = service(&roles, only("/usr/bin/other"), 10);
    let plain = service(&roles, Vec::new(), 10);
    let (known, resent) = (reader(), Requester { resent: true, ..reader() });
    let nobody = Requester { uid: 0, gid: 0, tid: 0, ..reader() };
    let stranger = Requester { uid: 4711, ..reader() };
    for (service, requester, expected) in [
        (&own, known, Ok(())),
        (&others, known, Err(FsError::Refused)),
        // Whoever that is, nothing is guessed.
        (&own, resent, Err(FsError::StaleHandle)),
        (&own, nobody, Err(FsError::StaleHandle)),
        (&plain, nobody, Err(FsError::StaleHandle)),
        // The kernel's words are enough here.
        (&plain, resent, Ok(())),
        (&plain, stranger, Err(FsError::Refused)),
    ] {
        let again = service.open_again(FileId::Credentials, fh, requester).await;
        assert_eq!(again, expected, "{requester:?}");
        roles.tree.release(fh);
    }
}
