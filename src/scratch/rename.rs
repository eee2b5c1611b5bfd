//! Renaming, with the order of checks of rename(2) and of `do_renameat2` in the kernel's
//! `fs/namei.c`.

use std::ffi::OsStr;
use std::time::SystemTime;

use super::ScratchError;
use super::state::{Node, Place, State, check_name};
use crate::tree::Ino;

/// What happens to a file or an empty directory that has the new name already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and the operation fails (`RENAME_NOREPLACE`).
    Keep,
}

impl State {
    /// Returns what was replaced and is neither open nor known, to be dropped outside the lock.
    pub(super) fn rename(
        &mut self,
        from: (Ino, &OsStr),
        to: (Ino, &OsStr),
        existing: Existing,
        now: SystemTime,
    ) -> Result<Option<Node>, ScratchError> {
        let moved = self.lookup(from.0, from.1)?;
        let replaced = self.directory(to.0)?.get(to.1);
        check_name(to.1)?;
        if replaced.is_some() && existing == Existing::Keep {
            return Err(ScratchError::Exists);
        }
        if self.path(to.0).any(|ino| ino == moved) {
            return Err(ScratchError::Invalid);
        }
        if replaced == Some(moved) {
            return Ok(None);
        }
        if let Some(replaced) = replaced {
            self.may_replace(from.0, moved, replaced)?;
        }
        // Within one directory nothing gets deeper, even if the quota was made smaller.
        if from.0 != to.0 && self.depth(to.0) + self.height(moved) > self.quotas.depth {
            return Err(ScratchError::NoSpace);
        }
        self.change_directory(from.0, now)?.remove(from.1);
        self.change_directory(to.0, now)?.put(to.1, moved);
        let node = self.node_mut(moved)?;
        (node.place, node.ctime) = (Place::In(to.0), now);
        Ok(replaced.and_then(|replaced| self.detach(replaced, now)))
    }

    fn may_replace(&self, from: Ino, moved: Ino, replaced: Ino) -> Result<(), ScratchError> {
        // What is moved is in it.
        if self.path(from).any(|ino| ino == replaced) {
            return Err(ScratchError::NotEmpty);
        }
        match (self.node(moved)?.is_directory(), self.directory(replaced)) {
            (true, Err(error)) => Err(error),
            (false, Ok(_)) => Err(ScratchError::IsDirectory),
            (true, Ok(directory)) if !directory.is_empty() => Err(ScratchError::NotEmpty),
            (true, Ok(_)) | (false, Err(_)) => Ok(()),
        }
    }
}
