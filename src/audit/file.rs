//! The audit file: JSON lines, appended with one write(2) for each batch.
//!
//! Several daemons may share the file. Each locks it for a batch (flock(2)), so that a line that a
//! full disk has cut is mended by who wrote it before anybody else appends.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::record::Event;
use super::sink::Sink;

/// The file, open for appending.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    file: File,
}

impl FileSink {
    /// Opens the file, making it (0600) if it is missing. Its directory has to exist.
    ///
    /// # Errors
    /// As open(2); or if it is not a regular file of this user alone: through a file that others
    /// can write to they could hide what they did, and a symlink may lead to a file of theirs.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { file: open(&path)?, path })
    }

    /// Appends whole lines only. Returns how many of them are in the file, and why not all.
    fn append(&mut self, lines: &Lines) -> (usize, io::Result<()>) {
        // A file that was removed, not renamed: nobody will ever read what is written to it.
        let removed = self.file.metadata().map(|meta| meta.nlink() == 0);
        match removed.and_then(|removed| if removed { self.reopen() } else { Ok(()) }) {
            Ok(()) => {}
            Err(error) => return (0, Err(error)),
        }
        // Without a lock, as on some network file systems, only the mending of a cut line that
        // another daemon appends to at this moment would be lost.
        let locked = self.file.lock().is_ok();
        let appended = self.append_locked(lines);
        if locked {
            // The descriptor is valid and the lock is held, so this cannot fail.
            let _ = self.file.unlock();
        }
        appended
    }

    fn append_locked(&mut self, lines: &Lines) -> (usize, io::Result<()>) {
        let (size, is_cut) = match end_of(&self.file) {
            Ok(end) => end,
            Err(error) => return (0, Err(error)),
        };
        // The text begins with a newline for the case that the last line was cut.
        let start = usize::from(!is_cut);
        let mut written = start;
        let mut result = Ok(());
        while written < lines.text.len() {
            match self.file.write(&lines.text[written..]) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => result = Err(error),
            }
            if result.is_err() {
                break;
            }
        }
        let whole = lines.ends.partition_point(|end| *end <= written);
        let end = if whole == 0 { start } else { lines.ends[whole - 1] };
        if written > end {
            self.cut_back(size + as_u64(end - start), size + as_u64(written - start));
        }
        (whole, result)
    }

    /// Takes back the part of a line. If that fails, the next batch begins on a new line.
    fn cut_back(&self, to: u64, from: u64) {
        // Somebody may have emptied the file meanwhile (copytruncate of logrotate(8)).
        if self.file.metadata().is_ok_and(|meta| meta.len() == from) {
            let _ = self.file.set_len(to);
        }
    }
}

impl Sink for FileSink {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn write(&mut self, events: &[Event], lost: &mut [bool]) -> io::Result<()> {
        let lines = Lines::of(events)?;
        let (whole, result) = self.append(&lines);
        lost[whole..].fill(true);
        result
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path)?;
        Ok(())
    }
}

/// A batch as text.
#[derive(Debug)]
struct Lines {
    /// A newline, then the lines.
    text: Vec<u8>,
    /// Where in `text` each line ends.
    ends: Vec<usize>,
}

impl Lines {
    fn of(events: &[Event]) -> io::Result<Self> {
        let mut lines = Self { text: vec![b'\n'], ends: Vec::with_capacity(events.len()) };
        for event in events {
            serde_json::to_writer(&mut lines.text, event)?;
            lines.text.push(b'\n');
            lines.ends.push(lines.text.len());
        }
        Ok(lines)
    }
}

fn open(path: &Path) -> io::Result<File> {
    // To read as well: whether the last line is whole shows only there. Not to block, on what is
    // no regular file.
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(fd) => File::from(fd),
        Err(Errno::LOOP) => {
            return Err(refused("it is a symlink; name the file it points to"));
        }
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if !meta.is_file() {
        Err(refused("it is not a regular file"))
    } else if meta.uid() != geteuid().as_raw() {
        Err(refused("it belongs to another user; name a file that the daemon may make itself"))
    } else if meta.mode() & 0o077 != 0 {
        Err(refused("others can open it; take that away with: chmod 600 FILE"))
    } else {
        Ok(file)
    }
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}

/// The size of the file, and whether it ends inside of a line.
fn end_of(file: &File) -> io::Result<(u64, bool)> {
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_at(&mut last, size - 1)?;
    }
    Ok((size, last != [b'\n']))
}

