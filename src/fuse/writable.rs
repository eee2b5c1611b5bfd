//! The whole tree with the four writable directories beside it, for a read-write mount: each
//! request goes to the one or the other. All but the four directories stays read-only.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, INodeNo, LockOwner, OpenFlags, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use tokio::runtime::Handle;

use super::adapter::CredFs;
use super::cache_fs::CacheFs;
use super::errno::errno;
use super::owner::{Owner, SHORTLY, file_type};
use crate::clock::Clock;
use crate::open::CurrentService;
use crate::scratch::{Attr, Scratch, TOPS};
use crate::tree::{FsError, Ino, Kind};

/// The file system as fuser calls it.
#[derive(Debug)]
pub(super) struct WritableFs {
    creds: CredFs,
    caches: CacheFs,
    service: Arc<CurrentService>,
    owner: Owner,
}

impl WritableFs {
    /// Serves the tree of `service` by way of `creds`, which must be over the same service, and
    /// the directories of `scratch`.
    pub(super) fn new(
        creds: CredFs,
        service: Arc<CurrentService>,
        scratch: Arc<Scratch>,
        clock: Arc<dyn Clock>,
        runtime: Handle,
    ) -> Self {
        let owner = Owner::current();
        let caches = CacheFs::new(scratch, clock, owner, service.clone(), runtime);
        Self { creds, caches, service, owner }
    }

    /// The root directory of the tree, with four directories more.
    fn root(&self) -> Result<Attr, FsError> {
        let attr = self.service.get().tree().attr(Ino::ROOT)?;
        let kind = match attr.kind {
            Kind::Directory(below) => Kind::Directory(below.saturating_add(TOP_COUNT)),
            Kind::File => Kind::File,
        };
        let (size, mtime) = (attr.size, attr.mtime);
        let (atime, ctime) = (mtime, mtime);
        Ok(Attr { ino: attr.ino, kind, size, mode: 0o500, names: 1, atime, mtime, ctime })
    }

    fn readdir_root(&self, offset: u64, mut reply: ReplyDirectory) {
        let entries = match self.service.get().tree().entries(Ino::ROOT) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno(error)),
        };
        let own = [".", ".."].map(|name| (Ino::ROOT, true, name)).into_iter();
        let tree = entries.iter().map(|entry| (entry.ino, entry.directory, &*entry.name));
        let tops =
            TOPS.into_iter().filter_map(|name| Some((Scratch::top(name.as_ref())?, true, name)));
        let skip = usize::try_from(offset).unwrap_or(usize::MAX);
        for (next, (ino, directory, name)) in (1..).zip(own.chain(tree).chain(tops)).skip(skip) {
            if reply.add(INodeNo(ino.0), next, file_type(directory), name) {
                break;
            }
        }
        reply.ok();
    }
}

impl Filesystem for WritableFs {
    fn lookup(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match Scratch::top(name) {
            Some(top) if parent == INodeNo::ROOT => self.caches.lookup_top(top, reply),
            _ if is_scratch(parent) => self.caches.lookup(req, parent, name, reply),
            _ => self.creds.lookup(req, parent, name, reply),
        }
    }

    fn forget(&self, req: &Request, ino: INodeNo, times: u64) {
        if is_scratch(ino) {
            self.caches.forget(req, ino, times);
        }
    }

    fn getattr(&self, req: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        if ino == INodeNo::ROOT {
            match self.root() {
                Ok(attr) => reply.attr(&SHORTLY, &self.owner.of_scratch(attr)),
                Err(error) => reply.error(errno(error)),
            }
        } else if is_scratch(ino) {
            self.caches.getattr(req, ino, fh, reply);
        } else {
            self.creds.getattr(req, ino, fh, reply);
        }
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
        ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        if is_scratch(ino) {
            // The last four are sent by macOS only.
            self.caches.setattr(
                req, ino, mode, uid, gid, size, atime, mtime, ctime, fh, None, None, None, None,
                reply,
            );
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        if is_scratch(parent) {
            self.caches.mknod(req, parent, name, mode, umask, rdev, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        if is_scratch(parent) {
            self.caches.mkdir(req, parent, name, mode, umask, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn unlink(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if is_scratch(parent) {
            self.caches.unlink(req, parent, name, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn rmdir(&self, req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if is_scratch(parent) {
            self.caches.rmdir(req, parent, name, reply);
        } else {
            reply.error(unchangeable(parent, name));
        }
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        if is_scratch(parent) {
            self.caches.symlink(req, parent, name, target, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn link(
        &self,
        req: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        if is_scratch(newparent) {
            self.caches.link(req, ino, newparent, newname, reply);
        } else {
            reply.error(Errno::EROFS);
        }
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
        for (parent, name) in [(parent, name), (newparent, newname)] {
            if !is_scratch(parent) {
                return reply.error(unchangeable(parent, name));
            }
        }
        self.caches.rename(req, parent, name, newparent, newname, flags, reply);
    }

    fn open(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if is_scratch(ino) {
            self.caches.open(req, ino, flags, reply);
        } else {
            self.creds.open(req, ino, flags, reply);
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        if is_scratch(parent) {
            self.caches.create(req, parent, name, mode, umask, flags, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn read(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if is_scratch(ino) {
            self.caches.read(req, ino, fh, offset, size, flags, lock_owner, reply);
        } else {
            self.creds.read(req, ino, fh, offset, size, flags, lock_owner, reply);
        }
    }

    fn write(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if is_scratch(ino) {
            self.caches.write(req, ino, fh, offset, data, write_flags, flags, lock_owner, reply);
        } else {
            reply.error(Errno::EROFS);
        }
    }

    fn release(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        flush: bool,
        reply: ReplyEmpty,
    ) {
        if is_scratch(ino) {
            self.caches.release(req, ino, fh, flags, lock_owner, flush, reply);
        } else {
            self.creds.release(req, ino, fh, flags, lock_owner, flush, reply);
        }
    }

    fn opendir(&self, req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if is_scratch(ino) {
            self.caches.opendir(req, ino, flags, reply);
        } else {
            self.creds.opendir(req, ino, flags, reply);
        }
    }

    fn readdir(
        &self,
        req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        if ino == INodeNo::ROOT {
            self.readdir_root(offset, reply);
        } else if is_scratch(ino) {
            self.caches.readdir(req, ino, fh, offset, reply);
        } else {
            self.creds.readdir(req, ino, fh, offset, reply);
        }
    }

    fn statfs(&self, req: &Request, ino: INodeNo, reply: ReplyStatfs) {
        if is_scratch(ino) {
            self.caches.statfs(req, ino, reply);
        } else {
            self.creds.statfs(req, ino, reply);
        }
    }

    // ENOSYS makes the kernel answer these itself from then on. There is no disk to sync to.

    fn fsync(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

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

/// Links that the root directory has from the `..` of the writable ones.
const TOP_COUNT: u32 = 4;
const _: () = assert!(TOPS.len() == TOP_COUNT as usize);

fn is_scratch(ino: INodeNo) -> bool {
    Scratch::owns(Ino(ino.0))
}

/// Why a name outside the writable directories cannot be removed or renamed: the four directories
/// themselves are writable, but have to stay.
fn unchangeable(parent: INodeNo, name: &OsStr) -> Errno {
    let is_top = parent == INodeNo::ROOT && Scratch::top(name).is_some();
    if is_top { Errno::EBUSY } else { Errno::EROFS }
}
