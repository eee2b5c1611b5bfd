//! Names that are one piece of text: account id, profile name, session name, external id, mount
//! name.

use super::{NameError, check_length, checked_text, is_iam_name_character, quoted, shown};

checked_text! {
    /// A 12-digit account id. Leading zeros count.
    AccountId
}

impl AccountId {
    /// Parses and checks.
    ///
    /// # Errors
    /// When `text` is not 12 digits.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        let problem = if text.is_empty() {
            "the account id is empty".to_owned()
        } else if text.contains('-') && text.bytes().filter(u8::is_ascii_digit).count() == 12 {
            format!("account id {} has hyphens", quoted(text))
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            format!("account id {} has {} digits", quoted(text), text.len())
        } else {
            format!("account id {} is not a number", quoted(text))
        };
        Err(NameError(format!("{problem}: write 12 digits, such as 123456789012")))
    }
}

checked_text! {
    /// A profile name that every SDK finds: the identifiers of the SDKs' shared-file
    /// specification, without `/`, because the name is also a file name.
    ProfileName
}

/// What readers append to reach the profile that refreshes itself.
const LIVE_SUFFIX: &str = "@live";

impl ProfileName {
    /// The longest name, in bytes. With `.json` it stays far below the 255 bytes of a file name.
    pub const MAX_LEN: usize = 128;

    /// Parses and checks.
    ///
    /// # Errors
    /// When an SDK would not find a profile of this name or it cannot be a file name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let refuse = |problem: String| Err(NameError(format!("profile name {problem}")));
        if text.is_empty() {
            return refuse("is empty: write at least one character".to_owned());
        }
        if text.len() > Self::MAX_LEN {
            let (len, max) = (text.len(), Self::MAX_LEN);
            return refuse(format!("{} has {len} bytes: at most {max} are allowed", quoted(text)));
        }
        if text == "." || text == ".." {
            return refuse(format!("`{text}` is a directory, not a file name: choose another"));
        }
        if text.trim() != text {
            return refuse(format!("{} has spaces at the ends: remove them", quoted(text)));
        }
        if let Some(wrong) = text.chars().find(|&character| !is_profile_character(character)) {
            return refuse(format!(
                "{} contains {}: AWS SDKs accept letters, digits and _ - . @ : + %",
                quoted(text),
                shown(wrong)
            ));
        }
        if text.ends_with(LIVE_SUFFIX) {
            return refuse(format!(
                "{} ends with `{LIVE_SUFFIX}`, which marks the self-refreshing twin of a profile: \
                 choose another",
                quoted(text)
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of the twin profile whose `credential_process` follows renewals: `NAME@live`.
    pub fn live(&self) -> String {
        format!("{}{LIVE_SUFFIX}", self.0)
    }
}

/// The identifier characters that the AWS SDK for Rust accepts in profile names (`aws-runtime`,
/// `env_config/normalize.rs`); it drops profiles with any other, the CRT likewise. Minus `/`.
fn is_profile_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-.@:+%".contains(character)
}

checked_text! {
    /// A role session name: 2 to 64 characters of `[\w+=,.@-]` (STS API, `RoleSessionName`).
    RoleSessionName
}

impl RoleSessionName {
    /// Parses and checks.
    ///
    /// # Errors
    /// When length or characters are outside what STS accepts.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check_length("session name", text, 64, is_iam_name_character, "+ = , . @ - _")?;
        Ok(Self(text.to_owned()))
    }
}

checked_text! {
    /// An external id: 2 to 1224 characters of `[\w+=,.@:/-]` (STS API, `ExternalId`).
    ExternalId
}

impl ExternalId {
    /// Parses and checks.
    ///
    /// # Errors
    /// When length or characters are outside what STS accepts.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let legal = |character| is_iam_name_character(character) || ":/".contains(character);
        check_length("external id", text, 1224, legal, "+ = , . @ : / - _")?;
        Ok(Self(text.to_owned()))
    }
}

checked_text! {
    /// The name of a mount. It labels records of the audit and metrics, and stands in commands.
    MountName
}

