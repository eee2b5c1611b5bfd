//! What the kernel is told.

use fuser::Errno;

use crate::scratch::ScratchError;
use crate::tree::FsError;

/// Exhaustive on purpose: a new error needs a decision here. There is no way from a failing role
/// to an errno.
pub(super) fn errno(error: FsError) -> Errno {
    match error {
        FsError::NotFound => Errno::ENOENT,
        FsError::IsDirectory => Errno::EISDIR,
        FsError::NotDirectory => Errno::ENOTDIR,
        FsError::ReadOnly => Errno::EROFS,
        FsError::Refused => Errno::EACCES,
        // As for a file that was removed on a network file system: open it again.
        // For an inode number it makes the kernel look the name up again.
        FsError::StaleHandle => Errno::ESTALE,
        FsError::Failed => Errno::EIO,
    }
}

/// Exhaustive on purpose, as above.
pub(super) fn scratch_errno(error: ScratchError) -> Errno {
    match error {
        ScratchError::NotFound => Errno::ENOENT,
        ScratchError::Exists => Errno::EEXIST,
        ScratchError::NotDirectory => Errno::ENOTDIR,
        ScratchError::IsDirectory => Errno::EISDIR,
        ScratchError::NotEmpty => Errno::ENOTEMPTY,
        ScratchError::Invalid => Errno::EINVAL,
        ScratchError::NameTooLong => Errno::ENAMETOOLONG,
        ScratchError::NoSpace => Errno::ENOSPC,
        ScratchError::StaleHandle => Errno::ESTALE,
    }
}
