//! The options that apply to a whole mount or daemon, out of flags, environment and file.

pub(in crate::config) mod allow;
pub(in crate::config) mod attributes;
mod endpoint;
mod flags;
mod key;
pub(in crate::config) mod mfa;
mod session_policy;
mod variables;

use core::net::SocketAddr;
use std::fmt::Display;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use self::allow::RuleSpec;
use self::attributes::LayeredAttributes;
use super::settings::{KeepLogins, LogFormat, MfaPrompt, OnAuditFailure};
use super::values::{Layer, Layered, Origin, Problems, Raw, Report, Sourced, paths, text};
use crate::model::{ExternalId, RegionName, SessionNameTemplate};

pub(super) use self::flags::from_flags;
pub use self::flags::{AddedMount, Flags};
pub(super) use self::key::OptionKey;
pub(super) use self::variables::from_environment;

/// Options as they were written, from all layers; of two in one layer the first counts.
pub(super) type RawOptions = Vec<(OptionKey, Sourced<Raw>)>;

/// The options with checked values, each from every layer that has one.
#[derive(Debug)]
pub(super) struct Options {
    /// The roles asked for by the first layer that asks for any; empty when none does.
    pub(super) roles: Vec<Sourced<String>>,
    /// Whether that layer asks for none at all.
    pub(super) no_roles: bool,
    /// The tokens asked for by the first layer that says anything of tokens.
    pub(super) tokens: Option<Vec<Sourced<String>>>,
    pub(super) default: Layered<String>,
    pub(super) source_profile: Layered<String>,
    pub(super) region: Layered<RegionName>,
    pub(super) session_duration: Layered<Duration>,
    pub(super) min_ttl: Layered<Duration>,
    pub(super) open_deadline: Layered<Duration>,
    pub(super) max_waiting_opens: Layered<usize>,
    pub(super) sts_calls_per_second: Layered<NonZeroU8>,
    pub(super) external_id: Layered<ExternalId>,
    pub(super) session_name: Layered<SessionNameTemplate>,
    pub(super) attributes: LayeredAttributes,
    pub(super) reader_path: Layered<String>,
    pub(super) live_only: Layered<bool>,
    pub(super) writable_caches: Layered<bool>,
    pub(super) endpoint: Layered<SocketAddr>,
    pub(super) config_include: Layered<PathBuf>,
    pub(super) allow_other: Layered<bool>,
    pub(super) allow: Layered<Vec<RuleSpec>>,
    pub(super) audit_log: Layered<PathBuf>,
    pub(super) audit_journal: Layered<bool>,
    pub(super) on_audit_failure: Layered<OnAuditFailure>,
    pub(super) background: Layered<bool>,
    pub(super) supervise: Layered<bool>,
    pub(super) log_format: Layered<LogFormat>,
    pub(super) verbose: Layered<u8>,
    pub(super) quiet: Layered<bool>,
    pub(super) mfa_process: Layered<String>,
    pub(super) mfa_session_duration: Layered<Duration>,
    pub(super) mfa_prompt: Layered<MfaPrompt>,
    pub(super) notify: Layered<bool>,
    pub(super) keep_logins: Layered<KeepLogins>,
}

impl Options {
    /// Checks every value of every layer, also those that do not count. `own` is what one mount
    /// says of itself, `common` what is said for all; `home` is what `~` stands for.
    pub(super) fn check(
        own: &RawOptions,
        common: &RawOptions,
        home: Option<&str>,
        report: &mut Report,
    ) -> Self {
        use OptionKey as Key;
        let any = |_: &str, text: &str| Ok::<_, String>(text.to_owned());
        let region = |_: &str, text: &str| RegionName::parse(text);
        let external_id = |_: &str, text: &str| ExternalId::parse(text);
        let session_name = |_: &str, text: &str| SessionNameTemplate::parse(text);
        let path = |key: &str, text: &str| paths::absolute(key, text, home);
        let mut options = Taken { own, common, report };
        let roles = options.roles();
        Self {
            no_roles: roles.as_ref().is_some_and(Vec::is_empty),
            roles: roles.unwrap_or_default(),
            tokens: options.each(Key::Token, tokens).value(),
            default: options.text(Key::Default, any),
            source_profile: options.text(Key::SourceProfile, any),
            region: options.text(Key::Region, region),
            session_duration: options.text(Key::SessionDuration, text::session_duration),
            min_ttl: options.text(Key::MinTtl, text::duration),
            open_deadline: options.text(Key::OpenDeadline, text::open_deadline),
            max_waiting_opens: options.number(Key::MaxWaitingOpens, text::waiting_opens),
            sts_calls_per_second: options.number(Key::StsCallsPerSecond, text::calls_per_second),
            external_id: options.text(Key::ExternalId, external_id),
            session_name: options.text(Key::SessionName, session_name),
            attributes: LayeredAttributes {
                source_identity: options.each(Key::SourceIdentity, attributes::source_identity),
                tags: options.each(Key::Tags, attributes::tags),
                transitive_tag_keys: options
                    .each(Key::TransitiveTagKeys, attributes::transitive_tag_keys),
                policy: options.each(Key::Policy, attributes::policy),
                policy_arns: options.each(Key::PolicyArns, attributes::policy_arns),
            },
            reader_path: options.text(Key::ReaderPath, text::reader_path),
            live_only: options.switch(Key::LiveOnly),
            writable_caches: options.switch(Key::WritableCaches),
            endpoint: options.text(Key::Endpoint, endpoint::parse),
            config_include: options.text(Key::ConfigInclude, path),
            allow_other: options.switch(Key::AllowOther),
            allow: options.each(Key::Allow, allow::rules),
            audit_log: options.text(Key::AuditLog, path),
            audit_journal: options.switch(Key::AuditJournal),
            on_audit_failure: options.text(Key::OnAuditFailure, OnAuditFailure::parse),
            background: options.switch(Key::Background),
            supervise: options.switch(Key::Supervise),
            log_format: options.text(Key::LogFormat, LogFormat::parse),
            verbose: options.number(Key::Verbose, text::count),
            quiet: options.switch(Key::Quiet),
            mfa_process: options.text(Key::MfaProcess, mfa::process),
            mfa_session_duration: options.text(Key::MfaSessionDuration, mfa::session_duration),
            mfa_prompt: options.text(Key::MfaPrompt, MfaPrompt::parse),
            notify: options.switch(Key::Notify),
            keep_logins: options.text(Key::KeepLogins, KeepLogins::parse),
        }
    }

