//! One mount being made and served: the tree, and where it is writable beside it, the file of keys
//! on a super block of its own.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::{io, thread};

use fuser::{Config, Filesystem, INodeNo, Notifier, Session, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::adapter::CredFs;
use super::key_file::KeyFileFs;
use super::mount::{self, MountError, MountOptions};
use super::writable::WritableFs;
use crate::clock::Clock;
use crate::open::CurrentService;
use crate::publish::Invalidate;
use crate::scratch::{Quotas, Scratch};
use crate::tree::{FileId, Ino};

/// How a mount is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Whether the kernel lets other users in.
    pub allow_other: bool,
    /// Whether there are directories to write to; `None`: where they cost an open of `credentials`
    /// nothing.
    pub writable: Option<bool>,
}

/// A mount whose requests are answered by threads of its own. Dropping it does not unmount: that is
/// one explicit call, [`super::mount::unmount`].
#[derive(Debug)]
pub struct Mounted {
    sessions: Vec<oneshot::Receiver<io::Result<()>>>,
    kernel: Arc<Kernel>,
}

impl Mounted {
    /// Mounts on `path` and begins to serve. `epoch` must differ between daemons that serve one
    /// mount after the other.
    ///
    /// # Errors
    /// If it cannot be mounted; nothing is left behind.
    pub fn make(
        path: &Path,
        shape: Shape,
        service: &Arc<CurrentService>,
        clock: Arc<dyn Clock>,
        epoch: u32,
        runtime: &Handle,
    ) -> Result<Self, MountError> {
        let keys = || CredFs::new(service.clone(), runtime.clone());
        let acl = if shape.allow_other { SessionACL::All } else { SessionACL::Owner };
        let inner = MountOptions { read_only: true, allow_other: shape.allow_other };
        let outer = MountOptions { read_only: false, ..inner };
        if !shape.writable.unwrap_or(outer.takes_mounts_below()) {
            let served = serve(keys(), mount::mount(path, inner)?, acl);
            let (ended, tree) = served.map_err(|error| broken(path, error))?;
            return Ok(Self {
                sessions: vec![ended],
                kernel: Arc::new(Kernel { tree, file: None }),
            });
        }
        let scratch = Scratch::new(Quotas::default(), epoch, clock.now());
        let filesystem = WritableFs::new(keys(), service.clone(), scratch, clock, runtime.clone());
        let gate = filesystem.gate();
        let served = serve(filesystem, mount::mount(path, outer)?, acl);
        let (ended, tree) = served.map_err(|error| broken(path, error))?;
        let mut sessions = vec![ended];
        let mut file = None;
        if outer.takes_mounts_below() {
            // Mounted upon what is served already: fusermount3 looks at it.
            let fd = gate.open_during(|| mount::mount(&path.join("credentials"), inner));
            let current = service.get();
            let served = fd.and_then(|fd| {
                serve(KeyFileFs::new(keys(), current.tree()), fd, acl)
                    .map_err(|source| MountError::Io { path: path.to_owned(), source })
            });
            match served {
                Ok((ended, notifier)) => {
                    sessions.push(ended);
                    file = Some((current.tree().ino(FileId::Credentials), notifier));
                }
                Err(error) => return Err(remove(path, error)),
            }
        }
        Ok(Self { sessions, kernel: Arc::new(Kernel { tree, file }) })
    }

    /// The way to make the kernel forget attributes.
    pub fn kernel(&self) -> Arc<dyn Invalidate> {
        self.kernel.clone()
    }

    /// Returns when the file system was unmounted, by us or by somebody else, everywhere.
    ///
    /// # Errors
    /// If a connection to the kernel broke.
    pub async fn ended(self) -> io::Result<()> {
        let mut end = Ok(());
        for session in self.sessions {
            let panicked = |_| Err(io::Error::other("the FUSE thread panicked"));
            end = end.and(session.await.unwrap_or_else(panicked));
        }
        end
    }
}

type Served = (oneshot::Receiver<io::Result<()>>, Notifier);

/// Does the INIT handshake on `fd` and begins to serve.
fn serve(filesystem: impl Filesystem, fd: OwnedFd, acl: SessionACL) -> io::Result<Served> {
    // `from_fd` never unmounts, so a crash or a panic cannot.
    let session = Session::from_fd(filesystem, fd, acl, Config::default())?;
    let notifier = session.notifier();
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("fuse".to_owned()).spawn(move || {
        // Nobody listens any more once the daemon stops.
        let _ = end.send(session.run());
    })?;
    Ok((ended, notifier))
}

/// The handshake failed, so nobody will serve what is mounted.
fn broken(path: &Path, source: io::Error) -> MountError {
    remove(path, MountError::Io { path: path.to_owned(), source })
}

/// Removes the mount because of `error`, which is the one to tell.
fn remove(path: &Path, error: MountError) -> MountError {
    if let Err(error) = mount::unmount(path) {
        tracing::warn!(%error, "the broken mount stays");
    }
    error
}

#[derive(Debug)]
struct Kernel {
    tree: Notifier,
    /// The file of keys, by its number in the tree, where it has a super block of its own.
    file: Option<(Ino, Notifier)>,
}

impl Invalidate for Kernel {
    fn invalidate(&self, ino: Ino) {
        // Offset 0, length 0: attributes and all pages.
        if let Err(error) = self.tree.inval_inode(INodeNo(ino.0), 0, 0) {
            tracing::debug!(ino = ino.0, %error, "invalidation failed");
        }
        if let Some((_, file)) = self.file.as_ref().filter(|(file, _)| *file == ino)
            && let Err(error) = file.inval_inode(KeyFileFs::NODE, 0, 0)
        {
            tracing::debug!(ino = ino.0, %error, "invalidation failed");
        }
    }

    fn forget(&self, parent: Ino, name: &str) {
        if let Err(error) = self.tree.inval_entry(INodeNo(parent.0), OsStr::new(name)) {
            tracing::debug!(parent = parent.0, name, %error, "a name was not forgotten");
        }
    }
}
