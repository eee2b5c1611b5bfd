//! Takes over a connection whose handshake was done before, by this process or by one that is gone.
//!
//! The connection lives as long as a descriptor of it, and with it the mount and every bind of it.
//! fuser always begins with the handshake, so it gets a socket that plays the kernel's part, and
//! when it is done the connection takes the number of that socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use fuser::{Config, Filesystem, Session, SessionACL};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::wire::{MAJOR, MINOR, OUT_HEADER, Outgoing, opcode, request};
use crate::os::descriptors::replace;

/// A session that serves `connection` by `filesystem` once it is run.
///
/// # Errors
/// As socketpair(2) and dup3(2).
pub(super) fn adopt<F: Filesystem>(
    filesystem: F,
    connection: BorrowedFd<'_>,
    acl: SessionACL,
) -> io::Result<Session<F>> {
    // One read has to return one message, and one write has to be one.
    let (kernel, ours) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // Before the session is made, which reads it.
    rustix::io::write(&kernel, &init())?;
    let session = Session::from_fd(filesystem, ours, acl, Config::default())?;
    let mut answer = [0; 128];
    let length = rustix::io::read(&kernel, &mut answer)?;
    if length < OUT_HEADER || answer[4..8] != [0; 4] {
        return Err(io::Error::other("the handshake of the library failed"));
    }
    replace(session.as_fd(), connection)?;
    Ok(session)
}

/// Asks the kernel to send once more what an earlier daemon has read and not answered. Without it
/// those who asked would wait for ever. Such requests have bit 63 of their number set.
///
/// # Errors
/// As write(2); `EINVAL` from kernels before 6.9, which do not know it.
pub(super) fn resend(connection: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(connection, &Outgoing::resend().bytes())?;
    Ok(())
}

/// `FUSE_INIT` as the kernel writes it. The flags are those of all that fuser may ask about; what
/// it asks for has no effect any more.
fn init() -> Vec<u8> {
    let fields = [MAJOR, MINOR, 131_072, 0x73ff_fffb, 0xffff];
    let body: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
    request(opcode::INIT, 2, 0, &[body, vec![0; 44]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;

    impl Filesystem for Nothing {}

    #[test]
    fn the_session_reads_what_was_adopted() {
        let (kernel, connection) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let session = adopt(Nothing, connection.as_fd(), SessionACL::All).unwrap();
        drop(connection);
        // GETATTR, which this file system does not know.
        rustix::io::write(&kernel, &request(opcode::GETATTR, 6, 1, &[0; 16])).unwrap();
        let served = std::thread::spawn(move || session.run());
        let mut answer = [0; 128];
        let length = rustix::io::read(&kernel, &mut answer).unwrap();
        assert_eq!(length, OUT_HEADER);
        assert_eq!(answer[8..16], 6_u64.to_ne_bytes());
        drop(kernel);
        // An empty read is no request.
        assert!(served.join().unwrap().is_err());
    }
}
