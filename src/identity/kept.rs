//! What of a login may outlive the process, and the port by which it does. Must not know where.

use std::fmt::Debug;
use std::time::SystemTime;

use crate::model::{OidcIdentity, Secret};

/// What a later process needs of a login. The ID token is not among it: a renewal gives another.
#[derive(Debug, Clone)]
pub struct KeptLogin {
    /// The access token.
    pub access: Secret,
    /// When it ends, if the issuer has said so.
    pub expiration: Option<SystemTime>,
    /// For the next one.
    pub refresh: Option<Secret>,
}

/// Where logins are kept for a later process. Each call is short and waits for nobody. What cannot be
/// kept ends with the process; whoever is asked tells so.
pub trait KeepLogins: Debug + Send + Sync + 'static {
    /// Keeps this login, in the place of the one that was kept.
    fn keep(&self, identity: &OidcIdentity, login: &KeptLogin);

    /// The login that an earlier process has kept.
    fn kept(&self, identity: &OidcIdentity) -> Option<KeptLogin>;

    /// Nobody needs the login any more.
    fn forget(&self, identity: &OidcIdentity);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NotKept;

impl KeepLogins for NotKept {
    fn keep(&self, _: &OidcIdentity, _: &KeptLogin) {}

    fn kept(&self, _: &OidcIdentity) -> Option<KeptLogin> {
        None
    }

    fn forget(&self, _: &OidcIdentity) {}
}
