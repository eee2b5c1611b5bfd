//! The virtual `~/.aws`: fixed inodes, files of constant size, a snapshot per open. Pure state
//! and std types; knows nothing of fuser, tokio and AWS.

#![forbid(unsafe_code)]

mod file;
mod handles;
mod inode;
mod ops;
mod told;

pub use file::{FileState, Snapshot, View};
pub use handles::Fh;
pub use inode::{Contents, FileId, Ino, TokenFile, TokenFiles};
pub use ops::{Attr, Entry, FsError, Kind, Open, Slice, Tree};
pub use told::Told;

#[cfg(test)]
mod tests;
