//! What a reader may be limited to.

use std::collections::BTreeSet;

use super::ProfileName;

/// A part of what a mount has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// The profiles.
    pub roles: BTreeSet<ProfileName>,
    /// The tokens of other services, by the names of their directories, as in `github/OWNER`.
    pub tokens: BTreeSet<String>,
}

impl Part {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.tokens.is_empty()
    }

    /// Whether all of it is in `other` too.
    pub fn is_within(&self, other: &Self) -> bool {
        self.roles.is_subset(&other.roles) && self.tokens.is_subset(&other.tokens)
    }
}
