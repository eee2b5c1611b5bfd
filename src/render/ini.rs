//! The one writer of INI text.

use super::Text;

/// Builds a file section by section. Values must be [`representable`].
#[derive(Debug)]
pub(super) struct IniWriter {
    text: Text,
}

impl IniWriter {
    /// A file that begins with the comment all our files begin with. `capacity` should cover the
    /// whole text, so that no copy of a key stays behind in a freed buffer.
    pub(super) fn new(capacity: usize) -> Self {
        let mut text = Text::new(String::with_capacity(capacity + HEADER.len()));
        text.push_str(HEADER);
        Self { text }
    }

    /// Begins a section; `head` is what stands between the brackets.
    pub(super) fn section(&mut self, head: &str) {
        if self.text.len() > HEADER.len() {
            self.text.push('\n');
        }
        self.push(&["[", head, "]\n"]);
    }

    /// `key = value`.
    pub(super) fn line(&mut self, key: &str, value: &str) {
        debug_assert!(representable(key) && representable(value));
        self.push(&[key, " = ", value, "\n"]);
    }

    /// `key =` and indented lines below it, as AWS writes nested settings.
    pub(super) fn nested(&mut self, key: &str, pairs: &[(String, String)]) {
        self.push(&[key, " =\n"]);
        for (key, value) in pairs {
            debug_assert!(representable(key) && representable(value));
            self.push(&["  ", key, " = ", value, "\n"]);
        }
    }

    /// Whole sections, as somebody else wrote and checked them; may be empty.
    pub(super) fn verbatim(&mut self, sections: &str) {
        if !sections.is_empty() {
            self.push(&["\n", sections]);
        }
    }

    pub(super) fn finish(self) -> Text {
        self.text
    }

    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
    }
}

/// Whether a value comes back unchanged from every parser: not empty, no control characters, no
/// white space at its ends, and nothing that some parser takes for an inline comment.
pub(super) fn representable(value: &str) -> bool {
    !value.is_empty()
        && value.trim() == value
        && !value.contains(char::is_control)
        && !value.contains(" #")
        && !value.contains(" ;")
}

/// No character of it may upset PHP's INI parser, to which `#` is no comment sign.
const HEADER: &str = "# credmount: generated on open, do not edit\n";
