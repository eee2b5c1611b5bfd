//! Values of the domain: names, roles, sessions, secrets. No I/O, no async, no serde.

#![forbid(unsafe_code)]

pub mod names;
pub mod role;
pub mod secret;
pub mod session;

pub use names::{
    AccountId, ExternalId, NameError, Partition, ProfileName, RegionName, RoleArn, RoleSessionName,
};
pub use role::{BaseCredentials, ProfileSetting, Role, RoleChain, RoleHop};
pub use secret::Secret;
pub use session::StsSession;
