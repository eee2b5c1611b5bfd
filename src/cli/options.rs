//! Options that several commands share, in the groups of `--help`.

use std::path::PathBuf;

use clap::Args;

use crate::config::Flags;

pub(super) const ROLES: &str = "Roles";
pub(super) const SESSIONS: &str = "Sessions";
pub(super) const MOUNT: &str = "Mount";
pub(super) const READERS: &str = "Readers";
pub(super) const AUDIT: &str = "Audit";
pub(super) const MFA: &str = "MFA";
pub(super) const LOGGING: &str = "Configuration and logging";

/// Where an option stands that shares its group with common ones.
pub(super) const AFTER_COMMON: usize = 100;

pub(super) const CONFIG_HELP: &str =
    "The configuration file [default: $XDG_CONFIG_HOME/credmount/config.toml]";

/// The options that mounting, checking and rendering share.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Which roles, and what their sessions are like.
    #[command(flatten)]
    pub sessions: SessionArgs,

    /// Where MFA codes come from.
    #[command(flatten)]
    pub mfa: MfaSourceArgs,

    /// Configuration and logging.
    #[command(flatten)]
    pub log: LogArgs,
}

impl CommonArgs {
    /// The flags for [`crate::config::resolve`].
    pub fn flags(&self) -> Flags {
        self.log.flags(self.mfa.flags(self.sessions.flags()))
    }
}

/// Which roles, and what their sessions are like.
#[derive(Debug, Clone, Args)]
pub struct SessionArgs {
    /// A configured role, an AWS profile or a role ARN, and the name that readers see; repeats
    #[arg(short, long = "role", value_name = "[NAME=]ROLE", help_heading = ROLES)]
    pub roles: Vec<String>,

    /// The AWS profile that assumes roles which name none
    #[arg(long, value_name = "PROFILE", help_heading = ROLES)]
    pub source_profile: Option<String>,

    /// The region for readers and for STS
    #[arg(long, help_heading = ROLES)]
    pub region: Option<String>,

    /// How long sessions last, 15m to 12h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub session_duration: Option<String>,

    /// The external id that the trust policy asks for
    #[arg(long, value_name = "ID", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub external_id: Option<String>,

    /// The role session name, as in {user}-{role}-{time}
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub session_name: Option<String>,

    /// The source identity: who acts, for CloudTrail
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub source_identity: Option<String>,

    /// A session tag; repeats
    #[arg(long = "tag", value_name = "KEY=VALUE", help_heading = SESSIONS)]
    pub tags: Vec<String>,

    /// The key of a tag that roles assumed next keep; repeats
    #[arg(long = "transitive-tag-key", value_name = "KEY", help_heading = SESSIONS)]
    pub transitive_tag_keys: Vec<String>,

    /// A session policy as JSON, to allow less than the role
    #[arg(long, value_name = "JSON", help_heading = SESSIONS)]
    pub policy: Option<String>,

    /// A managed policy that does the same; repeats
    #[arg(long = "policy-arn", value_name = "ARN", help_heading = SESSIONS)]
    pub policy_arns: Vec<String>,
}

impl SessionArgs {
    pub(super) fn flags(&self) -> Flags {
        Flags {
            roles: self.roles.clone(),
            source_profile: self.source_profile.clone(),
            region: self.region.clone(),
            session_duration: self.session_duration.clone(),
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
            source_identity: self.source_identity.clone(),
            tags: self.tags.clone(),
            transitive_tag_keys: self.transitive_tag_keys.clone(),
            policy: self.policy.clone(),
            policy_arns: self.policy_arns.clone(),
            ..Flags::default()
        }
    }
}

/// Configuration and logging.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE", help_heading = LOGGING, help = CONFIG_HELP)]
    pub config: Option<PathBuf>,

    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT", help_heading = LOGGING)]
    pub log_format: Option<String>,

    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = LOGGING)]
    pub verbose: u8,

    /// Log errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = LOGGING)]
    pub quiet: bool,
}

impl LogArgs {
    pub(super) fn flags(&self, others: Flags) -> Flags {
        Flags {
            log_format: self.log_format.clone(),
            verbose: self.verbose,
            quiet: self.quiet,
            ..others
        }
    }
}

/// Which role is the default.
#[derive(Debug, Clone, Args)]
pub struct DefaultArgs {
    /// The role that is also `[default]`, or `none`; the first one if not given
    #[arg(long, value_name = "NAME", help_heading = ROLES, display_order = AFTER_COMMON)]
    pub default: Option<String>,
}

