//! What was typed about the settings.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{OptionKey, RawOptions};
use crate::config::values::{Origin, Raw, Sourced};

/// What was typed on the command line about the settings. `None`, `false`, 0 and an empty list
/// mean that it was not typed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub struct Flags {
    /// `--role`, in order, as `[NAME=]ROLE`.
    pub roles: Vec<String>,
    /// `--token`, in order.
    pub tokens: Vec<String>,
    /// `--default`: a profile name or `none`.
    pub default: Option<String>,
    /// `--source-profile`.
    pub source_profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--session-duration`.
    pub session_duration: Option<String>,
    /// `--min-ttl`.
    pub min_ttl: Option<String>,
    /// `--open-deadline`.
    pub open_deadline: Option<String>,
    /// `--max-waiting-opens`.
    pub max_waiting_opens: Option<String>,
    /// `--sts-calls-per-second`.
    pub sts_calls_per_second: Option<String>,
    /// `--external-id`.
    pub external_id: Option<String>,
    /// `--session-name`.
    pub session_name: Option<String>,
    /// `--source-identity`.
    pub source_identity: Option<String>,
    /// `--tag`, as `KEY=VALUE`.
    pub tags: Vec<String>,
    /// `--transitive-tag-key`.
    pub transitive_tag_keys: Vec<String>,
    /// `--policy`: JSON.
    pub policy: Option<String>,
    /// `--policy-arn`.
    pub policy_arns: Vec<String>,
    /// `--reader-path`.
    pub reader_path: Option<String>,
    /// `--live-only`.
    pub live_only: bool,
    /// `--writable-caches`: `true` or `false`.
    pub writable_caches: Option<String>,
    /// `--endpoint`: an address with a port.
    pub endpoint: Option<String>,
    /// `--config-include`: a file.
    pub config_include: Option<String>,
    /// `--allow-other`.
    pub allow_other: bool,
    /// `--allow`, in order, as `uid=1000,roles=dev`.
    pub allow: Vec<String>,
    /// `--audit-log`: a file.
    pub audit_log: Option<String>,
    /// `--audit-journal`.
    pub audit_journal: bool,
    /// `--on-audit-failure`: `serve` or `refuse`.
    pub on_audit_failure: Option<String>,
    /// `--background`.
    pub background: bool,
    /// `--supervise`.
    pub supervise: bool,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// How often `-v` was given.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
    /// `--mfa-process`: a command.
    pub mfa_process: Option<String>,
    /// `--mfa-session-duration`.
    pub mfa_session_duration: Option<String>,
    /// `--mfa-prompt`: `terminal`, `systemd` or `none`.
    pub mfa_prompt: Option<String>,
    /// `--notify`.
    pub notify: bool,
    /// `--keep-logins`: `memory` or `keyring`.
    pub keep_logins: Option<String>,
}

/// A mount of `credmount add`. It crosses the control socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedMount {
    /// What to call it; no other mount may be called so.
    pub name: String,
    /// Where to mount; absolute.
    pub path: PathBuf,
    /// What was typed about it. What is about a whole daemon has no effect here.
    pub flags: Flags,
}

/// The options among the flags. `command` stands before each flag in messages; empty for the
/// command line that is running.
pub(in crate::config) fn from_flags(flags: &Flags, command: &str) -> RawOptions {
    let origin = |key: OptionKey| Origin::Flag(format!("{command}{}", key.flag()));
    let text = |text: &Option<String>| text.clone().map(Raw::Text);
    let switch = |on: bool| on.then_some(Raw::Boolean(true));
    let list = |key: OptionKey, texts: &[String]| {
        let texts = texts.iter().map(String::as_str);
        (texts.len() > 0).then(|| Raw::list(texts, &origin(key)))
    };
    OptionKey::ALL
        .into_iter()
        .filter_map(|key| {
            let value = match key {
                OptionKey::Role => list(key, &flags.roles),
                OptionKey::Token => list(key, &flags.tokens),
                OptionKey::Default => text(&flags.default),
                OptionKey::SourceProfile => text(&flags.source_profile),
                OptionKey::Region => text(&flags.region),
                OptionKey::SessionDuration => text(&flags.session_duration),
                OptionKey::MinTtl => text(&flags.min_ttl),
                OptionKey::OpenDeadline => text(&flags.open_deadline),
                OptionKey::MaxWaitingOpens => flags.max_waiting_opens.clone().map(Raw::Integer),
                OptionKey::StsCallsPerSecond => {
                    flags.sts_calls_per_second.clone().map(Raw::Integer)
                }
                OptionKey::ExternalId => text(&flags.external_id),
                OptionKey::SessionName => text(&flags.session_name),
                OptionKey::SourceIdentity => text(&flags.source_identity),
                OptionKey::Tags => list(key, &flags.tags),
                OptionKey::TransitiveTagKeys => list(key, &flags.transitive_tag_keys),
                OptionKey::Policy => text(&flags.policy),
                OptionKey::PolicyArns => list(key, &flags.policy_arns),
                OptionKey::ReaderPath => text(&flags.reader_path),
                OptionKey::LiveOnly => switch(flags.live_only),
                OptionKey::WritableCaches => text(&flags.writable_caches),
                OptionKey::Endpoint => text(&flags.endpoint),
                OptionKey::ConfigInclude => text(&flags.config_include),
                OptionKey::AllowOther => switch(flags.allow_other),
                OptionKey::Allow => list(key, &flags.allow),
                OptionKey::AuditLog => text(&flags.audit_log),
                OptionKey::AuditJournal => switch(flags.audit_journal),
                OptionKey::OnAuditFailure => text(&flags.on_audit_failure),
                OptionKey::Background => switch(flags.background),
                OptionKey::Supervise => switch(flags.supervise),
                OptionKey::LogFormat => text(&flags.log_format),
                OptionKey::Verbose => {
                    (flags.verbose > 0).then(|| Raw::Integer(flags.verbose.to_string()))
                }
                OptionKey::Quiet => switch(flags.quiet),
                OptionKey::MfaProcess => text(&flags.mfa_process),
                OptionKey::MfaSessionDuration => text(&flags.mfa_session_duration),
                OptionKey::MfaPrompt => text(&flags.mfa_prompt),
                OptionKey::Notify => switch(flags.notify),
                OptionKey::KeepLogins => text(&flags.keep_logins),
            };
            Some((key, Sourced::new(value?, origin(key))))
        })
        .collect()
}
