//! One file: its constant size, its modification time and what an open pins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::model::ServedKey;

/// Bytes fixed at open, overwritten when the last handle to them is released, and the names of the
/// keys in them.
#[derive(Debug)]
pub struct Snapshot {
    text: Zeroizing<String>,
    keys: Vec<ServedKey>,
}

impl Snapshot {
    /// Takes ownership of a rendered and padded text that holds `keys`.
    pub fn new(text: Zeroizing<String>, keys: Vec<ServedKey>) -> Self {
        Self { text, keys }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Which keys the bytes hold.
    pub fn keys(&self) -> &[ServedKey] {
        &self.keys
    }
}

/// Which of the contents of a file a reader gets: the number of a part of the mount. All contents
/// of a file have one size and one modification time, because they share an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View(pub usize);

impl View {
    /// All of it.
    pub const ALL: Self = Self(0);
}

/// The state of one file.
#[derive(Debug)]
pub struct FileState {
    /// What every reader is told.
    size: u64,
    /// What contents may have: the kernel has forgotten every smaller size.
    room: u64,
    /// What an earlier daemon has told last; 0 if there was none.
    earlier: u64,
    mtime: SystemTime,
    published: BTreeMap<View, Published>,
}

#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    fresh_until: SystemTime,
}

impl FileState {
    pub(super) fn new(now: SystemTime) -> Self {
        Self { size: 0, room: 0, earlier: 0, mtime: now, published: BTreeMap::new() }
    }

    /// Goes on from what an earlier daemon has told of this file.
    pub(super) fn resume(&mut self, size: u64, mtime: SystemTime) {
        self.size = self.size.max(size);
        self.room = self.room.max(size);
        self.earlier = size;
        self.mtime = self.mtime.max(mtime + SMALLEST_STEP);
    }

    /// The state of the same file in a tree that takes the place of this one's: nothing is
    /// published yet, but readers are never told a smaller size or an earlier time.
    pub(super) fn successor(&self) -> Self {
        let Self { size, earlier, mtime, .. } = *self;
        Self { size, room: size, earlier, mtime, published: BTreeMap::new() }
    }

    /// The size every reader is told.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How large contents may be made, and have to be.
    pub(super) fn room(&self) -> u64 {
        self.room
    }

    /// What the descriptors of an earlier daemon can have read at most.
    pub(super) fn earlier(&self) -> u64 {
        self.earlier
    }

    /// When the content last changed.
    pub fn mtime(&self) -> SystemTime {
        self.mtime
    }

    /// Makes the file larger; it never shrinks while mounted. The content follows only when the
    /// kernel has forgotten the smaller size: a reader may meet a size larger than its bytes, but
    /// never a smaller one.
    pub(super) fn grow(&mut self, size: u64) {
        self.size = self.size.max(size);
    }

    /// The kernel has forgotten every size below the present one.
    pub(super) fn grown(&mut self) {
        self.room = self.size;
    }

    /// Serves `snapshot` to `view` from now on. The modification time always moves forward, also when
    /// the clock was set back: readers that poll it look for a later one.
    pub(super) fn publish(
        &mut self,
        view: View,
        snapshot: Arc<Snapshot>,
        fresh_until: SystemTime,
        now: SystemTime,
    ) {
        self.size = self.size.max(snapshot.bytes().len() as u64);
        self.room = self.room.max(snapshot.bytes().len() as u64);
        self.mtime = now.max(self.mtime + SMALLEST_STEP);
        self.published.insert(view, Published { snapshot, fresh_until });
    }

    /// Changes only how long the present content may be served.
    pub(super) fn extend(&mut self, view: View, fresh_until: SystemTime) {
        if let Some(published) = self.published.get_mut(&view) {
            published.fresh_until = fresh_until;
        }
    }

    /// No content may be served at `now` or later.
    pub(super) fn expire(&mut self, now: SystemTime) {
        for published in self.published.values_mut() {
            published.fresh_until = published.fresh_until.min(now);
        }
    }

    /// The content, if it may still be served at `now`.
    pub(super) fn fresh(&self, view: View, now: SystemTime) -> Option<Arc<Snapshot>> {
        let published = self.published.get(&view)?;
        (now < published.fresh_until).then(|| published.snapshot.clone())
    }
}

/// Some readers keep modification times in milliseconds.
const SMALLEST_STEP: Duration = Duration::from_millis(1);
