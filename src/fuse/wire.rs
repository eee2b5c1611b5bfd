//! The few messages of the kernel's FUSE protocol that are read and written without fuser: the
//! handshake, and what `fusermount3` asks while it mounts. Numbers and layouts are those of the
//! kernel's `include/uapi/linux/fuse.h`. Pure.

#![forbid(unsafe_code)]

/// What a request asks for (`enum fuse_opcode`).
pub(super) mod opcode {
    pub(crate) const LOOKUP: u32 = 1;
    pub(crate) const GETATTR: u32 = 3;
    pub(crate) const OPEN: u32 = 14;
    pub(crate) const STATFS: u32 = 17;
    pub(crate) const RELEASE: u32 = 18;
    pub(crate) const GETXATTR: u32 = 22;
    pub(crate) const FLUSH: u32 = 25;
    pub(crate) const INIT: u32 = 26;
    pub(crate) const ACCESS: u32 = 34;
}

/// The major version of the protocol, the same since 2007.
pub(super) const MAJOR: u32 = 7;
/// The highest minor version whose messages are understood here and by fuser 0.18.
pub(super) const MINOR: u32 = 40;
/// Bytes of `struct fuse_in_header`.
pub(super) const IN_HEADER: usize = 40;
/// Bytes of `struct fuse_out_header`.
pub(super) const OUT_HEADER: usize = 16;

/// One request of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incoming<'a> {
    pub(super) opcode: u32,
    pub(super) unique: u64,
    pub(super) node: u64,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Reads a message; `None` if it is shorter than its header says, or than a header.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let length = usize::try_from(u32_at(message, 0)?).ok()?;
        Some(Self {
            opcode: u32_at(message, 4)?,
            unique: u64_at(message, 8)?,
            node: u64_at(message, 16)?,
            body: message.get(IN_HEADER..length)?,
        })
    }

    /// A number in the body.
    pub(super) fn number(&self, offset: usize) -> Option<u32> {
        u32_at(self.body, offset)
    }

    /// The body as a name, without its NUL.
    pub(super) fn name(&self) -> Option<&'a [u8]> {
        self.body.strip_suffix(&[0])
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(offset..offset + 8)?.try_into().ok()?))
}

/// A message being put together, its length filled in at the end.
#[derive(Debug)]
pub(super) struct Outgoing(Vec<u8>);

impl Outgoing {
    /// The answer to the request `unique`; `error` is 0 or a negative errno.
    pub(super) fn answer(unique: u64, error: i32) -> Self {
        Self(Vec::with_capacity(144)).u32(0).u32(error.cast_unsigned()).u64(unique)
    }

    /// What the kernel is told unasked: to send once more every request that was read and not
    /// answered (`FUSE_NOTIFY_RESEND`).
    pub(super) fn resend() -> Self {
        Self::answer(0, 7)
    }

    pub(super) fn u16(mut self, number: u16) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(super) fn u32(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(super) fn u64(mut self, number: u64) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(super) fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// `struct fuse_attr` of a node whose times are 1970.
    pub(super) fn attr(self, attr: Attr) -> Self {
        self.u64(attr.ino)
            .u64(attr.size)
            .zeros(4 * 8 + 3 * 4)
            .u32(attr.mode)
            .u32(1)
            .u32(attr.uid)
            .u32(attr.gid)
            .u32(0)
            .u32(4096)
            .u32(0)
    }

    /// The message.
    pub(super) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// The attributes of a node, as far as they differ here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attr {
    pub(super) ino: u64,
    pub(super) size: u64,
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The message of a request, as the kernel writes it. For what reads requests of ours.
pub(super) fn request(opcode: u32, unique: u64, node: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(IN_HEADER + body.len()).unwrap_or(u32::MAX);
    let mut message =
        Outgoing(Vec::new()).u32(length).u32(opcode).u64(unique).u64(node).zeros(16).0;
    message.extend(body);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let message = request(opcode::LOOKUP, 4, 1, b"credentials\0");
        let incoming = Incoming::parse(&message).unwrap();
        assert_eq!((incoming.opcode, incoming.unique, incoming.node), (1, 4, 1));
        assert_eq!(incoming.name(), Some(&b"credentials"[..]));
        assert_eq!(incoming.number(100), None);
    }

    #[test]
    fn cut_messages_are_none() {
        let message = request(opcode::LOOKUP, 4, 1, b"credentials\0");
        for length in 0..message.len() {
            assert_eq!(Incoming::parse(&message[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn messages_have_the_sizes_of_the_kernels_structures() {
        let attr = Attr { ino: 1, size: 0, mode: 0o100_400, uid: 0, gid: 0 };
        assert_eq!(Outgoing::answer(1, 0).attr(attr).bytes().len(), OUT_HEADER + 88);
        let resend = Outgoing::resend().bytes();
        assert_eq!(resend[..8], [16_u32.to_ne_bytes(), 7_u32.to_ne_bytes()].concat());
    }
}
