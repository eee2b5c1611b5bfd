//! The names of the options, in the file, in the environment and on the command line.

/// An option, by its key in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum OptionKey {
    Role,
    Token,
    Default,
    SourceProfile,
    Region,
    SessionDuration,
    MinTtl,
    OpenDeadline,
    MaxWaitingOpens,
    StsCallsPerSecond,
    ExternalId,
    SessionName,
    SourceIdentity,
    Tags,
    TransitiveTagKeys,
    Policy,
    PolicyArns,
    ReaderPath,
    LiveOnly,
    WritableCaches,
    Endpoint,
    ConfigInclude,
    AllowOther,
    Allow,
    AuditLog,
    AuditJournal,
    OnAuditFailure,
    Background,
    Supervise,
    LogFormat,
    Verbose,
    Quiet,
    MfaProcess,
    MfaSessionDuration,
    MfaPrompt,
    Notify,
    KeepLogins,
}

/// What the text of a variable stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Text,
    Switch,
    Count,
    /// Several, between which stands white space.
    Words,
    /// Several, between which stands this sign, with white space around.
    List(char),
}

impl OptionKey {
    /// All, in the order in which messages list them.
    pub(in crate::config) const ALL: [Self; 37] = [
        Self::Role,
        Self::Token,
        Self::Default,
        Self::SourceProfile,
        Self::Region,
        Self::SessionDuration,
        Self::MinTtl,
        Self::OpenDeadline,
        Self::MaxWaitingOpens,
        Self::StsCallsPerSecond,
        Self::ExternalId,
        Self::SessionName,
        Self::SourceIdentity,
        Self::Tags,
        Self::TransitiveTagKeys,
        Self::Policy,
        Self::PolicyArns,
        Self::ReaderPath,
        Self::LiveOnly,
        Self::WritableCaches,
        Self::Endpoint,
        Self::ConfigInclude,
        Self::AllowOther,
        Self::Allow,
        Self::AuditLog,
        Self::AuditJournal,
        Self::OnAuditFailure,
        Self::Background,
        Self::Supervise,
        Self::LogFormat,
        Self::Verbose,
        Self::Quiet,
        Self::MfaProcess,
        Self::MfaSessionDuration,
        Self::MfaPrompt,
        Self::Notify,
        Self::KeepLogins,
    ];

    /// The options of one mount that others do not take over: said for all, they are about the
    /// mount of the command line.
    pub(in crate::config) const OF_ONE_MOUNT: [Self; 5] =
        [Self::Role, Self::Token, Self::Default, Self::Endpoint, Self::Allow];

    /// The key in the file; with hyphens and `--` the flag, in capitals after `CREDMOUNT_` the
    /// environment variable.
    pub(in crate::config) fn name(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Token => "token",
            Self::Default => "default",
            Self::SourceProfile => "source_profile",
            Self::Region => "region",
            Self::SessionDuration => "session_duration",
            Self::MinTtl => "min_ttl",
            Self::OpenDeadline => "open_deadline",
            Self::MaxWaitingOpens => "max_waiting_opens",
            Self::StsCallsPerSecond => "sts_calls_per_second",
            Self::ExternalId => "external_id",
            Self::SessionName => "session_name",
            Self::SourceIdentity => "source_identity",
            Self::Tags => "tags",
            Self::TransitiveTagKeys => "transitive_tag_keys",
            Self::Policy => "policy",
            Self::PolicyArns => "policy_arns",
            Self::ReaderPath => "reader_path",
            Self::LiveOnly => "live_only",
            Self::WritableCaches => "writable_caches",
            Self::Endpoint => "endpoint",
            Self::ConfigInclude => "config_include",
            Self::AllowOther => "allow_other",
            Self::Allow => "allow",
            Self::AuditLog => "audit_log",
            Self::AuditJournal => "audit_journal",
            Self::OnAuditFailure => "on_audit_failure",
            Self::Background => "background",
            Self::Supervise => "supervise",
            Self::LogFormat => "log_format",
            Self::Verbose => "verbose",
            Self::Quiet => "quiet",
            Self::MfaProcess => "mfa_process",
            Self::MfaSessionDuration => "mfa_session_duration",
            Self::MfaPrompt => "mfa_prompt",
            Self::Notify => "notify",
            Self::KeepLogins => "keep_logins",
        }
    }

    /// The option of this name.
    pub(in crate::config) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// `--session-duration`. A flag that repeats is called as what it gives once.
    pub(in crate::config) fn flag(self) -> String {
        let name = match self {
            Self::Tags | Self::TransitiveTagKeys | Self::PolicyArns => {
                self.name().strip_suffix('s').unwrap_or(self.name())
            }
            _ => self.name(),
        };
        format!("--{}", name.replace('_', "-"))
    }

    /// `CREDMOUNT_SESSION_DURATION`.
    pub(in crate::config) fn variable(self) -> String {
        format!("CREDMOUNT_{}", self.name().to_ascii_uppercase())
    }

    /// What the text of its variable stands for. The signs are those that stand in none of the
    /// values: neither ARNs nor the names that may stand in a header contain white space, tags
    /// contain no comma.
    pub(in crate::config) fn kind(self) -> Kind {
        match self {
            Self::LiveOnly
            | Self::WritableCaches
            | Self::AllowOther
            | Self::AuditJournal
            | Self::Background
            | Self::Supervise
            | Self::Quiet
            | Self::Notify => Kind::Switch,
            Self::Verbose | Self::MaxWaitingOpens | Self::StsCallsPerSecond => Kind::Count,
            Self::Role | Self::Token | Self::PolicyArns => Kind::Words,
            Self::Tags | Self::TransitiveTagKeys => Kind::List(','),
            Self::Allow => Kind::List(';'),
            _ => Kind::Text,
        }
    }

    /// A good value, for messages.
    pub(in crate::config) fn example(self) -> &'static str {
        match self {
            Self::Role | Self::Default | Self::SourceProfile => "prod",
            Self::Token => "github/acme",
            Self::Region => "eu-west-1",
            Self::SessionDuration => "1h",
            Self::MinTtl => "20m",
            Self::OpenDeadline => "10s",
            Self::MaxWaitingOpens => "4096",
            Self::StsCallsPerSecond => "3",
            Self::ExternalId => "my-external-id",
            Self::SessionName => "{user}-{time}",
            Self::SourceIdentity => "jane",
            Self::Tags => "team=search",
            Self::TransitiveTagKeys => "team",
            Self::Policy => "{…}",
            Self::PolicyArns => "arn:aws:iam::aws:policy/ReadOnlyAccess",
            Self::ReaderPath => "/root/.aws",
            Self::Endpoint => "127.0.0.1:9911",
            Self::ConfigInclude => "~/.config/credmount/include",
            Self::Allow => "uid=1000",
            Self::AuditLog => "~/.local/state/credmount/audit.log",
            Self::OnAuditFailure => "refuse",
            Self::LogFormat => "json",
            Self::Verbose => "1",
            Self::MfaProcess => "ykman oath accounts code -s aws",
            Self::MfaSessionDuration => "36h",
            Self::MfaPrompt => "systemd",
            Self::KeepLogins => "keyring",
            Self::LiveOnly
            | Self::WritableCaches
            | Self::AllowOther
            | Self::AuditJournal
            | Self::Background
            | Self::Supervise
            | Self::Quiet
            | Self::Notify => "true",
        }
    }
}
