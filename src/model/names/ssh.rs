//! Names of ssh certificates.

use super::{NameError, checked_text, quoted, shown};

checked_text! {
    /// The NAME of `[ssh.NAME]`, which is also the name of a directory: 1 to 64 letters, digits and
    /// `._-`, with a letter or digit first.
    SshName
}

impl SshName {
    /// Parses and checks.
    ///
    /// # Errors
    /// When it could not be a directory, or is hard to type.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let found = quoted(text);
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let problem = if text.is_empty() {
            "is empty: choose a name for its directory".to_owned()
        } else if let Some(wrong) = text.chars().find(|&c| !legal(c)) {
            format!("{found} contains {}: use letters, digits, _ - and .", shown(wrong))
        } else if text.len() > 64 {
            format!("{found} has {} characters: use at most 64", text.len())
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            format!("{found} must begin with a letter or digit")
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError(format!("ssh certificate {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_directory() {
        let longest = "x".repeat(64);
        for legal in ["prod", "a", "0", "build.example_com-2", &longest] {
            assert_eq!(SshName::parse(legal).unwrap().as_str(), legal);
        }
        let too_long = "x".repeat(65);
        for (text, part) in [
            ("", "is empty"),
            (".", "must begin with"),
            ("..", "must begin with"),
            ("a/b", "contains `/`"),
            ("a b", "contains a space"),
            ("å", "contains `å`"),
            (&too_long, "has 65 characters"),
        ] {
            let found = SshName::parse(text).unwrap_err().to_string();
            assert!(found.contains(part), "{text}: {found}");
        }
    }
}
