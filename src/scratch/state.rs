//! Nodes, handles and what they use of the quotas. Each method leaves the state as it was when it
//! fails.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::time::SystemTime;

use super::content::Content;
use super::directory::Directory;
use super::quotas::{NAME_MAX, Quotas};
use super::{ScratchError, TOPS};
use crate::tree::{Fh, Ino};

#[derive(Debug)]
pub(super) struct State {
    pub(super) quotas: Quotas,
    pub(super) nodes: HashMap<Ino, Node>,
    pub(super) bytes: u64,
    handles: HashMap<Fh, Ino>,
    next_ino: Ino,
    next_fh: Fh,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) body: Body,
    pub(super) mode: u16,
    pub(super) atime: SystemTime,
    pub(super) mtime: SystemTime,
    pub(super) ctime: SystemTime,
    /// Handles to it; directories have none.
    opens: usize,
    /// How often its number was given out and not taken back since.
    known: u64,
}

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One of the four fixed directories.
    Top,
    /// In this directory.
    In(Ino),
    /// What lives only as long as it is open or known.
    Unlinked,
}

#[derive(Debug)]
pub(super) enum Body {
    File(Content),
    Directory(Directory),
}

impl Node {
    fn new(place: Place, body: Body, mode: u16, now: SystemTime) -> Self {
        Self { place, body, mode, atime: now, mtime: now, ctime: now, opens: 0, known: 0 }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }
}

impl State {
    pub(super) fn new(quotas: Quotas, epoch: u32, now: SystemTime) -> Self {
        let top = || Body::Directory(Directory::new(FIRST_OFFSET));
        let nodes = (0..TOPS.len())
            .map(|index| (top_ino(index), Node::new(Place::Top, top(), 0o700, now)))
            .collect();
        // 20 bits of the epoch and 32 of a count, above the numbers of the fixed directories.
        let epoch_bits = u64::from(epoch & 0xf_ffff) << 32;
        let next_ino = Ino((FIRST_INO | epoch_bits) + TOPS.len() as u64);
        let next_fh = Fh(u64::from(epoch) << 32);
        Self { quotas, nodes, bytes: 0, handles: HashMap::new(), next_ino, next_fh }
    }

    pub(super) fn entries(&self) -> usize {
        self.nodes.len() - TOPS.len()
    }

    pub(super) fn node(&self, ino: Ino) -> Result<&Node, ScratchError> {
        self.nodes.get(&ino).ok_or(ScratchError::StaleHandle)
    }

    pub(super) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node, ScratchError> {
        self.nodes.get_mut(&ino).ok_or(ScratchError::StaleHandle)
    }

    /// A directory that has not been removed: what was put into one that is would never be found.
    pub(super) fn directory(&self, ino: Ino) -> Result<&Directory, ScratchError> {
        let node = self.node(ino)?;
        match &node.body {
            Body::Directory(_) if node.place == Place::Unlinked => Err(ScratchError::NotFound),
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(ScratchError::NotDirectory),
        }
    }

    /// The directory, to change its entries.
    pub(super) fn change_directory(
        &mut self,
        ino: Ino,
        now: SystemTime,
    ) -> Result<&mut Directory, ScratchError> {
        let node = self.node_mut(ino)?;
        match &mut node.body {
            Body::Directory(_) if node.place == Place::Unlinked => Err(ScratchError::NotFound),
            Body::Directory(directory) => {
                (node.mtime, node.ctime) = (now, now);
                Ok(directory)
            }
            Body::File(_) => Err(ScratchError::NotDirectory),
        }
    }

    pub(super) fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino, ScratchError> {
        let directory = self.directory(parent)?;
        check_name(name)?;
        directory.get(name).ok_or(ScratchError::NotFound)
    }

    /// Adds a node under a free name.
    pub(super) fn insert(
        &mut self,
        parent: Ino,
        name: &OsStr,
        body: Body,
        mode: u16,
        now: SystemTime,
    ) -> Result<Ino, ScratchError> {
        match self.lookup(parent, name) {
            Ok(_) => return Err(ScratchError::Exists),
            Err(ScratchError::NotFound) => {}
            Err(error) => return Err(error),
        }
        if self.entries() >= self.quotas.entries || self.depth(parent) >= self.quotas.depth {
            return Err(ScratchError::NoSpace);
        }
        let ino = self.next_ino;
        self.change_directory(parent, now)?.put(name, ino);
        self.next_ino.0 += 1;
        self.nodes.insert(ino, Node::new(Place::In(parent), body, mode, now));
        Ok(ino)
    }

