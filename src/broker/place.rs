//! Where a person has to look, in words that may stand in files which readers see.

/// A place such as `config.toml line 3`. It stands in files that readers see, so it has letters,
/// digits, spaces, hyphens, underscores and full stops only, and is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The place that a text names; every other character becomes `_`.
    pub fn new(text: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || " ._-".contains(c) { c } else { '_' };
        Self(text.chars().take(LONGEST_PLACE).map(plain).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file name and a line, or a flag, are shorter.
const LONGEST_PLACE: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_nothing_in_it_that_means_something_to_a_shell() {
        let place = Place::new("$(id) `x`; \"a\"\nconfig.toml line 3");
        assert_eq!(place.as_str(), "__id_ _x__ _a__config.toml line 3");
        assert_eq!(Place::new(&"a".repeat(1000)).as_str().len(), LONGEST_PLACE);
    }
}
