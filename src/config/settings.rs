//! The checked settings: what every other module may rely on.

use core::net::SocketAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::values::shown;
use crate::model::{ProfileName, Role, TokenGrant};
use crate::policy::AllowRule;

/// The session duration when nothing names one; also the most a chained role can have.
pub const DEFAULT_SESSION_DURATION: Duration = Duration::from_hours(1);

/// How long one open waits for sessions when nothing says otherwise.
pub const DEFAULT_OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How many opens may wait for sessions at a time when nothing says otherwise. Ten times as many
/// programs as machines have, and a few MB.
pub const DEFAULT_MAX_WAITING_OPENS: usize = 4096;

/// Everything that flags, environment and files said, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// The mounts to serve: those selected, in the order of the file, then those added.
    pub mounts: Vec<MountSettings>,
    /// The session duration for what has none of its own: 15 min to 12 h, default 1 h.
    pub session_duration: Duration,
    /// The least remaining lifetime that an open serves without waiting for a renewal; `None`
    /// when the session decides. Below each role's session duration.
    pub min_ttl: Option<Duration>,
    /// How long one open waits for sessions: 100 ms to 50 s, default 10 s.
    pub open_deadline: Duration,
    /// How many opens may wait for sessions at a time: 1 to 1,000,000, default 4096.
    pub max_waiting_opens: usize,
    /// How many AssumeRole calls the daemon makes in any second at most: 1 to 100; `None`: as
    /// many as the broker thinks good.
    pub sts_calls_per_second: Option<NonZeroU8>,
    /// Where each open of a file with keys is recorded, one JSON object per line; absolute. `None`:
    /// nowhere.
    pub audit_log: Option<PathBuf>,
    /// Whether the same records go to the systemd journal.
    pub audit_journal: bool,
    /// What readers get while a record cannot be written.
    pub on_audit_failure: OnAuditFailure,
    /// Whether the command returns once the mount serves.
    pub background: bool,
    /// Whether a process of its own keeps the mounts and starts the daemon again after a crash.
    pub supervise: bool,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// How much is logged.
    pub verbosity: Verbosity,
    /// Who is asked for MFA codes, beside whoever gives one by `credmount mfa`.
    pub mfa_prompt: MfaPrompt,
    /// Whether the desktop is told when an MFA code is needed.
    pub notify: bool,
    /// Where logins and sessions with MFA are kept.
    pub keep_logins: KeepLogins,
    /// What works but is likely not meant, each with its place.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    /// Where nothing is said.
    fn default() -> Self {
        Self {
            mounts: Vec::new(),
            session_duration: DEFAULT_SESSION_DURATION,
            min_ttl: None,
            open_deadline: DEFAULT_OPEN_DEADLINE,
            max_waiting_opens: DEFAULT_MAX_WAITING_OPENS,
            sts_calls_per_second: None,
            audit_log: None,
            audit_journal: false,
            on_audit_failure: OnAuditFailure::default(),
            background: false,
            supervise: false,
            log_format: LogFormat::default(),
            verbosity: Verbosity::default(),
            mfa_prompt: MfaPrompt::default(),
            notify: false,
            keep_logins: KeepLogins::default(),
            warnings: Vec::new(),
        }
    }
}

impl Settings {
    /// The roles of all mounts, in order.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.mounts.iter().flat_map(|mount| &mount.roles)
    }
}

/// What one mount is to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MountSettings {
    /// The NAME of `[mounts.NAME]` or `credmount add NAME`; `None` for the mount of the command
    /// line.
    pub name: Option<String>,
    /// Where to mount; `None` where the command line says it.
    pub path: Option<PathBuf>,
    /// The roles to serve, in order; at least one, each with its own profile name.
    pub roles: Vec<Role>,
    /// The tokens of services other than AWS, in order.
    pub tokens: Vec<Arc<TokenGrant>>,
    /// The profile that is also rendered as `[default]`; one of `roles`, or none. When a role's
    /// profile is itself called `default`, it is this one, and its section stands once.
    pub default: Option<ProfileName>,
    /// The mount as readers see it: absolute, without a trailing slash (save `/`), of characters
    /// that every SDK can run in `credential_process`. `None`: found out for each reader.
    pub reader_path: Option<String>,
    /// Whether plain profiles get `credential_process` and static keys are left out.
    pub live_only: bool,
    /// Where keys are handed out over HTTP too: an address of the loopback interface with a port
    /// above 0 that no other mount has. `None`: nowhere.
    pub endpoint: Option<SocketAddr>,
    /// Whether `cli/`, `sso/`, `login/` and `boto/` are there to be written to.
    pub writable_caches: Option<bool>,
    /// Whether the kernel lets other users in, as far as `allow` lets them.
    pub allow_other: bool,
    /// Who may read what; the first rule that matches decides.
    pub allow: Vec<AllowRule>,
    /// Sections to add to `config`, checked; with a newline at the end, or empty.
    pub config_include: String,
}

/// What readers get while a record of the audit cannot be written, as on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAuditFailure {
    /// What they asked for. `status` tells of the records that are missing.
    #[default]
    Serve,
    /// An error.
    Refuse,
}

impl OnAuditFailure {
    pub(super) fn parse(key: &str, text: &str) -> Result<Self, String> {
        match text {
            "serve" => Ok(Self::Serve),
            "refuse" => Ok(Self::Refuse),
            _ => Err(format!("{key} is {}: write serve or refuse", shown(text))),
        }
    }
}

/// Who is asked for MFA codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MfaPrompt {
    /// Whoever starts credmount on a terminal, once for each device at the start.
    #[default]
    Terminal,
    /// Whoever answers systemd-ask-password(1), each time a code is needed.
    Systemd,
    /// Nobody.
    None,
}

impl MfaPrompt {
    pub(super) fn parse(key: &str, text: &str) -> Result<Self, String> {
        match text {
            "terminal" => Ok(Self::Terminal),
            "systemd" => Ok(Self::Systemd),
            "none" => Ok(Self::None),
            _ => Err(format!("{key} is {}: write terminal, systemd or none", shown(text))),
        }
    }
}

/// Where logins at issuers and sessions with MFA are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepLogins {
    /// In the daemon: they end with it.
    #[default]
    Memory,
    /// In the keyring of the kernel too, for the daemon that follows after a crash or a restart.
    Keyring,
}

impl KeepLogins {
    pub(super) fn parse(key: &str, text: &str) -> Result<Self, String> {
        match text {
            "memory" => Ok(Self::Memory),
            "keyring" => Ok(Self::Keyring),
            _ => Err(format!("{key} is {}: write memory or keyring", shown(text))),
        }
    }
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(key: &str, text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("{key} is {}: write text or json", shown(text))),
        }
    }
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Verbosity {
    /// `-q`: errors.
    Quiet,
    /// Life cycle, warnings and errors.
    #[default]
    Normal,
    /// `-v`: also each open and each renewal.
    Verbose,
    /// `-vv` and more: everything.
    Trace,
}
