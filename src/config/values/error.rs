//! What is wrong with the configuration: all of it, each with its place and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line, such as `--region`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A line of a file, counted from 1.
    Line {
        /// The file as the person would name it.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// No single place: the configuration as a whole.
    Whole,
}

impl Origin {
    /// An environment variable, by its name.
    pub(in crate::config) fn variable(name: &str) -> Self {
        Self::Variable(name.to_owned())
    }

    /// What errors are sorted by.
    fn place(&self) -> (u8, Option<&Path>, usize) {
        match self {
            Self::Flag(_) => (0, None, 0),
            Self::Variable(_) => (1, None, 0),
            Self::Line { path, line } => (2, Some(path), *line),
            Self::Whole => (3, None, 0),
        }
    }

    /// A line of a file.
    pub(in crate::config) fn line(path: &Path, line: usize) -> Self {
        Self::Line { path: path.to_owned(), line }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::Line { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Whole => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong: where, what, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct ConfigError {
    /// Where it was written.
    pub origin: Origin,
    /// What is wrong and, after a colon, what is right.
    pub message: String,
}

/// What is wrong with the parts of one value, each with its place; at least one.
pub(in crate::config) type Problems = Vec<(Origin, String)>;

/// Everything that is wrong, at least one: flags, variables, then each file
/// from top to bottom. `Display` prints one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects errors and warnings while the whole configuration is gone through. A value that
/// several roles use is reported once.
#[derive(Debug, Default)]
pub(in crate::config) struct Report {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

impl Report {
    /// Notes an error.
    pub(in crate::config) fn error(&mut self, origin: &Origin, message: impl Into<String>) {
        let error = ConfigError { origin: origin.clone(), message: message.into() };
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    /// Notes something that works but is likely not meant.
    pub(in crate::config) fn warning(&mut self, origin: &Origin, message: impl fmt::Display) {
        let warning = format!("{origin}: {message}");
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// The value, or `None` with its error noted.
    pub(in crate::config) fn check<T, E: fmt::Display>(
        &mut self,
        origin: &Origin,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.error(origin, error.to_string())).ok()
    }

    /// The value, or `None` with everything noted that is wrong with its parts.
    pub(in crate::config) fn accept<T>(&mut self, result: Result<T, Problems>) -> Option<T> {
        let problems = match result {
            Ok(value) => return Some(value),
            Err(problems) => problems,
        };
        for (origin, message) in problems {
            self.error(&origin, message);
        }
        None
    }

    /// Takes over the errors of a part whose warnings are of no interest.
    pub(in crate::config) fn adopt(&mut self, other: Self) {
        for error in other.errors {
            self.error(&error.origin, error.message);
        }
    }

    /// Whether nothing is wrong so far.
    pub(in crate::config) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// The warnings when nothing is wrong, else the errors: flags, variables, then each file
    /// from top to bottom.
    pub(in crate::config) fn finish(mut self) -> Result<Vec<String>, ConfigErrors> {
        self.errors.sort_by(|left, right| left.origin.place().cmp(&right.origin.place()));
        if self.errors.is_empty() { Ok(self.warnings) } else { Err(ConfigErrors(self.errors)) }
    }
}
