//! The least that fuser needs to serve one file: default options, names and attributes cached for
//! a second, content through the page cache.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, Request,
};
use rustix::process::{getegid, geteuid};

/// Serves until it is unmounted.
pub(crate) fn serve(file: &Path, mountpoint: &Path) -> Result<()> {
    let content = fs::read(file).with_context(|| file.display().to_string())?;
    fuser::mount(Hello { content }, mountpoint, &Config::default()).context("serving")
}

struct Hello {
    content: Vec<u8>,
}

impl Hello {
    fn attr(&self, ino: INodeNo) -> FileAttr {
        let file = ino == FILE;
        FileAttr {
            ino,
            size: if file { self.content.len() as u64 } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if file { FileType::RegularFile } else { FileType::Directory },
            perm: if file { 0o400 } else { 0o500 },
            nlink: if file { 1 } else { 2 },
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl Filesystem for Hello {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == "credentials" {
            reply.entry(&TTL, &self.attr(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&TTL, &self.attr(ino));
    }

    fn read(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let length = self.content.len();
        let start = usize::try_from(offset).unwrap_or(length).min(length);
        let end = start.saturating_add(size as usize).min(length);
        reply.data(&self.content[start..end]);
    }
}

const FILE: INodeNo = INodeNo(2);

const TTL: Duration = Duration::from_secs(1);
