//! What was kept for this process, at its start.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::datagram::receive;
use super::value;
use crate::os::descriptors::passed;

/// Descriptors by the names under which they were kept.
pub type Kept = BTreeMap<String, OwnedFd>;

/// What systemd passes (`sd_listen_fds_with_names(3)`): `pid`, `count` and `names` are
/// the values of `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`. Nothing if they are meant for
/// another process. To be called first thing in the process.
pub fn from_systemd(pid: &str, count: &str, names: &str) -> Kept {
    if pid.parse() != Ok(std::process::id()) {
        return Kept::new();
    }
    let descriptors = passed(count.parse().unwrap_or(0));
    let both = names.split(':').zip(descriptors);
    both.filter_map(|(name, fd)| Some((name.to_owned(), fd?))).collect()
}

/// What the supervisor sends first over `socket`: a message for each descriptor, then
/// one that says that these are all.
///
/// # Errors
/// As recvmsg(2), or if the supervisor is gone.
pub fn from_supervisor(socket: BorrowedFd<'_>) -> io::Result<Kept> {
    let mut kept = Kept::new();
    loop {
        match receive(socket)? {
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Some((text, _)) if text == END_OF_KEPT => return Ok(kept),
            Some((text, fd)) => {
                let name = value(&text, "FDNAME").map(str::to_owned);
                kept.extend(name.zip(fd));
            }
        }
    }
}

/// Sends what [`from_supervisor`] receives.
///
/// # Errors
/// As sendmsg(2).
pub fn pass_on(socket: BorrowedFd<'_>, kept: &Kept) -> io::Result<()> {
    for (name, fd) in kept {
        super::send(socket, &format!("FDNAME={name}"), Some(fd.as_fd()))?;
    }
    super::send(socket, END_OF_KEPT, None)
}

/// The last message about what was kept.
const END_OF_KEPT: &str = "END=1";

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn what_is_meant_for_another_process_is_left_alone() {
        assert!(from_systemd("1", "1", "a").is_empty());
        assert!(from_systemd("", "", "").is_empty());
    }

    #[test]
    fn a_supervisor_passes_names_and_descriptors() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let null = || OwnedFd::from(File::open("/dev/null").unwrap());
        let kept = Kept::from([("a".to_owned(), null()), ("b".to_owned(), null())]);
        pass_on(ours.as_fd(), &kept).unwrap();
        let received = from_supervisor(theirs.as_fd()).unwrap();
        assert_eq!(received.keys().collect::<Vec<_>>(), ["a", "b"]);
        drop(ours);
        let error = from_supervisor(theirs.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
