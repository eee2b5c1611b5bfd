//! What the kernel has been told of a mount, which it believes longer than a daemon lives. Must not
//! know where that is kept.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use super::inode::Ino;

/// What one life of a mount has told the kernel, for the next one to go on from. There is nothing
/// secret in it. The default is what the first life finds: nothing was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The size of each file, in bytes.
    pub sizes: BTreeMap<Ino, u64>,
    /// The latest modification time of any file.
    pub mtime: SystemTime,
    /// The upper half of the numbers of its handles.
    pub epoch: u32,
}

impl Default for Told {
    fn default() -> Self {
        Self { sizes: BTreeMap::new(), mtime: UNIX_EPOCH, epoch: 0 }
    }
}

impl Told {
    /// The epoch of a life that begins at `now`: seconds since 1970 modulo 2^31, or the one behind
    /// that of the life before where the clock has not moved on. So no handle of one is taken for
    /// one of the other.
    pub fn next_epoch(&self, now: SystemTime) -> u32 {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() & EPOCHS;
        let epoch = u32::try_from(seconds).unwrap_or_default();
        if *self == Self::default() { epoch } else { epoch.max(self.epoch.saturating_add(1)) }
    }
}

/// Handle numbers stay below 2^63.
const EPOCHS: u64 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_two_lives_have_one_epoch_however_fast_they_follow_and_whatever_the_clock_does() {
        let start = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        let first = Told::default().next_epoch(start);
        assert_eq!(first, 1_790_000_000);
        let told = Told { epoch: first, mtime: start, ..Told::default() };
        assert_eq!(told.next_epoch(start + Duration::from_secs(7)), first + 7);
        assert_eq!(told.next_epoch(start), first + 1);
        assert_eq!(told.next_epoch(start - Duration::from_hours(37)), first + 1);
    }
}
