//! What `status` tells, as JSON (also `credmount/status.json`) and as a table. The types cannot
//! hold a secret.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::audit::{AuditStatus, OnFailure};
use crate::model::ClockSkew;

/// One mount and its daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// The name in the configuration; absent for the mount of a command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The mount point.
    pub mountpoint: String,
    /// The daemon's process id.
    pub pid: u32,
    /// The daemon's version.
    pub version: String,
    /// When the daemon began to serve, RFC 3339.
    pub since: String,
    /// Opens of files that hold keys, so far.
    pub reads: u64,
    /// When the mount ends by itself, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// The audit log; absent without one, and for readers of the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditStatus>,
    /// Where keys are handed out over HTTP; absent where they are not, and for readers of the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointStatus>,
    /// How many seconds the clock of the daemon's machine is ahead of that of AWS, negative if it
    /// is behind; absent before AWS has told its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_skew_seconds: Option<i64>,
    /// The log of a daemon in the background.
    pub log_file: Option<String>,
    /// What is wrong with the configuration of the daemon, a line for each error; absent while
    /// nothing is, and for readers of the mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The roles, in the order of the command line.
    pub roles: Vec<RoleStatus>,
    /// The tokens of services other than AWS; none for readers who may not read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenStatus>,
}

/// The endpoint of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Address and port.
    pub address: String,
    /// Why it does not serve at present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One role of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleStatus {
    /// The profile name that readers see.
    pub profile: String,
    /// Whether it is rendered as `[default]` too.
    pub default: bool,
    /// `live`, `failing`, `pending` (nothing fetched yet), `locked`, `ended`, or
    /// [`UNCONFIGURED`].
    pub state: String,
    /// The role; absent when base credentials are served as they are.
    pub role_arn: Option<String>,
    /// Of the session held. Not secret.
    pub access_key_id: Option<String>,
    /// When the session was received, RFC 3339.
    pub issued: Option<String>,
    /// When AWS stops accepting it, RFC 3339.
    pub expires: Option<String>,
    /// Seconds until then; 0 once expired.
    pub remaining_seconds: Option<u64>,
    /// When the next renewal or retry is due, RFC 3339; absent while one is under way.
    pub next_attempt: Option<String>,
    /// The latest failure; absent when the latest attempt succeeded.
    pub last_error: Option<String>,
    /// When it happened, RFC 3339.
    pub last_error_at: Option<String>,
    /// Its kind, by the name of [`Cause`](crate::broker::Cause).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cause: Option<String>,
    /// The AWS profile at the start of the role chain; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_profile: Option<String>,
    /// The identity at the start of the role chain; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Sessions received so far.
    pub renewals: u64,
    /// Attempts that failed so far.
    pub failures: u64,
    /// The session with MFA that the role is behind; absent for one that needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa: Option<MfaStatus>,
}

/// One token of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its directory below `credmount/`: `github/OWNER`, `web-identity/NAME`.
    pub name: String,
    /// The identity that asks for it.
    pub identity: String,
    /// The repositories it is limited to; none if it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// As [`RoleStatus::state`].
    pub state: String,
    /// The SHA-256 of the token held, in base64. Not secret.
    pub hash: Option<String>,
    /// When the token was received, RFC 3339.
    pub issued: Option<String>,
    /// When it is accepted no more, RFC 3339.
    pub expires: Option<String>,
    /// Seconds until then; 0 once expired.
    pub remaining_seconds: Option<u64>,
    /// When the next renewal or retry is due, RFC 3339; absent while one is under way.
    pub next_attempt: Option<String>,
    /// The latest failure; absent when the latest attempt succeeded.
    pub last_error: Option<String>,
    /// When it happened, RFC 3339.
    pub last_error_at: Option<String>,
    /// Its kind, by the name of [`Cause`](crate::broker::Cause).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_cause: Option<String>,
    /// Tokens received so far.
    pub renewals: u64,
    /// Attempts that failed so far.
    pub failures: u64,
}

/// A session with MFA, which all roles behind one device share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MfaStatus {
    /// The ARN or serial number of the device.
    pub device: String,
    /// When AWS stops accepting the session, RFC 3339; absent before the first code.
    pub expires: Option<String>,
    /// The command that gives a code; absent while none is needed.
    pub command: Option<String>,
}

