//! The options that apply to a whole mount, out of flags, environment and file.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::{Origin, Report};
use super::layer::{Layered, Sourced};
use super::settings::LogFormat;
use super::value::{self, Scalar};
use crate::model::{ExternalId, RegionName, RoleSessionName};

/// What was typed on the command line about the settings. `None`, `false` and 0 mean that it was
/// not typed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--role`, in order, as `[NAME=]ROLE`.
    pub roles: Vec<String>,
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
    /// `--external-id`.
    pub external_id: Option<String>,
    /// `--session-name`.
    pub session_name: Option<String>,
    /// `--reader-path`.
    pub reader_path: Option<String>,
    /// `--live-only`.
    pub live_only: bool,
    /// `--background`.
    pub background: bool,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// How often `-v` was given.
    pub verbose: u8,
    /// `-q`.
    pub quiet: bool,
}

/// An option, by its key in the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OptionKey {
    Role,
    Default,
    SourceProfile,
    Region,
    SessionDuration,
    MinTtl,
    OpenDeadline,
    ExternalId,
    SessionName,
    ReaderPath,
    LiveOnly,
    Background,
    LogFormat,
    Verbose,
    Quiet,
}

impl OptionKey {
    /// All, in the order in which messages list them.
    pub(super) const ALL: [Self; 15] = [
        Self::Role,
        Self::Default,
        Self::SourceProfile,
        Self::Region,
        Self::SessionDuration,
        Self::MinTtl,
        Self::OpenDeadline,
        Self::ExternalId,
        Self::SessionName,
        Self::ReaderPath,
        Self::LiveOnly,
        Self::Background,
        Self::LogFormat,
        Self::Verbose,
        Self::Quiet,
    ];

    /// The key in the file; with hyphens and `--` the flag, in capitals after `CREDMOUNT_` the
    /// environment variable.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::Default => "default",
            Self::SourceProfile => "source_profile",
            Self::Region => "region",
            Self::SessionDuration => "session_duration",
            Self::MinTtl => "min_ttl",
            Self::OpenDeadline => "open_deadline",
            Self::ExternalId => "external_id",
            Self::SessionName => "session_name",
            Self::ReaderPath => "reader_path",
            Self::LiveOnly => "live_only",
            Self::Background => "background",
            Self::LogFormat => "log_format",
            Self::Verbose => "verbose",
            Self::Quiet => "quiet",
        }
    }

    /// The option of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }

    /// `--session-duration`.
    pub(super) fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }

    /// `CREDMOUNT_SESSION_DURATION`.
    pub(super) fn variable(self) -> String {
        format!("CREDMOUNT_{}", self.name().to_ascii_uppercase())
    }

    /// Takes what stands in the file.
    ///
    /// # Errors
    /// When the kind is wrong.
    pub(super) fn text_of(self, value: &Scalar) -> Result<String, String> {
        let key = self.name();
        match (self, value) {
            (Self::LiveOnly | Self::Background | Self::Quiet, Scalar::Boolean(on)) => {
                Ok(on.to_string())
            }
            (Self::LiveOnly | Self::Background | Self::Quiet, other) => {
                Err(format!("`{key}` is {}: write true or false", other.kind()))
            }
            (Self::Verbose, Scalar::Integer(count)) => Ok(count.clone()),
            (Self::Verbose, other) => {
                Err(format!("`{key}` is {}: write a number, 0 to 3", other.kind()))
            }
            (_, value) => {
                value.text(key, &format!("{key} = \"{}\"", self.example())).map(Into::into)
            }
        }
    }

    /// A good value, for messages.
    fn example(self) -> &'static str {
        match self {
            Self::Role | Self::Default | Self::SourceProfile => "prod",
            Self::Region => "eu-west-1",
            Self::SessionDuration => "1h",
            Self::MinTtl => "20m",
            Self::OpenDeadline => "10s",
            Self::ExternalId => "my-external-id",
            Self::SessionName => "my-host",
            Self::ReaderPath => "/root/.aws",
            Self::LiveOnly | Self::Background | Self::Quiet => "true",
            Self::LogFormat => "json",
            Self::Verbose => "1",
        }
    }
}

/// Options as texts, from all layers. `role` may stand more than once in a layer.
pub(super) type RawOptions = Vec<(OptionKey, Sourced<String>)>;

/// The options with checked values, each from every layer that has one.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) roles: Vec<Sourced<String>>,
    pub(super) default: Layered<String>,
    pub(super) source_profile: Layered<String>,
    pub(super) region: Layered<RegionName>,
    pub(super) session_duration: Layered<Duration>,
    pub(super) min_ttl: Layered<Duration>,
    pub(super) open_deadline: Layered<Duration>,
    pub(super) external_id: Layered<ExternalId>,
    pub(super) session_name: Layered<RoleSessionName>,
    pub(super) reader_path: Layered<String>,
    pub(super) live_only: Layered<bool>,
    pub(super) background: Layered<bool>,
    pub(super) log_format: Layered<LogFormat>,
    pub(super) verbose: Layered<u8>,
    pub(super) quiet: Layered<bool>,
}

