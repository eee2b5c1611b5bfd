//! The operations of the file system, without a kernel.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::file::{FileState, Snapshot, View};
use super::handles::{Fh, HandleTable};
use super::inode::{Contents, FileId, Ino, Node, layout};
use super::told::Told;
use crate::model::ServedKey;

/// A virtual `~/.aws` with its open handles.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<Ino, Node>,
    files: HashMap<FileId, (Ino, Mutex<FileState>)>,
    handles: Arc<HandleTable>,
    mounted: SystemTime,
}

/// Attributes of a node. Owner and permissions are the same for all and added by the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The inode number.
    pub ino: Ino,
    /// Directory or file.
    pub kind: Kind,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// When the content last changed.
    pub mtime: SystemTime,
}

/// The two kinds of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory with so many subdirectories.
    Directory(u32),
    /// A regular file.
    File,
}

/// A directory entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The inode number.
    pub ino: Ino,
    /// The name in the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub directory: bool,
}

/// The first answer to an open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Open {
    /// The content of the file is fresh and pinned to this handle.
    Ready(Fh),
    /// The content of the file has to be made first.
    Due,
}

/// A part of a pinned snapshot.
#[derive(Debug)]
pub struct Slice {
    snapshot: Arc<Snapshot>,
    start: usize,
    end: usize,
}

impl Slice {
    /// The bytes; empty beyond the end of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.snapshot.bytes()[self.start..self.end]
    }
}

/// Why an operation failed. A role that fails is never one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FsError {
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// The operation is for files.
    #[error("is a directory")]
    IsDirectory,
    /// The operation is for directories.
    #[error("is not a directory")]
    NotDirectory,
    /// Opened for writing.
    #[error("the file system is read-only")]
    ReadOnly,
    /// This reader may not read it.
    #[error("permission denied")]
    Refused,
    /// The handle or the inode number is not one of ours, or no longer: it is of a daemon before
    /// this one, or of a profile that went.
    #[error("stale file handle")]
    StaleHandle,
    /// Something in the daemon is broken.
    #[error("internal error")]
    Failed,
}

impl Tree {
    /// A tree with these contents. `epoch` must differ between daemons that serve one
    /// mount after the other.
    pub fn new(contents: &Contents, now: SystemTime, epoch: u32) -> Self {
        let nodes = layout(contents);
        let files = nodes
            .iter()
            .filter_map(|(ino, node)| match node {
                Node::File(id) => Some((*id, (*ino, Mutex::new(FileState::new(now))))),
                Node::Directory(_) => None,
            })
            .collect();
        Self { nodes, files, handles: Arc::new(HandleTable::new(epoch)), mounted: now }
    }

    /// The same tree, going on from what an earlier daemon has told the kernel of the mount: sizes
    /// do not fall, and modification times move forward.
    #[must_use]
    pub fn resuming(mut self, told: &Told) -> Self {
        self.mounted = self.mounted.max(told.mtime);
        for (ino, file) in self.files.values_mut() {
            let size = told.sizes.get(ino).copied().unwrap_or_default();
            file.get_mut().resume(size, told.mtime);
        }
        self
    }

    /// What readers are told at present, for a daemon after this one.
    pub fn told(&self) -> Told {
        let mut told = Told::default();
        for (ino, file) in self.files.values() {
            let file = file.lock();
            told.sizes.insert(*ino, file.size());
            told.mtime = told.mtime.max(file.mtime());
        }
        told
    }

    /// A tree with other contents that takes the place of this one at `now`. It knows all
    /// handles of this one, and a file that both have keeps its inode number, its size and its
    /// modification time; what it holds has to be published anew.
    #[must_use]
    pub fn successor(&self, contents: &Contents, now: SystemTime) -> Self {
        let next = Self::new(contents, now, 0);
        let known: HashMap<Ino, &Mutex<FileState>> =
            self.files.values().map(|(ino, state)| (*ino, state)).collect();
        let files = next.files.into_iter().map(|(id, (ino, state))| {
            let state = known.get(&ino).map_or(state, |old| Mutex::new(old.lock().successor()));
            (id, (ino, state))
        });
        Self { files: files.collect(), handles: self.handles.clone(), ..next }
    }

