//! How many records were written, and how many could not be.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of records, which only grow.
#[derive(Debug, Default)]
pub struct Counts {
    written: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Records that every sink has.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that a sink has not.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Counts a record.
    pub(super) fn add(&self, is_written: bool) {
        let count = if is_written { &self.written } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}