impl MountName {
    /// Parses and checks: 1 to 64 letters, digits and `._-`, the first a letter or digit.
    ///
    /// # Errors
    /// When length or characters are others.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let found = quoted(text);
        let legal =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        let problem = if text.is_empty() {
            "is empty: write at least one character".to_owned()
        } else if let Some(wrong) = text.chars().find(|&character| !legal(character)) {
            format!("{found} contains {}: use letters, digits and . _ -", shown(wrong))
        } else if text.starts_with(['.', '_', '-']) {
            format!("{found} begins with a sign: begin it with a letter or digit")
        } else if text.len() > 64 {
            format!("{found} has {} characters: at most 64 are allowed", text.len())
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError(format!("mount name {problem}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message<T: std::fmt::Debug>(result: Result<T, NameError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn account_ids_have_12_digits() {
        assert_eq!(AccountId::parse("012345678901").expect("legal").as_str(), "012345678901");
        assert_eq!(
            message(AccountId::parse("12345")),
            "account id `12345` has 5 digits: write 12 digits, such as 123456789012"
        );
        assert_eq!(
            message(AccountId::parse("1234-5678-9012")),
            "account id `1234-5678-9012` has hyphens: write 12 digits, such as 123456789012"
        );
        assert_eq!(
            message(AccountId::parse("")),
            "the account id is empty: write 12 digits, such as 123456789012"
        );
        assert!(AccountId::parse("１２３４５６７８９０１２").is_err(), "ASCII digits only");
    }

    #[test]
    fn profile_names_are_those_that_every_sdk_finds() {
        for legal in ["prod", "a.b", "team:prod+eu@x", "123456789012_Admin", "50%", "-x", "..."] {
            assert!(ProfileName::parse(legal).is_ok(), "{legal}");
        }
        for (text, part) in [
            ("", "is empty"),
            (".", "is a directory"),
            ("..", "is a directory"),
            ("a/b", "contains `/`"),
            ("a]b", "contains `]`"),
            ("a\nb", "contains a newline"),
            ("a b", "contains a space"),
            (" a", "spaces at the ends"),
            ("a#b", "contains `#`"),
            ("a;b", "contains `;`"),
            ("a=b", "contains `=`"),
            ("prod@live", "ends with `@live`"),
            ("å", "contains `å`"),
        ] {
            let found = message(ProfileName::parse(text));
            assert!(found.contains(part), "{text:?}: {found}");
        }
        assert!(ProfileName::parse(&"x".repeat(ProfileName::MAX_LEN)).is_ok());
        assert!(ProfileName::parse(&"x".repeat(ProfileName::MAX_LEN + 1)).is_err());
    }

    #[test]
    fn messages_show_neither_control_characters_nor_endless_texts() {
        let found = message(ProfileName::parse("a\u{1b}[31mb"));
        assert!(!found.contains('\u{1b}'), "{found}");
        assert!(message(ExternalId::parse(&"x".repeat(5000))).len() < 200);
    }

    #[test]
    fn session_names_follow_the_pattern_of_sts() {
        assert!(RoleSessionName::parse("me+x=1,a.b@host-1_2").is_ok());
        assert_eq!(
            message(RoleSessionName::parse("a")),
            "session name `a` has 1 character: STS accepts 2 to 64"
        );
        assert_eq!(
            message(RoleSessionName::parse("a b")),
            "session name `a b` contains a space: STS accepts letters, digits and + = , . @ - _"
        );
        assert!(RoleSessionName::parse(&"x".repeat(64)).is_ok());
        assert!(RoleSessionName::parse(&"x".repeat(65)).is_err());
    }

    #[test]
    fn external_ids_follow_the_pattern_of_sts() {
        assert!(ExternalId::parse("arn:x/y-1").is_ok());
        assert!(ExternalId::parse(&"x".repeat(1224)).is_ok());
        assert!(ExternalId::parse(&"x".repeat(1225)).is_err());
        assert!(message(ExternalId::parse("a#b")).contains("contains `#`"));
    }

    #[test]
    fn mount_names_are_labels() {
        for legal in ["a", "agent-7", "2024.run_1", &"x".repeat(64)] {
            assert!(MountName::parse(legal).is_ok(), "{legal}");
        }
        for (text, part) in [
            ("", "is empty"),
            ("a b", "contains a space"),
            ("a/b", "contains `/`"),
            ("é", "contains `é`"),
            ("-x", "begins with a sign"),
            ("..", "begins with a sign"),
            (&"x".repeat(65), "has 65 characters"),
        ] {
            let found = message(MountName::parse(text));
            assert!(found.contains(part), "{text:?}: {found}");
        }
    }

    proptest! {
        #[test]
        fn a_legal_profile_name_is_a_file_name_and_an_ini_header(text in ".{0,140}") {
            if let Ok(name) = ProfileName::parse(&text) {
                let name = name.as_str();
                prop_assert!(name.is_ascii() && !name.is_empty() && name != "." && name != "..");
                prop_assert!(!name.contains(['/', '[', ']', '#', ';', '=', ' ', '\\', '"', '\'']));
                prop_assert!(name.chars().all(|character| character.is_ascii_graphic()));
            }
        }

        #[test]
        fn every_text_of_the_alphabet_is_a_profile_name(text in "[A-Za-z0-9_:+%-]{1,128}") {
            prop_assert!(ProfileName::parse(&text).is_ok());
        }

        #[test]
        fn session_names_of_the_pattern_are_accepted(text in r"[A-Za-z0-9_+=,.@-]{2,64}") {
            prop_assert!(RoleSessionName::parse(&text).is_ok());
            prop_assert!(ExternalId::parse(&text).is_ok());
        }
    }
}
