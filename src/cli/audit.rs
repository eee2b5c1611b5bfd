//! The options of `credmount audit`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

const EXAMPLES: &str = "\
Examples:
  credmount audit --since 2h --role prod
  credmount audit --follow --container 0123456789ab
  credmount audit --json /var/log/credmount/audit.jsonl | jq .decision
  zcat audit.jsonl.2.gz | credmount audit /dev/stdin

What rotated files such as FILE.1 hold is shown only when they are named. What went to the journal
is shown by: journalctl SYSLOG_IDENTIFIER=credmount";

/// `credmount audit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    /// The audit log; `audit_log` of the configuration if not given
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Go on with what is written from now on, also after a rotation
    #[arg(short, long)]
    pub follow: bool,

    /// Only what is not older, as in 2h, or not before an instant, as in 2026-09-21T14:00:00Z
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Only this role, by the name that readers see or by its ARN
    #[arg(short, long, value_name = "NAME")]
    pub role: Option<String>,

    /// Only this container or pod, by the first digits of its id, or this systemd unit
    #[arg(long, value_name = "ID")]
    pub container: Option<String>,

    /// Only this mount, by its name
    #[arg(long, value_name = "NAME")]
    pub mount: Option<String>,

    /// Print the records as they stand in the log
    #[arg(long)]
    pub json: bool,
}
