//! The kernel's side of a FUSE connection, over a socket: puts requests together, and checks that
//! each is answered once, in time, and in the form that the kernel demands. Numbers and layouts are
//! those of the kernel's `include/uapi/linux/fuse.h`.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// What requests ask for (`enum fuse_opcode`).
#[expect(missing_docs, reason = "the names of the protocol")]
pub mod opcode {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const SETATTR: u32 = 4;
    pub const MKNOD: u32 = 8;
    pub const MKDIR: u32 = 9;
    pub const UNLINK: u32 = 10;
    pub const RMDIR: u32 = 11;
    pub const RENAME: u32 = 12;
    pub const LINK: u32 = 13;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const GETXATTR: u32 = 22;
    pub const FLUSH: u32 = 25;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const CREATE: u32 = 35;
    pub const DESTROY: u32 = 38;
    pub const BATCH_FORGET: u32 = 42;
    pub const RENAME2: u32 = 45;
}

/// The fields of a request behind its header, one after the other.
#[derive(Debug, Clone, Default)]
pub struct Body(Vec<u8>);

impl Body {
    /// A number of 32 bits.
    #[must_use]
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    /// A number of 64 bits.
    #[must_use]
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    /// A name and the NUL behind it.
    #[must_use]
    pub fn name(mut self, name: &[u8]) -> Self {
        self.0.extend(name);
        self.0.push(0);
        self
    }

    /// Bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }
}

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// What it asks for.
    pub opcode: u32,
    /// About which node.
    pub node: u64,
    /// Who asks.
    pub uid: u32,
    /// Whether it is sent once more, as after a daemon's death.
    pub resent: bool,
    /// What else it says.
    pub body: Body,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The number of the request.
    pub unique: u64,
    /// 0, or an errno.
    pub errno: u32,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Answer {
    /// A number of 64 bits in the body.
    pub fn u64(&self, offset: usize) -> Option<u64> {
        let bytes = self.body.get(offset..offset + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }
}

/// The kernel's end of a connection.
#[derive(Debug)]
pub struct Kernel {
    socket: OwnedFd,
    last: u64,
    waiting: HashSet<u64>,
}

impl Kernel {
    /// A connection: this end, and the descriptor that the daemon gets.
    ///
    /// # Panics
    /// If the system has no descriptors left.
    pub fn new() -> (Self, OwnedFd) {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a socket pair");
        (Self { socket, last: 2, waiting: HashSet::new() }, theirs)
    }

    /// Sends a request and returns its number.
    ///
    /// # Panics
    /// If the daemon has let go of the connection.
    pub fn send(&mut self, request: &Request) -> u64 {
        self.last += 2;
        let unique = self.last | if request.resent { RESENT } else { 0 };
        let Body(body) = &request.body;
        let length = u32::try_from(IN_HEADER + body.len()).expect("a short message");
        let message = Body::default()
            .u32(length)
            .u32(request.opcode)
            .u64(unique)
            .u64(request.node)
            .u32(request.uid)
            .u32(request.uid)
            .u32(std::process::id())
            .u32(0)
            .bytes(body);
        if ![opcode::FORGET, opcode::BATCH_FORGET].contains(&request.opcode) {
            self.waiting.insert(unique);
        }
        let sent = rustix::io::write(&self.socket, &message.0);
        assert_eq!(sent, Ok(message.0.len()), "the daemon is gone");
        unique
    }

    /// The next answer, whichever request it is to.
    ///
    /// # Panics
    /// If none comes in time, or one that the kernel would refuse.
    pub fn receive(&mut self) -> Answer {
        loop {
            assert!(self.is_readable(), "no answer to {:?}", self.waiting);
            let mut buffer = vec![0; LONGEST_ANSWER];
            let length = rustix::io::read(&self.socket, &mut buffer).expect("a message");
            buffer.truncate(length);
            assert!(length >= OUT_HEADER, "{buffer:?} is no message");
            let number = |at: usize| u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap());
            assert_eq!(number(0) as usize, length, "{buffer:?}");
            let unique = u64::from_ne_bytes(buffer[8..16].try_into().unwrap());
            if unique == 0 {
                // Something to forget, or the wish to have requests sent again.
                assert!((1..=8).contains(&number(4)), "{buffer:?} is no notification");
                continue;
            }
            // `fuse_dev_do_write` in fs/fuse/dev.c refuses anything else.
            let errno = number(4).wrapping_neg();
            assert!(errno < 512, "{errno} is no errno");
            assert!(errno == 0 || length == OUT_HEADER, "an error and more: {buffer:?}");
            assert!(self.waiting.remove(&unique), "{unique} was not asked, or is answered");
            return Answer { unique, errno, body: buffer.split_off(OUT_HEADER) };
        }
    }

    /// Sends a request and waits for its answer; others that come before it are put into `early`.
    ///
    /// # Panics
    /// As [`Self::receive`].
    pub fn ask(&mut self, request: &Request, early: &mut Vec<Answer>) -> Answer {
        let unique = self.send(request);
        loop {
            let answer = self.receive();
            if answer.unique == unique {
                return answer;
            }
            early.push(answer);
        }
    }

    /// Whether a request is not answered yet.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn is_readable(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let limit = Timespec::try_from(DEADLINE).expect("a short time");
        loop {
            match poll(&mut fds, Some(&limit)) {
                Err(Errno::INTR) => {}
                ready => return ready == Ok(1),
            }
        }
    }
}

/// Longer than any open may wait for a session here.
const DEADLINE: Duration = Duration::from_secs(10);

/// Set in the number of a request that is sent once more (`FUSE_UNIQUE_RESEND`).
const RESENT: u64 = 1 << 63;

/// Bytes of `struct fuse_in_header` and `struct fuse_out_header`.
const IN_HEADER: usize = 40;
const OUT_HEADER: usize = 16;

const LONGEST_ANSWER: usize = 256 * 1024;
