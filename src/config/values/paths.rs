//! Paths as texts: which are meant, and which are in each other's way. Reads nothing.

use std::path::{Component, Path, PathBuf};

use super::text::shown;

/// An absolute path; `~/` at the beginning stands for `home`.
///
/// # Errors
/// When the path is relative: a daemon is in no directory that one could mean.
pub(in crate::config) fn absolute(
    key: &str,
    text: &str,
    home: Option<&str>,
) -> Result<PathBuf, String> {
    let found = shown(text);
    if text.chars().any(char::is_control) {
        return Err(format!("{key} {found} has control characters: write it without"));
    }
    let path = match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        (Some(_), None) => {
            return Err(format!(
                "{key} {found} needs HOME, which is not set: write the whole path"
            ));
        }
        (None, _) => PathBuf::from(text),
    };
    check(key, &path)?;
    Ok(path.components().collect())
}

/// Refuses a path of which a daemon cannot tell where it leads.
///
/// # Errors
/// When it is relative or has `..` in it.
pub(in crate::config) fn check(key: &str, path: &Path) -> Result<(), String> {
    let found = shown(&path.display().to_string());
    if !path.is_absolute() {
        return Err(format!("{key} {found} is not absolute: begin it with `/` or `~/`"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("{key} {found} has `..` in it: write the path without"));
    }
    Ok(())
}

/// How the place of one mount is in the way of another, as a clause; `None` when it is not.
pub(in crate::config) fn conflict(path: &Path, earlier: &Path) -> Option<&'static str> {
    if path == earlier {
        Some("is the path of")
    } else if path.starts_with(earlier) {
        Some("is below the path of")
    } else if earlier.starts_with(path) {
        Some("is above the path of")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_absolute_or_below_the_home() {
        let path = |text| absolute("path", text, Some("/h"));
        assert_eq!(path("/a//b/./c/"), Ok("/a/b/c".into()));
        assert_eq!(path("~/x"), Ok("/h/x".into()));
        for (text, problem) in [
            ("", "is not absolute"),
            ("a", "is not absolute"),
            ("~x/a", "is not absolute"),
            ("/a/../b", "has `..` in it"),
            ("/a\nb", "has control characters"),
        ] {
            let found = path(text).expect_err("refused");
            assert!(found.contains(problem), "{text:?}: {found}");
        }
        assert!(absolute("path", "~/x", None).expect_err("refused").contains("HOME"));
    }

    #[test]
    fn one_mount_cannot_stand_on_or_below_another() {
        let conflict = |path: &str, earlier: &str| conflict(path.as_ref(), earlier.as_ref());
        assert_eq!(conflict("/a", "/a"), Some("is the path of"));
        assert_eq!(conflict("/a/b", "/a"), Some("is below the path of"));
        assert_eq!(conflict("/a", "/a/b"), Some("is above the path of"));
        assert_eq!(conflict("/ab", "/a"), None);
    }
}
