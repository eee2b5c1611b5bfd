//! What a daemon has recorded.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// The records of an audit log. Each line has to be a whole one.
#[track_caller]
pub(crate) fn records(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).expect("an audit log");
    assert!(text.is_empty() || text.ends_with('\n'), "the last record is cut");
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
