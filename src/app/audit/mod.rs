//! `audit`: prints records of an audit log, and follows it.

mod follow;

use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};

use super::surroundings::Surroundings;
use super::{daemons, report};
use crate::audit::{Event, Filter, Line, Table, parse};
use crate::cli::AuditArgs;
use crate::clock::{Clock, SystemClock};
use crate::config::{ConfigError, ConfigErrors, Flags, Origin, Selection};

use follow::{Follower, Lines, News};

/// `credmount audit [FILE]`; without FILE what the configuration has written. Following ends by
/// SIGINT, or when nobody reads the output any more.
pub(super) fn run(args: &AuditArgs) -> Result<ExitCode> {
    let path = match &args.file {
        Some(path) => Some(path.clone()),
        None => configured()?,
    };
    let Some(path) = path else {
        let message = "there is no audit log to read: name its FILE, or have one written with \
                       audit_log = \"/path/to/audit.jsonl\"; what went to the journal is shown \
                       by: journalctl SYSLOG_IDENTIFIER=credmount"
            .to_owned();
        return Err(ConfigErrors(vec![ConfigError { origin: Origin::Whole, message }]).into());
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
    // A configuration that serves nothing, or is wrong, names no log; the caller says what to do then.
    let settings = Surroundings::read(None).settings(&Flags::default(), Selection::Configured, &[]);
    Ok(settings.ok().and_then(|settings| settings.audit_log))
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

/// How often a log is looked at while it is followed.
const POLL: Duration = Duration::from_millis(200);

/// How much is read at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// How many lines are printed at once. Columns are aligned over these.
const BLOCK: usize = 1000;

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
