//! The service manager: systemd, or our own supervisor. It starts the daemon again after a crash,
//! keeps descriptors while none lives, and kills one that hangs. Both are told by the messages of
//! `sd_notify(3)`: a datagram with an assignment in each line, and a descriptor beside it.

mod datagram;
mod passed;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use datagram::{receive, send};
pub use passed::{Kept, from_supervisor, from_systemd, pass_on};

/// The way to the service manager.
#[derive(Debug)]
pub struct Manager(Way);

#[derive(Debug)]
enum Way {
    /// To the socket of systemd, which may be made anew at any time.
    Systemd(UnixDatagram, SocketAddr),
    /// To the supervisor that started this process.
    Supervisor(OwnedFd),
}

impl Manager {
    /// systemd at `address`, the value of `NOTIFY_SOCKET`: a path, or `@` and a name in
    /// the abstract namespace.
    ///
    /// # Errors
    /// If the address is neither.
    pub fn systemd(address: &str) -> io::Result<Self> {
        let address = match address.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None if address.starts_with('/') => SocketAddr::from_pathname(address)?,
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix socket")),
        };
        Ok(Self(Way::Systemd(UnixDatagram::unbound()?, address)))
    }

    /// The supervisor at the other end of `socket`.
    pub fn supervisor(socket: OwnedFd) -> Self {
        Self(Way::Supervisor(socket))
    }

    /// Whether it is our own supervisor.
    pub fn is_supervisor(&self) -> bool {
        matches!(self.0, Way::Supervisor(_))
    }

    /// Gives a copy of the descriptor of a mount into keeping, under a name of letters, digits, `.`,
    /// `_` and `-`.
    ///
    /// Without `FDPOLL=0` systemd would wake up for every request of the kernel. Our supervisor wants
    /// to know where the mount is; systemd ignores that.
    ///
    /// # Errors
    /// If nobody listens. Whether the descriptor was taken in is not told.
    pub fn keep(
        &self,
        name: &str,
        mountpoint: &Path,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let mut text = format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        // A path with a newline would be an assignment more; such a mount is not cleaned up.
        if let Some(path) = mountpoint.to_str().filter(|path| !path.contains('\n')) {
            text = format!("{text}\n{MOUNTPOINT}={path}");
        }
        self.send(&text, Some(descriptor))
    }

    /// Has the descriptors of this name dropped.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn release(&self, name: &str) -> io::Result<()> {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// Sends assignments such as `READY=1`.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn tell(&self, state: &str) -> io::Result<()> {
        self.send(state, None)
    }

    /// Waits until everything sent before was taken in (`sd_notify_barrier(3)`).
    ///
    /// # Errors
    /// If nobody listens, or the other side takes longer than `deadline`.
    pub fn barrier(&self, deadline: Duration) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        self.send("BARRIER=1", Some(writer.as_fd()))?;
        drop(writer);
        let limit = Timespec::try_from(deadline).map_err(io::Error::other)?;
        // Hung up when the last copy of the other end is closed.
        match poll(&mut [PollFd::new(&reader, PollFlags::empty())], Some(&limit))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the service manager did not answer")),
            _ => Ok(()),
        }
    }

    fn send(&self, text: &str, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        match &self.0 {
            Way::Systemd(socket, address) => datagram::send_to(socket, address, text, descriptor),
            Way::Supervisor(socket) => send(socket.as_fd(), text, descriptor),
        }
    }
}

/// The key of an assignment of our own.
pub const MOUNTPOINT: &str = "X_CREDMOUNT_MOUNTPOINT";

/// What a message says of `key`, as in `KEY=value`.
pub fn value<'a>(message: &'a str, key: &str) -> Option<&'a str> {
    message.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A socket as the service manager has one, and the way to it.
    fn manager() -> (UnixDatagram, Manager) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::systemd(path.to_str().unwrap()).unwrap();
        // Sent to by its path, so the directory has to stay as long as the test.
        let _ = dir.keep();
        (socket, manager)
    }

    #[test]
    fn a_descriptor_is_kept_by_name_and_released() {
        let (socket, manager) = manager();
        let null = File::open("/dev/null").unwrap();
        manager.keep("aws-live.ro", Path::new("/home/me/.aws-live"), null.as_fd()).unwrap();
        manager.release("aws-live.ro").unwrap();
        let (text, descriptor) = receive(socket.as_fd()).unwrap().unwrap();
        assert_eq!(value(&text, "FDNAME"), Some("aws-live.ro"));
        assert_eq!((value(&text, "FDSTORE"), value(&text, "FDPOLL")), (Some("1"), Some("0")));
        assert_eq!(value(&text, MOUNTPOINT), Some("/home/me/.aws-live"));
        assert!(descriptor.is_some());
        let (text, descriptor) = receive(socket.as_fd()).unwrap().unwrap();
        assert_eq!(value(&text, "FDSTOREREMOVE"), Some("1"));
        assert!(descriptor.is_none());
    }

    #[test]
    fn the_barrier_ends_when_its_message_was_taken_in() {
        let (socket, manager) = manager();
        let error = manager.barrier(Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let taken = std::thread::spawn(move || {
            for _ in 0..2 {
                drop(receive(socket.as_fd()).unwrap());
            }
        });
        manager.barrier(Duration::from_secs(20)).unwrap();
        taken.join().unwrap();
    }

    #[test]
    fn an_address_that_is_no_unix_socket_is_refused() {
        assert!(Manager::systemd("vsock:2:1234").is_err());
        assert!(Manager::systemd("@abstract").is_ok());
    }

    #[test]
    fn values_are_found_by_their_whole_key() {
        assert_eq!(value("FDSTORE=1\nFDNAME=a=b", "FDNAME"), Some("a=b"));
        assert_eq!(value("FDNAMES=x", "FDNAME"), None);
    }
}