    /// Removes a name and what it stands for, a file or an empty directory. Returns what nobody
    /// has open or knows, to be dropped outside the lock: overwriting it takes time.
    pub(super) fn unlink(
        &mut self,
        parent: Ino,
        name: &OsStr,
        now: SystemTime,
    ) -> Result<Option<Node>, ScratchError> {
        let ino = self.lookup(parent, name)?;
        self.change_directory(parent, now)?.remove(name);
        Ok(self.detach(ino, now))
    }

    /// What happens to a node that lost its name.
    pub(super) fn detach(&mut self, ino: Ino, now: SystemTime) -> Option<Node> {
        let node = self.nodes.get_mut(&ino)?;
        (node.place, node.ctime) = (Place::Unlinked, now);
        self.reap(ino)
    }

    pub(super) fn open(&mut self, ino: Ino) -> Result<Fh, ScratchError> {
        let node = self.node_mut(ino)?;
        if node.is_directory() {
            return Err(ScratchError::IsDirectory);
        }
        node.opens += 1;
        let fh = self.next_fh;
        self.next_fh.0 += 1;
        self.handles.insert(fh, ino);
        Ok(fh)
    }

    /// Closes a handle; an unknown one is ignored.
    pub(super) fn release(&mut self, fh: Fh) -> Option<Node> {
        let ino = self.handles.remove(&fh)?;
        self.nodes.get_mut(&ino)?.opens -= 1;
        self.reap(ino)
    }

    /// Gives out the number of a node, which stays valid until it is taken back.
    pub(super) fn make_known(&mut self, ino: Ino) -> Result<(), ScratchError> {
        self.node_mut(ino)?.known += 1;
        Ok(())
    }

    /// Takes back a number that was given out so often; an unknown one is ignored.
    pub(super) fn forget(&mut self, ino: Ino, times: u64) -> Option<Node> {
        let node = self.nodes.get_mut(&ino)?;
        node.known = node.known.saturating_sub(times);
        self.reap(ino)
    }

    pub(super) fn opened(&self, fh: Fh) -> Result<Ino, ScratchError> {
        self.handles.get(&fh).copied().ok_or(ScratchError::StaleHandle)
    }

    /// Sets aside the space for a file of `size` bytes that has `old` now.
    pub(super) fn reserve(&mut self, old: u64, size: u64) -> Result<usize, ScratchError> {
        let bytes = (self.bytes - old).checked_add(size).ok_or(ScratchError::NoSpace)?;
        let grows = size > old;
        if grows && (size > self.quotas.file_bytes || bytes > self.quotas.bytes) {
            return Err(ScratchError::NoSpace);
        }
        let size = usize::try_from(size).map_err(|_| ScratchError::NoSpace)?;
        self.bytes = bytes;
        Ok(size)
    }

    /// The components of the path of a linked node.
    pub(super) fn depth(&self, ino: Ino) -> usize {
        self.path(ino).count()
    }

    /// The node itself and what is above it, up to one of the four fixed directories.
    pub(super) fn path(&self, ino: Ino) -> impl Iterator<Item = Ino> {
        std::iter::successors(Some(ino), |ino| match self.nodes.get(ino)?.place {
            Place::In(parent) => Some(parent),
            Place::Top | Place::Unlinked => None,
        })
    }

    /// The components of the longest path from this node on, itself included.
    pub(super) fn height(&self, ino: Ino) -> usize {
        let below = match self.directory(ino) {
            Ok(directory) => directory.inodes().map(|ino| self.height(ino)).max(),
            Err(_) => None,
        };
        below.unwrap_or(0) + 1
    }

    /// Takes out a node that has neither a name nor a handle and that nobody knows.
    fn reap(&mut self, ino: Ino) -> Option<Node> {
        let node = self.nodes.get(&ino)?;
        if node.place != Place::Unlinked || node.opens > 0 || node.known > 0 {
            return None;
        }
        let node = self.nodes.remove(&ino)?;
        if let Body::File(content) = &node.body {
            self.bytes -= content.len() as u64;
        }
        Some(node)
    }
}

/// The number of one of the four fixed directories, the same in every life of a daemon.
pub(super) fn top_ino(index: usize) -> Ino {
    Ino(FIRST_INO + index as u64)
}

pub(super) fn check_name(name: &OsStr) -> Result<(), ScratchError> {
    let bytes = name.as_encoded_bytes();
    if bytes.len() > NAME_MAX {
        return Err(ScratchError::NameTooLong);
    }
    let is_path = matches!(bytes, b"" | b"." | b"..") || bytes.iter().any(|b| b"/\0".contains(b));
    if is_path { Err(ScratchError::Invalid) } else { Ok(()) }
}

/// Numbers of the tree are below, and those of doubles are exact up to twice that.
pub(super) const FIRST_INO: u64 = 1 << 52;

/// 1 and 2 are those of `.` and `..`.
pub(super) const FIRST_OFFSET: u64 = 2;
