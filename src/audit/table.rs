//! Records as a table of who read what: one line each. Pure.

use std::fmt::Write as _;

use super::open::{Decision, Open, RoleRead};
use super::record::Event;
use super::request::Request;
use super::sentence::{UNKNOWN, place, process, program, sentence, shown};
use super::text::instant;

/// The table as far as it was written. Columns are as wide as what they have held so far: they
/// never become narrower, so that what is added later stands below what is there.
#[derive(Debug, Clone)]
pub struct Table {
    widths: [usize; COLUMNS],
    has_header: bool,
}

const COLUMNS: usize = 9;

/// The last column is not padded.
const HEADER: [&str; COLUMNS] =
    ["TIME", "WHAT", "MOUNT", "FILE", "KEYS", "UID", "PID", "PROGRAM", "CONTAINER"];

/// A column that one text has made wider than this does not make the others so.
const WIDEST: usize = 48;

/// The most keys of one open that are shown.
const KEYS: usize = 3;

#[derive(Debug)]
enum Row {
    /// An open: a text for each column.
    Cells([String; COLUMNS]),
    /// Anything else: time and name, then a sentence.
    Sentence(String, &'static str, String),
}

impl Default for Table {
    fn default() -> Self {
        Self { widths: HEADER.map(str::len), has_header: false }
    }
}

impl Table {
    /// The lines of these records; before the first of them the header.
    pub fn lines(&mut self, events: &[Event]) -> String {
        let rows: Vec<Row> = events.iter().map(row).collect();
        for row in &rows {
            match row {
                Row::Cells(cells) => cells.iter().enumerate().for_each(|(i, c)| self.widen(i, c)),
                Row::Sentence(time, name, _) => {
                    self.widen(0, time);
                    self.widen(1, name);
                }
            }
        }
        let mut text = String::new();
        if !self.has_header && !rows.is_empty() {
            self.has_header = true;
            self.put(&mut text, &HEADER);
        }
        for row in &rows {
            match row {
                Row::Cells(cells) => self.put(&mut text, cells),
                Row::Sentence(time, name, sentence) => {
                    self.put(&mut text, &[time.as_str(), name, sentence]);
                }
            }
        }
        text
    }

    fn widen(&mut self, column: usize, cell: &str) {
        let width = cell.chars().count().min(WIDEST);
        self.widths[column] = self.widths[column].max(width);
    }

    fn put(&self, text: &mut String, cells: &[impl AsRef<str>]) {
        let last = cells.len() - 1;
        for (index, cell) in cells.iter().enumerate() {
            let cell = cell.as_ref();
            // Writing to a String cannot fail.
            let _ = if index == last {
                writeln!(text, "{cell}")
            } else {
                write!(text, "{cell:width$}  ", width = self.widths[index])
            };
        }
    }
}

fn row(event: &Event) -> Row {
    match event {
        Event::Open(open) => Row::Cells(cells(open)),
        Event::Request(request) => Row::Cells(request_cells(request)),
        Event::AssumeRole(_)
        | Event::AssumeRoleWithWebIdentity(_)
        | Event::GetSessionToken(_)
        | Event::GetRoleCredentials(_)
        | Event::Token(_)
        | Event::Mount(_)
        | Event::Unmount(_)
        | Event::Reload(_)
        | Event::Lock(_)
        | Event::Unlock(_)
        | Event::Start(_)
        | Event::Stop(_) => {
            Row::Sentence(instant::seconds(event.time()), event.name(), sentence(event))
        }
    }
}

fn cells(open: &Open) -> [String; COLUMNS] {
    let reader = &open.reader;
    [
        instant::seconds(open.time),
        decision(open.decision),
        shown(open.mount.as_str()),
        shown(open.file.as_str()),
        keys(&open.roles),
        reader.uid.to_string(),
        process(reader).to_string(),
        program(reader),
        reader.container.as_ref().map_or_else(|| UNKNOWN.to_owned(), place),
    ]
}

/// Of who asks over HTTP there is no more than an address and a uid.
fn request_cells(request: &Request) -> [String; COLUMNS] {
    [
        instant::seconds(request.time),
        decision(request.decision),
        shown(request.mount.as_str()),
        "endpoint".to_owned(),
        keys(&request.roles),
        request.uid.map_or_else(|| UNKNOWN.to_owned(), |uid| uid.to_string()),
        UNKNOWN.to_owned(),
        shown(request.peer.as_str()),
        UNKNOWN.to_owned(),
    ]
}

fn decision(decision: Decision) -> String {
    match decision {
        Decision::Allowed => "allowed".to_owned(),
        Decision::Refused => "REFUSED".to_owned(),
    }
}

/// `prod=ASIA…`: the whole key id, because that is what one looks for in `CloudTrail`. Just the
/// name where no key was handed out.
fn keys(roles: &[RoleRead]) -> String {
    let key = |role: &RoleRead| {
        let name = shown(role.name.as_str());
        match &role.access_key_id {
            Some(id) => format!("{name}={}", shown(id.as_str())),
            None => name,
        }
    };
    let mut keys: Vec<String> = roles.iter().take(KEYS).map(key).collect();
    if roles.len() > KEYS {
        keys.push(format!("+{}", roles.len() - KEYS));
    }
    if keys.is_empty() { UNKNOWN.to_owned() } else { keys.join(",") }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{all_kinds, opened};
    use super::*;

    #[test]
    fn each_record_is_one_line_below_one_header() {
        let mut table = Table::default();
        let mut events = all_kinds();
        let mut open = opened("dev");
        open.decision = Decision::Refused;
        open.roles[0].access_key_id = None;
        (open.reader.exe, open.reader.container) = (None, None);
        events.push(Event::Open(Box::new(open)));
        insta::assert_snapshot!("table", table.lines(&events));
        assert_eq!(table.lines(&events[..1]).lines().count(), 1, "the header comes once");
    }

    #[test]
    fn nothing_has_no_header() {
        assert_eq!(Table::default().lines(&[]), "");
    }

    #[test]
    fn columns_of_later_lines_stand_below_those_of_earlier_ones() {
        let event = Event::Open(Box::new(opened("prod")));
        let mut table = Table::default();
        let first = table.lines(std::slice::from_ref(&event));
        let mut short = opened("p");
        short.mount = "a".into();
        let second = table.lines(&[Event::Open(Box::new(short))]);
        let uid = |line: &str| line.find(" 1000 ").unwrap();
        assert_eq!(uid(first.lines().last().unwrap()), uid(second.lines().last().unwrap()));
    }

    #[test]
    fn many_roles_and_endless_paths_do_not_fill_the_screen() {
        let mut open = opened("prod");
        open.roles = (0..9).map(|_| open.roles[0].clone()).collect();
        open.reader.exe = Some("/x".repeat(500).as_str().into());
        let mut table = Table::default();
        let text = table.lines(&[Event::Open(Box::new(open))]);
        assert!(text.contains(",+6 "), "{text}");
        let text = table.lines(&[Event::Open(Box::new(opened("prod")))]);
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn one_record_never_becomes_two_lines() {
        let mut open = opened("prod");
        open.reader.exe = Some("a\nb".into());
        open.mount = "c\u{2028}d".into();
        let text = Table::default().lines(&[Event::Open(Box::new(open))]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.contains('\u{2028}'));
    }
}
