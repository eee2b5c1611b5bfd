//! Random operations against a naive model, and the rules one by one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;

const T0: SystemTime = SystemTime::UNIX_EPOCH;

fn tree() -> Tree {
    Tree::new(&["default".to_owned(), "prod".to_owned()], T0, 7)
}

fn text(content: &str) -> Arc<Snapshot> {
    Arc::new(Snapshot::new(Zeroizing::new(content.to_owned())))
}

fn open(tree: &Tree, file: FileId, now: SystemTime) -> Option<Fh> {
    match tree.open_file(file, now) {
        Open::Ready(_, fh) => Some(fh),
        Open::Due(_) => None,
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
    assert_eq!(tree.attr(Ino(99)), Err(FsError::NotFound));
    assert_eq!(tree.open(Ino::ROOT, T0), Err(FsError::IsDirectory));
    let credentials = tree.ino(FileId::Credentials);
    assert_eq!(tree.entries(credentials), Err(FsError::NotDirectory));
    assert_eq!(tree.lookup(credentials, "x"), Err(FsError::NotDirectory));
}

#[test]
fn content_that_is_due_is_not_pinned() {
    let tree = tree();
    assert_eq!(open(&tree, FileId::Credentials, T0), None);
    let until = T0 + Duration::from_secs(10);
    tree.publish(FileId::Credentials, text("keys"), until, T0);
    assert!(open(&tree, FileId::Credentials, T0 + Duration::from_secs(9)).is_some());
    assert_eq!(open(&tree, FileId::Credentials, until), None);
    tree.extend(FileId::Credentials, until + Duration::from_secs(1));
    assert!(open(&tree, FileId::Credentials, until).is_some());
}

#[test]
fn a_file_never_shrinks_and_its_mtime_never_goes_back() {
    let tree = tree();
    let (file, later) = (FileId::Credentials, T0 + Duration::from_hours(1));
    tree.grow(file, 100);
    tree.publish(file, text("four"), later, later);
    let first = tree.attr(tree.ino(file)).unwrap();
    assert_eq!((first.size, first.mtime), (100, later));
    tree.publish(file, text("more"), later, T0);
    let second = tree.attr(tree.ino(file)).unwrap();
    assert_eq!(second.size, 100);
    assert!(second.mtime > first.mtime, "the clock was set back");
}

#[test]
fn handles_of_another_life_are_stale() {
    let (old, new) = (Tree::new(&[], T0, 1), Tree::new(&[], T0, 2));
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
                    tree.publish(FileId::Credentials, text(&content), until, T0);
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
