//! The `config` file.

use std::fmt::Write as _;

use super::ini::IniWriter;
use super::{Profile, Text};
use crate::model::ProfileName;

/// Renders `config`: region and settings of each profile, and for each a `NAME@live` profile whose
/// `credential_process` reads the profile's JSON at `reader_path`, the directory of the mount as
/// this reader sees it. Holds no keys.
///
/// With `live_only` the plain profiles have the `credential_process` themselves. (Static keys and
/// a `credential_process` under one name would freeze some SDKs on the static keys.)
///
/// `include` is added as it is: whole sections, whose names are none of these.
pub fn config(
    profiles: &[Profile<'_>],
    reader_path: &ReaderPath,
    live_only: bool,
    include: &str,
) -> Text {
    let mut ini = IniWriter::new(0);
    for profile in profiles {
        ini.section(&head(profile.name.as_str()));
        settings(&mut ini, profile);
        if live_only {
            ini.line("credential_process", &reader_path.process_command(profile.name));
        }
    }
    for profile in profiles {
        ini.section(&head(&format!("{}@live", profile.name)));
        settings(&mut ini, profile);
        ini.line("credential_process", &reader_path.process_command(profile.name));
    }
    ini.verbatim(include);
    ini.finish()
}

fn head(name: &str) -> String {
    if name == "default" { name.to_owned() } else { format!("profile {name}") }
}

fn settings(ini: &mut IniWriter, profile: &Profile<'_>) {
    if let Some(region) = profile.region {
        ini.line("region", region.as_str());
    }
    for setting in profile.settings {
        if setting.nested.is_empty() {
            ini.line(&setting.key, &setting.value);
        } else {
            ini.nested(&setting.key, &setting.nested);
        }
    }
}

/// The directory of the mount as a reader sees it, in a form that can stand in a
/// `credential_process`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReaderPath(String);

/// A path that no quoting makes safe in all clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderPathError {
    /// Clients resolve the path in directories of their own.
    #[error("{0} is not an absolute path")]
    Relative(String),
    /// Quotes, control characters, `#`, `;`, or text that is not UTF-8.
    #[error(
        "{0} has a character that cannot stand in a credential_process (a quote, backslash, \
         control character, '#', ';', '$', '%' or one that is not UTF-8)"
    )]
    Unsafe(String),
}

impl ReaderPath {
    /// Checks a path. Trailing slashes are dropped.
    ///
    /// # Errors
    /// See [`ReaderPathError`].
    pub fn parse(path: &str) -> Result<Self, ReaderPathError> {
        if !path.starts_with('/') {
            return Err(ReaderPathError::Relative(path.to_owned()));
        }
        let unsafe_character = |c: char| {
            c.is_control() || c == char::REPLACEMENT_CHARACTER || "'\"`\\#;$%".contains(c)
        };
        if path.contains(unsafe_character) || path.len() > 4096 {
            return Err(ReaderPathError::Unsafe(path.escape_debug().to_string()));
        }
        Ok(Self(path.trim_end_matches('/').to_owned()))
    }

    /// The path without a trailing slash; empty for `/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `cat PATH`; quoted only where the path needs it, because one client (minio-go) knows no
    /// quotes.
    fn process_command(&self, name: &ProfileName) -> String {
        let mut command = String::from("cat ");
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._@%+=:,-".contains(c);
        let quote = if self.0.chars().chain(name.as_str().chars()).all(plain) { "" } else { "\"" };
        // Writing to a String cannot fail.
        let _ = write!(command, "{quote}{}/credmount/process/{name}.json{quote}", self.0);
        command
    }
}
