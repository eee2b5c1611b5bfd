//! The handshake of a connection that was just made: the kernel's first request, answered before
//! anybody serves.
//!
//! Whoever serves then adopts the connection, whether it was made a moment or a life ago. The flags
//! agreed on here hold for the life of the mount, also for daemons of later versions.

use std::io;
use std::os::fd::BorrowedFd;

use super::wire::{Incoming, MAJOR, MINOR, Outgoing, opcode};

/// Why a connection cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// It broke, or the mount is gone.
    #[error("the kernel broke off the handshake: {0}")]
    Io(#[from] io::Error),
    /// The first message is not what the protocol says it is.
    #[error("the kernel did not begin with FUSE_INIT")]
    NotInit,
    /// The kernel is from before 2007, or from a future without version 7.
    #[error("the kernel speaks version {0}.{1} of FUSE, which is not understood")]
    Version(u32, u32),
}

/// Answers the kernel's first request on `connection`, which waits for it.
///
/// # Errors
/// See [`HandshakeError`]; the mount has to be removed then.
pub(super) fn answer_init(connection: BorrowedFd<'_>) -> Result<(), HandshakeError> {
    // The kernel refuses to fill a smaller buffer (`FUSE_MIN_READ_BUFFER`).
    let mut buffer = [0; 8192];
    let length = rustix::io::read(connection, &mut buffer).map_err(io::Error::from)?;
    let reply = reply_to(&buffer[..length])?;
    rustix::io::write(connection, &reply).map_err(io::Error::from)?;
    Ok(())
}

/// The answer to `FUSE_INIT`: what we can do of what the kernel offers.
fn reply_to(message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let request = Incoming::parse(message).ok_or(HandshakeError::NotInit)?;
    if request.opcode != opcode::INIT {
        return Err(HandshakeError::NotInit);
    }
    let field = |offset| request.number(offset).ok_or(HandshakeError::NotInit);
    let (major, minor, readahead, offered) = (field(0)?, field(4)?, field(8)?, field(12)?);
    // Replies are laid out as since 7.23.
    if major != MAJOR || minor < 23 {
        return Err(HandshakeError::Version(major, minor));
    }
    Ok(Outgoing::answer(request.unique, 0)
        .u32(MAJOR)
        .u32(minor.min(MINOR))
        .u32(readahead)
        .u32(offered & WANTED)
        .u16(MAX_BACKGROUND)
        .u16(MAX_BACKGROUND / 4 * 3)
        .u32(MAX_WRITE)
        .u32(1)
        .u16(MAX_PAGES)
        .zeros(2 + 4 + 4 + 2 + 22)
        .bytes())
}

/// `FUSE_ASYNC_READ`, `FUSE_BIG_WRITES`, `FUSE_PARALLEL_DIROPS`, `FUSE_MAX_PAGES`. Neither cached
/// writes nor `FUSE_ATOMIC_O_TRUNC`.
const WANTED: u32 = 1 | 1 << 5 | 1 << 18 | 1 << 22;
/// Releases under way; opens are not limited by it.
const MAX_BACKGROUND: u16 = 64;
/// Bytes of one write, and the pages that hold them.
const MAX_WRITE: u32 = 128 * 1024;
const MAX_PAGES: u16 = 32;

#[cfg(test)]
mod tests {
    use super::super::wire::{OUT_HEADER, request};
    use super::*;

    fn init(major: u32, minor: u32, flags: u32) -> Vec<u8> {
        let fields = [major, minor, 131_072, flags, 0xffff];
        let body: Vec<u8> = fields.iter().flat_map(|field| field.to_ne_bytes()).collect();
        request(opcode::INIT, 2, 0, &[body, vec![0; 44]].concat())
    }

    #[test]
    fn the_answer_takes_what_is_offered_and_no_more() {
        let reply = reply_to(&init(7, 45, 0x73ff_fffb)).unwrap();
        assert_eq!(reply.len(), OUT_HEADER + 64);
        let field = |at: usize| u32::from_ne_bytes(reply[at..at + 4].try_into().unwrap());
        assert_eq!((field(0), field(4), field(16), field(20)), (80, 0, 7, 40));
        assert_eq!(field(28), 0x73ff_fffb & WANTED);
        let modest = reply_to(&init(7, 31, 1)).unwrap();
        assert_eq!(u32::from_ne_bytes(modest[20..24].try_into().unwrap()), 31);
        assert_eq!(u32::from_ne_bytes(modest[28..32].try_into().unwrap()), 1);
    }

    #[test]
    fn what_is_no_init_is_refused() {
        let lookup = request(opcode::LOOKUP, 2, 1, b"x\0");
        assert!(matches!(reply_to(&lookup), Err(HandshakeError::NotInit)));
        assert!(matches!(reply_to(b""), Err(HandshakeError::NotInit)));
        let init = init(7, 45, 0);
        for length in 0..56 {
            assert!(reply_to(&init[..length]).is_err());
        }
    }

    #[test]
    fn versions_that_are_not_understood_are_named() {
        let error = reply_to(&init(8, 1, 0)).unwrap_err().to_string();
        assert_eq!(error, "the kernel speaks version 8.1 of FUSE, which is not understood");
        assert!(matches!(reply_to(&init(7, 22, 0)), Err(HandshakeError::Version(7, 22))));
    }
}
