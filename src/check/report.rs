//! The answers of `check` as text for a terminal. Pure.

use std::fmt::Write as _;

use super::{Outcome, RoleCheck};

/// The widest line of advice, in characters.
const WIDTH: usize = 92;
const INDENT: &str = "    ";

/// Whether every role can be had: the exit code of `check`.
pub fn all_succeeded(checks: &[RoleCheck]) -> bool {
    checks.iter().all(RoleCheck::succeeded)
}

/// `checks` for a person: one block per role, each line ended by LF.
pub fn text(checks: &[RoleCheck]) -> String {
    let mut out = String::new();
    for check in checks {
        // Writing to a String cannot fail.
        let _ = block(&mut out, check);
    }
    out
}

fn block(out: &mut String, check: &RoleCheck) -> std::fmt::Result {
    match &check.outcome {
        Outcome::Ok { identity, expiration, lifetime, access_key_id } => {
            writeln!(out, "{}: ok", check.profile)?;
            writeln!(out, "{INDENT}identity    {}", identity.arn)?;
            writeln!(out, "{INDENT}account     {}", identity.account)?;
            writeln!(out, "{INDENT}access key  {access_key_id}")?;
            writeln!(
                out,
                "{INDENT}expires     {} (in {})",
                humantime::format_rfc3339_seconds(*expiration),
                humantime::format_duration(std::time::Duration::from_secs(lifetime.as_secs())),
            )?;
        }
        Outcome::Failed { step, message, advice, .. } => {
            writeln!(out, "{}: FAILED at {step}", check.profile)?;
            wrapped(out, message)?;
            wrapped(out, advice)?;
        }
    }
    let steps: Vec<_> = check
        .steps
        .iter()
        .map(|step| format!("{} {} ms", step.name, step.took.as_millis()))
        .collect();
    writeln!(out, "{INDENT}latency     {}", steps.join(", "))
}

fn wrapped(out: &mut String, text: &str) -> std::fmt::Result {
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > 0 && width + 1 + length <= WIDTH {
            write!(out, " {word}")?;
            width += 1 + length;
        } else {
            let line_end = if width > 0 { "\n" } else { "" };
            write!(out, "{line_end}{INDENT}{word}")?;
            width = length;
        }
    }
    writeln!(out)
}