    /// The layer that picked the roles; that of files if all configured ones are served.
    pub(super) fn picked(&self) -> Layer {
        self.roles.first().map_or(Layer::File, |role| role.origin.layer())
    }

    /// The layer that picked the tokens, be it by picking roles without any.
    pub(in crate::config) fn tokens_picked(&self) -> Layer {
        let first = self.tokens.iter().flatten().next();
        first.map_or_else(|| self.picked(), |token| token.origin.layer())
    }
}

/// The raw options while they are checked. Messages call an option as the file calls it.
struct Taken<'a> {
    own: &'a RawOptions,
    common: &'a RawOptions,
    report: &'a mut Report,
}

impl Taken<'_> {
    fn each<T>(
        &mut self,
        key: OptionKey,
        take: impl Fn(&Sourced<Raw>) -> Result<T, Problems>,
    ) -> Layered<T> {
        let mut checked = |raw: &RawOptions| {
            let values = raw.iter().filter(|(found, _)| *found == key).filter_map(|(_, raw)| {
                let value = self.report.accept(take(raw))?;
                Some(Sourced::new(value, raw.origin.clone()))
            });
            values.collect::<Vec<_>>()
        };
        let own = checked(self.own);
        Layered::new(own, checked(self.common))
    }

    fn text<T, E: Display>(
        &mut self,
        key: OptionKey,
        parse: impl Fn(&str, &str) -> Result<T, E>,
    ) -> Layered<T> {
        self.each(key, |raw| {
            let text = raw.value.text(key.name(), key.example());
            let text = text.map_err(|message| raw.problem(message))?;
            parse(key.name(), text).map_err(|error| raw.problem(error.to_string()))
        })
    }

    fn switch(&mut self, key: OptionKey) -> Layered<bool> {
        self.each(key, |raw| switch(key.name(), raw))
    }

    /// A number, which the file holds without quotes. What `parse` says is wrong names the bounds.
    fn number<T>(
        &mut self,
        key: OptionKey,
        parse: impl Fn(&str, &str) -> Result<T, String>,
    ) -> Layered<T> {
        self.each(key, |raw| match &raw.value {
            Raw::Integer(text) => parse(key.name(), text).map_err(|message| raw.problem(message)),
            other => Err(raw.problem(format!(
                "`{}` is {}: write a number, as in {}",
                key.name(),
                other.kind(),
                key.example()
            ))),
        })
    }

    fn roles(&mut self) -> Option<Vec<Sourced<String>>> {
        let names_tokens = |(key, raw): &(OptionKey, Sourced<Raw>)| {
            *key == OptionKey::Token && !matches!(&raw.value, Raw::List(items) if items.is_empty())
        };
        let mut asked = |raw: &RawOptions, key: &str| {
            let may_be_empty = raw.iter().any(names_tokens);
            let raw = raw.iter().filter(|(found, _)| *found == OptionKey::Role);
            let lists = raw.filter_map(|(_, raw)| requests(key, raw, may_be_empty, self.report));
            lists.collect::<Vec<_>>()
        };
        let own = asked(self.own, "roles");
        let roles = Layered::new(own, asked(self.common, OptionKey::Role.name()));
        roles.value()
    }
}

/// The roles of one list, which may be empty where tokens are named: then the mount has no role. One
/// that is no text does not keep the others from being looked up.
fn requests(
    key: &str,
    raw: &Sourced<Raw>,
    may_be_empty: bool,
    report: &mut Report,
) -> Option<Sourced<Vec<Sourced<String>>>> {
    let items = match &raw.value {
        Raw::List(items) => items.as_slice(),
        _ => std::slice::from_ref(raw),
    };
    if items.is_empty() && !may_be_empty {
        let message =
            format!("`{key}` is empty: name a role, or leave it out to serve all configured roles");
        report.error(&raw.origin, message);
        return None;
    }
    let request = |item: &Sourced<Raw>| {
        let text = report.check(&item.origin, item.value.text(key, OptionKey::Role.example()))?;
        Some(Sourced::new(text.to_owned(), item.origin.clone()))
    };
    Some(Sourced::new(items.iter().filter_map(request).collect(), raw.origin.clone()))
}

/// The tokens of one list, which may be empty: then none is shown.
fn tokens(raw: &Sourced<Raw>) -> Result<Vec<Sourced<String>>, Problems> {
    raw.texts("tokens", OptionKey::Token.example(), Ok)
}

/// A switch. In a file it is a boolean; variables and flags have texts only.
fn switch(key: &str, raw: &Sourced<Raw>) -> Result<bool, Problems> {
    match &raw.value {
        Raw::Boolean(on) => Ok(*on),
        Raw::Text(text) if !matches!(raw.origin, Origin::Line { .. }) => {
            text::boolean(key, text).map_err(|message| raw.problem(message))
        }
        other => Err(raw.problem(format!("`{key}` is {}: write true or false", other.kind()))),
    }
}
