//! The entries of one directory, with offsets that stay while others come and go.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};

use crate::tree::Ino;

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The inode number.
    pub ino: Ino,
    /// The name in the directory.
    pub name: OsString,
    /// Whether it is a directory itself.
    pub directory: bool,
    /// Where a reader that has seen this entry goes on; above [`super::Scratch::FIRST_OFFSET`].
    pub offset: u64,
}

/// Names and their inodes. A name keeps its offset when another file takes it over, so that a
/// reader of the directory sees a file that is replaced again and again exactly once.
#[derive(Debug)]
pub(super) struct Directory {
    offsets: HashMap<OsString, u64>,
    entries: BTreeMap<u64, (OsString, Ino)>,
    last: u64,
}

impl Directory {
    /// Offsets begin above `first`.
    pub(super) fn new(first: u64) -> Self {
        Self { offsets: HashMap::new(), entries: BTreeMap::new(), last: first }
    }

    pub(super) fn get(&self, name: &OsStr) -> Option<Ino> {
        let offset = self.offsets.get(name)?;
        self.entries.get(offset).map(|(_, ino)| *ino)
    }

    /// Gives the name to `ino`, whoever had it before.
    pub(super) fn put(&mut self, name: &OsStr, ino: Ino) {
        let offset = *self.offsets.entry(name.to_owned()).or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.entries.insert(offset, (name.to_owned(), ino));
    }

    pub(super) fn remove(&mut self, name: &OsStr) {
        if let Some(offset) = self.offsets.remove(name) {
            self.entries.remove(&offset);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The inodes in it.
    pub(super) fn inodes(&self) -> impl Iterator<Item = Ino> {
        self.entries.values().map(|(_, ino)| *ino)
    }

    /// The entries behind an offset, in their order.
    pub(super) fn after(&self, offset: u64) -> impl Iterator<Item = (u64, &OsStr, Ino)> {
        let behind = self.entries.range(offset.saturating_add(1)..);
        behind.map(|(offset, (name, ino))| (*offset, name.as_os_str(), *ino))
    }
}
