//! One mount being served.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::{io, thread};

use fuser::{Config, INodeNo, Notifier, Session, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::adapter::CredFs;
use crate::open::CurrentService;
use crate::publish::Invalidate;
use crate::tree::Ino;

/// A mount whose requests are answered by a thread of their own. Dropping it does not unmount:
/// that is one explicit call, [`super::mount::unmount`].
#[derive(Debug)]
pub struct Mounted {
    ended: oneshot::Receiver<io::Result<()>>,
    kernel: Arc<Kernel>,
}

impl Mounted {
    /// Does the INIT handshake on `fd` and begins to serve.
    ///
    /// # Errors
    /// If the handshake or starting the thread fails.
    pub fn serve(fd: OwnedFd, service: Arc<CurrentService>, runtime: Handle) -> io::Result<Self> {
        // `from_fd` never unmounts, so a crash or a panic cannot.
        let filesystem = CredFs::new(service, runtime);
        let session = Session::from_fd(filesystem, fd, SessionACL::Owner, Config::default())?;
        let kernel = Arc::new(Kernel(session.notifier()));
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("fuse".to_owned()).spawn(move || {
            // Nobody listens any more once the daemon stops.
            let _ = end.send(session.run());
        })?;
        Ok(Self { ended, kernel })
    }

    /// The way to make the kernel forget attributes.
    pub fn kernel(&self) -> Arc<dyn Invalidate> {
        self.kernel.clone()
    }

    /// Returns when the file system was unmounted, by us or by somebody else, everywhere.
    ///
    /// # Errors
    /// If the connection to the kernel broke.
    pub async fn ended(&mut self) -> io::Result<()> {
        (&mut self.ended)
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the FUSE thread panicked")))
    }
}

#[derive(Debug)]
struct Kernel(Notifier);

impl Invalidate for Kernel {
    fn invalidate(&self, ino: Ino) {
        // Offset 0, length 0: attributes and all pages.
        if let Err(error) = self.0.inval_inode(INodeNo(ino.0), 0, 0) {
            tracing::debug!(ino = ino.0, %error, "invalidation failed");
        }
    }

    fn forget(&self, parent: Ino, name: &str) {
        if let Err(error) = self.0.inval_entry(INodeNo(parent.0), OsStr::new(name)) {
            tracing::debug!(parent = parent.0, name, %error, "a name was not forgotten");
        }
    }
}
