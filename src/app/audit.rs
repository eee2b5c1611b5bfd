//! `audit`: prints records of an audit log, and follows it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use super::surroundings::Surroundings;
use super::{daemons, report};
use crate::audit::{Event, Filter, Line, Table, parse};
use crate::cli::AuditArgs;
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, ConfigErrors, Flags, Origin, Selection};

/// `credmount audit [FILE]`; without FILE what the configuration has written. Following ends by SIGINT or when nobody reads the output any more.
pub(super) fn run(args: &AuditArgs) -> Result<ExitCode> {
    let path = match &args.file {
        Some(path) => Some(path.clone()),
        None => configured()?,
    };
    let Some(path) = path else {
        bail!(
            "there is no audit log: name its FILE, or have one written with audit_log = \
             \"/path/to/audit.jsonl\" in the configuration; what went to the journal is shown by: \
             journalctl SYSLOG_IDENTIFIER=credmount"
        );
    };
    let filter = filter(args, SystemClock.now())?;
    let printer = if args.json { Printer::Json } else { Printer::Table(Table::default()) };
    let mut view = View { filter, printer, unknown: 0, out: io::stdout().lock() };
    let log = Follower::open(&path).with_context(|| path.display().to_string())?;
    match view.show(log, args.follow) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        shown => shown.with_context(|| path.display().to_string())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The audit log of a daemon that runs, else that of the configuration.
fn configured() -> Result<Option<PathBuf>> {
    if let Some(path) = daemons::audit_log()? {
        return Ok(Some(path));
    }
    let surroundings = Surroundings::read(None);
    Ok(surroundings.settings(&Flags::default(), Selection::Configured, &[])?.audit_log)
}

fn filter(args: &AuditArgs, now: SystemTime) -> Result<Filter> {
    let since = args.since.as_deref().map(|text| since(text, now)).transpose()?;
    let AuditArgs { role, container, mount, .. } = args.clone();
    Ok(Filter { since, role, container, mount })
}

/// A duration before `now`, or an instant.
fn since(text: &str, now: SystemTime) -> Result<SystemTime, ConfigErrors> {
    if let Ok(instant) = humantime::parse_rfc3339_weak(text) {
        return Ok(instant);
    }
    // More than there is behind us is all there is.
    let before = |age: Duration| now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    humantime::parse_duration(text).map(before).map_err(|_| {
        let message = format!(
            "{} is neither a duration nor an instant: write it as in 2h, 30m or \
             2026-09-21T14:00:00Z",
            text.escape_debug()
        );
        ConfigErrors(vec![ConfigError { origin: Origin::Flag("--since".to_owned()), message }])
    })
}

/// How records are printed.
#[derive(Debug)]
enum Printer {
    /// The lines as they stand in the log.
    Json,
    Table(Table),
}

/// What was asked for, and where it goes.
#[derive(Debug)]
struct View<W> {
    filter: Filter,
    printer: Printer,
    /// Lines that are no records.
    unknown: u64,
    out: W,
}

impl<W: Write> View<W> {
    /// Prints what there is, and with `follow` what comes, until the output or the log fails.
    fn show(&mut self, mut log: Follower, follow: bool) -> io::Result<()> {
        let mut bytes = vec![0; CHUNK];
        let mut lines = Lines::default();
        loop {
            let news = log.read(&mut bytes, follow)?;
            match news {
                News::Bytes(count) => lines.push(&bytes[..count]),
                News::NewFile => lines.end(),
                News::Nothing if follow => {
                    self.print(lines.take())?;
                    self.tell_unknown(log.name());
                    std::thread::sleep(POLL);
                    continue;
                }
                News::Nothing => {
                    lines.end();
                    self.print(lines.take())?;
                    self.tell_unknown(log.name());
                    return Ok(());
                }
            }
            if lines.count() >= BLOCK {
                self.print(lines.take())?;
            }
        }
    }

    fn print(&mut self, lines: Vec<Vec<u8>>) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        let mut text = Vec::new();
        for line in lines {
            match parse(&line) {
                Line::Event(event) if !self.filter.matches(&event) => {}
                Line::Event(event) => match &self.printer {
                    Printer::Json => {
                        text.extend_from_slice(line.trim_ascii());
                        text.push(b'\n');
                    }
                    Printer::Table(_) => events.push(event),
                },
                Line::Blank => {}
                Line::Unknown => self.unknown += 1,
            }
        }
        if let Printer::Table(table) = &mut self.printer {
            text = table.lines(&events).into_bytes();
        }
        self.out.write_all(&text)?;
        self.out.flush()
    }

    fn tell_unknown(&mut self, name: &str) {
        let unknown = mem::take(&mut self.unknown);
        if unknown > 0 {
            let are = if unknown == 1 { "line is" } else { "lines are" };
            report(&anyhow!("{unknown} {are} no audit record and left out: {name}"));
        }
    }
}

/// Splits what is read into lines.
#[derive(Debug, Default)]
struct Lines {
    whole: Vec<Vec<u8>>,
    part: Vec<u8>,
    /// Whether the part was longer than any record, and its rest is passed over.
    is_endless: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
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
    fn end(&mut self) {
        self.is_endless = false;
        if !self.part.is_empty() {
            self.whole.push(mem::take(&mut self.part));
        }
    }

