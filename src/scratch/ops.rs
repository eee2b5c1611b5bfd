//! The operations on the writable directories, without a kernel.

use std::ffi::OsStr;
use std::time::SystemTime;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::content::Content;
use super::directory::{Directory, Entry};
use super::quotas::{Quotas, Usage};
use super::rename::Existing;
use super::state::{Body, FIRST_INO, FIRST_OFFSET, Node, Place, State, top_ino};
use super::{ScratchError, TOPS};
use crate::tree::{Fh, Ino, Kind};

/// The four writable directories of one mount and all that is below them. Dropping it overwrites
/// all contents.
///
/// The number of a node that [`Scratch::lookup`], [`Scratch::mkdir`] or [`Scratch::create`] returns
/// stays valid, also without a name, until [`Scratch::forget`] was told of it as often: the kernel
/// opens a file by the number that it found before, and another program may have replaced the file
/// meanwhile.
#[derive(Debug)]
pub struct Scratch {
    state: Mutex<State>,
}

/// Attributes of a node. The owner is added by the adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attr {
    /// The inode number.
    pub ino: Ino,
    /// Directory or file.
    pub kind: Kind,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// Permission bits, as created or changed; nothing here checks them.
    pub mode: u16,
    /// Names: 1, or 0 for what lives only as long as it is open or known.
    pub names: u32,
    /// When it was made, or what was set; reading does not move it.
    pub atime: SystemTime,
    /// When the content last changed, or what was set.
    pub mtime: SystemTime,
    /// When the content or an attribute last changed.
    pub ctime: SystemTime,
}

/// Attributes to be changed; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Bytes; files only.
    pub size: Option<u64>,
    /// Permission bits.
    pub mode: Option<u16>,
    /// Time of the last access.
    pub atime: Option<SystemTime>,
    /// Time of the last change of content.
    pub mtime: Option<SystemTime>,
}

impl Scratch {
    /// Offsets of directory entries are above this; below it are those of `.` and `..`.
    pub const FIRST_OFFSET: u64 = FIRST_OFFSET;

    /// Four empty directories. `epoch` must differ between daemons that serve one mount after
    /// the other: inode and handle numbers follow from it, so that none is used twice.
    pub fn new(quotas: Quotas, epoch: u32, now: SystemTime) -> Self {
        Self { state: Mutex::new(State::new(quotas, epoch, now)) }
    }

    /// Whether an inode number is one of those given out here: 2^52 to 2^53. Those of the tree are
    /// below.
    pub fn owns(ino: Ino) -> bool {
        (FIRST_INO..2 * FIRST_INO).contains(&ino.0)
    }

    /// The inode number of one of the four fixed directories.
    pub fn top(name: &OsStr) -> Option<Ino> {
        TOPS.iter().position(|top| name == *top).map(top_ino)
    }

    /// Looks a name up in a directory.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`], [`ScratchError::NotDirectory`], [`ScratchError::NameTooLong`].
    pub fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Attr, ScratchError> {
        let mut state = self.state.lock();
        let ino = state.lookup(parent, name)?;
        state.make_known(ino)?;
        state.attr(ino)
    }

    /// Takes back the number of a node that was given out so often; what has no name and is not
    /// open is then gone.
    pub fn forget(&self, ino: Ino, times: u64) {
        let removed = self.state.lock().forget(ino, times);
        drop(removed);
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`].
    pub fn attr(&self, ino: Ino) -> Result<Attr, ScratchError> {
        self.state.lock().attr(ino)
    }

    /// The entries of a directory behind an offset, without `.` and `..`. An entry that is there
    /// from the first to the last of a series of calls is told exactly once.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`], [`ScratchError::NotDirectory`].
    pub fn entries(&self, ino: Ino, after: u64) -> Result<Vec<Entry>, ScratchError> {
        let state = self.state.lock();
        let entry = |(offset, name, ino): (u64, &OsStr, Ino)| {
            let directory = state.nodes.get(&ino).is_some_and(Node::is_directory);
            Entry { ino, name: name.to_owned(), directory, offset }
        };
        Ok(state.directory(ino)?.after(after).map(entry).collect())
    }

