//! A file system that is one file: `credentials`, to be mounted upon that file of a read-write
//! mount.
//!
//! Its own read-only super block keeps an open as cheap as without writable directories: the
//! kernel asks for attributes after each read of a read-write one, because the access time may
//! have moved.

use std::ffi::OsStr;

use fuser::{
    Errno, FileHandle, Filesystem, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::adapter::CredFs;
use crate::tree::{FileId, Tree};

/// The file system as fuser calls it. The kernel knows the file as [`KeyFileFs::NODE`]; its
/// attributes have the inode number that the tree gives it.
#[derive(Debug)]
pub(super) struct KeyFileFs {
    creds: CredFs,
    file: INodeNo,
}

impl KeyFileFs {
    /// The number to invalidate when `credentials` has changed. The name must never be
    /// invalidated: the kernel would take off what is mounted upon it.
    pub(super) const NODE: INodeNo = INodeNo::ROOT;

    /// Serves one file of `tree` by way of `creds`, which must be over the same tree.
    pub(super) fn new(creds: CredFs, tree: &Tree) -> Self {
        Self { creds, file: INodeNo(tree.ino(FileId::Credentials).0) }
    }
}

impl Filesystem for KeyFileFs {
    fn getattr(&self, req: &Request, _ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        self.creds.getattr(req, self.file, fh, reply);
    }

    fn open(&self, req: &Request, _ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.creds.open(req, self.file, flags, reply);
    }

    fn read(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.creds.read(req, self.file, fh, offset, size, flags, lock_owner, reply);
    }

    fn release(
        &self,
        req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        flags: OpenFlags,
        lock_owner: Option<LockOwner>,
        flush: bool,
        reply: ReplyEmpty,
    ) {
        self.creds.release(req, self.file, fh, flags, lock_owner, flush, reply);
    }

    fn statfs(&self, req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        self.creds.statfs(req, self.file, reply);
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
