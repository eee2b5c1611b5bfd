//! Flags, environment and files → checked [`Settings`]. Pure: texts come in, settings or all
//! errors go out. Must not read files or the environment, nor know AWS, FUSE or the clock.

#![forbid(unsafe_code)]

mod aws_file;
#[cfg(test)]
mod cases;
mod chain;
mod environment;
mod error;
mod file;
mod hop;
mod layer;
mod locations;
mod options;
mod profile_settings;
mod profiles;
mod regions;
mod roles;
mod settings;
mod spec;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use self::chain::Chains;
use self::error::Report;
use self::layer::Sourced;
use self::options::Options;
use self::profiles::{Profile, Profiles};
use self::regions::Regions;
use self::spec::Catalog;
use crate::model::RegionName;

pub use self::error::{ConfigError, ConfigErrors, Origin};
pub use self::locations::Locations;
pub use self::options::Flags;
pub use self::settings::{
    DEFAULT_OPEN_DEADLINE, DEFAULT_SESSION_DURATION, LogFormat, MountSettings, Settings, Verbosity,
};
pub(crate) use self::value::meant;

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

/// Everything that settings are made of. A file that does not exist is `None`.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What was typed.
    pub flags: &'a Flags,
    /// The environment. Names with another encoding than UTF-8 are of no interest.
    pub environment: &'a BTreeMap<String, String>,
    /// credmount's own file.
    pub config_file: Option<&'a SourceText>,
    /// The AWS config file.
    pub aws_config: Option<&'a SourceText>,
    /// The AWS credentials file: which profiles there are. Its keys are not kept.
    pub aws_credentials: Option<&'a SourceText>,
}

impl fmt::Debug for Inputs<'_> {
    /// Without the environment, which may hold keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("flags", &self.flags)
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
    let mut raw = options::from_flags(inputs.flags);
    raw.extend(options::from_environment(inputs.environment, &mut report));
    let mut raw_roles = environment::own(inputs.environment, &mut report);
    if let Some(source) = inputs.config_file {
        let (options, roles) = file::read(source, &mut report);
        raw.extend(options);
        raw_roles.extend(roles);
    }
    raw_roles.extend(environment::compatible(inputs.environment, &mut report));
    let options = Options::check(&raw, &mut report);
    let catalog = Catalog::check(&raw_roles, &mut report);
    let profiles = Profiles::read(inputs.aws_config, inputs.aws_credentials, &mut report);
    let ambient_profile = inputs.environment.get("AWS_PROFILE").map(String::as_str);
    let ambient_profile = ambient_profile.filter(|name| !name.is_empty()).unwrap_or("default");
    let ambient = ambient_regions(inputs.environment, profiles.find(ambient_profile));
    let chains = Chains {
        options: &options,
        catalog: &catalog,
        profiles: &profiles,
        regions: Regions { option: &options.region, ambient },
        ambient_profile,
    };
    let roles = roles::served(&chains, &mut report);
    let default = roles::default(&chains, inputs.environment, &roles, &mut report);
    let settings = settings::assemble(&options, roles, default, &mut report);
    let warnings = report.finish()?;
    Ok(Settings { warnings, ..settings })
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
