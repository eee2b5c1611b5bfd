//! The four writable directories and what is below them, as the kernel sees them.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::fs::{FileType, OFlags};
use tokio::runtime::Handle;

use super::adapter::requester;
use super::caches::{Asked, Caches, done, permissions};
use super::errno::{errno, scratch_errno};
use super::owner::{Owner, SHORTLY, file_type};
use crate::clock::Clock;
use crate::open::{Beat, CurrentService};
use crate::scratch::{Existing, Scratch};
use crate::tree::{Fh, FsError, Ino};

/// Answers for inodes of the writable directories only.
#[derive(Debug)]
pub(super) struct CacheFs {
    caches: Arc<Caches>,
    service: Arc<CurrentService>,
    runtime: Handle,
    /// Of the thread that calls.
    beat: Arc<Beat>,
}

impl CacheFs {
    /// Serves `scratch`.
    pub(super) fn new(
        scratch: Arc<Scratch>,
        clock: Arc<dyn Clock>,
        owner: Owner,
        service: Arc<CurrentService>,
        runtime: Handle,
    ) -> Self {
        let beat = service.get().traffic().beat();
        Self { caches: Arc::new(Caches { scratch, clock, owner }), service, runtime, beat }
    }

    /// Answers a lookup of one of the four directories.
    pub(super) fn lookup_top(&self, top: Ino, reply: ReplyEntry) {
        self.caches.reply_entry(reply, self.caches.scratch.attr(top));
    }

    /// Runs `then` once the caller may use the writable directories, or with the reason why it may
    /// not; `then` replies. All operations pass here save those on open handles and looking at
    /// names and attributes.
    fn admitted(&self, req: &Request, then: impl FnOnce(Result<&Caches, Errno>) + Send + 'static) {
        let (service, requester) = (self.service.get(), requester(req));
        let admitted = |admitted| if admitted { Ok(()) } else { Err(errno(FsError::Refused)) };
        if let Some(known) = service.admits_at_once(requester) {
            return then(admitted(known).map(|()| &*self.caches));
        }
        let caches = self.caches.clone();
        self.runtime.spawn(async move {
            then(admitted(service.admits(requester).await).map(|()| &*caches));
        });
    }
}