impl Options {
    /// Checks every value of every layer, also those that do not count.
    pub(super) fn check(raw: &RawOptions, report: &mut Report) -> Self {
        let text = |_: &str, text: &str| Ok::<_, String>(text.to_owned());
        let region = |_: &str, text: &str| RegionName::parse(text);
        let external_id = |_: &str, text: &str| ExternalId::parse(text);
        let session_name = |_: &str, text: &str| RoleSessionName::parse(text);
        Self {
            roles: requested(raw),
            default: layered(raw, OptionKey::Default, text, report),
            source_profile: layered(raw, OptionKey::SourceProfile, text, report),
            region: layered(raw, OptionKey::Region, region, report),
            session_duration: layered(
                raw,
                OptionKey::SessionDuration,
                value::session_duration,
                report,
            ),
            min_ttl: layered(raw, OptionKey::MinTtl, value::duration, report),
            open_deadline: layered(raw, OptionKey::OpenDeadline, value::open_deadline, report),
            external_id: layered(raw, OptionKey::ExternalId, external_id, report),
            session_name: layered(raw, OptionKey::SessionName, session_name, report),
            reader_path: layered(raw, OptionKey::ReaderPath, value::reader_path, report),
            live_only: layered(raw, OptionKey::LiveOnly, value::boolean, report),
            background: layered(raw, OptionKey::Background, value::boolean, report),
            log_format: layered(raw, OptionKey::LogFormat, LogFormat::parse, report),
            verbose: layered(raw, OptionKey::Verbose, value::count, report),
            quiet: layered(raw, OptionKey::Quiet, value::boolean, report),
        }
    }
}

/// The values of one option, checked. Messages call it as it is called where it was written.
fn layered<T, E: std::fmt::Display>(
    raw: &RawOptions,
    key: OptionKey,
    parse: impl Fn(&str, &str) -> Result<T, E>,
    report: &mut Report,
) -> Layered<T> {
    let values = raw.iter().filter(|(found, _)| *found == key).filter_map(|(_, text)| {
        let value = report.check(&text.origin, parse(key.name(), &text.value))?;
        Some(Sourced::new(value, text.origin.clone()))
    });
    Layered::new(values.collect())
}

/// The roles asked for, by the first layer that asks for any.
fn requested(raw: &RawOptions) -> Vec<Sourced<String>> {
    let roles = || raw.iter().filter(|(key, _)| *key == OptionKey::Role).map(|(_, role)| role);
    let first = roles().map(|role| role.origin.layer()).min();
    roles().filter(|role| Some(role.origin.layer()) == first).cloned().collect()
}

/// The options among the flags.
pub(super) fn from_flags(flags: &Flags) -> RawOptions {
    let verbose = (flags.verbose > 0).then(|| flags.verbose.to_string());
    let switch = |on: bool| on.then(|| "true".to_owned());
    let texts = [
        (OptionKey::Default, flags.default.clone()),
        (OptionKey::SourceProfile, flags.source_profile.clone()),
        (OptionKey::Region, flags.region.clone()),
        (OptionKey::SessionDuration, flags.session_duration.clone()),
        (OptionKey::MinTtl, flags.min_ttl.clone()),
        (OptionKey::OpenDeadline, flags.open_deadline.clone()),
        (OptionKey::ExternalId, flags.external_id.clone()),
        (OptionKey::SessionName, flags.session_name.clone()),
        (OptionKey::ReaderPath, flags.reader_path.clone()),
        (OptionKey::LogFormat, flags.log_format.clone()),
        (OptionKey::LiveOnly, switch(flags.live_only)),
        (OptionKey::Background, switch(flags.background)),
        (OptionKey::Quiet, switch(flags.quiet)),
        (OptionKey::Verbose, verbose),
    ];
    let roles = flags.roles.iter().map(|role| (OptionKey::Role, role.clone()));
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, text?)));
    roles
        .chain(texts)
        .map(|(key, text)| (key, Sourced::new(text, Origin::Flag(key.flag()))))
        .collect()
}

/// The options among the environment variables. An empty variable counts as not set. Warns about
/// `CREDMOUNT_` variables that nothing reads, since they are most likely misspelt.
pub(super) fn from_environment(
    environment: &BTreeMap<String, String>,
    report: &mut Report,
) -> RawOptions {
    let mut options = RawOptions::new();
    for (name, text) in environment {
        if !name.starts_with("CREDMOUNT_") || text.is_empty() {
            continue;
        }
        let origin = Origin::variable(name);
        match OptionKey::ALL.into_iter().find(|key| key.variable() == *name) {
            // Neither ARNs nor the names that may stand in a header contain white space.
            Some(OptionKey::Role) => options.extend(
                text.split_whitespace()
                    .map(|role| (OptionKey::Role, Sourced::new(role.to_owned(), origin.clone()))),
            ),
            Some(key) => options.push((key, Sourced::new(text.clone(), origin))),
            None if OTHER_VARIABLES.contains(&name.as_str()) => {}
            None => {
                let known: Vec<String> =
                    OptionKey::ALL.into_iter().map(OptionKey::variable).collect();
                let known = known.iter().map(String::as_str).chain(OTHER_VARIABLES);
                let advice = value::meant(name, known)
                    .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                report.warning(&origin, format!("credmount reads no such variable{advice}"));
            }
        }
    }
    options
}

/// Variables of ours that are no options.
const OTHER_VARIABLES: [&str; 2] = ["CREDMOUNT_CONFIG", "CREDMOUNT_ROLES"];