/// The state of a role while the configuration is broken, so that it is not known what it is.
pub const UNCONFIGURED: &str = "unconfigured";

/// Renders one mount as JSON on one line.
pub fn status_json(status: &MountStatus) -> String {
    // The type has no map with other keys than strings, so this cannot fail.
    serde_json::to_string(status).unwrap_or_default()
}

impl MountStatus {
    /// The clock of this machine, if it is so wrong that it is worth a word.
    fn wrong_clock(&self) -> Option<ClockSkew> {
        self.clock_skew_seconds.map(ClockSkew::from_seconds).filter(|skew| skew.is_notable())
    }
}

/// Renders one mount as people read it. `now`, by the clock of this machine, turns instants into
/// spans.
pub fn status_text(status: &MountStatus, now: SystemTime) -> String {
    let mut text = String::new();
    // The daemon judges by the time of AWS, and so do the instants that it tells.
    let now = status.wrong_clock().map_or(now, |skew| skew.corrected(now));
    let since = span_since(&status.since, now);
    let name = status.name.as_ref().map_or_else(String::new, |name| format!("{name}, "));
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{}  ({name}pid {}, version {}, serving for {since}, {} reads)",
        status.mountpoint, status.pid, status.version, status.reads
    );
    if let Some(ends) = &status.ends {
        let _ = writeln!(text, "  ends {ends} ({})", span_until(ends, now));
    }
    if let Some(skew) = status.wrong_clock() {
        let _ = writeln!(text, "  clock: {skew}; set it right (timedatectl set-ntp true)");
    }
    if let Some(audit) = &status.audit {
        let _ = writeln!(text, "  audit: {}", audit_text(audit));
    }
    if let Some(endpoint) = &status.endpoint {
        let _ = match &endpoint.trouble {
            None => writeln!(text, "  endpoint: http://{}/role/NAME", endpoint.address),
            Some(trouble) => writeln!(text, "  endpoint: NOT SERVED: {trouble}"),
        };
    }
    if let Some(log_file) = &status.log_file {
        let _ = writeln!(text, "  log: {log_file}");
    }
    if let Some(broken) = &status.broken {
        let _ = writeln!(text, "  THE CONFIGURATION IS BROKEN; it is tried again by itself:");
        for line in broken.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    for role in &status.roles {
        let default = if role.default { " (default)" } else { "" };
        if role.state == UNCONFIGURED {
            let _ = writeln!(text, "  {}{default}: {UNCONFIGURED}", role.profile);
            continue;
        }
        let served = role.role_arn.as_deref().unwrap_or("base credentials as they are");
        let _ = writeln!(text, "  {}{default}: {}  {served}", role.profile, role.state);
        let kept = Kept {
            what: ("key", "session"),
            held: (&role.access_key_id, &role.issued, &role.expires, role.remaining_seconds),
            failure: (&role.last_error, &role.last_error_at),
            next_attempt: &role.next_attempt,
            mfa: role.mfa.as_ref(),
            counts: (role.renewals, role.failures),
        };
        kept.write(&mut text, now);
    }
    for token in &status.tokens {
        let limit = match token.repositories.join(", ") {
            all if all.is_empty() => String::new(),
            repositories => format!(", for {repositories} only"),
        };
        let (name, state) = (&token.name, &token.state);
        if state == UNCONFIGURED {
            let _ = writeln!(text, "  {name}: {UNCONFIGURED}");
            continue;
        }
        let _ = writeln!(text, "  {name}: {state}  token of {}{limit}", token.identity);
        let kept = Kept {
            what: ("SHA-256", "token"),
            held: (&token.hash, &token.issued, &token.expires, token.remaining_seconds),
            failure: (&token.last_error, &token.last_error_at),
            next_attempt: &token.next_attempt,
            mfa: None,
            counts: (token.renewals, token.failures),
        };
        kept.write(&mut text, now);
    }
    text
}

/// What roles and tokens have to tell alike.
struct Kept<'a> {
    /// What its name is called, and itself.
    what: (&'static str, &'static str),
    /// Its name, since when it is held, until when, and how many seconds that is from now.
    held: (&'a Option<String>, &'a Option<String>, &'a Option<String>, Option<u64>),
    failure: (&'a Option<String>, &'a Option<String>),
    next_attempt: &'a Option<String>,
    mfa: Option<&'a MfaStatus>,
    /// Renewals and failures.
    counts: (u64, u64),
}

