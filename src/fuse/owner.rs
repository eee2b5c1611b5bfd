//! What the kernel is told of the writable directories.

use std::time::{Duration, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use rustix::process::{getegid, geteuid};

use crate::scratch::Attr;
use crate::tree::Kind;

/// The mounting user, to whom everything belongs, as in a home directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// Who runs the daemon.
    pub(super) fn current() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// Whether `chown` to these ids would change nothing. What is not given stays.
    pub(super) fn is(self, uid: Option<u32>, gid: Option<u32>) -> bool {
        uid.is_none_or(|uid| uid == self.uid) && gid.is_none_or(|gid| gid == self.gid)
    }

    /// Attributes of a node of the writable directories.
    pub(super) fn of_scratch(self, attr: Attr) -> FileAttr {
        let (kind, nlink) = match attr.kind {
            Kind::Directory(_) if attr.names == 0 => (FileType::Directory, 0),
            Kind::Directory(below) => (FileType::Directory, below.saturating_add(2)),
            Kind::File => (FileType::RegularFile, attr.names),
        };
        FileAttr {
            ino: INodeNo(attr.ino.0),
            size: attr.size,
            blocks: attr.size.div_ceil(512),
            atime: attr.atime,
            mtime: attr.mtime,
            ctime: attr.ctime,
            crtime: UNIX_EPOCH,
            kind,
            perm: attr.mode,
            nlink,
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// The type of a directory entry.
pub(super) fn file_type(directory: bool) -> FileType {
    if directory { FileType::Directory } else { FileType::RegularFile }
}

/// Nobody but the kernel that asks changes these files, so what it caches stays right; the time is
/// short because nothing is gained by a longer one.
pub(super) const SHORTLY: Duration = Duration::from_secs(1);
