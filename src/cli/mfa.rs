//! `credmount mfa`.

use clap::Args;

use super::mounts::WhichDaemon;

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
