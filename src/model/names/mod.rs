//! Names checked once, at the edge: a value of one of these types is legal wherever it is used
//! later. Each message says what was found, which part is wrong and what is right. Must not know
//! where a name came from; the caller adds the file, flag or variable.

mod arn;
mod attributes;
mod github;
mod mfa;
mod partition;
mod session_name;
mod ssh;
mod text;
mod url;

pub use arn::RoleArn;
pub use attributes::{PolicyArn, SessionTag, SourceIdentity};
pub use github::{GithubOwner, GithubRepository, HostName};
pub use mfa::MfaDevice;
pub use partition::{Partition, RegionName};
pub use session_name::{
    LONGEST_SESSION_NAME, SESSION_TIME_LEN, SessionNamePart, SessionNamePattern,
    SessionNameTemplate, legal_session_name,
};
pub use ssh::SshName;
pub use text::{AccountId, ExternalId, MountName, ProfileName, RoleSessionName};
pub use url::ServiceUrl;

/// Why a name was refused: one clause without a final full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

/// A checked text: the type, `as_str`, `Display`. Each type brings its own `parse`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use checked_text;

/// The longest found text that a message repeats, in characters.
const SHOWN: usize = 80;

/// `text` in quotes, safe to print on a terminal: control characters escaped, long texts cut.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    // `escape_debug` also escapes quotes and backslashes, which stays readable.
    format!("`{shown}`")
}

/// A character as a message shows it.
fn shown(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\n' => "a newline".to_owned(),
        '\t' => "a tab".to_owned(),
        other => format!("`{}`", other.escape_debug()),
    }
}

/// `\w` of the STS and IAM patterns, which are ASCII, plus the signs of both.
fn is_iam_name_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_+=,.@-".contains(character)
}

/// The rule that session names, source identities and external ids share.
fn check_length(
    what: &str,
    text: &str,
    longest: usize,
    legal: impl Fn(char) -> bool,
    signs: &str,
) -> Result<(), NameError> {
    if let Some(wrong) = text.chars().find(|&character| !legal(character)) {
        return Err(NameError(format!(
            "{what} {} contains {}: STS accepts letters, digits and {signs}",
            quoted(text),
            shown(wrong)
        )));
    }
    if !(2..=longest).contains(&text.len()) {
        let found = match text.len() {
            0 => "is empty".to_owned(),
            1 => format!("{} has 1 character", quoted(text)),
            len => format!("{} has {len} characters", quoted(text)),
        };
        return Err(NameError(format!("{what} {found}: STS accepts 2 to {longest}")));
    }
    Ok(())
}
