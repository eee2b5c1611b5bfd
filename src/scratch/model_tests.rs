//! Random operations on [`Scratch`] and on a plain directory on disk: the same outcomes, the same
//! listings, the same contents.

use std::ffi::OsStr;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::*;
use crate::tree::{Fh, Ino, Kind};

const T0: SystemTime = SystemTime::UNIX_EPOCH;

/// A path below `cli` or `sso`; few names, so that operations meet.
type Place = Vec<&'static str>;

#[derive(Debug, Clone)]
enum Op {
    Mkdir(Place),
    Create(Place, u32),
    Open(Place),
    Write { handle: usize, offset: u16, data: Vec<u8> },
    Read { handle: usize, offset: u16, size: u16 },
    Close { handle: usize },
    Truncate(Place, u16),
    Chmod(Place, u32),
    Utimens(Place, u32, u32),
    Rename(Place, Place, bool),
    Unlink(Place),
    Rmdir(Place),
    Stat(Place),
}

fn place() -> impl Strategy<Value = Place> {
    let top = prop::sample::select(&["cli", "sso"][..]);
    let below = prop::collection::vec(prop::sample::select(&["a", "b"][..]), 1..4);
    (top, below).prop_map(|(top, below)| [vec![top], below].concat())
}

fn op() -> impl Strategy<Value = Op> {
    let handle = 0..4_usize;
    prop_oneof![
        3 => place().prop_map(Op::Mkdir),
        3 => (place(), 0..0o100_u32).prop_map(|(place, mode)| Op::Create(place, 0o600 | mode)),
        2 => place().prop_map(Op::Open),
        3 => (handle.clone(), 0..300_u16, prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(handle, offset, data)| Op::Write { handle, offset, data }),
        3 => (handle.clone(), 0..400_u16, 0..300_u16)
            .prop_map(|(handle, offset, size)| Op::Read { handle, offset, size }),
        1 => handle.prop_map(|handle| Op::Close { handle }),
        1 => (place(), 0..400_u16).prop_map(|(place, size)| Op::Truncate(place, size)),
        1 => (place(), 0..0o100_u32).prop_map(|(place, mode)| Op::Chmod(place, 0o700 | mode)),
        1 => (place(), any::<u32>(), any::<u32>())
            .prop_map(|(place, atime, mtime)| Op::Utimens(place, atime, mtime)),
        4 => (place(), place(), any::<bool>())
            .prop_map(|(from, to, keep)| Op::Rename(from, to, keep)),
        2 => place().prop_map(Op::Unlink),
        2 => place().prop_map(Op::Rmdir),
        1 => place().prop_map(Op::Stat),
    ]
}

fn errno(error: ScratchError) -> Errno {
    match error {
        ScratchError::NotFound => Errno::NOENT,
        ScratchError::Exists => Errno::EXIST,
        ScratchError::NotDirectory => Errno::NOTDIR,
        ScratchError::IsDirectory => Errno::ISDIR,
        ScratchError::NotEmpty => Errno::NOTEMPTY,
        ScratchError::Invalid => Errno::INVAL,
        ScratchError::NameTooLong => Errno::NAMETOOLONG,
        ScratchError::NoSpace => Errno::NOSPC,
        ScratchError::StaleHandle => Errno::STALE,
    }
}

/// What an operation tells: its bytes or numbers, or its errno.
type Outcome = Result<Vec<u8>, Errno>;

fn on_disk(result: io::Result<Vec<u8>>) -> Outcome {
    result.map_err(|error| Errno::from_io_error(&error).expect("an error of the system"))
}

fn here(result: Result<Vec<u8>, ScratchError>) -> Outcome {
    result.map_err(errno)
}

#[derive(Debug)]
struct Both {
    scratch: Scratch,
    dir: tempfile::TempDir,
    handles: Vec<(Fh, File)>,
}