impl DefaultArgs {
    pub(super) fn flags(&self, others: Flags) -> Flags {
        Flags { default: self.default.clone(), ..others }
    }
}

/// What one mount is like for its readers.
#[derive(Debug, Clone, Args)]
pub struct ReaderArgs {
    /// The mount as readers see it, as in /root/.aws; found out for each reader if not given
    #[arg(long, value_name = "PATH", help_heading = MOUNT)]
    pub reader_path: Option<String>,

    /// Give plain profiles `credential_process` too, and leave static keys out
    #[arg(long, help_heading = MOUNT)]
    pub live_only: bool,

    /// Let readers write below cli/, sso/, login/ and boto/; true for root and with
    /// --allow-other if not given
    #[arg(long, value_name = "BOOLEAN", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", help_heading = MOUNT)]
    pub writable_caches: Option<String>,

    /// A token to show too, as in github/OWNER; repeats
    #[arg(long = "token", value_name = "TOKEN", help_heading = MOUNT)]
    pub tokens: Vec<String>,

    /// Hand out keys over HTTP too, as at 127.0.0.1:9911
    #[arg(long, value_name = "ADDRESS", help_heading = MOUNT)]
    pub endpoint: Option<String>,

    /// A file with sections to add to `config`
    #[arg(long, value_name = "FILE", help_heading = MOUNT)]
    pub config_include: Option<String>,

    /// Let other users in, as far as `--allow` lets them
    #[arg(long, help_heading = READERS)]
    pub allow_other: bool,

    /// Who may read, as in uid=1000,roles=dev; the first match decides; repeats
    #[arg(long, value_name = "RULE", help_heading = READERS)]
    pub allow: Vec<String>,
}

impl ReaderArgs {
    pub(super) fn flags(&self, others: Flags) -> Flags {
        Flags {
            reader_path: self.reader_path.clone(),
            live_only: self.live_only,
            writable_caches: self.writable_caches.clone(),
            tokens: self.tokens.clone(),
            endpoint: self.endpoint.clone(),
            config_include: self.config_include.clone(),
            allow_other: self.allow_other,
            allow: self.allow.clone(),
            ..others
        }
    }
}

/// What a daemon does for all its mounts.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct DaemonArgs {
    /// Never serve less remaining lifetime without waiting for a renewal, as in 20m
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub min_ttl: Option<String>,

    /// How long one open waits for AWS, as in 10s
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub open_deadline: Option<String>,

    /// How many opens may wait for AWS at a time [default: 4096]
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub max_waiting_opens: Option<String>,
    /// How many AssumeRole calls to make in any second at most, 1 to 100; 3 if not given
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub sts_calls_per_second: Option<String>,

    /// Return to the shell once all is mounted
    #[arg(long, help_heading = MOUNT)]
    pub background: bool,

    /// Start again after a crash or hang, with the same mounts
    #[arg(long, help_heading = MOUNT)]
    pub supervise: bool,

    /// Record each open of a file with keys, as JSON lines
    #[arg(long, value_name = "FILE", help_heading = AUDIT)]
    pub audit_log: Option<String>,

    /// Send the records to the systemd journal
    #[arg(long, help_heading = AUDIT)]
    pub audit_journal: bool,

    /// Serve (default) or refuse readers if a record cannot be written
    #[arg(long, value_name = "ACTION", help_heading = AUDIT)]
    pub on_audit_failure: Option<String>,

    /// Keep logins and MFA sessions in `memory` (default) or the kernel's `keyring`, for restarts
    #[arg(long, value_name = "WHERE", help_heading = MFA, display_order = AFTER_COMMON)]
    pub keep_logins: Option<String>,

    /// Tell the desktop when an MFA code is needed
    #[arg(long, help_heading = MFA, display_order = AFTER_COMMON)]
    pub notify: bool,
}

impl DaemonArgs {
    pub(super) fn flags(&self, others: Flags) -> Flags {
        Flags {
            min_ttl: self.min_ttl.clone(),
            open_deadline: self.open_deadline.clone(),
            max_waiting_opens: self.max_waiting_opens.clone(),
            sts_calls_per_second: self.sts_calls_per_second.clone(),
            background: self.background,
            supervise: self.supervise,
            audit_log: self.audit_log.clone(),
            audit_journal: self.audit_journal,
            on_audit_failure: self.on_audit_failure.clone(),
            keep_logins: self.keep_logins.clone(),
            notify: self.notify,
            ..others
        }
    }
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
