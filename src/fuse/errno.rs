//! What the kernel is told.

use fuser::Errno;

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
        FsError::StaleHandle => Errno::ESTALE,
    }
}