impl Both {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for top in TOPS {
            fs::create_dir(dir.path().join(top)).unwrap();
        }
        let scratch = Scratch::new(Quotas::default(), 1, T0);
        Self { scratch, dir, handles: Vec::new() }
    }

    fn walk(&self, place: &[&str]) -> Result<Ino, ScratchError> {
        let top = Scratch::top(OsStr::new(place[0])).unwrap();
        place[1..]
            .iter()
            .try_fold(top, |ino, name| self.look(ino, OsStr::new(name)).map(|attr| attr.ino))
    }

    /// A disk knows by itself who has found a file; here nobody has for longer than an operation.
    fn look(&self, parent: Ino, name: &OsStr) -> Result<Attr, ScratchError> {
        let found = self.scratch.lookup(parent, name);
        found.inspect(|attr| self.scratch.forget(attr.ino, 1))
    }

    fn parent<'a>(&self, place: &'a [&'static str]) -> Result<(Ino, &'a OsStr), ScratchError> {
        let (name, parents) = place.split_last().unwrap();
        let parent = self.walk(parents)?;
        // The kernel finds out that the parent is no directory while it walks.
        self.scratch.entries(parent, 0)?;
        Ok((parent, OsStr::new(name)))
    }

    fn apply(&mut self, op: &Op) -> (Outcome, Outcome) {
        let root = self.dir.path().to_owned();
        let path = |place: &Place| root.join(place.iter().collect::<std::path::PathBuf>());
        let unit = |(): ()| Vec::new();
        match op {
            Op::Mkdir(place) => {
                let made = self.parent(place).and_then(|(parent, name)| {
                    let made = self.scratch.mkdir(parent, name, 0o700, T0)?;
                    self.scratch.forget(made.ino, 1);
                    Ok(Vec::new())
                });
                let disk = fs::DirBuilder::new().mode(0o700).create(path(place));
                (here(made), on_disk(disk.map(unit)))
            }
            Op::Create(place, mode) => {
                let created = self.parent(place).and_then(|(parent, name)| {
                    let ino =
                        self.scratch.create(parent, name, u16::try_from(*mode).unwrap(), T0)?;
                    let opened = self.scratch.open(ino.ino);
                    self.scratch.forget(ino.ino, 1);
                    opened
                });
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(*mode);
                let disk = options.open(path(place)).and_then(|file| {
                    file.set_permissions(Permissions::from_mode(*mode))?;
                    Ok(file)
                });
                self.opened(created, disk)
            }
            Op::Open(place) => {
                let opened = self.walk(place).and_then(|ino| self.scratch.open(ino));
                let disk = OpenOptions::new().read(true).write(true).open(path(place));
                self.opened(opened, disk)
            }
            Op::Write { handle, offset, data } => {
                let Some((fh, file)) = self.handles.get(*handle) else { return nothing() };
                let written = self.scratch.write(*fh, (*offset).into(), data, T0).map(unit);
                (here(written), on_disk(file.write_all_at(data, (*offset).into()).map(unit)))
            }
            Op::Read { handle, offset, size } => {
                let Some((fh, file)) = self.handles.get(*handle) else { return nothing() };
                let read = self.scratch.read(*fh, (*offset).into(), (*size).into());
                let mut buffer = vec![0; usize::from(*size)];
                let disk = file.read_at(&mut buffer, (*offset).into()).map(|count| {
                    buffer.truncate(count);
                    buffer
                });
                (here(read.map(|bytes| bytes.to_vec())), on_disk(disk))
            }
            Op::Close { handle } => {
                if *handle < self.handles.len() {
                    let (fh, _) = self.handles.swap_remove(*handle);
                    self.scratch.release(fh);
                }
                nothing()
            }
            Op::Truncate(place, size) => {
                let changes = Changes { size: Some((*size).into()), ..Changes::default() };
                let disk = OpenOptions::new().write(true).open(path(place));
                let disk = disk.and_then(|file| file.set_len((*size).into()));
                (self.change(place, changes), on_disk(disk.map(unit)))
            }
            Op::Chmod(place, mode) => {
                let changes =
                    Changes { mode: Some(u16::try_from(*mode).unwrap()), ..Changes::default() };
                let disk = fs::set_permissions(path(place), Permissions::from_mode(*mode));
                (self.change(place, changes), on_disk(disk.map(unit)))
            }
            Op::Utimens(place, atime, mtime) => self.utimens(place, &path(place), *atime, *mtime),
            Op::Rename(from, to, keep) => {
                let (existing, flags) = match keep {
                    true => (Existing::Keep, RenameFlags::NOREPLACE),
                    false => (Existing::Replace, RenameFlags::empty()),
                };
                let renamed = self.parent(from).and_then(|source| {
                    self.scratch.rename(source, self.parent(to)?, existing, T0).map(unit)
                });
                let disk = renameat_with(CWD, path(from), CWD, path(to), flags);
                (here(renamed), disk.map(unit))
            }
            Op::Unlink(place) => {
                let gone = self.parent(place);
                let gone = gone.and_then(|(parent, name)| self.scratch.unlink(parent, name, T0));
                (here(gone.map(unit)), on_disk(fs::remove_file(path(place)).map(unit)))
            }
            Op::Rmdir(place) => {
                let gone = self.parent(place);
                let gone = gone.and_then(|(parent, name)| self.scratch.rmdir(parent, name, T0));
                (here(gone.map(unit)), on_disk(fs::remove_dir(path(place)).map(unit)))
            }
            Op::Stat(place) => {
                let found = self.walk(place).map(unit_of);
                (here(found), on_disk(fs::metadata(path(place)).map(|_| Vec::new())))
            }
        }
    }

    fn utimens(&self, place: &Place, path: &Path, atime: u32, mtime: u32) -> (Outcome, Outcome) {
        let at = |seconds: u32| T0 + Duration::from_secs(seconds.into());
        let (atime, mtime) = (at(atime), at(mtime));
        let changes = Changes { atime: Some(atime), mtime: Some(mtime), ..Changes::default() };
        let here = self.change(place, changes);
        let times = FileTimes::new().set_accessed(atime).set_modified(mtime);
        let disk = File::open(path).and_then(|file| file.set_times(times));
        if disk.is_ok() {
            let attr = self.scratch.attr(self.walk(place).unwrap()).unwrap();
            let meta = fs::metadata(path).unwrap();
            assert_eq!(attr.atime, meta.accessed().unwrap());
            assert_eq!(attr.mtime, meta.modified().unwrap());
        }
        (here, on_disk(disk.map(unit_of)))
    }

    fn change(&self, place: &Place, changes: Changes) -> Outcome {
        let attr = self.walk(place).and_then(|ino| self.scratch.change(ino, changes, T0));
        here(attr.map(unit_of))
    }

    fn opened(
        &mut self,
        fh: Result<Fh, ScratchError>,
        file: io::Result<File>,
    ) -> (Outcome, Outcome) {
        match (fh, file) {
            (Ok(fh), Ok(file)) => {
                self.handles.push((fh, file));
                nothing()
            }
            (fh, file) => (here(fh.map(unit_of)), on_disk(file.map(unit_of))),
        }
    }

    /// Compares a directory and all below it; returns the bytes and the entries in it.
    fn compare(&self, ino: Ino, path: &Path) -> (u64, usize) {
        let mut disk: Vec<_> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let entries = self.scratch.entries(ino, 0).unwrap();
        let mut ours: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
        disk.sort();
        ours.sort();
        assert_eq!(ours, disk, "in {}", path.display());
        let (mut bytes, mut count) = (0, entries.len());
        for entry in entries {
            let path = path.join(&entry.name);
            let attr = self.look(ino, &entry.name).unwrap();
            let meta = fs::symlink_metadata(&path).unwrap();
            assert_eq!((attr.ino, entry.directory), (entry.ino, meta.is_dir()));
            assert_eq!(u32::from(attr.mode), meta.mode() & 0o7777, "{}", path.display());
            assert_eq!(attr.names, 1);
            if entry.directory {
                assert_eq!(self.scratch.parent(entry.ino), Ok(Some(ino)));
                let (more_bytes, more) = self.compare(entry.ino, &path);
                (bytes, count) = (bytes + more_bytes, count + more);
            } else {
                assert_eq!(attr.kind, Kind::File);
                assert_eq!(attr.size, meta.len());
                let fh = self.scratch.open(entry.ino).unwrap();
                assert_eq!(*self.scratch.read(fh, 0, u32::MAX).unwrap(), fs::read(&path).unwrap());
                self.scratch.release(fh);
                bytes += attr.size;
            }
        }
        (bytes, count)
    }
}

fn nothing() -> (Outcome, Outcome) {
    (Ok(Vec::new()), Ok(Vec::new()))
}

fn unit_of<T>(_: T) -> Vec<u8> {
    Vec::new()
}

proptest! {
    #[test]
    fn the_directories_behave_as_those_on_disk(ops in prop::collection::vec(op(), 0..60)) {
        let mut both = Both::new();
        for op in &ops {
            let (here, disk) = both.apply(op);
            prop_assert_eq!(here, disk, "{:?}", op);
        }
        for (fh, _) in both.handles.drain(..) {
            both.scratch.release(fh);
        }
        let (mut bytes, mut entries) = (0, 0);
        for top in TOPS {
            let ino = Scratch::top(OsStr::new(top)).unwrap();
            let (more_bytes, more) = both.compare(ino, &both.dir.path().join(top));
            (bytes, entries) = (bytes + more_bytes, entries + more);
        }
        let usage = both.scratch.usage();
        prop_assert_eq!((usage.bytes, usage.entries), (bytes, entries));
    }
}
