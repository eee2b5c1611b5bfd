//! Flags, environment and files → checked [`Settings`]. Pure: texts come in, settings or all
//! errors go out. Must not read files or the environment, nor know AWS, FUSE or the clock.

#![forbid(unsafe_code)]

mod assemble;
mod aws;
#[cfg(test)]
mod cases;
mod chains;
mod identities;
mod inputs;
mod mounts;
mod options;
mod settings;
#[cfg(test)]
mod sharing;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use self::aws::profiles::{Profile, Profiles};
use self::chains::spec::Catalog;
use self::identities::catalog::IdentityCatalog;
use self::identities::tokens::TokenCatalog;
use self::inputs::{environment, file};
use self::mounts::{Common, World};
use self::options::Options;
use self::values::{Report, Sourced};
use crate::model::{BaseCredentials, RegionName};

pub use self::aws::include::LARGEST as LARGEST_INCLUDE;
pub use self::inputs::Locations;
pub use self::mounts::Selection;
pub use self::options::{AddedMount, Flags};
pub use self::settings::{
    DEFAULT_MAX_WAITING_OPENS, DEFAULT_OPEN_DEADLINE, DEFAULT_SESSION_DURATION, KeepLogins,
    LogFormat, MfaPrompt, MountSettings, OnAuditFailure, Settings, Verbosity,
};
pub(crate) use self::values::text::{duration, meant};
pub use self::values::{ConfigError, ConfigErrors, Origin};

/// A file that was read: its text, which is overwritten when dropped because it may hold keys, and
/// the name to call it in messages.
#[derive(Clone)]
pub struct SourceText {
    /// The path as the person would name it.
    pub path: PathBuf,
    /// The whole text.
    pub text: Zeroizing<String>,
}

impl fmt::Debug for SourceText {
    /// Without the text, which may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceText").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The names below `[mounts]` in the text of a configuration file; `None` if it is no TOML.
pub fn mount_names(text: &str) -> Option<Vec<String>> {
    let table: toml::Table = text.parse().ok()?;
    let mounts = table.get("mounts").and_then(toml::Value::as_table);
    Some(mounts.map(|mounts| mounts.keys().cloned().collect()).unwrap_or_default())
}

/// Everything that settings are made of. A file that does not exist is `None`.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What was typed.
    pub flags: &'a Flags,
    /// Which mounts are meant.
    pub selection: Selection<'a>,
    /// The mounts that were added at run time; they are served beside the selected ones.
    pub added: &'a [AddedMount],
    /// The environment. Names with another encoding than UTF-8 are of no interest.
    pub environment: &'a BTreeMap<String, String>,
    /// credmount's own file.
    pub config_file: Option<&'a SourceText>,
    /// The AWS config file.
    pub aws_config: Option<&'a SourceText>,
    /// The AWS credentials file: which profiles there are. Its keys are not kept.
    pub aws_credentials: Option<&'a SourceText>,
    /// Reads a file that `config_include` names, up to a byte more than [`LARGEST_INCLUDE`]; or
    /// says why it cannot be read.
    pub read_include: &'a dyn Fn(&Path) -> Result<Vec<u8>, String>,
}

impl fmt::Debug for Inputs<'_> {
    /// Without the environment, which may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("flags", &self.flags)
            .field("selection", &self.selection)
            .field("added", &self.added)
            .field("config_file", &self.config_file)
            .field("aws_config", &self.aws_config)
            .field("aws_credentials", &self.aws_credentials)
            .finish_non_exhaustive()
    }
}

/// Checks everything and puts the settings together.
///
/// # Errors
/// All that is wrong, found in one pass, each with its place and how to mend it. No error and no
/// warning repeats a key.
pub fn resolve(inputs: &Inputs<'_>) -> Result<Settings, ConfigErrors> {
    let mut report = Report::default();
    let environment = inputs.environment;
    let flags = options::from_flags(inputs.flags, "");
    let variables = options::from_environment(environment, &mut report);
    let mut raw_roles = environment::own(environment, &mut report);
    let content =
        inputs.config_file.map(|source| file::read(source, &mut report)).unwrap_or_default();
    raw_roles.extend(content.roles);
    raw_roles.extend(environment::compatible(environment, &mut report));
    let common = Common { flags, variables, file: content.options };
    let home = environment.get("HOME").map(String::as_str).filter(|home| !home.is_empty());
    let options = Options::check(&Vec::new(), &common.all(), home, &mut report);
    let profiles = Profiles::read(inputs.aws_config, inputs.aws_credentials, &mut report);
    let ambient_profile = environment.get("AWS_PROFILE").map(String::as_str);
    let ambient_profile = ambient_profile.filter(|name| !name.is_empty()).unwrap_or("default");
    let identities = IdentityCatalog::check(&content.identities, environment, home, &mut report);
    let world = World {
        catalog: &Catalog::check(&raw_roles, &identities, &mut report),
        tokens: &TokenCatalog::check(&content.tokens, &identities, environment, &mut report),
        profiles: &profiles,
        ambient: ambient_regions(environment, profiles.find(ambient_profile)),
        ambient_profile,
        compatible_default: environment::compatible_default(environment),
        home,
        read: inputs.read_include,
    };
    let selected = (inputs.selection, inputs.added);
    let tables = content.mounts.as_deref();
    let mounts = mounts::served(&world, &common, &options, tables, selected, &mut report);
    mounts::endpoint::check_source(environment, &mounts, &mut report);
    let settings = assemble::settings(&options, mounts, &mut report);
    warn_of_ambient(ambient_profile, &profiles, &settings, &mut report);
    let warnings = report.finish()?;
    Ok(Settings { warnings, ..settings })
}

/// Tells of an `AWS_PROFILE` that is none, which the standard chain passes over without a word, as in a
/// shell that names the profile of a mount.
fn warn_of_ambient(name: &str, profiles: &Profiles, settings: &Settings, report: &mut Report) {
    let mut bases = settings.roles().map(|role| &role.chain.base);
    if name != "default"
        && profiles.find(name).is_none()
        && bases.any(|base| matches!(base, BaseCredentials::DefaultChain))
    {
        report.warning(&Origin::variable("AWS_PROFILE"), profiles.missing(name));
    }
}

/// Regions that the surroundings name. A malformed one is not ours to complain about.
fn ambient_regions(
    environment: &BTreeMap<String, String>,
    profile: Option<&Profile>,
) -> Vec<Sourced<RegionName>> {
    let variables = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().filter_map(|name| {
        Some(Sourced::new(environment.get(name)?.clone(), Origin::variable(name)))
    });
    variables
        .chain(profile.and_then(|profile| profile.value("region")))
        .filter_map(|found| Some(Sourced::new(RegionName::parse(&found.value).ok()?, found.origin)))
        .collect()
}
