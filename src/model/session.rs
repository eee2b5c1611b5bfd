//! What STS (or another credential source) returned.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use super::{AccountId, Secret};

/// A set of keys with the instant at which AWS stops accepting them.
#[derive(Debug, Clone)]
pub struct StsSession {
    /// `ASIA…` (temporary) or `AKIA…` (long-lived base keys served as they are). Not secret: it
    /// stands in `CloudTrail`.
    pub access_key_id: String,
    /// The signing key.
    pub secret_access_key: Secret,
    /// Absent only for long-lived base keys.
    pub session_token: Option<Secret>,
    /// The account the keys belong to, where the source told it.
    pub account_id: Option<AccountId>,
    /// When we received it, by our wall clock.
    pub issued: SystemTime,
    /// When AWS stops accepting it. For long-lived keys, which have none: the instant until which
    /// we serve them without reading their source again.
    pub expiration: SystemTime,
}

/// Something that was given for a time: a session, or a token.
pub trait Perishable: Debug + Clone + Send + Sync + 'static {
    /// A name that is no secret, by which logs and records call it.
    fn key_id(&self) -> &str;

    /// When we received it, by our wall clock.
    fn issued(&self) -> SystemTime;

    /// When it is accepted no more.
    fn expiration(&self) -> SystemTime;

    /// The lifetime as received: from [`Perishable::issued`] to [`Perishable::expiration`]; zero if it
    /// arrived expired.
    fn lifetime(&self) -> Duration {
        self.expiration().duration_since(self.issued()).unwrap_or_default()
    }

    /// The TTL at `now`; zero once expired.
    fn remaining(&self, now: SystemTime) -> Duration {
        self.expiration().duration_since(now).unwrap_or_default()
    }

    /// Whether it would still be accepted at `now`.
    fn is_valid(&self, now: SystemTime) -> bool {
        now < self.expiration()
    }

    /// Whether a source that was asked again gave what it had given before.
    fn is_same(&self, other: &Self) -> bool {
        self.key_id() == other.key_id() && self.expiration() == other.expiration()
    }
}

impl Perishable for StsSession {
    fn key_id(&self) -> &str {
        &self.access_key_id
    }

    fn issued(&self) -> SystemTime {
        self.issued
    }

    fn expiration(&self) -> SystemTime {
        self.expiration
    }
}
