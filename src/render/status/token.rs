//! What `status` tells of the tokens of services other than AWS, certificates among them.

use std::fmt::Write as _;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Kept, UNCONFIGURED};

/// One token of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Its directory below `credmount/`: `github/OWNER`, `ssh/NAME`, `web-identity/NAME`.
    pub name: String,
    /// The identity that asks for it.
    pub identity: String,
    /// The repositories it is limited to; none if it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<String>,
    /// As [`RoleStatus::state`](super::RoleStatus::state).
    pub state: String,
    /// The SHA-256 of the token held, in base64. Not secret; absent for a certificate.
    pub hash: Option<String>,
    /// Of the certificate held; absent for other tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
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

/// A certificate for ssh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// What servers log it by, beside its serial number.
    pub key_id: String,
    /// Its serial number.
    pub serial: u64,
    /// The names that one may log in by.
    pub principals: Vec<String>,
}

impl TokenStatus {
    /// Appends it as people read it.
    pub(super) fn write(&self, text: &mut String, now: SystemTime) {
        // Writing to a String cannot fail.
        if self.state == UNCONFIGURED {
            let _ = writeln!(text, "  {}: {UNCONFIGURED}", self.name);
            return;
        }
        let (what, names) = match &self.certificate {
            Some(certificate) => ("certificate", certificate.principals.join(", ")),
            None if self.name.starts_with("ssh/") => ("certificate", String::new()),
            None => ("token", self.repositories.join(", ")),
        };
        let _ = write!(text, "  {}: {}  {what} of {}", self.name, self.state, self.identity);
        if !names.is_empty() {
            let only = if what == "token" { " only" } else { "" };
            let _ = write!(text, ", for {names}{only}");
        }
        text.push('\n');
        let certificate = self.certificate.as_ref();
        let certificate = certificate.map(|it| format!("{} (serial {})", it.key_id, it.serial));
        let label = if certificate.is_some() { what } else { "SHA-256" };
        let id = certificate.or_else(|| self.hash.clone());
        let kept = Kept {
            what: (label, what),
            held: (&id, &self.issued, &self.expires, self.remaining_seconds),
            failure: (&self.last_error, &self.last_error_at),
            next_attempt: &self.next_attempt,
            mfa: None,
            counts: (self.renewals, self.failures),
        };
        kept.write(text, now);
    }
}
