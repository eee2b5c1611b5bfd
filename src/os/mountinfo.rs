//! `/proc/PID/mountinfo` (proc(5)): which mounts a process sees, and where.

use std::io;
use std::path::{Path, PathBuf};

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// `major:minor` of the file system.
    pub device: String,
    /// The directory or file of the file system that is mounted; `/` for all of it.
    pub root: Vec<u8>,
    /// Where, relative to the root directory of the process.
    pub mountpoint: Vec<u8>,
    /// For example `fuse.credmount`.
    pub fstype: String,
}

impl MountEntry {
    /// Whether it is a mount of credmount, of this or another daemon.
    pub fn is_ours(&self) -> bool {
        self.fstype == FSTYPE
    }

    /// The mount point as a path.
    pub fn path(&self) -> PathBuf {
        use std::os::unix::ffi::OsStringExt;
        std::ffi::OsString::from_vec(self.mountpoint.clone()).into()
    }
}

/// The mounts that the calling process sees.
///
/// # Errors
/// As reading a file.
pub fn own() -> io::Result<Vec<MountEntry>> {
    std::fs::read("/proc/self/mountinfo").map(|text| parse(&text))
}

/// The mounts that a thread of another process sees. World-readable.
///
/// # Errors
/// As reading a file; `NotFound` if the thread is gone.
pub fn of_thread(tid: u32) -> io::Result<Vec<MountEntry>> {
    std::fs::read(format!("/proc/{tid}/mountinfo")).map(|text| parse(&text))
}

/// The topmost mount at exactly this path, which must be absolute and free of symlinks. Never
/// touches the path itself: a stat of an unserved mount would hang.
///
/// # Errors
/// As reading a file.
pub fn at(path: &Path) -> io::Result<Option<MountEntry>> {
    Ok(own()?.into_iter().rev().find(|entry| entry.path() == path))
}

/// Parses mountinfo. Lines that do not have its form are left out.
pub fn parse(text: &[u8]) -> Vec<MountEntry> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /mnt opts optional… - type source superopts`
fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    Some(MountEntry {
        device: String::from_utf8(fields.get(2)?.to_vec()).ok()?,
        root: unescape(fields.get(3)?),
        mountpoint: unescape(fields.get(4)?),
        fstype: String::from_utf8(fields.get(separator + 1)?.to_vec()).ok()?,
    })
}

/// The kernel writes space, tab, newline, backslash and `#` as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'))
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(byte));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    bytes
}

/// The type our mounts have: `fuse` and the `subtype` mount option.
pub const FSTYPE: &str = "fuse.credmount";

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
90 22 0:51 / /home/me/my\\040aws\\134x ro,nosuid shared:7 master:2 - fuse.credmount credmount ro
91 22 0:51 /credentials /root/.aws/credentials ro - fuse.credmount credmount ro
garbage
92 22 0:60 / /x
";

    #[test]
    fn lines_are_parsed_and_garbage_is_left_out() {
        let entries = parse(TEXT);
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[1].mountpoint, b"/home/me/my aws\\x");
        assert_eq!(entries[1].device, "0:51");
        assert!(entries[1].is_ours() && !entries[0].is_ours());
        assert_eq!(entries[2].root, b"/credentials");
    }

    #[test]
    fn an_incomplete_escape_is_left_as_it_is() {
        assert_eq!(unescape(b"a\\04"), b"a\\04");
        assert_eq!(unescape(b"\\"), b"\\");
    }
}
