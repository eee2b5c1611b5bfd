//! Text that must not leak.

use std::fmt;

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
    fn debug_shows_no_content() {
        let secret = Secret::new("wJalrXUtnFEMI");
        assert_eq!(format!("{secret:?}"), "** redacted **");
        assert_eq!(secret.expose(), "wJalrXUtnFEMI");
    }
}
