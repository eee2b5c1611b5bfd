//! The profiles of the AWS shared files, both files taken together as SDKs do.

use std::collections::BTreeMap;
use std::path::Path;

use super::shared_file::{self, Property, Section};
use crate::config::SourceText;
use crate::config::values::{Origin, Report, Sourced, listed, meant, shown};

/// All profiles by name.
#[derive(Debug, Default)]
pub(in crate::config) struct Profiles {
    by_name: BTreeMap<String, Profile>,
    /// Sections `[NAME]` of the config file, where SDKs want `[profile NAME]`.
    misplaced: BTreeMap<String, Origin>,
    /// What is broken outside of all profiles, such as the header of one.
    broken: Vec<(Origin, &'static str)>,
}

/// One profile.
#[derive(Debug)]
pub(in crate::config) struct Profile {
    pub(in crate::config) name: String,
    pub(in crate::config) origin: Origin,
    properties: Vec<(Origin, Property)>,
    problems: Vec<(Origin, &'static str)>,
}

/// Keys that each give a profile credentials of its own.
const CREDENTIAL_KEYS: [&str; 8] = [
    "aws_access_key_id",
    "credential_process",
    "credential_source",
    "login_session",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

impl Profile {
    /// The value of `key`, if it is not empty.
    pub(in crate::config) fn value(&self, key: &str) -> Option<Sourced<String>> {
        let (origin, property) = self.property(key)?;
        (!property.value.is_empty()).then(|| Sourced::new(property.value.clone(), origin.clone()))
    }

    /// Where `key` stands, whatever its value.
    pub(in crate::config) fn property(&self, key: &str) -> Option<&(Origin, Property)> {
        self.properties.iter().rev().find(|(_, property)| property.key == key)
    }

    /// Every key, as the last of its name says it.
    pub(in crate::config) fn properties(&self) -> impl Iterator<Item = &(Origin, Property)> {
        self.properties.iter().enumerate().filter_map(|(index, found)| {
            let later = &self.properties[index + 1..];
            (!later.iter().any(|(_, other)| other.key == found.1.key)).then_some(found)
        })
    }

    /// Whether it says where its credentials come from.
    pub(in crate::config) fn has_credentials(&self) -> bool {
        CREDENTIAL_KEYS.iter().any(|key| self.property(key).is_some())
    }

    /// Whether its own credentials are those of a role: web identity or IAM Identity Center.
    /// What is assumed with them is chained, for which AWS gives at most one hour.
    pub(in crate::config) fn is_role_session(&self) -> bool {
        ["role_arn", "sso_session", "sso_start_url"].iter().any(|key| self.property(key).is_some())
    }

    /// Reports its broken lines, because somebody needs it. Whether there were none.
    pub(in crate::config) fn check_lines(&self, report: &mut Report) -> bool {
        for (origin, what) in &self.problems {
            report.error(
                origin,
                format!("{what} in profile {}, which is needed: mend the line", shown(&self.name)),
            );
        }
        self.problems.is_empty()
    }
}

impl Profiles {
    /// Takes both files together. What is broken becomes a warning here and an error once a role
    /// needs it.
    pub(in crate::config) fn read(
        config: Option<&SourceText>,
        credentials: Option<&SourceText>,
        report: &mut Report,
    ) -> Self {
        let mut profiles = Self::default();
        for (source, is_config) in [(config, true), (credentials, false)] {
            let Some(source) = source else { continue };
            let (sections, problems) = shared_file::parse(source);
            for problem in problems {
                let origin = Origin::line(&source.path, problem.line);
                warn(report, &origin, problem.what);
                profiles.broken.push((origin, problem.what));
            }
            for section in sections {
                profiles.add(&source.path, is_config, section, report);
            }
        }
        profiles
    }

    fn add(&mut self, path: &Path, is_config: bool, section: Section, report: &mut Report) {
        let at = |line| Origin::line(path, line);
        let name = if is_config { config_profile(&section.header) } else { Some(&*section.header) };
        let problems: Vec<(Origin, &'static str)> =
            section.problems.iter().map(|problem| (at(problem.line), problem.what)).collect();
        for (origin, what) in &problems {
            warn(report, origin, what);
        }
        let Some(name) = name else {
            self.misplaced.insert(section.header, at(section.line));
            return;
        };
        let profile = self.by_name.entry(name.to_owned()).or_insert_with(|| Profile {
            name: name.to_owned(),
            origin: at(section.line),
            properties: Vec::new(),
            problems: Vec::new(),
        });
        profile.problems.extend(problems);
        profile
            .properties
            .extend(section.properties.into_iter().map(|property| (at(property.line), property)));
    }

    /// The profile of this name.
    pub(in crate::config) fn find(&self, name: &str) -> Option<&Profile> {
        self.by_name.get(name)
    }

    /// All names, sorted.
    pub(in crate::config) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What to do when the config file has `[NAME]` where SDKs want `[profile NAME]`.
    pub(in crate::config) fn misplaced(&self, name: &str) -> Option<String> {
        let origin = self.misplaced.get(name)?;
        let name = name.escape_debug();
        Some(format!("{origin} has [{name}] where SDKs want [profile {name}]: rename the section"))
    }

    /// What may hide the profile that is looked for; with a semicolon before it, or empty.
    pub(in crate::config) fn hidden_by(&self) -> String {
        let broken = self.broken.iter().map(|(origin, what)| format!("; {origin}: {what}"));
        broken.collect()
    }

    /// Why `find` found nothing, and what to do.
    pub(in crate::config) fn missing(&self, name: &str) -> String {
        let found = shown(name);
        if let Some(advice) = self.misplaced(name) {
            return advice;
        }
        if let Some(name) = meant(name, self.names()) {
            return format!("there is no AWS profile {found}: did you mean {}?", shown(name));
        }
        if self.by_name.is_empty() {
            return format!(
                "there is no AWS profile {found}: the AWS config and credentials files have no \
                 profiles, or do not exist{}",
                self.hidden_by()
            );
        }
        let there = listed(self.names());
        format!("there is no AWS profile {found}: there are {there}{}", self.hidden_by())
    }
}

fn warn(report: &mut Report, origin: &Origin, what: &str) {
    report.warning(origin, format!("{what}: AWS SDKs may refuse the whole file"));
}

/// The profile that a header of the config file names: `default`, `profile NAME` or
/// `profile "NAME"`.
fn config_profile(header: &str) -> Option<&str> {
    if header == "default" {
        return Some(header);
    }
    let name = header.strip_prefix("profile")?;
    if !name.starts_with([' ', '\t']) {
        return None;
    }
    let name = name.trim();
    let unquoted = |quote| name.strip_prefix(quote).and_then(|name| name.strip_suffix(quote));
    Some(unquoted('"').or_else(|| unquoted('\'')).unwrap_or(name))
}
