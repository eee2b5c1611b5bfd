//! What can be set: once at the start ([`Options`]) and at any time ([`Settings`]).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::calls::CallRecord;
use super::random;

/// The longest session token, in characters.
const MAX_TOKEN_LENGTH: usize = 4096;

/// What is fixed when the emulator starts.
#[derive(Clone)]
pub(crate) struct Options {
    /// Port 0 takes any free one.
    pub(crate) listen: SocketAddr,
    /// Account of the base user, 12 digits.
    pub(crate) account_id: String,
    pub(crate) base_access_key_id: String,
    pub(crate) base_secret_access_key: String,
    pub(crate) settings: Settings,
    /// Called with each call that has been answered.
    pub(crate) observer: Option<fn(&CallRecord)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account_id: "123456789012".to_owned(),
            base_access_key_id: random::identifier("AKIA"),
            base_secret_access_key: random::secret_access_key(),
            settings: Settings::default(),
            observer: None,
        }
    }
}

/// What can be changed while the emulator runs.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Lifetime of the sessions whatever duration is asked for; `None`: as asked for. Expirations
    /// are cut to whole seconds, as AWS does, so a session lives up to one second less.
    pub(crate) session_lifetime: Option<Duration>,
    /// Each token gets a random length out of these.
    pub(crate) token_length: RangeInclusive<usize>,
    /// How far the clock of the service is ahead of the machine's (negative: behind), in seconds.
    pub(crate) clock_offset_seconds: i64,
    /// The same for the keys of instances and containers, which otherwise live as long as
    /// sessions.
    pub(crate) source_lifetime: Option<Duration>,
    /// The role of the instance; without one its metadata service has no keys (404).
    pub(crate) instance_role: Option<String>,
    /// The role of the container; without one its endpoint has no keys (404).
    pub(crate) container_role: Option<String>,
    /// What the container endpoint wants as `Authorization`; without it, nothing.
    pub(crate) container_token: Option<String>,
    /// By role name. A role without rules exists all the same, with the default ones.
    pub(crate) roles: HashMap<String, RoleRules>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            session_lifetime: None,
            token_length: 400..=1200,
            clock_offset_seconds: 0,
            source_lifetime: None,
            instance_role: Some("instance".to_owned()),
            container_role: Some("container".to_owned()),
            container_token: None,
            roles: HashMap::new(),
        }
    }
}

/// Trust and limits of one role.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a test")]
pub(crate) struct RoleRules {
    /// Whether it was deleted: STS answers as if the caller might not assume it.
    pub(crate) is_deleted: bool,
    /// Who may assume it: account ids and ARNs of accounts (`:root`), users, roles and sessions;
    /// everybody if none is named.
    pub(crate) trusts: Vec<String>,
    /// Whether the calling session must carry MFA.
    pub(crate) requires_mfa: bool,
    /// `sts:ExternalId` that the trust policy asks for.
    pub(crate) external_id: Option<String>,
    /// `MaxSessionDuration` of the role, 3600–43200.
    pub(crate) max_session_duration_seconds: u64,
    /// Whether callers may do `sts:TagSession`, which tags need, inherited ones too.
    pub(crate) allows_tag_session: bool,
    /// Whether callers may do `sts:SetSourceIdentity`, which a source identity needs, also an
    /// inherited one.
    pub(crate) allows_set_source_identity: bool,
}

impl Default for RoleRules {
    fn default() -> Self {
        Self {
            is_deleted: false,
            trusts: Vec::new(),
            requires_mfa: false,
            external_id: None,
            max_session_duration_seconds: 43_200,
            allows_tag_session: true,
            allows_set_source_identity: true,
        }
    }
}

impl RoleRules {
    /// Checks the limits that IAM puts on a role.
    ///
    /// # Errors
    /// A sentence for the person who set it.
    pub(crate) fn validated(self) -> Result<Self, String> {
        if (3_600..=43_200).contains(&self.max_session_duration_seconds) {
            return Ok(self);
        }
        Err("the maximum session duration of a role is 3600 to 43200 seconds".to_owned())
    }
}

/// Checks a range of token lengths.
///
/// # Errors
/// A sentence for the person who set it.
pub(crate) fn valid_token_length(min: usize, max: usize) -> Result<RangeInclusive<usize>, String> {
    if (1..=max).contains(&min) && max <= MAX_TOKEN_LENGTH {
        return Ok(min..=max);
    }
    Err(format!("a token length is a range MIN..MAX within 1..{MAX_TOKEN_LENGTH}"))
}
