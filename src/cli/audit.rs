//! The options of `credmount audit`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

const EXAMPLES: &str = "\
Examples:
  credmount audit --since 2h --role prod
  credmount audit --follow --container 0123456789ab
  credmount audit --json /var/log/credmount/audit.jsonl | jq .decision
  zcat audit.jsonl.2.gz | credmount audit /dev/stdin

Rotated files such as FILE.1 are read only when they are named. Records in the journal are shown
by: journalctl SYSLOG_IDENTIFIER=credmount";

/// `credmount audit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct AuditArgs {
    /// The audit log; if not given, that of the running daemon or of the configuration
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,

    /// Keep printing what is written, also after a rotation
    #[arg(short, long)]
    pub follow: bool,

    /// Only from then on: an age such as 2h, or an instant such as 2026-09-21T14:00:00Z
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,

    /// Only this role: the name that readers see; of AssumeRole calls the ARN or its last part
    #[arg(short, long, value_name = "NAME")]
    pub role: Option<String>,

    /// Only this container or pod (the first digits of its id), or this systemd unit
    #[arg(long, value_name = "ID")]
    pub container: Option<String>,

    /// Only this mount: its name, or its path where it has none
    #[arg(long, value_name = "NAME")]
    pub mount: Option<String>,

    /// Print the records as they stand in the log, one JSON object per line
    #[arg(long)]
    pub json: bool,
}