    fn count(&self) -> usize {
        self.whole.len()
    }

    fn take(&mut self) -> Vec<Vec<u8>> {
        mem::take(&mut self.whole)
    }
}

/// A file that is read on while it grows, is emptied or is replaced.
#[derive(Debug)]
struct Follower {
    path: PathBuf,
    name: String,
    file: File,
    /// How much of it was read, in bytes.
    offset: u64,
}

/// What a [`Follower`] came upon.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// So many bytes.
    Bytes(usize),
    /// From here on another file, or the same from its start: a line does not go on there.
    NewFile,
    /// Nothing for now.
    Nothing,
}

impl Follower {
    fn open(path: &Path) -> io::Result<Self> {
        let (name, file) = (path.display().to_string(), File::open(path)?);
        Ok(Self { path: path.to_owned(), name, file, offset: 0 })
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Reads on. At the end of the file and with `follow`, looks whether there is another.
    fn read(&mut self, bytes: &mut [u8], follow: bool) -> io::Result<News> {
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

/// How often a log is looked at while it is followed.
const POLL: Duration = Duration::from_millis(200);

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How many lines are printed at once. Columns are aligned over these.
const BLOCK: usize = 1000;

/// Longer lines, in bytes, are no records: one with every role of a mount of thousands is shorter.
const LONGEST_LINE: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn lock(second: u64) -> String {
        let time = humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_secs(second));
        format!("{{\"event\":\"lock\",\"time\":\"{time}\"}}\n")
    }

    fn view(filter: Filter) -> View<Vec<u8>> {
        View { filter, printer: Printer::Json, unknown: 0, out: Vec::new() }
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
    fn records_between_broken_lines_are_shown_and_the_lines_counted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let text = [&lock(1)[..30], "\n\n", &lock(2), "\u{fffd}\n", &lock(3)].concat();
        fs::write(&path, &text).unwrap();
        let mut lines = Lines::default();
        lines.push(text.as_bytes());
        lines.end();
        let mut view = view(Filter::default());
        view.print(lines.take()).unwrap();
        assert_eq!(String::from_utf8(view.out).unwrap(), lock(2) + &lock(3));
        assert_eq!(view.unknown, 2);
    }

    #[test]
    fn a_last_line_without_newline_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, lock(1) + lock(2).trim_end()).unwrap();
        let mut view = view(Filter::default());
        view.show(Follower::open(&path).unwrap(), false).unwrap();
        assert_eq!(String::from_utf8(view.out).unwrap(), lock(1) + &lock(2));
    }

    #[test]
    fn only_what_was_asked_for_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(&path, (0..3000).map(lock).collect::<String>()).unwrap();
        let since = Some(UNIX_EPOCH + Duration::from_secs(2999));
        let mut view = view(Filter { since, ..Filter::default() });
        view.show(Follower::open(&path).unwrap(), false).unwrap();
        assert_eq!(String::from_utf8(view.out).unwrap(), lock(2999));
    }

    #[test]
    fn a_log_is_followed_over_growth_rotation_and_truncation() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("audit.jsonl"), dir.path().join("audit.jsonl.1"));
        let append = |path: &Path, text: &str| {
            let mut file = File::options().append(true).create(true).open(path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append(&path, &lock(1));
        let (mut log, mut lines) = (Follower::open(&path).unwrap(), Lines::default());
        assert_eq!(drain(&mut log, &mut lines), [lock(1)]);
        // Half a line is none yet.
        append(&path, &lock(2)[..20]);
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&path, &lock(2)[20..]);
        assert_eq!(drain(&mut log, &mut lines), [lock(2)]);
        // Renamed; the writer still has the old file.
        fs::rename(&path, &old).unwrap();
        append(&old, &lock(3));
        assert_eq!(drain(&mut log, &mut lines), [lock(3)]);
        append(&path, "");
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&old, &lock(4));
        append(&path, &lock(5));
        assert_eq!(drain(&mut log, &mut lines), [lock(4), lock(5)]);
        // Emptied.
        fs::write(&path, "").unwrap();
        assert!(drain(&mut log, &mut lines).is_empty());
        append(&path, &lock(6));
        assert_eq!(drain(&mut log, &mut lines), [lock(6)]);
    }

    #[test]
    fn an_endless_line_takes_no_endless_memory() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; 1 << 20];
        (0..40).for_each(|_| lines.push(&chunk));
        assert!(lines.part.capacity() < 3 * LONGEST_LINE);
        lines.push(b"\n");
        lines.push(lock(1).as_bytes());
        assert_eq!(lines.take(), [b"x".to_vec(), lock(1).into_bytes()]);
    }

    #[test]
    fn since_is_a_duration_or_an_instant() {
        let now = UNIX_EPOCH + Duration::from_hours(100);
        assert_eq!(since("2h", now).unwrap(), now - Duration::from_hours(2));
        let instant = UNIX_EPOCH + Duration::from_hours(24);
        assert_eq!(since("1970-01-02T00:00:00Z", now).unwrap(), instant);
        assert_eq!(since("1970-01-02 00:00:00", now).unwrap(), instant);
        since("1000years", now).unwrap();
        let said = since("yesterday", now).unwrap_err().to_string();
        assert!(said.starts_with("--since: yesterday is neither"), "{said}");
    }
}
