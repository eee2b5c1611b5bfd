//! What a daemon has recorded.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::wait_for;

/// The records of an audit log. Each line has to be a whole one; the last is waited for, since a
/// reader sees the first part of a write before the rest of it.
#[track_caller]
pub(crate) fn records(log: &Path) -> Vec<Value> {
    let text = wait_for("the last record to be whole", || {
        let text = fs::read_to_string(log).expect("an audit log");
        (text.is_empty() || text.ends_with('\n')).then_some(text)
    });
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The records of this kind.
#[track_caller]
pub(crate) fn records_of(log: &Path, event: &str) -> Vec<Value> {
    records(log).into_iter().filter(|record| record["event"] == event).collect()
}

/// The records of opens with this decision.
#[track_caller]
pub(crate) fn opens(log: &Path, decision: &str) -> Vec<Value> {
    records_of(log, "open").into_iter().filter(|open| open["decision"] == decision).collect()
}
