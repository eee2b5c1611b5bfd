//! What is said of MFA: the device, the command that prints codes, and how long a session lasts.

use std::time::Duration;

use crate::config::values::{Sourced, shown, text};
use crate::model::MfaDevice;

/// The session with MFA when nothing says how long: as long as AWS gives it to an IAM user (AWS API
/// Reference, GetSessionToken).
pub(in crate::config) const DEFAULT_DURATION: Duration = Duration::from_hours(36);

/// What a role or a profile says of MFA.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct MfaSpec {
    pub(in crate::config) serial: Option<Sourced<MfaDevice>>,
    pub(in crate::config) process: Option<Sourced<String>>,
    pub(in crate::config) session_duration: Option<Sourced<Duration>>,
}

/// A command that prints codes.
pub(in crate::config) fn process(key: &str, text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err(format!("{key} is empty: write a command that prints an MFA code"));
    }
    if text.contains('\0') {
        return Err(format!("{key} {} contains a NUL", shown(text)));
    }
    Ok(text.to_owned())
}

/// How long a session with MFA lasts.
pub(in crate::config) fn session_duration(key: &str, text: &str) -> Result<Duration, String> {
    text::session_within(key, text, DEFAULT_DURATION, "36h")
}
