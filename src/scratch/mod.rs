//! The small writable directories of a mount, in memory only: what AWS clients cache beside
//! `credentials`. They are private to one mount and gone when it is dropped. Pure state and std
//! types; knows nothing of fuser, tokio, AWS and the owner of files, and takes the time as an
//! argument.
//!
//! There are no symlinks and no hard links. Sandboxed readers and programs outside share these
//! directories; a symlink planted by the one could make the other write somewhere else.

#![forbid(unsafe_code)]

mod content;
mod directory;
mod ops;
mod quotas;
mod rename;
mod state;

pub use directory::Entry;
pub use ops::{Attr, Changes, Scratch};
pub use quotas::{Quotas, Usage};
pub use rename::Existing;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

/// The names of the writable directories below the mount, in the order of their inode numbers:
/// what the AWS CLI and the SDKs write below `~/.aws` (`cli/cache`, `sso/cache`, `login/cache`,
/// `boto/cache`).
pub const TOPS: [&str; 4] = ["boto", "cli", "login", "sso"];

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScratchError {
    /// No such name.
    #[error("no such file or directory")]
    NotFound,
    /// The name is taken.
    #[error("the file exists")]
    Exists,
    /// The operation is for directories.
    #[error("is not a directory")]
    NotDirectory,
    /// The operation is for files.
    #[error("is a directory")]
    IsDirectory,
    /// The directory has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// A directory cannot be moved below itself, and some names are none.
    #[error("invalid argument")]
    Invalid,
    /// The name has more than 255 bytes.
    #[error("the file name is too long")]
    NameTooLong,
    /// A quota would be exceeded.
    #[error("no space is left")]
    NoSpace,
    /// The handle or the inode number is not one of ours: it is of a daemon before this one, whose
    /// files are gone with it.
    #[error("stale file handle")]
    StaleHandle,
}
