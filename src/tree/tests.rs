//! Random operations against a naive model, and the rules one by one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const T0: SystemTime = SystemTime::UNIX_EPOCH;

fn tree() -> Tree {
    Tree::new(&contents(&["default", "prod"]), T0, 7)
}

fn contents(profiles: &[&str]) -> Contents {
    let profiles = profiles.iter().map(ToString::to_string).collect();
    Contents { profiles, ..Contents::default() }
}

fn text(content: &str) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(Zeroizing::new(content.to_owned()), Vec::new()))
}

fn open(tree: &Tree, file: FileId, now: SystemTime) -> Option<Fh> {
    match tree.open(file, View::ALL, now) {
        Open::Ready(fh) => Some(fh),
        Open::Due => None,
    }
}

#[test]
fn the_tree_has_the_documented_shape() {
    let tree = tree();
    let mut paths = Vec::new();
    let mut below = vec![(String::new(), Ino::ROOT)];
    while let Some((path, ino)) = below.pop() {
        for entry in tree.entries(ino).unwrap() {
            let path = format!("{path}/{}", entry.name);
            let attr = tree.lookup(ino, &entry.name).unwrap();
            assert_eq!(attr.ino, entry.ino);
            assert_eq!(matches!(attr.kind, Kind::Directory(_)), entry.directory);
            if entry.directory {
                below.push((path.clone(), entry.ino));
            }
            paths.push(path);
        }
    }
    paths.sort();
    assert_eq!(
        paths,
        [
            "/config",
            "/credentials",
            "/credmount",
            "/credmount/errors",
            "/credmount/errors/default",
            "/credmount/errors/prod",
            "/credmount/metrics",
            "/credmount/process",
            "/credmount/process/default.json",
            "/credmount/process/prod.json",
            "/credmount/status.json",
        ]
    );
}

#[test]
fn names_and_inodes_that_do_not_exist_are_errors() {
    let tree = tree();
    assert_eq!(tree.lookup(Ino::ROOT, "models"), Err(FsError::NotFound));
    // So that the kernel looks up again what it remembers of an earlier daemon.
    assert_eq!(tree.attr(Ino(99)), Err(FsError::StaleHandle));
    assert_eq!(tree.lookup(Ino(99), "config"), Err(FsError::StaleHandle));
    assert_eq!(tree.file_at(Ino::ROOT), Err(FsError::IsDirectory));
    let credentials = tree.ino(FileId::Credentials);
    assert_eq!(tree.entries(credentials), Err(FsError::NotDirectory));
    assert_eq!(tree.lookup(credentials, "x"), Err(FsError::NotDirectory));
}

#[test]
fn content_that_is_due_is_not_pinned() {
    let tree = tree();
    assert_eq!(open(&tree, FileId::Credentials, T0), None);
    let until = T0 + Duration::from_secs(10);
    tree.publish(FileId::Credentials, View::ALL, text("keys"), until, T0);
    assert!(open(&tree, FileId::Credentials, T0 + Duration::from_secs(9)).is_some());
    assert_eq!(open(&tree, FileId::Credentials, until), None);
    tree.extend(FileId::Credentials, View::ALL, until + Duration::from_secs(1));
    assert!(open(&tree, FileId::Credentials, until).is_some());
}

#[test]
fn a_file_never_shrinks_and_its_mtime_never_goes_back() {
    let tree = tree();
    let (file, later) = (FileId::Credentials, T0 + Duration::from_hours(1));
    tree.grow(file, 100);
    tree.publish(file, View::ALL, text("four"), later, later);
    let first = tree.attr(tree.ino(file)).unwrap();
    assert_eq!((first.size, first.mtime), (100, later));
    tree.publish(file, View::ALL, text("more"), later, T0);
    let second = tree.attr(tree.ino(file)).unwrap();
    assert_eq!(second.size, 100);
    assert!(second.mtime > first.mtime, "the clock was set back");
}

