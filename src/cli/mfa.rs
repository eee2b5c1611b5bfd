//! `credmount mfa`, and the options about where MFA codes come from.

use clap::Args;

use super::mounts::WhichDaemon;
use super::options::MFA;
use crate::config::Flags;

const EXAMPLES: &str = "\
Examples:
  credmount mfa
  credmount mfa prod
  op item get AWS --otp | credmount mfa prod

Without CODE it is asked for on the terminal, or read from stdin where that is none; this keeps it
out of the history of the shell.

Exit codes: 0 the roles behind the device have their sessions, 1 not, 2 usage.";

/// `credmount mfa`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct MfaArgs {
    /// A role behind the device, by the name that readers see, or the device itself; the one that
    /// needs a code if not given
    #[arg(value_name = "ROLE")]
    pub role: Option<String>,

    /// The code that the device shows
    #[arg(value_name = "CODE")]
    pub code: Option<String>,

    /// Which daemon.
    #[command(flatten)]
    pub daemon: WhichDaemon,
}

/// Where MFA codes come from.
#[derive(Debug, Clone, Args)]
pub struct MfaSourceArgs {
    /// A command that prints an MFA code
    #[arg(long, value_name = "COMMAND", help_heading = MFA)]
    pub mfa_process: Option<String>,

    /// How long one MFA code is to last, 15m to 36h; 36h if not given
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = MFA)]
    pub mfa_session_duration: Option<String>,

    /// Who is asked for MFA codes: terminal, systemd or none
    #[arg(long, value_name = "WHO", help_heading = MFA)]
    pub mfa_prompt: Option<String>,
}

impl MfaSourceArgs {
    pub(super) fn flags(&self, others: Flags) -> Flags {
        Flags {
            mfa_process: self.mfa_process.clone(),
            mfa_session_duration: self.mfa_session_duration.clone(),
            mfa_prompt: self.mfa_prompt.clone(),
            ..others
        }
    }
}
