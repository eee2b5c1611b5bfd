//! A line of an audit log, as `credmount audit` reads it back: a full disk may have cut it, and a
//! caller has chosen some of its words.

#![no_main]

use credmount::audit::{Filter, Line, Table, parse};
use credmount_fuzz::is_one_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let Line::Event(event) = parse(line) else { return };
    let written = serde_json::to_vec(&event).expect("a record can be written");
    let again = parse(&written);
    // Times are written to the microsecond, so one round is what it takes to stay the same.
    let Line::Event(again) = again else { panic!("{again:?} of {event:?}") };
    let rewritten = serde_json::to_vec(&again).expect("a record can be written");
    assert_eq!(written, rewritten);
    let filter = Filter { container: Some("a".to_owned()), ..Filter::default() };
    let _ = (filter.matches(&event), event.is_failure());
    let lines = Table::default().lines(&[event]);
    let mut lines = lines.strip_suffix('\n').expect("lines that end").split('\n');
    let (header, row) = (lines.next(), lines.next());
    assert!(header.is_some_and(is_one_line) && row.is_some_and(is_one_line), "{row:?}");
    assert_eq!(lines.next(), None, "one record, one row");
});