#[test]
fn views_of_a_file_have_contents_of_their_own_and_one_size() {
    let tree = tree();
    let (file, until) = (FileId::Credentials, T0 + Duration::from_secs(10));
    tree.publish(file, View::ALL, text("prod and dev"), until, T0);
    assert_eq!(tree.open(file, View(1), T0), Open::Due);
    tree.publish(file, View(1), text("dev"), until, T0);
    let read = |view| match tree.open(file, view, T0) {
        Open::Ready(fh) => tree.read(fh, 0, 100).unwrap().bytes().to_vec(),
        Open::Due => panic!("published"),
    };
    assert_eq!(read(View::ALL), b"prod and dev");
    assert_eq!(read(View(1)), b"dev");
    assert_eq!(tree.attr(tree.ino(file)).unwrap().size, 12);
}

#[test]
fn a_successor_keeps_handles_numbers_sizes_and_times() {
    let tree = tree();
    let (file, later) = (FileId::Credentials, T0 + Duration::from_hours(1));
    tree.grow(file, 100);
    tree.publish(file, View::ALL, text("old"), later, later);
    let fh = open(&tree, file, T0).unwrap();
    let before = tree.attr(tree.ino(file)).unwrap();

    let next = tree.successor(&contents(&["dev", "prod"]), T0);
    assert_eq!(next.read(fh, 0, 10).unwrap().bytes(), b"old");
    assert_eq!(next.attr(next.ino(file)).unwrap(), before);
    assert_eq!(open(&next, file, T0), None, "nothing old is served to a new open");
    next.publish(file, View::ALL, text("new"), later, T0);
    assert!(next.attr(next.ino(file)).unwrap().mtime > before.mtime);
    // `prod` was the second profile before and after, `default` was the first and went.
    assert_eq!(next.ino(FileId::Process(1)), tree.ino(FileId::Process(1)));
    let mut gone: Vec<String> = tree.gone_in(&next).into_iter().map(|(_, name)| name).collect();
    gone.sort();
    assert_eq!(gone, ["default", "default.json"]);
    next.release(fh);
    assert_eq!(tree.open_handles(), 0);
}

#[test]
fn handles_of_another_life_are_stale() {
    let life = |epoch| Tree::new(&Contents::default(), T0, epoch);
    let (old, new) = (life(1), life(2));
    let fh = old.pin(text("old"));
    new.pin(text("new"));
    assert_eq!(new.read(fh, 0, 10).unwrap_err(), FsError::StaleHandle);
    new.release(fh);
}

#[derive(Debug, Clone)]
enum Op {
    Publish(String),
    Open,
    Read { handle: usize, offset: u64, size: u32 },
    Release { handle: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        "[a-z]{0,40}".prop_map(Op::Publish),
        Just(Op::Open),
        (0..6_usize, 0..60_u64, 0..60_u32).prop_map(|(handle, offset, size)| Op::Read {
            handle,
            offset,
            size
        }),
        (0..6_usize).prop_map(|handle| Op::Release { handle }),
    ]
}

proptest! {
    /// A handle's bytes are those that were published when it was opened, until it is released.
    #[test]
    fn an_open_pins_one_rendering(ops in prop::collection::vec(op(), 0..80)) {
        let tree = tree();
        let until = T0 + Duration::from_hours(1);
        let (mut published, mut handles, mut model) = (None, Vec::new(), HashMap::new());
        for op in ops {
            match op {
                Op::Publish(content) => {
                    tree.publish(FileId::Credentials, View::ALL, text(&content), until, T0);
                    published = Some(content);
                }
                Op::Open => {
                    let fh = open(&tree, FileId::Credentials, T0);
                    prop_assert_eq!(fh.is_some(), published.is_some());
                    if let (Some(fh), Some(content)) = (fh, &published) {
                        prop_assert!(model.insert(fh, content.clone()).is_none(), "reused {:?}", fh);
                        handles.push(fh);
                    }
                }
                Op::Read { handle, offset, size } => {
                    let Some(fh) = handles.get(handle) else { continue };
                    let read = tree.read(*fh, offset, size).map(|slice| slice.bytes().to_vec());
                    let expected = model.get(fh).map(|content| {
                        let bytes = content.bytes().skip(usize::try_from(offset).unwrap());
                        bytes.take(size as usize).collect::<Vec<u8>>()
                    });
                    prop_assert_eq!(read.ok(), expected);
                }
                Op::Release { handle } => {
                    if let Some(fh) = handles.get(handle) {
                        tree.release(*fh);
                        model.remove(fh);
                    }
                }
            }
            prop_assert_eq!(tree.open_handles(), model.len());
        }
    }
}