fn as_u64(count: usize) -> u64 {
    // usize has at most 64 bits on every system that Rust knows.
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::super::testing::numbered;
    use super::*;

    fn write(sink: &mut FileSink, indexes: std::ops::Range<u64>) -> (Vec<bool>, io::Result<()>) {
        let events: Vec<Event> = indexes.map(|index| numbered(1, index)).collect();
        let mut lost = vec![false; events.len()];
        let result = sink.write(&events, &mut lost);
        (lost, result)
    }

    #[track_caller]
    fn check(path: &Path, expected: std::ops::Range<u64>) {
        let expected: Vec<Event> = expected.map(|index| numbered(1, index)).collect();
        let text = fs::read_to_string(path).unwrap();
        let found: Vec<Event> = text
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| serde_json::from_str(line).expect(line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_file_is_made_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = FileSink::open(path.clone()).unwrap();
        write(&mut sink, 0..3).1.unwrap();
        write(&mut sink, 3..4).1.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        check(&path, 0..4);
        assert!(fs::read(&path).unwrap().starts_with(b"{"), "no empty line before the first");
    }

    #[test]
    fn files_that_others_could_reach_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| FileSink::open(path.to_owned()).unwrap_err().to_string();
        let (open, link, fifo) =
            (dir.path().join("open"), dir.path().join("link"), dir.path().join("fifo"));
        fs::write(&open, "").unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(refusal(&open).contains("chmod 600"));
        symlink("open", &link).unwrap();
        assert!(refusal(&link).contains("symlink"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(refusal(&fifo).contains("regular file"));
        assert!(refusal(Path::new("/dev/full")).contains("regular file"));
        assert!(refusal(&dir.path().join("none/x")).contains("No such file"));
        if geteuid().is_root() {
            let foreign = dir.path().join("foreign");
            fs::write(&foreign, "").unwrap();
            std::os::unix::fs::chown(&foreign, Some(12345), None).unwrap();
            assert!(refusal(&foreign).contains("another user"));
        }
    }

    #[test]
    fn a_line_that_another_writer_left_unfinished_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = FileSink::open(path.clone()).unwrap();
        fs::write(&path, "[\"cut").unwrap();
        write(&mut sink, 0..2).1.unwrap();
        check(&path, 0..2);
        assert!(fs::read_to_string(&path).unwrap().starts_with("[\"cut\n{"));
    }

    #[test]
    fn a_file_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = FileSink::open(path.clone()).unwrap();
        write(&mut sink, 0..1).1.unwrap();
        fs::remove_file(&path).unwrap();
        write(&mut sink, 1..3).1.unwrap();
        check(&path, 1..3);
    }

    #[test]
    fn a_failed_reopening_keeps_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        let mut sink = FileSink::open(path.clone()).unwrap();
        fs::rename(&path, &old).unwrap();
        fs::create_dir(&path).unwrap();
        sink.reopen().unwrap_err();
        write(&mut sink, 0..1).1.unwrap();
        check(&old, 0..1);
        fs::remove_dir(&path).unwrap();
        sink.reopen().unwrap();
        write(&mut sink, 1..2).1.unwrap();
        check(&path, 1..2);
    }

    /// The limit on the size of files stands in for a full disk: the kernel cuts a write there,
    /// too. It is far above what other tests write, should they share the process.
    #[tokio::test]
    async fn a_full_disk_loses_only_what_did_not_fit_and_cuts_no_line() {
        const LIMIT: u64 = 256 << 20;
        // The kernel's signal about the limit, which would end the process (signal(7)).
        const SIGXFSZ: i32 = 25;
        let kind = tokio::signal::unix::SignalKind::from_raw(SIGXFSZ);
        let _caught = tokio::signal::unix::signal(kind).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut sink = FileSink::open(path.clone()).unwrap();
        let line = as_u64(Lines::of(&[numbered(1, 0)]).unwrap().text.len() - 1);
        // Space for three lines and a half, behind a hole.
        let start = LIMIT - 3 * line - line / 2;
        sink.file.set_len(start - 1).unwrap();
        sink.file.write_all(b"\n").unwrap();
        let before = getrlimit(Resource::Fsize);
        setrlimit(Resource::Fsize, Rlimit { current: Some(LIMIT), ..before }).unwrap();
        let (lost, result) = write(&mut sink, 0..5);
        let (lost_too, result_too) = write(&mut sink, 5..6);
        setrlimit(Resource::Fsize, before).unwrap();
        assert_eq!(lost, [false, false, false, true, true]);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(lost_too, [true], "each batch tries again");
        result_too.unwrap_err();
        assert_eq!(fs::metadata(&path).unwrap().len(), start + 3 * line, "no part of a line");
        // Space again.
        assert_eq!(write(&mut sink, 3..5).0, [false, false]);
        let mut tail = vec![0; usize::try_from(5 * line).unwrap()];
        sink.file.read_exact_at(&mut tail, start).unwrap();
        fs::write(dir.path().join("tail"), &tail).unwrap();
        check(&dir.path().join("tail"), 0..5);
    }

    #[test]
    fn two_daemons_may_share_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        std::thread::scope(|scope| {
            for pid in 0..4 {
                let mut sink = FileSink::open(path.clone()).unwrap();
                scope.spawn(move || {
                    for index in 0..500 {
                        sink.write(&[numbered(pid, index)], &mut [false]).unwrap();
                    }
                });
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2000);
        assert!(text.lines().all(|line| serde_json::from_str::<Event>(line).is_ok()));
    }
}
