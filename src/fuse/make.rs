//! Makes the connections of one mount: the tree, and where it is writable beside it, the file of
//! keys on a super block of its own. Nobody serves them yet.
//!
//! This is the one step that needs `fusermount3`, and so the one that a confined process may have to
//! leave to another. It answers the kernel only as far as mounting needs it. Everything else that is
//! asked meanwhile waits, and is sent once more to whoever adopts the connections.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use super::handshake::answer_init;
use super::mount::{self, MountError, MountOptions};
use super::wire::{Attr, Incoming, Outgoing, opcode};
use crate::tree::Ino;

/// How a mount is made. It cannot be changed as long as the mount lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Whether the kernel lets other users in.
    pub allow_other: bool,
    /// Whether there are directories to write to; `None`: where they cost an open of `credentials`
    /// nothing.
    pub writable: Option<bool>,
}

impl Shape {
    /// The same with nothing left to the surroundings: two mounts of one resolved shape are alike.
    #[must_use]
    pub fn resolved(self) -> Self {
        Self { writable: Some(self.is_writable()), ..self }
    }

    /// Whether there are directories to write to.
    pub fn is_writable(self) -> bool {
        let options = MountOptions { read_only: false, allow_other: self.allow_other };
        self.writable.unwrap_or(options.takes_mounts_below())
    }
}

/// The descriptors of one mount, each past its handshake. The mount lives as long as they do, in
/// whatever process.
#[derive(Debug)]
pub struct Connections {
    /// Of the tree.
    pub tree: OwnedFd,
    /// Of `credentials`, where it is mounted upon.
    pub keys: Option<OwnedFd>,
}

impl Connections {
    /// Mounts on `path`.
    ///
    /// # Errors
    /// If it cannot be mounted; nothing is left behind.
    pub fn make(path: &Path, shape: Shape) -> Result<Self, MountError> {
        let inner = MountOptions { read_only: true, allow_other: shape.allow_other };
        let outer = MountOptions { read_only: !shape.is_writable(), ..inner };
        let tree = mount::mount(path, outer)?;
        let shaken = answer_init(tree.as_fd()).map_err(|error| io::Error::other(error.to_string()));
        let made = shaken.map_err(|source| MountError::Io { path: path.to_owned(), source });
        let below = shape.is_writable() && outer.takes_mounts_below();
        let upon = |()| below.then(|| upon_credentials(path, inner, tree.as_fd())).transpose();
        let keys = made.and_then(upon);
        match keys {
            Ok(keys) => Ok(Self { tree, keys }),
            Err(error) => {
                if let Err(error) = mount::unmount(path) {
                    tracing::warn!(%error, "the broken mount stays");
                }
                Err(error)
            }
        }
    }
}

/// Mounts upon `credentials` of the mount on `path`, whose connection is `tree`.
fn upon_credentials(
    path: &Path,
    options: MountOptions,
    tree: BorrowedFd<'_>,
) -> Result<OwnedFd, MountError> {
    let failed = |source: io::Error| MountError::Io { path: path.to_owned(), source };
    let (stopped, stop) = io::pipe().map_err(failed)?;
    let keys = thread::scope(|scope| {
        let answering = scope.spawn(move || answer_until(tree, stopped.as_fd()));
        let keys = mount::mount(&path.join("credentials"), options);
        drop(stop);
        let answered = answering.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        keys.and_then(|keys| answered.map_err(failed).map(|()| keys))
    })?;
    answer_init(keys.as_fd()).map_err(|error| failed(io::Error::other(error.to_string())))?;
    Ok(keys)
}

