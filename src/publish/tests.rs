//! What is told to whom and when, and what those get who cannot wait.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use parking_lot::Mutex;

use super::testing::{Answer, Roles};
use super::*;
use crate::tree::Told;

/// Notes what it is told, and how much room `credentials` had then.
#[derive(Debug)]
struct Notes {
    tree: Arc<Tree>,
    told: Mutex<Vec<(&'static str, u64)>>,
}

impl Notes {
    fn of(roles: &Roles) -> Arc<Self> {
        let notes = Arc::new(Self { tree: roles.tree.clone(), told: Mutex::default() });
        roles.publisher.attach(notes.clone());
        notes
    }

    /// Times move as well, which does not matter here.
    fn note(&self, what: &'static str, size: u64) {
        if (self.tree.room(FileId::Credentials) as u64) < size {
            self.told.lock().push((what, size));
        }
    }
}

impl Invalidate for Notes {
    fn invalidate(&self, ino: Ino) {
        if ino == self.tree.ino(FileId::Credentials) {
            self.note("kernel", self.tree.attr(ino).unwrap().size);
        }
    }

    fn forget(&self, _parent: Ino, _name: &str) {}
}

impl Remember for Notes {
    fn remember(&self, told: &Told) {
        self.note("memory", told.sizes[&self.tree.ino(FileId::Credentials)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_size_is_remembered_then_told_to_the_kernel_and_only_then_used() {
    let roles = Roles::new();
    roles.fetch().await;
    let small = roles.tree.told();
    let notes = Notes::of(&roles);
    roles.publisher.remember_by(notes.clone()).await;
    *roles.answer.lock() = Answer::Session(4000);
    let ino = roles.tree.ino(FileId::Credentials);
    roles.fetch().await;
    let size = roles.tree.attr(ino).unwrap().size;
    assert!(size > small.sizes[&ino]);
    assert_eq!(*notes.told.lock(), [("memory", size), ("kernel", size)]);
    assert_eq!(roles.published(FileId::Credentials).unwrap().len() as u64, size);
}

#[tokio::test(start_paused = true)]
async fn the_next_daemon_goes_on_from_what_was_told() {
    let roles = Roles::new();
    *roles.answer.lock() = Answer::Session(4000);
    roles.fetch().await;
    let told = roles.tree.told();
    let next = Roles::after(&told);
    let ino = next.tree.ino(FileId::Credentials);
    assert_eq!(next.tree.attr(ino).unwrap().size, told.sizes[&ino]);
    // Its clock is one of the day before.
    next.clock.inner.jump_back(Duration::from_hours(10));
    assert!(next.tree.attr(ino).unwrap().mtime > told.mtime);
    next.fetch().await;
    let content = next.published(FileId::Credentials).unwrap();
    assert_eq!(content.len() as u64, told.sizes[&ino], "padded to what the kernel believes");
}

#[tokio::test(start_paused = true)]
async fn what_is_made_in_a_hurry_is_made_once_and_shows_what_is_live() {
    let roles = Roles::new();
    roles.broker.refresh(&roles.prod).await.unwrap();
    let hurried = || roles.publisher.hurried(FileId::Credentials, View::ALL, Cause::Busy);
    let first = hurried().await;
    assert!(Arc::ptr_eq(&first, &hurried().await));
    let text = String::from_utf8(first.bytes().to_vec()).unwrap();
    assert!(text.contains("aws_access_key_id = ASIA0"), "{text}");
    assert!(text.contains("profile dev has no keys: too many programs wait for this role"));
    assert_eq!(first.keys().len(), 1);
    assert_eq!(roles.published(FileId::Credentials), None, "others wait for better");
    roles.broker.refresh(&roles.dev).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    let text = String::from_utf8(hurried().await.bytes().to_vec()).unwrap();
    assert!(text.contains("ASIA1") && !text.contains("too many"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn keys_are_never_served_in_a_hurry_after_their_end_or_once_the_mount_is_closed() {
    let roles = Roles::new();
    roles.fetch().await;
    let hurried = || async {
        let snapshot = roles.publisher.hurried(FileId::Process(0), View::ALL, Cause::Busy).await;
        String::from_utf8(snapshot.bytes().to_vec()).unwrap()
    };
    assert!(hurried().await.contains("ASIA0"));
    roles.publisher.close(Some(Cause::Locked)).await;
    assert!(hurried().await.contains("credmount is locked"));
    roles.publisher.close(None).await;
    assert!(hurried().await.contains("ASIA0"));
    roles.clock.inner.jump(Duration::from_hours(1));
    assert!(hurried().await.contains("too many programs wait"));
}

#[tokio::test(start_paused = true)]
async fn roles_that_are_not_known_fail_and_nobody_is_asked_for_them() {
    let roles = Roles::new();
    let failing = SessionError::new("", Cause::Unconfigured, "");
    let served = Served { failing: Some(failing), ..roles.publisher.served().clone() };
    let (broker, clock, tree) = (roles.broker.clone(), roles.clock.clone(), roles.tree.clone());
    let tokens = roles.publisher.token_broker().clone();
    let publisher = Publisher::new(served, broker, tokens, clock, tree, Arc::default());
    assert!(publisher.chains(FileId::Credentials, View::ALL).is_empty());
    publisher.publish(std::slice::from_ref(&roles.prod)).await;
    let text = || roles.published(FileId::Credentials).unwrap();
    assert!(text().contains("the configuration of credmount is broken"));
    let failing = |cause: Cause| text().matches(cause.sentence()).count();
    publisher.close(Some(Cause::Locked)).await;
    assert_eq!((failing(Cause::Locked), failing(Cause::Unconfigured)), (2, 0));
    publisher.close(None).await;
    assert_eq!((failing(Cause::Locked), failing(Cause::Unconfigured)), (0, 2));
    assert_eq!(roles.broker.status(&roles.prod).renewals, 0);
}

/// A kernel that does not get round to forgetting the size of one file until the other end goes.
#[derive(Debug)]
struct Slow {
    file: Ino,
    end: Mutex<mpsc::Receiver<()>>,
}

impl Invalidate for Slow {
    fn invalidate(&self, ino: Ino) {
        if ino == self.file {
            let _ = self.end.lock().recv();
        }
    }

    fn forget(&self, _parent: Ino, _name: &str) {}
}

/// The worst that giving up on the way could do: a file was rendered with keys, nobody knows that,
/// and when they have expired it is taken for what it was before.
#[tokio::test(start_paused = true)]
async fn a_rendering_given_up_on_the_way_is_never_taken_for_the_one_before() {
    let roles = Roles::new();
    *roles.answer.lock() = Answer::Fail;
    roles.fetch().await;
    let failing = roles.published(FileId::Process(0)).unwrap();
    // So long that files grow: the one of `prod`, and then in vain that of `dev`.
    *roles.answer.lock() = Answer::Session(4000);
    for chain in [&roles.prod, &roles.dev] {
        roles.broker.refresh(chain).await.unwrap();
    }
    // Only now: as long as a thread hangs in it, paused time does not go on.
    let (end, ended) = mpsc::channel();
    let file = roles.tree.ino(FileId::Process(1));
    roles.publisher.attach(Arc::new(Slow { file, end: Mutex::new(ended) }));
    let keys_are_out = async {
        while !roles.published(FileId::Process(0)).is_some_and(|text| text.contains("ASIA")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = keys_are_out => {}
        _ = roles.publisher.publish(&[]) => panic!("files had to grow"),
    }
    drop(end);
    *roles.answer.lock() = Answer::Fail;
    roles.clock.inner.jump(Duration::from_hours(1));
    roles.fetch().await;
    let text = roles.published(FileId::Process(0)).unwrap();
    assert_eq!(text.trim_end(), failing.trim_end());
}
