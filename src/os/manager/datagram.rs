//! One message with at most one descriptor beside it (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};

use std::os::linux::net::SocketAddrExt as _;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, recvmsg, sendmsg, sendmsg_addr,
};

/// Sends to the other end of a connected socket.
///
/// # Errors
/// As sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, text: &str, fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    with_rights(fd, |control| {
        sendmsg(socket, &[IoSlice::new(text.as_bytes())], control, SendFlags::NOSIGNAL)
    })
}

/// Sends to an address.
///
/// # Errors
/// As sendmsg(2).
pub(super) fn send_to(
    socket: &UnixDatagram,
    address: &SocketAddr,
    text: &str,
    fd: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let to = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SocketAddrUnix::new(path)?,
        (None, Some(name)) => SocketAddrUnix::new_abstract_name(name)?,
        (None, None) => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
    };
    with_rights(fd, |control| {
        let text = [IoSlice::new(text.as_bytes())];
        sendmsg_addr(socket.as_fd(), &to, &text, control, SendFlags::NOSIGNAL)
    })
}

fn with_rights(
    fd: Option<BorrowedFd<'_>>,
    send: impl FnOnce(&mut SendAncillaryBuffer<'_, '_, '_>) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.into_iter().collect();
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    send(&mut control)?;
    Ok(())
}

/// Receives one message and its descriptor; `None` when the other end is closed.
///
/// # Errors
/// As recvmsg(2); a text that is not UTF-8.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(String, Option<OwnedFd>)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; LONGEST_MESSAGE];
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let length = recvmsg(socket, &mut buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let rights = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    if length == 0 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&bytes[..length]).map_err(io::Error::other)?;
    Ok(Some((text.to_owned(), rights)))
}

/// Messages are a few short lines.
const LONGEST_MESSAGE: usize = 4096;
