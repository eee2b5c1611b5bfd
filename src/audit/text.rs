//! The texts and instants that records are made of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text in a record: at most [`Text::MAX_LEN`] bytes, so that no caller can make records grow
/// by what it calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// The longest text, in bytes: `PATH_MAX` of Linux, which no path exceeds.
    pub const MAX_LEN: usize = 4096;

    /// The text, cut at a character if it is too long; then it ends with `…`.
    pub fn new(text: &str) -> Self {
        if text.len() <= Self::MAX_LEN {
            return Self(text.to_owned());
        }
        let end = text.floor_char_boundary(Self::MAX_LEN - ELLIPSIS.len());
        Self(format!("{}{ELLIPSIS}", &text[..end]))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ELLIPSIS: &str = "…";

/// Instants as RFC 3339 in UTC. Those outside the years 1970 to 9999, which the format does not
/// know, become the nearest one inside.
pub(super) mod instant {
    use std::time::{Duration, SystemTime};

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// 9999-12-31T23:59:59Z.
    const LAST: Duration = Duration::from_secs(253_402_300_799);

    pub(in crate::audit) fn clamped(at: SystemTime) -> SystemTime {
        at.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST)
    }

    /// Whole seconds, as AWS gives expirations.
    pub(in crate::audit) fn seconds(at: SystemTime) -> String {
        humantime::format_rfc3339_seconds(clamped(at)).to_string()
    }

    pub(in crate::audit) fn serialize<S: Serializer>(
        at: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_micros(clamped(*at)))
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        humantime::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

/// Expirations: whole seconds, and often none.
pub(super) mod expiration {
    use std::time::SystemTime;

    use serde::{Deserializer, Serializer};

    use super::instant;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::audit) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&instant::seconds(*at)),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::audit) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        instant::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = Text::new(&"ä".repeat(5000));
        assert!(text.as_str().len() <= Text::MAX_LEN && text.as_str().len() > Text::MAX_LEN - 4);
        assert!(text.as_str().ends_with("ä…"));
        let longest = "x".repeat(Text::MAX_LEN);
        assert_eq!(Text::new(&longest).as_str(), longest);
    }

    #[test]
    fn instants_that_the_format_does_not_know_do_not_panic() {
        use std::time::{Duration, UNIX_EPOCH};
        assert_eq!(instant::seconds(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(instant::seconds(far), "9999-12-31T23:59:59Z");
    }
}
