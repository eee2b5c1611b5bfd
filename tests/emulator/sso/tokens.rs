//! What IAM Identity Center remembers: clients, sign-ins and their tokens. Knows no requests.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::super::device::Devices;
use super::super::random;

/// The scope without which the service gives no refresh token.
pub(super) const ACCOUNT_ACCESS: &str = "sso:account:access";

/// Times of IAM Identity Center; changes hold for what is issued afterwards.
#[derive(Debug, Clone)]
pub(crate) struct SsoSettings {
    /// Lifetime of access tokens.
    pub(crate) access_token_lifetime: Duration,
    /// Lifetime of device and user codes.
    pub(crate) code_lifetime: Duration,
    /// How often clients may poll; whole seconds.
    pub(crate) poll_interval: Duration,
    /// Lifetime of the registrations of clients.
    pub(crate) registration_lifetime: Duration,
}

impl Default for SsoSettings {
    fn default() -> Self {
        Self {
            access_token_lifetime: Duration::from_hours(1),
            code_lifetime: Duration::from_mins(10),
            poll_interval: Duration::from_secs(1),
            registration_lifetime: Duration::from_hours(90 * 24),
        }
    }
}

/// A registered client.
#[derive(Clone)]
pub(super) struct OidcClient {
    pub(super) secret: String,
    pub(super) expiration: SystemTime,
    /// Whether it may have refresh tokens.
    pub(super) may_refresh: bool,
}

/// An access token and the refresh token that came with it.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) access_token: String,
    pub(super) lifetime: Duration,
    pub(super) refresh_token: Option<String>,
}

/// See the module documentation.
#[derive(Default)]
pub(crate) struct Sso {
    pub(crate) settings: SsoSettings,
    pub(crate) devices: Devices,
    pub(super) clients: HashMap<String, OidcClient>,
    /// Access tokens and when they end.
    access_tokens: HashMap<String, SystemTime>,
    /// Refresh tokens and whose they are.
    refresh_tokens: HashMap<String, String>,
    /// Every secret given out so far.
    secrets: Vec<String>,
}

impl Sso {
    /// Registers a client; returns its id.
    pub(super) fn register(&mut self, may_refresh: bool, now: SystemTime) -> (String, OidcClient) {
        let client = OidcClient {
            secret: random::secret(),
            expiration: now + self.settings.registration_lifetime,
            may_refresh,
        };
        self.secrets.push(client.secret.clone());
        let id = random::identifier("sso-");
        self.clients.insert(id.clone(), client.clone());
        (id, client)
    }

    /// Issues tokens for a client.
    pub(super) fn issue_tokens(&mut self, client_id: &str, now: SystemTime) -> Tokens {
        let may_refresh = self.clients.get(client_id).is_some_and(|client| client.may_refresh);
        let tokens = Tokens {
            access_token: random::secret(),
            lifetime: self.settings.access_token_lifetime,
            refresh_token: may_refresh.then(random::secret),
        };
        self.access_tokens.insert(tokens.access_token.clone(), now + tokens.lifetime);
        self.secrets.push(tokens.access_token.clone());
        if let Some(token) = &tokens.refresh_token {
            self.refresh_tokens.insert(token.clone(), client_id.to_owned());
            self.secrets.push(token.clone());
        }
        tokens
    }

    /// Takes a refresh token of a client back; whether it was good. Each is good once, so that a
    /// client that keeps an old one is found out.
    pub(super) fn redeem(&mut self, refresh_token: &str, client_id: &str) -> bool {
        let is_own = self.refresh_tokens.get(refresh_token).is_some_and(|own| own == client_id);
        is_own && self.refresh_tokens.remove(refresh_token).is_some()
    }

    /// Whether an access token is good at `now`.
    pub(super) fn accepts(&self, access_token: &str, now: SystemTime) -> bool {
        self.access_tokens.get(access_token).is_some_and(|end| now < *end)
    }

    /// From now on no access token given out so far is accepted.
    pub(crate) fn expire_access_tokens(&mut self) {
        self.access_tokens.clear();
    }

    /// From now on no refresh token given out so far is accepted.
    pub(crate) fn revoke_refresh_tokens(&mut self) {
        self.refresh_tokens.clear();
    }

    /// Every client secret, token and device code given out so far.
    pub(crate) fn secrets(&self) -> Vec<String> {
        [&self.secrets, self.devices.given()].concat()
    }
}
