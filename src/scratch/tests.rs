//! The rules one by one: quotas, handles, numbers. What a plain directory does too is in
//! `model_tests`.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use super::*;
use crate::tree::{Fh, Ino, Kind};

const T0: SystemTime = SystemTime::UNIX_EPOCH;

fn scratch(quotas: Quotas) -> (Scratch, Ino) {
    (Scratch::new(quotas, 7, T0), Scratch::top(OsStr::new("cli")).unwrap())
}

fn name(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn file(scratch: &Scratch, parent: Ino, text: &str) -> (Ino, Fh) {
    let ino = scratch.create(parent, name(text), 0o600, T0).unwrap().ino;
    let fh = scratch.open(ino).unwrap();
    scratch.forget(ino, 1);
    (ino, fh)
}

fn names(scratch: &Scratch, ino: Ino, after: u64) -> Vec<String> {
    let entries = scratch.entries(ino, after).unwrap();
    entries.into_iter().map(|entry| entry.name.into_string().unwrap()).collect()
}

#[test]
fn the_four_directories_are_empty_at_first_and_their_numbers_are_fixed() {
    let scratch = Scratch::new(Quotas::default(), 7, T0);
    for (index, top) in (0..).zip(TOPS) {
        let ino = Scratch::top(name(top)).unwrap();
        assert_eq!(ino, Ino((1 << 52) + index));
        assert_eq!(scratch.attr(ino).unwrap().kind, Kind::Directory(0));
        assert_eq!(scratch.attr(ino).unwrap().mode, 0o700);
        assert!(scratch.entries(ino, 0).unwrap().is_empty());
        assert_eq!(scratch.parent(ino), Ok(None));
    }
    assert_eq!(Scratch::top(name("credentials")), None);
    assert_eq!(scratch.usage().entries, 0);
}

#[test]
fn numbers_are_above_those_of_the_tree_and_never_used_twice() {
    let mut inodes = HashSet::new();
    let mut handles = HashSet::new();
    for epoch in [0, 1, u32::MAX] {
        let scratch = Scratch::new(Quotas::default(), epoch, T0);
        let top = Scratch::top(name("sso")).unwrap();
        for _ in 0..3 {
            let (ino, fh) = file(&scratch, top, "token");
            assert!(Scratch::owns(ino) && ino.0 >= (1 << 52) + 4);
            assert!(inodes.insert(ino), "{ino:?} again");
            assert!(handles.insert(fh), "{fh:?} again");
            scratch.unlink(top, name("token"), T0).unwrap();
            scratch.release(fh);
        }
    }
    assert!(!Scratch::owns(Ino::ROOT) && !Scratch::owns(Ino((1 << 52) - 1)));
}

#[test]
fn an_unlinked_file_lives_until_its_last_handle_is_closed() {
    let (scratch, cli) = scratch(Quotas::default());
    let (ino, first) = file(&scratch, cli, "a");
    let second = scratch.open(ino).unwrap();
    scratch.write(first, 0, b"keys", T0).unwrap();
    scratch.unlink(cli, name("a"), T0).unwrap();
    assert_eq!(scratch.lookup(cli, name("a")), Err(ScratchError::NotFound));
    assert_eq!(scratch.attr(ino).unwrap().names, 0);
    scratch.release(first);
    scratch.release(first);
    assert_eq!(*scratch.read(second, 0, 9).unwrap(), b"keys");
    scratch.write(second, 4, b"!", T0).unwrap();
    assert_eq!(scratch.usage().bytes, 5);
    scratch.release(second);
    assert_eq!(scratch.attr(ino), Err(ScratchError::StaleHandle));
    assert_eq!(scratch.read(second, 0, 9), Err(ScratchError::StaleHandle));
    assert_eq!((scratch.usage().bytes, scratch.usage().entries), (0, 0));
}

#[test]
fn a_replaced_file_stays_readable_and_its_space_comes_back() {
    let (scratch, cli) = scratch(Quotas::default());
    let (_, old) = file(&scratch, cli, "token");
    scratch.write(old, 0, b"old", T0).unwrap();
    let (_, new) = file(&scratch, cli, "token.tmp");
    scratch.write(new, 0, b"newer", T0).unwrap();
    scratch.rename((cli, name("token.tmp")), (cli, name("token")), Existing::Replace, T0).unwrap();
    assert_eq!(*scratch.read(old, 0, 9).unwrap(), b"old");
    assert_eq!(scratch.lookup(cli, name("token")).unwrap().size, 5);
    assert_eq!(scratch.usage().bytes, 8);
    scratch.release(old);
    assert_eq!((scratch.usage().bytes, scratch.usage().entries), (5, 1));
}

/// As the kernel does when one program opens a file while another replaces it.
#[test]
fn what_was_found_can_be_opened_after_it_was_replaced_until_it_is_forgotten() {
    let (scratch, cli) = scratch(Quotas::default());
    let (old, fh) = file(&scratch, cli, "token");
    scratch.write(fh, 0, b"old", T0).unwrap();
    scratch.release(fh);
    assert_eq!(scratch.lookup(cli, name("token")).unwrap().ino, old);
    assert_eq!(scratch.lookup(cli, name("token")).unwrap().ino, old);
    file(&scratch, cli, "new");
    scratch.rename((cli, name("new")), (cli, name("token")), Existing::Replace, T0).unwrap();
    let fh = scratch.open(old).unwrap();
    assert_eq!(*scratch.read(fh, 0, 9).unwrap(), b"old");
    scratch.forget(old, 1);
    scratch.release(fh);
    assert_eq!(scratch.attr(old).unwrap().names, 0, "it was found twice");
    assert_eq!(scratch.usage().bytes, 3);
    scratch.forget(old, 1);
    assert_eq!(scratch.open(old), Err(ScratchError::StaleHandle));
    assert_eq!((scratch.usage().bytes, scratch.usage().entries), (0, 1));
    // What has a name stays, and the fixed directories do.
    let found = scratch.lookup(cli, name("token")).unwrap().ino;
    scratch.forget(found, 1);
    scratch.forget(cli, 7);
    assert!(scratch.open(found).is_ok());
}

#[test]
fn nothing_can_be_put_into_a_directory_that_was_removed() {
    let (scratch, cli) = scratch(Quotas::default());
    let gone = scratch.mkdir(cli, name("a"), 0o700, T0).unwrap().ino;
    file(&scratch, cli, "f");
    scratch.rmdir(cli, name("a"), T0).unwrap();
    assert_eq!(scratch.attr(gone).unwrap().names, 0);
    let nowhere = ScratchError::NotFound;
    assert_eq!(scratch.entries(gone, 0).unwrap_err(), nowhere);
    assert_eq!(scratch.create(gone, name("b"), 0o600, T0), Err(nowhere));
    assert_eq!(scratch.mkdir(gone, name("b"), 0o700, T0), Err(nowhere));
    let moved = scratch.rename((cli, name("f")), (gone, name("f")), Existing::Replace, T0);
    assert_eq!(moved, Err(nowhere));
    let found = scratch.lookup(cli, name("f")).unwrap().ino;
    scratch.forget(found, 1);
    scratch.forget(gone, 1);
    assert_eq!(scratch.attr(gone), Err(ScratchError::StaleHandle));
    assert_eq!(scratch.usage().entries, 1);
}

#[test]
fn a_reader_of_a_directory_sees_what_stays_exactly_once() {
    let (scratch, cli) = scratch(Quotas::default());
    for n in 0..6 {
        file(&scratch, cli, &format!("f{n}"));
    }
    let half = scratch.entries(cli, 0).unwrap()[2].offset;
    assert!(half > Scratch::FIRST_OFFSET);
    // Seen and not yet seen files go, one is replaced, new ones come.
    scratch.unlink(cli, name("f0"), T0).unwrap();
    scratch.unlink(cli, name("f4"), T0).unwrap();
    file(&scratch, cli, "new");
    scratch.rename((cli, name("new")), (cli, name("f1")), Existing::Replace, T0).unwrap();
    file(&scratch, cli, "f0");
    assert_eq!(names(&scratch, cli, half), ["f3", "f5", "f0"]);
    assert_eq!(names(&scratch, cli, 0), ["f1", "f2", "f3", "f5", "f0"]);
    assert!(scratch.entries(cli, u64::MAX).unwrap().is_empty());
}

#[test]
fn bytes_of_all_files_are_limited() {
    let (scratch, cli) = scratch(Quotas { bytes: 10, file_bytes: 8, ..Quotas::default() });
    let (ino, a) = file(&scratch, cli, "a");
    let (_, b) = file(&scratch, cli, "b");
    scratch.write(a, 0, b"123456", T0).unwrap();
    assert_eq!(scratch.write(b, 0, b"12345", T0), Err(ScratchError::NoSpace));
    assert_eq!(*scratch.read(b, 0, 9).unwrap(), b"", "nothing was written");
    scratch.write(b, 0, b"1234", T0).unwrap();
    // What is there may be overwritten and cut when all is full.
    scratch.write(a, 0, b"654321", T0).unwrap();
    assert_eq!(scratch.write(a, 6, b"7", T0), Err(ScratchError::NoSpace));
    let size = |size| Changes { size: Some(size), ..Changes::default() };
    assert_eq!(scratch.change(ino, size(7), T0), Err(ScratchError::NoSpace));
    scratch.change(ino, size(1), T0).unwrap();
    assert_eq!(scratch.usage().bytes, 5);
}

#[test]
fn one_file_is_limited_and_a_hole_counts() {
    let (scratch, cli) = scratch(Quotas { file_bytes: 8, ..Quotas::default() });
    let (ino, fh) = file(&scratch, cli, "a");
    assert_eq!(scratch.write(fh, 8, b"x", T0), Err(ScratchError::NoSpace));
    assert_eq!(scratch.write(fh, u64::MAX, b"x", T0), Err(ScratchError::NoSpace));
    scratch.write(fh, 7, b"x", T0).unwrap();
    assert_eq!(scratch.usage().bytes, 8);
    let huge = Changes { size: Some(u64::MAX), ..Changes::default() };
    assert_eq!(scratch.change(ino, huge, T0), Err(ScratchError::NoSpace));
    assert_eq!(scratch.attr(ino).unwrap().size, 8);
}

#[test]
fn entries_are_limited_those_included_that_are_only_open() {
    let (scratch, cli) = scratch(Quotas { entries: 2, ..Quotas::default() });
    let (_, fh) = file(&scratch, cli, "a");
    scratch.mkdir(cli, name("d"), 0o700, T0).unwrap();
    let full = Err(ScratchError::NoSpace);
    assert_eq!(scratch.create(cli, name("b"), 0o600, T0), full);
    assert_eq!(scratch.mkdir(cli, name("b"), 0o700, T0), full);
    scratch.unlink(cli, name("a"), T0).unwrap();
    assert_eq!(scratch.create(cli, name("b"), 0o600, T0), full);
    scratch.release(fh);
    assert!(scratch.create(cli, name("b"), 0o600, T0).is_ok());
}

#[test]
fn depth_is_limited_also_for_what_is_moved() {
    let (scratch, cli) = scratch(Quotas { depth: 3, ..Quotas::default() });
    let a = scratch.mkdir(cli, name("a"), 0o700, T0).unwrap().ino;
    let b = scratch.mkdir(a, name("b"), 0o700, T0).unwrap().ino;
    assert_eq!(scratch.mkdir(b, name("c"), 0o700, T0), Err(ScratchError::NoSpace));
    assert_eq!(scratch.create(b, name("c"), 0o600, T0), Err(ScratchError::NoSpace));
    let d = scratch.mkdir(cli, name("d"), 0o700, T0).unwrap().ino;
    let deep = scratch.rename((cli, name("a")), (d, name("a")), Existing::Replace, T0);
    assert_eq!(deep, Err(ScratchError::NoSpace));
    assert_eq!(scratch.parent(a), Ok(Some(cli)), "it stayed where it was");
    scratch.rename((cli, name("d")), (a, name("d")), Existing::Replace, T0).unwrap();
    assert_eq!(scratch.parent(d), Ok(Some(a)));
}

#[test]
fn names_are_limited_and_no_paths() {
    let (scratch, cli) = scratch(Quotas::default());
    let longest = "x".repeat(255);
    scratch.create(cli, name(&longest), 0o600, T0).unwrap();
    let long = "x".repeat(256);
    let error = Err(ScratchError::NameTooLong);
    assert_eq!(scratch.create(cli, name(&long), 0o600, T0), error);
    assert_eq!(scratch.lookup(cli, name(&long)), error);
    let renamed = scratch.rename((cli, name(&longest)), (cli, name(&long)), Existing::Keep, T0);
    assert_eq!(renamed, Err(ScratchError::NameTooLong));
    for path in ["", ".", "..", "a/b", "a\0"] {
        assert_eq!(scratch.mkdir(cli, name(path), 0o700, T0), Err(ScratchError::Invalid), "{path}");
    }
}

#[test]
fn nothing_replaces_a_directory_that_it_is_in() {
    let (scratch, cli) = scratch(Quotas::default());
    let a = scratch.mkdir(cli, name("a"), 0o700, T0).unwrap().ino;
    let b = scratch.mkdir(a, name("b"), 0o700, T0).unwrap().ino;
    file(&scratch, b, "f");
    let onto_a = |from| scratch.rename(from, (cli, name("a")), Existing::Replace, T0);
    assert_eq!(onto_a((a, name("b"))), Err(ScratchError::NotEmpty));
    assert_eq!(onto_a((b, name("f"))), Err(ScratchError::NotEmpty));
    let below = scratch.rename((cli, name("a")), (b, name("a")), Existing::Replace, T0);
    assert_eq!(below, Err(ScratchError::Invalid));
}

#[test]
fn times_tell_what_changed() {
    let (scratch, cli) = scratch(Quotas::default());
    let at = |seconds| T0 + Duration::from_secs(seconds);
    let ino = scratch.create(cli, name("a"), 0o600, at(1)).unwrap().ino;
    assert_eq!(scratch.attr(cli).unwrap().mtime, at(1));
    let fh = scratch.open(ino).unwrap();
    scratch.write(fh, 0, b"x", at(2)).unwrap();
    let mode = Changes { mode: Some(0o640), ..Changes::default() };
    let attr = scratch.change(ino, mode, at(3)).unwrap();
    assert_eq!((attr.mode, attr.atime, attr.mtime, attr.ctime), (0o640, at(1), at(2), at(3)));
    let cut = Changes { size: Some(0), ..Changes::default() };
    assert_eq!(scratch.change(ino, cut, at(4)).unwrap().mtime, at(4));
    scratch.rename((cli, name("a")), (cli, name("b")), Existing::Keep, at(5)).unwrap();
    assert_eq!(scratch.attr(cli).unwrap().mtime, at(5));
}

#[test]
fn debug_shows_no_content() {
    let (scratch, cli) = scratch(Quotas::default());
    let (_, fh) = file(&scratch, cli, "a");
    scratch.write(fh, 0, b"wJalrXUtnFEMI", T0).unwrap();
    let shown = format!("{scratch:?}");
    assert!(shown.contains("13 bytes redacted"), "{shown}");
    assert!(!shown.contains("wJalr") && !shown.contains("119, 74"), "{shown}");
}
