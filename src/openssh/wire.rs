//! The data types of the SSH protocol (RFC 4251, section 5): numbers, and strings with their length
//! before them.

/// What is left of some bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// `uint32`
    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// `uint64`
    pub(super) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// `string`
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Appends a `string`.
pub(super) fn put_string(bytes: &mut Vec<u8>, string: &[u8]) {
    // None of ours comes near 4 GiB.
    let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(string);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_as_long_as_it_says_or_none() {
        let mut bytes = Vec::new();
        put_string(&mut bytes, b"ab");
        assert_eq!(bytes, b"\0\0\0\x02ab");
        let mut whole = Reader(&bytes);
        assert_eq!(whole.string(), Some(&b"ab"[..]));
        assert!(whole.is_empty());
        assert_eq!(whole.u32(), None);
        for length in 0..bytes.len() {
            assert_eq!(Reader(&bytes[..length]).string(), None, "{length}");
        }
        assert_eq!(Reader(b"\xff\xff\xff\xffx").string(), None);
    }
}
