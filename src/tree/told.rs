//! What the kernel has been told of a mount, which it believes longer than a daemon lives. Must not
//! know where that is kept.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::inode::Ino;

/// What one daemon has told the kernel of a mount, for the next one to go on from. There is nothing
/// secret in it. The default is what the first daemon finds: nothing was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The size of each file, in bytes.
    pub sizes: BTreeMap<Ino, u64>,
    /// The latest modification time of any file.
    pub mtime: SystemTime,
}

impl Default for Told {
    fn default() -> Self {
        Self { sizes: BTreeMap::new(), mtime: UNIX_EPOCH }
    }
}
