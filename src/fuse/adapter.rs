//! Translates kernel requests: call, reply. No decisions.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use rustix::process::{getegid, geteuid};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::errno::errno;
use crate::open::{Beat, CurrentService, First, OpenService, Requester, Resumed};
use crate::tree::{Attr, Fh, FsError, Ino, Kind};

/// The file system as fuser calls it.
#[derive(Debug)]
pub(super) struct CredFs {
    service: Arc<CurrentService>,
    runtime: Handle,
    /// Of the thread that calls: there is one for each file system.
    beat: Arc<Beat>,
    uid: u32,
    gid: u32,
}

impl CredFs {
    /// Serves `service`; opens that have to wait run on `runtime`.
    pub(super) fn new(service: Arc<CurrentService>, runtime: Handle) -> Self {
        let beat = service.get().traffic().beat();
        Self { service, runtime, beat, uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// A READ by a handle of an earlier daemon: as much as is left of its file, or all of it anew.
    fn read_again(&self, read: Read, requester: Requester, reply: ReplyData) {
        let service = self.service.get();
        match service.resume(read.ino, read.fh, read.offset) {
            Ok(Resumed::AtEnd) => reply.data(&[]),
            Ok(Resumed::FromStart(file)) => {
                // As with an open, a reply that is dropped answers EIO.
                self.runtime.spawn(async move {
                    match service.open_again(file, read.fh, requester).await {
                        Ok(()) => read_pinned(&service, read, reply),
                        Err(error) => reply.error(errno(error)),
                    }
                });
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn file_attr(&self, attr: Attr) -> FileAttr {
        let (kind, perm, nlink) = match attr.kind {
            Kind::Directory(below) => (FileType::Directory, 0o500, below.saturating_add(2)),
            Kind::File => (FileType::RegularFile, 0o400, 1),
        };
        FileAttr {
            ino: INodeNo(attr.ino.0),
            size: attr.size,
            blocks: attr.size.div_ceil(512),
            atime: attr.mtime,
            mtime: attr.mtime,
            ctime: attr.mtime,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for CredFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _busy = self.beat.busy();
        let found = match name.to_str() {
            Some(name) => self.service.get().tree().lookup(Ino(parent.0), name),
            None => Err(FsError::NotFound),
        };
        match found {
            Ok(attr) => reply.entry(&FOREVER, &self.file_attr(attr), Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let _busy = self.beat.busy();
        match self.service.get().tree().attr(Ino(ino.0)) {
            Ok(attr) => reply.attr(&FOREVER, &self.file_attr(attr)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let _busy = self.beat.busy();
        // The kernel refuses writers of a read-only superblock itself.
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(errno(FsError::ReadOnly));
        }
        let (service, requester) = (self.service.get(), requester(req));
        match service.open(Ino(ino.0), requester) {
            Ok(First::Ready(fh)) => opened(reply, fh),
            Ok(First::Later(file)) => {
                // The service answers in time and catches panics where it can; beyond that, a reply
                // dropped unanswered answers EIO.
                self.runtime.spawn(async move {
                    match service.open_later(file, requester).await {
                        Ok(fh) => opened(reply, fh),
                        Err(error) => reply.error(errno(error)),
                    }
                });
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _busy = self.beat.busy();
        let service = self.service.get();
        let read = Read { ino: Ino(ino.0), fh: Fh(fh.0), offset, size };
        match service.tree().read(read.fh, offset, size) {
            Ok(slice) => reply.data(slice.bytes()),
            Err(FsError::StaleHandle) => self.read_again(read, requester(req), reply),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let _busy = self.beat.busy();
        self.service.get().tree().release(Fh(fh.0));
        reply.ok();
    }

    fn readdir(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _busy = self.beat.busy();
        let entries = match self.service.get().tree().entries(Ino(ino.0)) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno(error)),
        };
        let dots = [(ino.0, true, "."), (ino.0, true, "..")].into_iter();
        let below = entries.iter().map(|entry| (entry.ino.0, entry.directory, &*entry.name));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (ino, directory, name)) in (1_u64..).zip(dots.chain(below)).skip(skip) {
            let kind = if directory { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(ino), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    // ENOSYS makes the kernel answer these itself from then on.

    fn getxattr(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _name: &OsStr,
        _size: u32,
        reply: ReplyXattr,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
}

/// What is to be read.
#[derive(Debug, Clone, Copy)]
struct Read {
    ino: Ino,
    fh: Fh,
    offset: u64,
    size: u32,
}

fn read_pinned(service: &OpenService, read: Read, reply: ReplyData) {
    match service.tree().read(read.fh, read.offset, read.size) {
        Ok(slice) => reply.data(slice.bytes()),
        Err(error) => reply.error(errno(error)),
    }
}

/// The caller, as the kernel tells it with each request.
pub(super) fn requester(req: &Request) -> Requester {
    let resent = req.unique().0 & RESENT != 0;
    Requester { uid: req.uid(), gid: req.gid(), tid: req.pid(), resent, at: Instant::now() }
}

/// Set by the kernel in the number of a request that it sends once more (`FUSE_UNIQUE_RESEND` in
/// the kernel's `fuse.h`).
const RESENT: u64 = 1 << 63;

/// Direct I/O: no key in the page cache, and reads are not cut at a size the kernel remembers.
fn opened(reply: ReplyOpen, fh: Fh) {
    reply.opened(FileHandle(fh.0), FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_NOFLUSH);
}

/// Names and attributes are cached until invalidated: 34 years, far below any overflow in the
/// kernel's jiffies.
const FOREVER: Duration = Duration::from_secs(1 << 30);
