//! One mount being served: its connections adopted, its requests answered by threads of its own.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::{io, thread};

use fuser::{Filesystem, INodeNo, Notifier, SessionACL};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::adapter::CredFs;
use super::adopt::{adopt, resend};
use super::key_file::KeyFileFs;
use super::make::{Connections, Shape};
use super::writable::WritableFs;
use crate::clock::Clock;
use crate::open::CurrentService;
use crate::publish::Invalidate;
use crate::scratch::{Quotas, Scratch};
use crate::tree::{FileId, Ino};

/// A mount whose requests are answered by threads of its own. Dropping it does not unmount: that is
/// one explicit call, [`super::mount::unmount`].
#[derive(Debug)]
pub struct Mounted {
    sessions: Vec<oneshot::Receiver<io::Result<()>>>,
    kernel: Arc<Kernel>,
}

impl Mounted {
    /// Begins to serve a mount of this shape, made now or by an earlier daemon. What was asked of
    /// that one and not answered is answered, and the kernel forgets the attributes it was told.
    /// `epoch` must differ between daemons that serve one mount after the other.
    ///
    /// # Errors
    /// If the system has no descriptor or thread left. The mount stays.
    pub fn serve(
        connections: Connections,
        shape: Shape,
        service: &Arc<CurrentService>,
        clock: Arc<dyn Clock>,
        epoch: u32,
        runtime: &Handle,
    ) -> io::Result<Self> {
        let acl = if shape.allow_other { SessionACL::All } else { SessionACL::Owner };
        let current = service.get();
        let keys = {
            let (service, runtime) = (service.clone(), runtime.clone());
            move || CredFs::new(service.clone(), runtime.clone())
        };
        let stale: Vec<_> = current.tree().inos().into_iter().map(|ino| INodeNo(ino.0)).collect();
        let Connections { tree, keys: file } = connections;
        let (ended, tree) = if shape.is_writable() {
            let scratch = Arc::new(Scratch::new(Quotas::default(), epoch, clock.now()));
            let (service, runtime, keys) = (service.clone(), runtime.clone(), keys.clone());
            let filesystem = move || {
                let (service, scratch) = (service.clone(), scratch.clone());
                WritableFs::new(keys(), service, scratch, clock.clone(), runtime.clone())
            };
            serve(filesystem, tree, acl, &stale)?
        } else {
            serve(keys.clone(), tree, acl, &stale)?
        };
        let mut sessions = vec![ended];
        let file = match file {
            Some(connection) => {
                let tree = current.clone();
                let filesystem = move || KeyFileFs::new(keys(), tree.tree());
                let (ended, notifier) = serve(filesystem, connection, acl, &[KeyFileFs::NODE])?;
                sessions.push(ended);
                Some((current.tree().ino(FileId::Credentials), notifier))
            }
            None => None,
        };
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

/// Adopts a connection and answers on a thread of its own, until the kernel lets go of it. A request
/// whose answer panics gets `EIO`, and the session begins anew; what others asked is not lost.
fn serve<F: Filesystem>(
    filesystem: impl Fn() -> F + Send + 'static,
    connection: OwnedFd,
    acl: SessionACL,
    stale: &[INodeNo],
) -> io::Result<Served> {
    let session = adopt(filesystem(), connection.as_fd(), acl)?;
    let notifier = session.notifier();
    // Before the first answer, so that no reader meets bytes of ours beside a size that an earlier
    // daemon told.
    for ino in stale {
        forget(&notifier, *ino);
    }
    if let Err(error) = resend(connection.as_fd()) {
        tracing::warn!(%error, "the kernel cannot send again what an earlier daemon left unanswered");
    }
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("fuse".to_owned()).spawn(move || {
        let mut done = session.run();
        for _ in 0..MOST_PANICS {
            match &done {
                Err(error) if is_panic(error) => {
                    tracing::error!(%error, "a request could not be answered; serving goes on");
                    let session = adopt(filesystem(), connection.as_fd(), acl);
                    done = session.and_then(fuser::Session::run);
                }
                _ => break,
            }
        }
        // Nobody listens any more once the daemon stops.
        let _ = end.send(done);
    })?;
    Ok((ended, notifier))
}

/// Makes the kernel forget the attributes of a node, and no pages.
///
/// A page that is being read for somebody who maps the file is locked until its READ is answered, and
/// whoever drops pages waits for that, in a way that not even SIGKILL ends. An earlier daemon may have
/// left that READ to us, who answer nothing before the attributes are forgotten. The kernel drops the
/// pages itself when the file is opened or mapped next (`fuse_open` and `fuse_file_mmap` in its
/// `fs/fuse/file.c`).
fn forget(kernel: &Notifier, ino: INodeNo) {
    // A negative offset: attributes alone (`fuse_reverse_inval_inode` in `fs/fuse/inode.c`).
    if let Err(error) = kernel.inval_inode(ino, -1, 0) {
        tracing::debug!(ino = ino.0, %error, "invalidation failed");
    }
}

#[derive(Debug)]
struct Kernel {
    tree: Notifier,
    /// The file of keys, by its number in the tree, where it has a super block of its own.
    file: Option<(Ino, Notifier)>,
}

impl Invalidate for Kernel {
    fn invalidate(&self, ino: Ino) {
        forget(&self.tree, INodeNo(ino.0));
        if let Some((_, file)) = self.file.as_ref().filter(|(file, _)| *file == ino) {
            forget(file, KeyFileFs::NODE);
        }
    }

    fn forget(&self, parent: Ino, name: &str) {
        if let Err(error) = self.tree.inval_entry(INodeNo(parent.0), OsStr::new(name)) {
            tracing::debug!(parent = parent.0, name, %error, "a name was not forgotten");
        }
    }
}

/// Whether a session has ended because its answers panicked. Then the connection to the kernel is
/// whole: another process can serve it.
pub fn is_panic(end: &io::Error) -> bool {
    // What the system says has a number; what fuser says of a panic has none.
    end.raw_os_error().is_none()
}

/// A thread that panics this often is better replaced with its whole process.
const MOST_PANICS: usize = 100;

#[cfg(test)]
mod tests {
    use std::fs;

    use fuser::{Errno, ReplyEntry, Request};

    use super::super::mount::{self, MountError};
    use super::*;

    /// A file system without files, one of whose names it cannot bear.
    #[derive(Debug)]
    struct Fragile;

    impl Filesystem for Fragile {
        fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
            assert_ne!(name, "unbearable");
            reply.error(Errno::ENOENT);
        }
    }

    /// A connection to the kernel and where it is mounted; `None` where nothing can be mounted, which
    /// the tests of whole daemons tell.
    fn mounted() -> Option<(tempfile::TempDir, OwnedFd)> {
        let dir = tempfile::tempdir().unwrap();
        let shape = Shape { allow_other: false, writable: Some(false) };
        match Connections::make(dir.path(), shape) {
            Err(MountError::NoDevice(_) | MountError::NoFusermount) => None,
            made => Some((dir, made.unwrap().tree)),
        }
    }

    #[test]
    fn a_panic_costs_one_request() {
        let Some((dir, connection)) = mounted() else { return };
        let path = dir.path();
        let (ended, _kernel) = serve(|| Fragile, connection, SessionACL::All, &[]).unwrap();
        let errno = |name: &str| fs::metadata(path.join(name)).unwrap_err().raw_os_error();
        for _ in 0..3 {
            assert_eq!(errno("unbearable"), Some(Errno::EIO.code()));
            assert_eq!(errno("none"), Some(Errno::ENOENT.code()));
        }
        mount::unmount(path).unwrap();
        ended.blocking_recv().unwrap().unwrap();
    }

    #[test]
    fn a_session_that_panics_over_and_over_gives_up_and_stays_mounted() {
        let Some((dir, connection)) = mounted() else { return };
        let path = dir.path();
        let (ended, _kernel) = serve(|| Fragile, connection, SessionACL::All, &[]).unwrap();
        for _ in 0..=MOST_PANICS {
            fs::metadata(path.join("unbearable")).unwrap_err();
        }
        assert!(is_panic(&ended.blocking_recv().unwrap().unwrap_err()));
        assert!(mount::mounted_at(path).unwrap().is_some());
        mount::unmount(path).unwrap();
    }
}
