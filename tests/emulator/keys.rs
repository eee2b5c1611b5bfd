//! The keys that the emulator knows, and whose they are.

use std::collections::HashMap;
use std::time::SystemTime;

use super::attributes::SessionAttributes;

/// What a principal is, as far as the rules of STS ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PrincipalKind {
    /// The user of the base keys.
    User,
    /// The same user through keys of GetSessionToken.
    UserSession,
    /// An assumed role.
    AssumedRole,
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    pub(crate) kind: PrincipalKind,
    pub(crate) account_id: String,
    pub(crate) arn: String,
    /// `AIDA…` for the user, `AROA…:SESSION` for an assumed role.
    pub(crate) user_id: String,
    /// What its session carries; nothing for the user.
    pub(crate) attributes: SessionAttributes,
    /// Whether a code of an MFA device stands behind the session (`aws:MultiFactorAuthPresent`);
    /// roles assumed with it do not inherit that.
    pub(crate) has_mfa: bool,
}

/// A secret and what comes with it.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) secret: String,
    pub(crate) session_token: Option<String>,
    /// From this instant on the key is refused; `None` for the base keys.
    pub(crate) expiration: Option<SystemTime>,
    pub(crate) principal: Principal,
}

/// All keys by access key id. Sessions that are over stay, so that they are refused as expired
/// and not as unknown.
#[derive(Default)]
pub(crate) struct KeyRing(HashMap<String, Key>);

impl KeyRing {
    pub(crate) fn key(&self, access_key_id: &str) -> Option<&Key> {
        self.0.get(access_key_id)
    }

    pub(crate) fn add(&mut self, access_key_id: String, key: Key) {
        self.0.insert(access_key_id, key);
    }
}
