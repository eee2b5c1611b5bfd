//! Open file handles and the snapshots they pin.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;

use super::file::Snapshot;

/// A file handle number, as the kernel passes it back with each read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fh(pub u64);

/// All open handles.
#[derive(Debug)]
pub(super) struct HandleTable {
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    first: u64,
    next: u64,
    snapshots: HashMap<u64, Arc<Snapshot>>,
}

impl HandleTable {
    /// Handle numbers start at `epoch << 32`, so that one of an earlier daemon's life is never
    /// taken for one of ours.
    pub(super) fn new(epoch: u32) -> Self {
        let first = u64::from(epoch) << 32;
        Self { open: Mutex::new(Open { first, next: first, snapshots: HashMap::new() }) }
    }

    /// Whether the number is one that this table never gave out.
    pub(super) fn is_foreign(&self, fh: Fh) -> bool {
        let open = self.open.lock();
        !(open.first..open.next).contains(&fh.0)
    }

    pub(super) fn pin(&self, snapshot: Arc<Snapshot>) -> Fh {
        let mut open = self.open.lock();
        let fh = open.next;
        open.next += 1;
        open.snapshots.insert(fh, snapshot);
        Fh(fh)
    }

    /// Lets `earlier`, a number that this table never gave out, stand for what `fh` pins, and
    /// forgets `fh`. What `earlier` stands for already it goes on to stand for: who reads by it may
    /// have read a part.
    pub(super) fn resume(&self, fh: Fh, earlier: Fh) {
        let mut open = self.open.lock();
        let Some(snapshot) = open.snapshots.remove(&fh.0) else { return };
        let kept = match open.snapshots.entry(earlier.0) {
            Entry::Occupied(_) => Some(snapshot),
            Entry::Vacant(entry) => {
                entry.insert(snapshot);
                None
            }
        };
        drop(open);
        drop(kept);
    }

    pub(super) fn get(&self, fh: Fh) -> Option<Arc<Snapshot>> {
        self.open.lock().snapshots.get(&fh.0).cloned()
    }

    /// Forgets a handle; an unknown one is ignored. The snapshot is dropped outside the lock,
    /// because overwriting it takes time.
    pub(super) fn release(&self, fh: Fh) {
        let released = self.open.lock().snapshots.remove(&fh.0);
        drop(released);
    }

    pub(super) fn len(&self) -> usize {
        self.open.lock().snapshots.len()
    }
}
