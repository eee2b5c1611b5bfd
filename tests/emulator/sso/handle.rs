//! What tests and the control interface do to IAM Identity Center.

use std::time::{Duration, SystemTime};

use super::super::Emulator;
use super::super::device::Decision;
use super::super::state::State;
use super::tokens::SsoSettings;

/// A sign-in without a device authorization, as one of days ago: what a token cache would hold.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) registration_expiration: SystemTime,
    pub(crate) access_token: String,
    pub(crate) expiration: SystemTime,
    pub(crate) refresh_token: String,
}

/// Changes to IAM Identity Center over HTTP; what is left out stays.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SsoChange {
    access_token_lifetime_seconds: Option<u64>,
    code_lifetime_seconds: Option<u64>,
    poll_interval_seconds: Option<u64>,
    slow_downs: Option<u32>,
    #[serde(default)]
    expire_access_tokens: bool,
    #[serde(default)]
    revoke_refresh_tokens: bool,
    #[serde(default)]
    expire_codes: bool,
}

impl SsoChange {
    /// Applies the change.
    pub(crate) fn apply(&self, state: &mut State) {
        let sso = &mut state.sso;
        let seconds = |given: Option<u64>, old| given.map_or(old, Duration::from_secs);
        let settings = &mut sso.settings;
        settings.access_token_lifetime =
            seconds(self.access_token_lifetime_seconds, settings.access_token_lifetime);
        settings.code_lifetime = seconds(self.code_lifetime_seconds, settings.code_lifetime);
        settings.poll_interval = seconds(self.poll_interval_seconds, settings.poll_interval);
        if let Some(polls) = self.slow_downs {
            sso.devices.slow_down(polls);
        }
        if self.expire_access_tokens {
            sso.expire_access_tokens();
        }
        if self.revoke_refresh_tokens {
            sso.revoke_refresh_tokens();
        }
        if self.expire_codes {
            sso.devices.expire();
        }
    }
}

impl Emulator {
    /// Signs a person in without a device authorization.
    ///
    /// # Panics
    /// Never: the client registered here may refresh.
    pub(crate) fn sign_in(&self) -> SignIn {
        let mut state = self.shared.state.lock();
        let now = state.now();
        let (client_id, client) = state.sso.register(true, now);
        let tokens = state.sso.issue_tokens(&client_id, now);
        SignIn {
            client_id,
            client_secret: client.secret,
            registration_expiration: client.expiration,
            access_token: tokens.access_token,
            expiration: now + tokens.lifetime,
            refresh_token: tokens.refresh_token.unwrap_or_default(),
        }
    }

    /// Changes the times of IAM Identity Center.
    pub(crate) fn set_sso(&self, change: impl FnOnce(&mut SsoSettings)) {
        change(&mut self.shared.state.lock().sso.settings);
    }

    /// What a person decides at the verification page. Whether the code is under way.
    pub(crate) fn decide(&self, user_code: &str, decision: Decision) -> bool {
        self.shared.state.lock().sso.devices.decide(user_code, decision)
    }

    /// The user codes under way.
    pub(crate) fn user_codes(&self) -> Vec<String> {
        self.shared.state.lock().sso.devices.user_codes()
    }

    /// Makes all user codes under way too old.
    pub(crate) fn expire_user_codes(&self) {
        self.shared.state.lock().sso.devices.expire();
    }

    /// Answers the next `polls` polls with `slow_down`.
    pub(crate) fn slow_down(&self, polls: u32) {
        self.shared.state.lock().sso.devices.slow_down(polls);
    }

    /// From now on the portal refuses the access tokens given out so far.
    pub(crate) fn expire_access_tokens(&self) {
        self.shared.state.lock().sso.expire_access_tokens();
    }

    /// From now on the refresh tokens given out so far are good for nothing.
    pub(crate) fn revoke_refresh_tokens(&self) {
        self.shared.state.lock().sso.revoke_refresh_tokens();
    }

    /// Every client secret, token and device code given out so far.
    pub(crate) fn sso_secrets(&self) -> Vec<String> {
        self.shared.state.lock().sso.secrets()
    }

    /// How many calls of an action arrived, whatever they were about.
    pub(crate) fn action_count(&self, action: &str) -> usize {
        self.shared.state.lock().calls.iter().filter(|call| call.action == action).count()
    }
}