/// Answers what mounting upon `credentials` asks of the tree until `stopped` is hung up.
fn answer_until(tree: BorrowedFd<'_>, stopped: BorrowedFd<'_>) -> io::Result<()> {
    // A request that was seen may be taken back before it is read, and nobody else reads yet.
    let flags = fcntl_getfl(tree)?;
    fcntl_setfl(tree, flags | OFlags::NONBLOCK)?;
    let mut buffer = vec![0; LONGEST_REQUEST];
    let done = loop {
        let mut fds = [PollFd::new(&tree, PollFlags::IN), PollFd::new(&stopped, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            Err(error) => break Err(error.into()),
            Ok(_) if !fds[1].revents().is_empty() => break Ok(()),
            Ok(_) => {}
        }
        match rustix::io::read(tree, &mut buffer) {
            // Taken back before it was read, or while it was.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOENT) => {}
            Err(error) => break Err(error.into()),
            Ok(length) => {
                let reply = Incoming::parse(&buffer[..length]).and_then(|it| reply_to(&it));
                // Whoever asked may be gone.
                let _ = reply.map(|reply| rustix::io::write(tree, &reply));
            }
        }
    };
    // Those who adopt wait in read(2).
    fcntl_setfl(tree, flags)?;
    done
}

/// What mounting has to be told; `None` for what is left to those who serve.
///
/// The kernel keeps nothing of it but that there is a file of this name, which is so in every life.
/// If it had to ask again, whoever walks over all mounts before somebody serves would wait: systemd
/// does when it starts a service that sees the file system read-only.
fn reply_to(request: &Incoming<'_>) -> Option<Vec<u8>> {
    let answer = Outgoing::answer(request.unique, 0);
    let file = Ino::CREDENTIALS.0;
    let attr = |ino: u64| {
        let (mode, size) = if ino == file { (0o100_400, 4096) } else { (0o040_500, 0) };
        Attr { ino, size, mode, uid: geteuid().as_raw(), gid: getegid().as_raw() }
    };
    let reply = match request.opcode {
        opcode::LOOKUP if request.node == Ino::ROOT.0 && request.name()? == b"credentials" => {
            answer.u64(file).zeros(8).u64(FOREVER).zeros(8 + 4 + 4).attr(attr(file))
        }
        opcode::GETATTR if [Ino::ROOT.0, file].contains(&request.node) => {
            answer.zeros(8 + 4 + 4).attr(attr(request.node))
        }
        // By opening it for writing fusermount3 finds out whether an ordinary user may mount there.
        // Readers wait for those who serve.
        opcode::OPEN if request.number(0)? & ACCESS_MODE == O_WRONLY => {
            answer.u64(NO_HANDLE).u32(FOPEN_DIRECT_IO).u32(0)
        }
        opcode::RELEASE if request.body.get(..8)? == NO_HANDLE.to_ne_bytes() => answer,
        opcode::STATFS => answer.zeros(40).u32(4096).u32(255).u32(4096).zeros(4 + 24),
        opcode::ACCESS | opcode::GETXATTR | opcode::FLUSH => {
            Outgoing::answer(request.unique, -Errno::NOSYS.raw_os_error())
        }
        _ => return None,
    };
    Some(reply.bytes())
}

/// In seconds. As long as the kernel can count in jiffies.
const FOREVER: u64 = 1 << 30;
/// A handle to nothing. No handle of the tree has this number.
const NO_HANDLE: u64 = u64::MAX;
/// The bits of open flags that say how a file is opened (`O_ACCMODE`, open(2)), and writing only.
const ACCESS_MODE: u32 = 3;
const O_WRONLY: u32 = 1;
/// `include/uapi/linux/fuse.h`.
const FOPEN_DIRECT_IO: u32 = 1;
/// Requests are at most a write and its header.
const LONGEST_REQUEST: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::super::wire::{OUT_HEADER, request};
    use super::*;

    fn reply(opcode: u32, node: u64, body: &[u8]) -> Option<Vec<u8>> {
        let message = request(opcode, 8, node, body);
        reply_to(&Incoming::parse(&message).unwrap())
    }

    #[test]
    fn what_mounting_asks_is_answered_in_the_layout_of_the_kernel() {
        let file = Ino::CREDENTIALS.0;
        let entry = reply(opcode::LOOKUP, 1, b"credentials\0").unwrap();
        assert_eq!(entry.len(), OUT_HEADER + 128);
        assert_eq!(entry[16..24], file.to_ne_bytes());
        assert_eq!(entry[56..64], file.to_ne_bytes());
        let (name_valid, attributes_valid) = (&entry[32..40], &entry[40..48]);
        assert!(*name_valid == FOREVER.to_ne_bytes() && attributes_valid == [0; 8]);
        assert_eq!(reply(opcode::GETATTR, file, &[0; 16]).unwrap().len(), OUT_HEADER + 104);
        let opened = reply(opcode::OPEN, file, &1_u64.to_ne_bytes()).unwrap();
        assert_eq!(opened.len(), OUT_HEADER + 16);
        let release = [NO_HANDLE.to_ne_bytes(), [0; 8], [0; 8]].concat();
        assert_eq!(reply(opcode::RELEASE, file, &release).unwrap().len(), OUT_HEADER);
        assert_eq!(reply(opcode::STATFS, 1, b"").unwrap().len(), OUT_HEADER + 80);
    }

    #[test]
    fn readers_are_left_to_those_who_serve() {
        let file = Ino::CREDENTIALS.0;
        assert_eq!(reply(opcode::OPEN, file, &0_u64.to_ne_bytes()), None);
        assert_eq!(reply(opcode::LOOKUP, 1, b"config\0"), None);
        assert_eq!(reply(opcode::RELEASE, file, &[0; 24]), None);
        assert_eq!(reply(opcode::OPEN, file, b""), None);
    }
}
