//! The answers of `check` as text for a terminal. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use super::packed::NEAR_THE_LIMIT;
use super::{Outcome, RoleCheck};
use crate::model::ClockSkew;

/// The widest line, in characters; a longer word stands on a line of its own.
const WIDTH: usize = 96;
/// What to do about a clock with which `credmount` gets along.
const CLOCK_ADVICE: &str = "Set the clock of this machine right (timedatectl set-ntp true). credmount \
     goes by the time of AWS, but AWS refuses what other programs sign, and they take sessions for \
     expired, or for valid, that are not.";
/// What to do about a session that is nearly full.
const PACKED_ADVICE: &str = "STS refuses above 100 %, and does not tell how it packs: a longer tag or \
     policy may be too much. Take fewer or shorter tags, or a managed policy (policy_arns).";
/// Where the values start.
const COLUMN: usize = 16;

/// Whether every role can be had: the exit code of `check`.
pub fn all_succeeded(checks: &[RoleCheck]) -> bool {
    checks.iter().all(RoleCheck::succeeded)
}

/// `checks` for a person: one block per role, each line ended by LF.
pub fn text(checks: &[RoleCheck]) -> String {
    let mut out = String::new();
    for check in checks {
        block(&mut out, check);
    }
    if let Some(seconds) = checks.iter().find_map(|check| check.clock_skew_seconds) {
        let skew = ClockSkew::from_seconds(seconds);
        line(&mut out, "clock", &skew.to_string());
        field(&mut out, "advice", CLOCK_ADVICE);
    }
    out
}

fn block(out: &mut String, check: &RoleCheck) {
    match &check.outcome {
        Outcome::Ok { identity, expiration, lifetime, access_key_id } => {
            line(out, &check.profile, "ok");
            field(out, "identity", &identity.arn);
            field(out, "account", &identity.account);
            field(out, "access key", access_key_id);
            let instant = humantime::format_rfc3339_seconds(*expiration);
            let ttl = humantime::format_duration(Duration::from_secs(lifetime.as_secs()));
            field(out, "expires", &format!("{instant} (in {ttl})"));
        }
        Outcome::Failed { step, message, advice, .. } => {
            line(out, &check.profile, &format!("FAILED at {step}"));
            field(out, "error", message);
            field(out, "advice", advice);
        }
    }
    for step in &check.steps {
        let Some(percent) = step.packed_percent else { continue };
        let packed = format!("{percent} % of the space for policies and tags, by {}", step.name);
        field(out, "packed", &packed);
        if percent >= NEAR_THE_LIMIT {
            field(out, "warning", PACKED_ADVICE);
        }
    }
    let steps: Vec<_> = check
        .steps
        .iter()
        .map(|step| format!("{} {} ms", step.name, step.took.as_millis()))
        .collect();
    field(out, "latency", &steps.join(", "));
}

fn line(out: &mut String, profile: &str, verdict: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{profile}: {verdict}");
}

/// One labelled value, wrapped, its further lines below its first.
fn field(out: &mut String, label: &str, value: &str) {
    let mut width = COLUMN;
    let _ = write!(out, "    {label:<indent$}", indent = COLUMN - 4);
    for (position, word) in value.split_whitespace().enumerate() {
        let length = word.chars().count();
        if position > 0 && width + 1 + length > WIDTH {
            let _ = write!(out, "\n{:COLUMN$}{word}", "");
            width = COLUMN + length;
        } else {
            let space = if position > 0 { " " } else { "" };
            let _ = write!(out, "{space}{word}");
            width += space.len() + length;
        }
    }
    out.push('\n');
}
