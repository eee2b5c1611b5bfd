//! One file: its constant size, its modification time and what an open pins.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

/// Bytes fixed at open, overwritten when the last handle to them is released.
#[derive(Debug)]
pub struct Snapshot(Zeroizing<String>);

impl Snapshot {
    /// Takes ownership of a rendered and padded text.
    pub fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The state of one file.
#[derive(Debug)]
pub struct FileState {
    size: u64,
    mtime: SystemTime,
    published: Option<Published>,
}

#[derive(Debug)]
struct Published {
    snapshot: Arc<Snapshot>,
    fresh_until: SystemTime,
}

impl FileState {
    pub(super) fn new(now: SystemTime) -> Self {
        Self { size: 0, mtime: now, published: None }
    }

    /// The size every reader is told.
    pub fn size(&self) -> u64 {
        self.size
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

    /// Serves `snapshot` from now on. The modification time always moves forward, also when the
    /// clock was set back: readers that poll it look for a later one.
    pub(super) fn publish(
        &mut self,
        snapshot: Arc<Snapshot>,
        fresh_until: SystemTime,
        now: SystemTime,
    ) {
        self.size = self.size.max(snapshot.bytes().len() as u64);
        self.mtime = now.max(self.mtime + SMALLEST_STEP);
        self.published = Some(Published { snapshot, fresh_until });
    }

    /// Changes only how long the present content may be served.
    pub(super) fn extend(&mut self, fresh_until: SystemTime) {
        if let Some(published) = &mut self.published {
            published.fresh_until = fresh_until;
        }
    }

    /// The content, if it may still be served at `now`.
    pub(super) fn fresh(&self, now: SystemTime) -> Option<Arc<Snapshot>> {
        let published = self.published.as_ref()?;
        (now < published.fresh_until).then(|| published.snapshot.clone())
    }
}

/// Some readers keep modification times in milliseconds.
const SMALLEST_STEP: Duration = Duration::from_millis(1);
