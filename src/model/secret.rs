//! Text that must not leak.

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// A secret text: its memory is overwritten when it is dropped, `Debug` shows no content, and
/// there is neither `Display` nor `Serialize`. [`Secret::expose`] is the only way to the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of `text`; the caller should not keep copies.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Whether this is the text. How long that takes tells the length, and no more.
    pub fn is(&self, text: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(text).into()
    }

    /// The text itself. Called only where a file is rendered and where STS is called.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("** redacted **")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_itself_and_nothing_else() {
        let secret = Secret::new("wJalrXUtnFEMI");
        assert!(secret.is(b"wJalrXUtnFEMI"));
        for other in [&b"wJalrXUtnFEM"[..], b"wJalrXUtnFEMIx", b"wJalrXUtnFEMi", b""] {
            assert!(!secret.is(other), "{other:?}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let secret = Secret::new("wJalrXUtnFEMI");
        assert_eq!(format!("{secret:?}"), "** redacted **");
        assert_eq!(secret.expose(), "wJalrXUtnFEMI");
    }
}
