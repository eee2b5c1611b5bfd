//! Reads a log that somebody else writes: while it grows, is emptied or is replaced.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Splits what is read into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    whole: Vec<Vec<u8>>,
    part: Vec<u8>,
    /// Whether the part was longer than any record, and its rest is passed over.
    is_endless: bool,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !self.is_endless {
                self.part.extend_from_slice(piece);
            }
            if self.part.len() > LONGEST_LINE {
                self.is_endless = true;
                // Enough to be counted as no record.
                self.part.truncate(1);
            }
            if piece.ends_with(b"\n") {
                self.end();
            }
        }
    }

    /// Takes what there is of the last line as a line.
    pub(super) fn end(&mut self) {
        self.is_endless = false;
        if !self.part.is_empty() {
            self.whole.push(mem::take(&mut self.part));
        }
    }

    pub(super) fn count(&self) -> usize {
        self.whole.len()
    }

    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        mem::take(&mut self.whole)
    }
}

/// A file that is read on while it grows, is emptied or is replaced.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    name: String,
    file: File,
    /// How much of it was read, in bytes.
    offset: u64,
}

/// What a [`Follower`] came upon.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// So many bytes.
    Bytes(usize),
    /// From here on another file, or the same from its start: a line does not go on there.
    NewFile,
    /// Nothing for now.
    Nothing,
}

impl Follower {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let (name, file) = (path.display().to_string(), File::open(path)?);
        Ok(Self { path: path.to_owned(), name, file, offset: 0 })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads on. At the end of the file and with `follow`, looks whether there is another.
    pub(super) fn read(&mut self, bytes: &mut [u8], follow: bool) -> io::Result<News> {
        // Looked at before the read: what a writer adds to the old file before it turns to the new
        // one is read first.
        let next = if follow { self.next() } else { None };
        let count = loop {
            match self.file.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if count > 0 {
            self.offset += u64::try_from(count).unwrap_or_default();
            return Ok(News::Bytes(count));
        }
        let Some(next) = next else { return Ok(News::Nothing) };
        (self.file, self.offset) = (next, 0);
        Ok(News::NewFile)
    }

    /// The file to read next, if it is not this one: another at the path, or this one emptied
    /// (copytruncate of logrotate(8)). One that is still empty is not read yet: the daemon may not
    /// have turned to it, and goes on with the old one.
    fn next(&self) -> Option<File> {
        let here = self.file.metadata().ok()?;
        let there = File::open(&self.path).ok()?;
        let meta = there.metadata().ok()?;
        let is_another = meta.len() > 0 && (meta.dev(), meta.ino()) != (here.dev(), here.ino());
        // Pipes and devices have no size.
        let is_emptied = here.is_file() && here.len() < self.offset;
        (is_another || is_emptied).then_some(there)
    }
}

/// Longer lines, in bytes, are no records: one with every role of a mount of thousands is shorter.
const LONGEST_LINE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn line(number: u32) -> String {
        format!("{{\"event\":\"lock\",\"number\":{number}}}\n")
    }

    /// What a follower reads now.
    fn drain(log: &mut Follower, lines: &mut Lines) -> Vec<String> {
        let mut bytes = [0; 100];
        loop {
            match log.read(&mut bytes, true).unwrap() {
                News::Bytes(count) => lines.push(&bytes[..count]),
                News::NewFile => lines.end(),
                News::Nothing => break,
            }
        }
        lines.take().into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn a_log_is_followed_over_growth_rotation_and_truncation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        let append = |path: &Path, text: &str| {
            let mut file = File::options().append(true).create(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append(&path, &line(1));
        let (mut log, mut lines) = (Follower::open(&path).unwrap(), Lines::default());
        assert_eq!(drain(&mut log, &mut lines), [line(1)]);
        // Half a line is none yet.
        append(&path, &line(2)[..20]);
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&path, &line(2)[20..]);
        assert_eq!(drain(&mut log, &mut lines), [line(2)]);
        // Renamed; the writer still has the old file.
        fs::rename(&path, &old).unwrap();
        append(&old, &line(3));
        assert_eq!(drain(&mut log, &mut lines), [line(3)]);
        append(&path, "");
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&old, &line(4));
        append(&path, &line(5));
        assert_eq!(drain(&mut log, &mut lines), [line(4), line(5)]);
        // Emptied.
        fs::write(&path, "").unwrap();
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&path, &line(6));
        assert_eq!(drain(&mut log, &mut lines), [line(6)]);
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        (0..40).for_each(|_| lines.push(&chunk));
        assert!(lines.part.capacity() < 3 * LONGEST_LINE);
        lines.push(b"\n");
        lines.push(line(1).as_bytes());
        assert_eq!(lines.take(), [b"x".to_vec(), line(1).into_bytes()]);
    }
}
