//! Who is told when readers are told something new: the kernel, and whoever remembers it for the
//! next daemon. Must not know sessions.

use std::fmt::Debug;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::tree::{Ino, Told, Tree};

/// Makes the kernel forget what it knows of an inode. Implemented by `fuse/`.
pub trait Invalidate: Debug + Send + Sync + 'static {
    /// Returns when the kernel has forgotten size, times and pages. May block; must not be called
    /// while holding a lock that an operation of the tree needs.
    fn invalidate(&self, ino: Ino);

    /// Makes the kernel forget a name in a directory. As [`Invalidate::invalidate`].
    fn forget(&self, parent: Ino, name: &str);
}

/// Keeps what the kernel was told, for a daemon that serves the same mount after this one.
/// Implemented by `app/`.
pub trait Remember: Debug + Send + Sync + 'static {
    /// Returns when `told`, which replaces what was told before, outlives this process. May block.
    /// Of two calls one begins after the other has ended. What cannot be kept is the implementer's
    /// to report: readers are served all the same.
    fn remember(&self, told: &Told);
}

/// The listeners of one tree.
#[derive(Debug)]
pub(super) struct Listeners {
    tree: Arc<Tree>,
    kernel: Mutex<Option<Arc<dyn Invalidate>>>,
    /// Held during a call, so that what is told last is the latest.
    memory: Mutex<Option<Arc<dyn Remember>>>,
}

impl Listeners {
    pub(super) fn new(tree: Arc<Tree>) -> Arc<Self> {
        Arc::new(Self { tree, kernel: Mutex::default(), memory: Mutex::default() })
    }

    pub(super) fn attach(&self, kernel: Arc<dyn Invalidate>) {
        *self.kernel.lock() = Some(kernel);
    }

    /// Tells `memory`, from now on. Blocks.
    pub(super) fn remember_by(&self, memory: Arc<dyn Remember>) {
        *self.memory.lock() = Some(memory);
        self.remember();
    }

    /// Sizes or modification times have changed. Blocks.
    pub(super) fn remember(&self) {
        let memory = self.memory.lock();
        if let Some(memory) = &*memory {
            memory.remember(&self.tree.told());
        }
    }

    /// Those of these inodes have changed: that is remembered first, so that no daemon after this
    /// one is surprised by what the kernel knows. Blocks.
    pub(super) fn changed(&self, inos: &[Ino]) {
        self.remember();
        let kernel = self.kernel.lock().clone();
        for ino in inos {
            if let Some(kernel) = &kernel {
                kernel.invalidate(*ino);
            }
        }
    }
}