    /// The entries that this tree has and `next` has not, each with its directory.
    pub fn gone_in(&self, next: &Self) -> Vec<(Ino, String)> {
        let mut gone = Vec::new();
        for (ino, node) in &self.nodes {
            let Node::Directory(entries) = node else { continue };
            let names = entries.iter().filter(|(_, below)| !next.nodes.contains_key(below));
            gone.extend(names.map(|(name, _)| (*ino, name.clone())));
        }
        gone
    }

    /// Makes every file at least as large as the same file of `other`.
    pub fn grow_as(&self, other: &Self) {
        let sizes: HashMap<Ino, u64> =
            other.files.values().map(|(ino, file)| (*ino, file.lock().size())).collect();
        for (ino, file) in self.files.values() {
            file.lock().grow(sizes.get(ino).copied().unwrap_or_default());
        }
    }

    /// All inode numbers.
    pub fn inos(&self) -> Vec<Ino> {
        self.nodes.keys().copied().collect()
    }

    /// Looks a name up in a directory.
    ///
    /// # Errors
    /// [`FsError::NotFound`], [`FsError::NotDirectory`], [`FsError::StaleHandle`].
    pub fn lookup(&self, parent: Ino, name: &str) -> Result<Attr, FsError> {
        let entries = self.directory(parent)?;
        let (_, ino) = entries.iter().find(|(entry, _)| entry == name).ok_or(FsError::NotFound)?;
        self.attr(*ino)
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// [`FsError::StaleHandle`].
    pub fn attr(&self, ino: Ino) -> Result<Attr, FsError> {
        Ok(match self.nodes.get(&ino).ok_or(FsError::StaleHandle)? {
            Node::Directory(entries) => {
                let is_directory =
                    |ino: &Ino| matches!(self.nodes.get(ino), Some(Node::Directory(_)));
                let below = entries.iter().filter(|(_, ino)| is_directory(ino)).count();
                let kind = Kind::Directory(u32::try_from(below).unwrap_or(u32::MAX));
                Attr { ino, kind, size: 0, mtime: self.mounted }
            }
            Node::File(id) => {
                let file = self.file(*id).lock();
                Attr { ino, kind: Kind::File, size: file.size(), mtime: file.mtime() }
            }
        })
    }

    /// The entries of a directory, without `.` and `..`, in a fixed order.
    ///
    /// # Errors
    /// [`FsError::NotDirectory`], [`FsError::StaleHandle`].
    pub fn entries(&self, ino: Ino) -> Result<Vec<Entry>, FsError> {
        let entry = |(name, ino): &(String, Ino)| Entry {
            ino: *ino,
            name: name.clone(),
            directory: matches!(self.nodes.get(ino), Some(Node::Directory(_))),
        };
        Ok(self.directory(ino)?.iter().map(entry).collect())
    }

    /// The file of an inode number.
    ///
    /// # Errors
    /// [`FsError::IsDirectory`], [`FsError::StaleHandle`].
    pub fn file_at(&self, ino: Ino) -> Result<FileId, FsError> {
        match self.nodes.get(&ino).ok_or(FsError::StaleHandle)? {
            Node::Directory(_) => Err(FsError::IsDirectory),
            Node::File(id) => Ok(*id),
        }
    }

    /// Opens a file for a reader of `view`: pins its content if it may still be served at `now`.
    pub fn open(&self, id: FileId, view: View, now: SystemTime) -> Open {
        let fresh = self.file(id).lock().fresh(view, now);
        fresh.map_or(Open::Due, |snapshot| Open::Ready(self.handles.pin(snapshot)))
    }

    /// The keys that a handle pins; none for an unknown one.
    pub fn keys(&self, fh: Fh) -> Vec<ServedKey> {
        self.handles.get(fh).map(|snapshot| snapshot.keys().to_vec()).unwrap_or_default()
    }

    /// Pins a snapshot made for one reader.
    pub fn pin(&self, snapshot: Arc<Snapshot>) -> Fh {
        self.handles.pin(snapshot)
    }

    /// A part of what the handle pins: short at the end, empty beyond it.
    ///
    /// # Errors
    /// [`FsError::StaleHandle`].
    pub fn read(&self, fh: Fh, offset: u64, size: u32) -> Result<Slice, FsError> {
        let snapshot = self.handles.get(fh).ok_or(FsError::StaleHandle)?;
        let length = snapshot.bytes().len();
        let start = usize::try_from(offset).unwrap_or(length).min(length);
        let end = start.saturating_add(size as usize).min(length);
        Ok(Slice { snapshot, start, end })
    }

    /// Whether a handle was given out by a daemon before this one.
    pub fn is_earlier(&self, fh: Fh) -> bool {
        self.handles.is_foreign(fh)
    }

    /// The size of a file that such a daemon has told last, which is the most that its handles can
    /// have given; 0 if nothing is known of it.
    pub fn earlier_size(&self, id: FileId) -> u64 {
        self.file(id).lock().earlier()
    }

    /// Lets `earlier`, a handle of a daemon before this one, stand for what `fh` pins, unless it
    /// stands for something already. `fh` is forgotten.
    ///
    /// # Errors
    /// [`FsError::StaleHandle`] if that is more than an open of that daemon can have promised.
    pub fn resume(&self, id: FileId, fh: Fh, earlier: Fh) -> Result<(), FsError> {
        let length = self.handles.get(fh).map_or(0, |snapshot| snapshot.bytes().len() as u64);
        if length > self.earlier_size(id) {
            self.handles.release(fh);
            return Err(FsError::StaleHandle);
        }
        self.handles.resume(fh, earlier);
        Ok(())
    }

    /// Forgets a handle; unknown ones are ignored.
    pub fn release(&self, fh: Fh) {
        self.handles.release(fh);
    }

    /// Handles open now.
    pub fn open_handles(&self) -> usize {
        self.handles.len()
    }

    /// The inode number of a file.
    pub fn ino(&self, id: FileId) -> Ino {
        self.files.get(&id).map_or(Ino::ROOT, |(ino, _)| *ino)
    }

    /// The size that contents have to have, which may be less than what readers are told while the
    /// file grows.
    pub fn room(&self, id: FileId) -> usize {
        usize::try_from(self.file(id).lock().room()).unwrap_or(usize::MAX)
    }

    /// Tells readers a larger size. Content of that size may be published only when the kernel
    /// has forgotten the old one, which [`Tree::grown`] is told of.
    pub fn grow(&self, id: FileId, size: usize) {
        self.file(id).lock().grow(size as u64);
    }

    /// The kernel has forgotten every size of the file below the present one.
    pub fn grown(&self, id: FileId) {
        self.file(id).lock().grown();
    }

    /// Serves `snapshot` to every open of `view` until `fresh_until`.
    pub fn publish(
        &self,
        id: FileId,
        view: View,
        snapshot: Arc<Snapshot>,
        fresh_until: SystemTime,
        now: SystemTime,
    ) {
        self.file(id).lock().publish(view, snapshot, fresh_until, now);
    }

    /// Serves the present content until `fresh_until`.
    pub fn extend(&self, id: FileId, view: View, fresh_until: SystemTime) {
        self.file(id).lock().extend(view, fresh_until);
    }

    /// From `now` on every content is due.
    pub fn expire(&self, now: SystemTime) {
        for (_, file) in self.files.values() {
            file.lock().expire(now);
        }
    }

    fn directory(&self, ino: Ino) -> Result<&[(String, Ino)], FsError> {
        match self.nodes.get(&ino).ok_or(FsError::StaleHandle)? {
            Node::Directory(entries) => Ok(entries),
            Node::File(_) => Err(FsError::NotDirectory),
        }
    }

    #[expect(clippy::expect_used, reason = "FileIds come from this tree's own nodes")]
    fn file(&self, id: FileId) -> &Mutex<FileState> {
        &self.files.get(&id).expect("a file of this tree").1
    }
}
