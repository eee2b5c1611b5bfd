//! Operations on the writable directories that more than one request needs, with their replies.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::SystemTime;

use fuser::{Errno, Generation, INodeNo, ReplyAttr, ReplyEmpty, ReplyEntry, TimeOrNow};
use rustix::fs::OFlags;

use super::errno::scratch_errno;
use super::owner::{Owner, SHORTLY};
use crate::clock::Clock;
use crate::scratch::{Attr, Changes, Scratch, ScratchError};
use crate::tree::{Fh, Ino};

/// What an operation on the writable directories needs, also when it is decided later.
#[derive(Debug)]
pub(super) struct Caches {
    pub(super) scratch: Arc<Scratch>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) owner: Owner,
}

impl Caches {
    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(super) fn change(&self, ino: INodeNo, asked: Asked, reply: ReplyAttr) {
        if !self.owner.is(asked.uid, asked.gid) {
            return reply.error(Errno::EPERM);
        }
        let now = self.now();
        let time = |time| match time {
            TimeOrNow::SpecificTime(time) => time,
            TimeOrNow::Now => now,
        };
        let changes = Changes {
            size: asked.size,
            mode: asked.mode.map(permissions),
            atime: asked.atime.map(time),
            mtime: asked.mtime.map(time),
        };
        self.reply_attr(reply, self.scratch.change(Ino(ino.0), changes, now));
    }

    /// Makes a file and opens it. The kernel asks for it only when it knows of no such file, so
    /// one that is there was made by a request before this one.
    pub(super) fn create_open(
        &self,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        flags: OFlags,
    ) -> Result<(Attr, Fh), Errno> {
        let (parent, now) = (Ino(parent.0), self.now());
        let found = match self.scratch.create(parent, name, permissions(mode), now) {
            Err(ScratchError::Exists) if !flags.contains(OFlags::EXCL) => {
                self.scratch.lookup(parent, name)
            }
            other => other,
        };
        let ino = found.map_err(scratch_errno)?.ino;
        let size = flags.contains(OFlags::TRUNC).then_some(0);
        let changed = self.scratch.change(ino, Changes { size, ..Changes::default() }, now);
        let opened = changed.and_then(|attr| Ok((attr, self.scratch.open(ino)?)));
        opened.map_err(|error| {
            // The kernel is not told the number, so it will not forget it.
            self.scratch.forget(ino, 1);
            scratch_errno(error)
        })
    }

    pub(super) fn reply_attr(&self, reply: ReplyAttr, attr: Result<Attr, ScratchError>) {
        match attr {
            Ok(attr) => reply.attr(&SHORTLY, &self.owner.of_scratch(attr)),
            Err(error) => reply.error(scratch_errno(error)),
        }
    }

    pub(super) fn reply_entry(&self, reply: ReplyEntry, attr: Result<Attr, ScratchError>) {
        match attr {
            Ok(attr) => reply.entry(&SHORTLY, &self.owner.of_scratch(attr), Generation(0)),
            Err(error) => reply.error(scratch_errno(error)),
        }
    }
}

/// What setattr asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) size: Option<u64>,
    pub(super) atime: Option<TimeOrNow>,
    pub(super) mtime: Option<TimeOrNow>,
}

/// Answers a request that gives nothing back.
pub(super) fn done(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// The permission bits of a mode; the type of the file is known.
pub(super) fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or_default()
}
