//! The bytes of one file. They may be keys: no copy of them is left behind in freed memory.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that are overwritten wherever they leave: on drop, when cut off, and when they move to
/// a larger buffer. The buffer is never larger than twice the bytes.
#[derive(Default)]
pub(super) struct Content(Zeroizing<Vec<u8>>);

impl Content {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A part: short at the end, empty beyond it.
    pub(super) fn read(&self, offset: u64, size: u32) -> Zeroizing<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let end = start.saturating_add(size as usize).min(self.len());
        Zeroizing::new(self.0[start..end].to_vec())
    }

    /// Writes `data` at `offset`; a gap before it reads as zeros.
    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if end > self.len() {
            self.resize(end);
        }
        self.0[offset..end].copy_from_slice(data);
    }

    /// Cuts the end off, or adds zeros.
    pub(super) fn resize(&mut self, len: usize) {
        let capacity = self.0.capacity();
        if len < self.len() {
            self.move_to(len, len);
        } else if len > capacity {
            self.move_to(len.max(2 * capacity), self.len());
        }
        self.0.resize(len, 0);
    }

    /// Moves the first `kept` bytes to a new buffer. `Vec` would leave the old one as it is.
    fn move_to(&mut self, capacity: usize, kept: usize) {
        let mut moved = Zeroizing::new(Vec::with_capacity(capacity));
        moved.extend_from_slice(&self.0[..kept]);
        self.0 = moved;
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "** {} bytes redacted **", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_reads_as_zeros_also_after_a_cut() {
        let mut content = Content::default();
        content.write(0, b"secret");
        content.resize(2);
        content.write(4, b"x");
        assert_eq!(*content.read(0, 100), b"se\0\0x");
        assert_eq!(*content.read(3, 1), b"\0");
        assert_eq!(*content.read(5, 9), b"");
        assert_eq!(*content.read(u64::MAX, u32::MAX), b"");
    }

    #[test]
    fn the_buffer_is_never_larger_than_twice_the_bytes() {
        let mut content = Content::default();
        for end in 1..5000 {
            content.write(end - 1, b"x");
            assert!(content.0.capacity() <= 2 * end.max(8), "{end}");
        }
        content.resize(3);
        assert!(content.0.capacity() <= 8);
        content.resize(0);
        assert_eq!(content.0.capacity(), 0);
    }

    #[test]
    fn debug_shows_no_content() {
        let mut content = Content::default();
        content.write(0, b"wJalrXUtnFEMI");
        assert_eq!(format!("{content:?}"), "** 13 bytes redacted **");
    }
}