impl Filesystem for CacheFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _busy = self.beat.busy();
        let found = self.caches.scratch.lookup(Ino(parent.0), name);
        self.caches.reply_entry(reply, found);
    }

    fn forget(&self, _req: &Request, ino: INodeNo, times: u64) {
        let _busy = self.beat.busy();
        self.caches.scratch.forget(Ino(ino.0), times);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        let _busy = self.beat.busy();
        self.caches.reply_attr(reply, self.caches.scratch.attr(Ino(ino.0)));
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let _busy = self.beat.busy();
        let asked = Asked { mode, uid, gid, size, atime, mtime };
        if fh.is_some() {
            return self.caches.change(ino, asked, reply);
        }
        self.admitted(req, move |caches| match caches {
            Ok(caches) => caches.change(ino, asked, reply),
            Err(error) => reply.error(error),
        });
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _rdev: u32,
        reply: ReplyEntry,
    ) {
        let _busy = self.beat.busy();
        let name = name.to_owned();
        self.admitted(req, move |caches| {
            let (caches, kind) = match caches {
                Ok(caches) => (caches, FileType::from_raw_mode(mode)),
                Err(error) => return reply.error(error),
            };
            // Devices, pipes and sockets are no caches.
            if kind != FileType::RegularFile {
                return reply.error(Errno::EPERM);
            }
            let (parent, mode) = (Ino(parent.0), permissions(mode));
            let entry = caches.scratch.create(parent, &name, mode, caches.now());
            caches.reply_entry(reply, entry);
        });
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let _busy = self.beat.busy();
        let name = name.to_owned();
        self.admitted(req, move |caches| {
            let caches = match caches {
                Ok(caches) => caches,
                Err(error) => return reply.error(error),
            };
            let (parent, mode) = (Ino(parent.0), permissions(mode));
            let entry = caches.scratch.mkdir(parent, &name, mode, caches.now());
            caches.reply_entry(reply, entry);
        });
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _busy = self.beat.busy();
        let name = name.to_owned();
        self.admitted(req, move |caches| {
            done(
                reply,
                caches.and_then(|caches| {
                    let now = caches.now();
                    caches.scratch.unlink(Ino(parent.0), &name, now).map_err(scratch_errno)
                }),
            );
        });
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _busy = self.beat.busy();
        let name = name.to_owned();
        self.admitted(req, move |caches| {
            done(
                reply,
                caches.and_then(|caches| {
                    let now = caches.now();
                    caches.scratch.rmdir(Ino(parent.0), &name, now).map_err(scratch_errno)
                }),
            );
        });
    }

    fn symlink(
        &self,
        _req: &Request,
        _parent: INodeNo,
        _name: &OsStr,
        _target: &Path,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn link(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _newparent: INodeNo,
        _newname: &OsStr,
        reply: ReplyEntry,
    ) {
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let _busy = self.beat.busy();
        let existing = if flags.is_empty() {
            Existing::Replace
        } else if flags == RenameFlags::RENAME_NOREPLACE {
            Existing::Keep
        } else {
            return reply.error(Errno::EINVAL);
        };
        let (name, newname) = (name.to_owned(), newname.to_owned());
        self.admitted(req, move |caches| {
            done(
                reply,
                caches.and_then(|caches| {
                    let (from, to) = ((Ino(parent.0), &*name), (Ino(newparent.0), &*newname));
                    caches.scratch.rename(from, to, existing, caches.now()).map_err(scratch_errno)
                }),
            );
        });
    }

    fn open(&self, req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _busy = self.beat.busy();
        self.admitted(req, move |caches| {
            let opened =
                caches.and_then(|caches| caches.scratch.open(Ino(ino.0)).map_err(scratch_errno));
            match opened {
                Ok(fh) => reply.opened(FileHandle(fh.0), CACHED),
                Err(error) => reply.error(error),
            }
        });
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let _busy = self.beat.busy();
        let name = name.to_owned();
        let flags = OFlags::from_bits_retain(flags.cast_unsigned());
        self.admitted(req, move |caches| {
            let created = caches.and_then(|caches| {
                let (attr, fh) = caches.create_open(parent, &name, mode, flags)?;
                Ok((caches.owner.of_scratch(attr), fh))
            });
            match created {
                Ok((attr, fh)) => {
                    reply.created(&SHORTLY, &attr, Generation(0), FileHandle(fh.0), CACHED);
                }
                Err(error) => reply.error(error),
            }
        });
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _busy = self.beat.busy();
        match self.caches.scratch.read(Fh(fh.0), offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(scratch_errno(error)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _busy = self.beat.busy();
        let (caches, now) = (&self.caches, self.caches.now());
        match (caches.scratch.write(Fh(fh.0), offset, data, now), u32::try_from(data.len())) {
            (Ok(()), Ok(written)) => reply.written(written),
            (Ok(()), Err(_)) => reply.error(Errno::EINVAL),
            (Err(error), _) => reply.error(scratch_errno(error)),
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
        self.caches.scratch.release(Fh(fh.0));
        reply.ok();
    }

    fn opendir(&self, req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _busy = self.beat.busy();
        self.admitted(req, move |caches| match caches {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        });
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
        let scratch = &self.caches.scratch;
        let listed = scratch
            .entries(Ino(ino.0), offset)
            .and_then(|entries| Ok((entries, scratch.parent(Ino(ino.0))?.unwrap_or(Ino::ROOT))));
        let (entries, parent) = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(scratch_errno(error)),
        };
        let dots = [(1, ino.0, "."), (Scratch::FIRST_OFFSET, parent.0, "..")];
        let dots = dots.into_iter().filter(|(own, _, _)| *own > offset);
        let dots = dots.map(|(own, ino, name)| (own, ino, true, OsStr::new(name)));
        let below = entries
            .iter()
            .map(|entry| (entry.offset, entry.ino.0, entry.directory, entry.name.as_os_str()));
        for (own, ino, directory, name) in dots.chain(below) {
            if reply.add(INodeNo(ino), own, file_type(directory), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let _busy = self.beat.busy();
        let usage = self.caches.scratch.usage();
        let block = u64::from(BLOCK);
        let blocks = usage.quotas.bytes / block;
        let free = usage.quotas.bytes.saturating_sub(usage.bytes) / block;
        let files = usage.quotas.entries as u64;
        let free_files = files.saturating_sub(usage.entries as u64);
        reply.statfs(blocks, free, free, files, free_files, BLOCK, 255, BLOCK);
    }
}

/// Through the page cache, so that files can be mapped shared, as `SQLite` does, and kept there:
/// they change by way of this kernel only. Nothing is to be done at a close.
const CACHED: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE.union(FopenFlags::FOPEN_NOFLUSH);

/// The unit of free space.
const BLOCK: u32 = 4096;