    /// The directory above a directory; `None` for the four fixed ones.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`].
    pub fn parent(&self, ino: Ino) -> Result<Option<Ino>, ScratchError> {
        Ok(self.state.lock().path(ino).nth(1))
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// [`ScratchError::Exists`], [`ScratchError::NoSpace`], and those of [`Scratch::lookup`].
    pub fn mkdir(
        &self,
        parent: Ino,
        name: &OsStr,
        mode: u16,
        now: SystemTime,
    ) -> Result<Attr, ScratchError> {
        let mut state = self.state.lock();
        let body = Body::Directory(Directory::new(FIRST_OFFSET));
        let ino = state.insert(parent, name, body, mode & MODE_BITS, now)?;
        state.make_known(ino)?;
        state.attr(ino)
    }

    /// Makes an empty file.
    ///
    /// # Errors
    /// As [`Scratch::mkdir`].
    pub fn create(
        &self,
        parent: Ino,
        name: &OsStr,
        mode: u16,
        now: SystemTime,
    ) -> Result<Attr, ScratchError> {
        let mut state = self.state.lock();
        let body = Body::File(Content::default());
        let ino = state.insert(parent, name, body, mode & MODE_BITS, now)?;
        state.make_known(ino)?;
        state.attr(ino)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`], [`ScratchError::IsDirectory`].
    pub fn open(&self, ino: Ino) -> Result<Fh, ScratchError> {
        self.state.lock().open(ino)
    }

    /// Reads from an open file: short at the end, empty beyond it.
    ///
    /// # Errors
    /// [`ScratchError::StaleHandle`].
    pub fn read(&self, fh: Fh, offset: u64, size: u32) -> Result<Zeroizing<Vec<u8>>, ScratchError> {
        let state = self.state.lock();
        match &state.node(state.opened(fh)?)?.body {
            Body::File(content) => Ok(content.read(offset, size)),
            Body::Directory(_) => Err(ScratchError::IsDirectory),
        }
    }

    /// Writes all of `data` to an open file.
    ///
    /// # Errors
    /// [`ScratchError::StaleHandle`]; [`ScratchError::NoSpace`], and then nothing is written.
    pub fn write(
        &self,
        fh: Fh,
        offset: u64,
        data: &[u8],
        now: SystemTime,
    ) -> Result<(), ScratchError> {
        let mut state = self.state.lock();
        let ino = state.opened(fh)?;
        if data.is_empty() {
            return Ok(());
        }
        let old = state.attr(ino)?.size;
        let end = offset.checked_add(data.len() as u64).ok_or(ScratchError::NoSpace)?;
        let offset = usize::try_from(offset).map_err(|_| ScratchError::NoSpace)?;
        state.reserve(old, old.max(end))?;
        state.content(ino, now)?.write(offset, data);
        Ok(())
    }

    /// Changes attributes and returns them. The time of the last change of content moves with the
    /// size unless it is given.
    ///
    /// # Errors
    /// [`ScratchError::NotFound`], [`ScratchError::IsDirectory`], [`ScratchError::NoSpace`].
    pub fn change(
        &self,
        ino: Ino,
        changes: Changes,
        now: SystemTime,
    ) -> Result<Attr, ScratchError> {
        let mut state = self.state.lock();
        if let Some(size) = changes.size {
            if state.node(ino)?.is_directory() {
                return Err(ScratchError::IsDirectory);
            }
            let old = state.attr(ino)?.size;
            let size = state.reserve(old, size)?;
            state.content(ino, now)?.resize(size);
        }
        let node = state.node_mut(ino)?;
        node.mode = changes.mode.map_or(node.mode, |mode| mode & MODE_BITS);
        node.atime = changes.atime.unwrap_or(node.atime);
        node.mtime = changes.mtime.unwrap_or(node.mtime);
        node.ctime = now;
        state.attr(ino)
    }

    /// Gives a file or directory another name, as rename(2).
    ///
    /// # Errors
    /// All but [`ScratchError::StaleHandle`]; then nothing has changed.
    pub fn rename(
        &self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        existing: Existing,
        now: SystemTime,
    ) -> Result<(), ScratchError> {
        let replaced = self.state.lock().rename(from, to, existing, now)?;
        drop(replaced);
        Ok(())
    }

    /// Removes a file. Who has it open reads and writes on.
    ///
    /// # Errors
    /// [`ScratchError::IsDirectory`], and those of [`Scratch::lookup`].
    pub fn unlink(&self, parent: Ino, name: &OsStr, now: SystemTime) -> Result<(), ScratchError> {
        let mut state = self.state.lock();
        let ino = state.lookup(parent, name)?;
        if state.node(ino)?.is_directory() {
            return Err(ScratchError::IsDirectory);
        }
        let removed = state.unlink(parent, name, now)?;
        drop(state);
        drop(removed);
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`ScratchError::NotEmpty`], and those of [`Scratch::lookup`].
    pub fn rmdir(&self, parent: Ino, name: &OsStr, now: SystemTime) -> Result<(), ScratchError> {
        let mut state = self.state.lock();
        let ino = state.lookup(parent, name)?;
        if !state.directory(ino)?.is_empty() {
            return Err(ScratchError::NotEmpty);
        }
        state.unlink(parent, name, now)?;
        Ok(())
    }

    /// Closes a handle; an unknown one is ignored.
    pub fn release(&self, fh: Fh) {
        let removed = self.state.lock().release(fh);
        drop(removed);
    }

    /// How much of the quotas is in use.
    pub fn usage(&self) -> Usage {
        let state = self.state.lock();
        Usage { quotas: state.quotas, bytes: state.bytes, entries: state.entries() }
    }
}

impl State {
    fn attr(&self, ino: Ino) -> Result<Attr, ScratchError> {
        let node = self.node(ino)?;
        let (kind, size) = match &node.body {
            Body::File(content) => (Kind::File, content.len() as u64),
            Body::Directory(directory) => {
                let below = directory.inodes().filter(|ino| self.directory(*ino).is_ok()).count();
                (Kind::Directory(u32::try_from(below).unwrap_or(u32::MAX)), 0)
            }
        };
        let names = u32::from(node.place != Place::Unlinked);
        let Node { mode, atime, mtime, ctime, .. } = *node;
        Ok(Attr { ino, kind, size, mode, names, atime, mtime, ctime })
    }

    /// The content of a file, to change it.
    fn content(&mut self, ino: Ino, now: SystemTime) -> Result<&mut Content, ScratchError> {
        let node = self.node_mut(ino)?;
        match &mut node.body {
            Body::File(content) => {
                (node.mtime, node.ctime) = (now, now);
                Ok(content)
            }
            Body::Directory(_) => Err(ScratchError::IsDirectory),
        }
    }
}

/// Permissions, set-id bits and the sticky bit (inode(7)).
const MODE_BITS: u16 = 0o7777;