impl Kept<'_> {
    fn write(&self, text: &mut String, now: SystemTime) {
        if let (Some(name), Some(issued), Some(expires), remaining) = self.held {
            let remaining = match remaining {
                Some(0) | None => "expired".to_owned(),
                Some(seconds) => format!("{} left", span(Duration::from_secs(seconds))),
            };
            let _ = writeln!(
                text,
                "    {} {name}, issued {issued}, expires {expires} ({remaining})",
                self.what.0
            );
        }
        if let (Some(error), Some(at)) = self.failure {
            let _ = writeln!(text, "    last error at {at}: {error}");
        }
        if let Some(mfa) = self.mfa {
            let _ = writeln!(text, "    {}", mfa_text(mfa, now));
        }
        let next = match self.next_attempt {
            Some(at) => {
                let what = if self.failure.0.is_some() { "attempt" } else { "renewal" };
                format!("next {what} {at} ({})", span_until(at, now))
            }
            None => format!("asking for a {} now", self.what.1),
        };
        let (renewals, failures) = self.counts;
        let _ = writeln!(text, "    {next}; {renewals} renewals, {failures} failures so far");
    }
}

fn mfa_text(mfa: &MfaStatus, now: SystemTime) -> String {
    let mut text = format!("MFA of {}", mfa.device);
    if let Some(expires) = &mfa.expires {
        let _ = write!(text, " until {expires} ({})", span_until(expires, now));
    }
    if let Some(command) = &mfa.command {
        let _ = write!(text, "; a code is needed: {command}");
    }
    text
}

fn audit_text(audit: &AuditStatus) -> String {
    let mut text = format!("{}, {} records", audit.sinks.join(" and "), audit.written);
    if audit.failed > 0 {
        let _ = write!(text, ", {} FAILED", audit.failed);
    }
    if let (true, Some(error)) = (audit.failing, &audit.last_error) {
        let what = match audit.on_failure {
            OnFailure::Serve => "readers are served unrecorded",
            OnFailure::Refuse => "readers are refused",
        };
        let _ = write!(text, "; FAILING, {what}: {error}");
    }
    text
}

fn span_since(instant: &str, now: SystemTime) -> String {
    let at = humantime::parse_rfc3339(instant).unwrap_or(now);
    span(now.duration_since(at).unwrap_or_default())
}

fn span_until(instant: &str, now: SystemTime) -> String {
    let at = humantime::parse_rfc3339(instant).unwrap_or(now);
    match at.duration_since(now) {
        Ok(rest) if rest >= Duration::from_secs(1) => format!("in {}", span(rest)),
        _ => "now".to_owned(),
    }
}

fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_is_told_and_spans_are_counted_by_that_of_aws() {
        let role = RoleStatus {
            profile: "prod".to_owned(),
            default: true,
            state: "live".to_owned(),
            role_arn: None,
            access_key_id: None,
            issued: None,
            expires: None,
            remaining_seconds: None,
            next_attempt: Some("2026-11-22T02:30:00Z".to_owned()),
            last_error: None,
            last_error_at: None,
            last_cause: None,
            source_profile: None,
            identity: None,
            renewals: 1,
            failures: 0,
            mfa: None,
        };
        let status = |clock_skew_seconds| MountStatus {
            name: None,
            mountpoint: "/live".to_owned(),
            pid: 1,
            version: "0".to_owned(),
            since: "2026-11-22T01:00:00Z".to_owned(),
            reads: 0,
            ends: None,
            audit: None,
            endpoint: None,
            clock_skew_seconds,
            log_file: None,
            broken: None,
            roles: vec![role.clone()],
            tokens: Vec::new(),
        };
        // For AWS it is two o'clock.
        let text_at = |skew: i64| {
            let two = SystemTime::UNIX_EPOCH + Duration::from_hours(498_698);
            status_text(&status(Some(skew)), two + Duration::from_secs(skew.unsigned_abs()))
        };
        let wrong = text_at(37 * 3600);
        assert!(wrong.contains("  clock: 37 h ahead of AWS"), "{wrong}");
        assert!(!text_at(3).contains("clock"));
        for text in [wrong, text_at(0)] {
            assert!(text.contains("serving for 1h") && text.contains("(in 30m)"), "{text}");
        }
    }
}
