//! Values of the domain: names, roles, sessions, secrets. No I/O, no async, no serde.

#![forbid(unsafe_code)]

pub mod caller;
pub mod identity;
pub mod mfa;
pub mod names;
pub mod part;
pub mod role;
pub mod secret;
pub mod session;
pub mod skew;
pub mod token;

pub use caller::{Caller, Container, Process, ServedKey};
pub use identity::{OidcIdentity, TokenSource};
pub use mfa::{MfaCode, MfaSession, NotACode};
pub use names::{
    AccountId, ExternalId, GithubOwner, GithubRepository, HostName, LONGEST_SESSION_NAME,
    MfaDevice, MountName, NameError, Partition, PolicyArn, ProfileName, RegionName, RoleArn,
    RoleSessionName, SESSION_TIME_LEN, ServiceUrl, SessionNamePart, SessionNamePattern,
    SessionNameTemplate, SessionTag, SourceIdentity, legal_session_name,
};
pub use part::Part;
pub use role::{BaseCredentials, ProfileSetting, Role, RoleChain, RoleHop, SessionAttributes};
pub use secret::Secret;
pub use session::{Perishable, StsSession};
pub use skew::ClockSkew;
pub use token::{GithubGrant, Token, TokenGrant};
