//! Where the files are that [`crate::config::resolve`] wants to be read. Only finds paths; reads nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files to read. One that does not exist counts as absent unless it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locations {
    /// credmount's own file; `None` without a home.
    pub config_file: Option<PathBuf>,
    /// Whether it was named by flag or variable, so that its absence is an error.
    pub config_file_named: bool,
    /// The AWS config file: `AWS_CONFIG_FILE` or `~/.aws/config`.
    pub aws_config: Option<PathBuf>,
    /// The AWS credentials file: `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`.
    pub aws_credentials: Option<PathBuf>,
}

impl Locations {
    /// Finds them: `flag` is `--config`, which wins over `CREDMOUNT_CONFIG`. An empty variable
    /// counts as not set, and so does a relative `XDG_CONFIG_HOME` (XDG Base Directory
    /// Specification).
    pub fn find(flag: Option<&Path>, environment: &BTreeMap<String, String>) -> Self {
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let home = variable("HOME").map(PathBuf::from);
        let named = flag
            .map(Path::to_owned)
            .or_else(|| variable("CREDMOUNT_CONFIG").map(|path| expand(path, home.as_deref())));
        let config_home = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| home.as_ref().map(|home| home.join(".config")));
        let aws = |name: &str, file: &str| {
            variable(name)
                .map(|path| expand(path, home.as_deref()))
                .or_else(|| home.as_ref().map(|home| home.join(".aws").join(file)))
        };
        Self {
            config_file_named: named.is_some(),
            config_file: named
                .or_else(|| config_home.map(|home| home.join("credmount").join("config.toml"))),
            aws_config: aws("AWS_CONFIG_FILE", "config"),
            aws_credentials: aws("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        }
    }
}

/// `~/` at the beginning of a variable's value, as AWS SDKs expand it.
fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(flag: Option<&str>, environment: &[(&str, &str)]) -> Locations {
        let environment =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Locations::find(flag.map(Path::new), &environment)
    }

    #[test]
    fn without_anything_said_files_are_below_the_home() {
        let found = find(None, &[("HOME", "/h"), ("XDG_CONFIG_HOME", "relative")]);
        assert_eq!(found.config_file, Some("/h/.config/credmount/config.toml".into()));
        assert!(!found.config_file_named);
        assert_eq!(found.aws_config, Some("/h/.aws/config".into()));
        assert_eq!(found.aws_credentials, Some("/h/.aws/credentials".into()));
    }

    #[test]
    fn flag_wins_over_variable_and_variable_over_home() {
        let environment = [
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "/x"),
            ("CREDMOUNT_CONFIG", "~/c.toml"),
            ("AWS_CONFIG_FILE", "~/aws"),
        ];
        assert_eq!(find(Some("f"), &environment).config_file, Some("f".into()));
        let found = find(None, &environment);
        assert_eq!(found.config_file, Some("/h/c.toml".into()));
        assert!(found.config_file_named);
        assert_eq!(found.aws_config, Some("/h/aws".into()));
        let no_file = find(None, &[("XDG_CONFIG_HOME", "/x"), ("CREDMOUNT_CONFIG", "")]);
        assert_eq!(no_file.config_file, Some("/x/credmount/config.toml".into()));
        assert_eq!(no_file.aws_config, None);
    }
}
