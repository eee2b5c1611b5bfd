//! A small STS for development and tests, as real clients speak to it: the AWS Query protocol over
//! plain HTTP, with signatures verified. It is no part of the daemon and uses none of its code.
//!
//! Actions: AssumeRole, AssumeRoleWithWebIdentity, GetSessionToken, GetCallerIdentity. Every role
//! of every account exists and trusts every caller, unless [`RoleRules`] name whom it trusts, or
//! ask for an external id, for MFA, or for claims of a web identity token.
//! Enforced are: the signature (header or presigned URL, ±5 min), the session token that belongs
//! to the key, the expiration of the sessions issued, the limits of durations (role maximum, one
//! hour for chained roles), the forms of role ARNs, session names and external ids, and those of
//! source identities, session tags and session policies. Each session remembers these three; the
//! roles assumed with it inherit its source identity and its transitive tags. Policies are not
//! evaluated.
//!
//! At the same address, by path, are two services that hand out keys of a role: the instance
//! metadata service (`/latest/`, `IMDSv2` only) and the container credentials endpoint
//! ([`Emulator::container_uri`], [`Emulator::pod_identity_uri`]). So is an IAM Identity Center, the
//! OIDC service and the portal: `RegisterClient`, `StartDeviceAuthorization`, `CreateToken` (device
//! codes and refresh tokens), `GetRoleCredentials`. The keys that any of them gives are good for STS.
//!
//! In process:
//!
//! ```ignore
//! let sts = Emulator::start()?;
//! sts.set_session_lifetime(Some(Duration::from_secs(10)));
//! sts.set_fault(Fault::Throttle.for_role("prod").times(2));
//! // ... a client with sts.endpoint(), sts.base_access_key_id(), sts.base_secret_access_key()
//! assert_eq!(sts.call_count("AssumeRole", "prod"), 3);
//! ```
//!
//! It runs in real time in a thread of its own, so it is not for tests with tokio's paused clock:
//! that one jumps to the next timeout while an answer is on its way.
//!
//! As a program (`cargo run --example sts-emulator`), with the same control over HTTP, where
//! `$STS` is `http://127.0.0.1:PORT`:
//!
//! ```sh
//! curl $STS/_emulator/health
//! curl $STS/_emulator/calls
//! # The sessions issued, without their secrets: key id, ARN, expiration, attributes.
//! curl $STS/_emulator/sessions
//! # A fault for all calls until cleared; for the next two of one role; with parameters.
//! curl $STS/_emulator/faults -d '{"fault": "hang"}'
//! curl $STS/_emulator/faults -d '{"fault": "deny", "role": "prod", "times": 2}'
//! curl $STS/_emulator/faults -d '{"fault": {"slow": {"delay_ms": 500}}, "action": "AssumeRole"}'
//! curl -X DELETE $STS/_emulator/faults
//! # Settings: what is left out stays; a lifetime of 0 ends the override.
//! curl $STS/_emulator/settings -d '{"session_lifetime_seconds": 2.5, "token_length": [4, 4096]}'
//! curl $STS/_emulator/settings -d '{"clock_offset_seconds": -600}'
//! curl $STS/_emulator/settings -d '{"roles": {"prod": {"external_id": "e-1",
//!                                           "max_session_duration_seconds": 3600}}}'
//! curl $STS/_emulator/settings -d '{"roles": {"prod": {"allows_tag_session": false,
//!                                           "allows_set_source_identity": false}}}'
//! curl $STS/_emulator/settings -d '{"roles": {"prod": {"is_deleted": true}}}'
//! curl $STS/_emulator/settings -d '{"roles": {"prod": {"trusts": ["210987654321"],
//!                                           "requires_mfa": true}}}'
//! # Keys of the instance and the container; an empty text is none.
//! curl $STS/_emulator/settings -d '{"instance_role": "", "container_token": "secret",
//!                                   "source_lifetime_seconds": 20}'
//! curl -X POST $STS/_emulator/rotate
//! curl $STS/_emulator/settings -d '{"roles": {"prod": {"web_identity": {"issuer": "https://idp",
//!                                           "audience": "sts.amazonaws.com", "subject": "me"}}}}'
//! # IAM Identity Center: the user codes under way, what a person decides, and what goes wrong.
//! curl $STS/_emulator/devices
//! curl $STS/_emulator/devices -d '{"user_code": "ABCD-EFGH", "decision": "approve"}'
//! curl $STS/_emulator/sso -d '{"access_token_lifetime_seconds": 60, "slow_downs": 2}'
//! # The issuer at $STS/oidc: a login is approved by its user code.
//! curl $STS/_emulator/logins -d '{"user_code": "ABCD-EFGH", "decision": "approve"}'
//! curl $STS/_emulator/sso -d '{"expire_access_tokens": true, "revoke_refresh_tokens": true}'
//! # The next code of an MFA device.
//! curl $STS/_emulator/mfa -d '{"serial": "arn:aws:iam::123456789012:mfa/dev"}'
//! ```
//!
//! At `$STS/oidc` is an issuer of OIDC tokens for people (`issuer.rs`), with a token for AWS, tokens
//! for GitHub and certificates for ssh as Vouch gives them.
//!
//! The verification page, `$STS/_emulator/device?user_code=…`, approves whoever opens it.
//!
//! The faults: `deny`, `throttle`, `{"throttle-retry-after": {"seconds": 1}}`,
//! `{"server-error": {"status": 503}}`, `{"unavailable-retry-after": {"seconds": 1}}`,
//! `expire-caller`, `hang`, `{"slow": {"delay_ms": 500}}`, `drop-connection`, `drop-mid-answer`,
//! `hang-mid-answer`, `{"wrong-date": {"seconds": -600}}`, `malformed-xml`, `truncated-xml`,
//! `{"huge-answer": {"bytes": 50000000}}`, `expired-session`, `echo`; each is explained at [`Fault`].

#![allow(
    dead_code,
    unused_imports,
    reason = "the program and the tests that include this module each use a part of it"
)]

mod actions;
mod answer;
mod attributes;
mod authorization;
mod body;
mod calls;
mod clock;
mod control;
mod device;
mod echo;
mod faults;
mod issuer;
mod keys;
mod mfa;
mod options;
mod params;
mod random;
mod server;
mod signature;
mod sources;
mod ssh;
mod sso;
mod state;
mod trust;
mod validate;
mod web_identity;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use server::Server;
use state::Shared;

pub(crate) use attributes::{PACKED_LIMIT, SessionAttributes, Tag};
pub(crate) use calls::CallRecord;
pub(crate) use device::Decision;
pub(crate) use faults::{Fault, FaultRule};
pub(crate) use issuer::SshCertificate;
pub(crate) use options::{Options, RoleRules, Settings, WebIdentityTrust, valid_token_length};
pub(crate) use ssh::CertificateFault;
pub(crate) use sso::SignIn;
pub(crate) use state::IssuedSession;
pub(crate) use web_identity::jwt;

/// A running emulator, in a thread of its own. Clones are handles of the same one; it stops, and
/// closes all connections, when the last of them is dropped.
#[derive(Clone)]
pub(crate) struct Emulator {
    shared: Arc<Shared>,
    server: Arc<Server>,
    base_access_key_id: String,
    base_secret_access_key: String,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator").field("address", &self.address()).finish_non_exhaustive()
    }
}

impl Emulator {
    /// Starts one on a free port of 127.0.0.1 with random base keys.
    ///
    /// # Errors
    /// The machine has no port or thread left.
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_with(Options::default())
    }

    /// Starts one as `options` say.
    ///
    /// # Errors
    /// The address cannot be listened on, or no thread be started.
    pub(crate) fn start_with(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared::new(&options));
        let server = Server::start(options.listen, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            server: Arc::new(server),
            base_access_key_id: options.base_access_key_id,
            base_secret_access_key: options.base_secret_access_key,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// What clients take for `AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL_SSO` and
    /// `AWS_ENDPOINT_URL_SSO_OIDC`: `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Access key id of the base user, `arn:aws:iam::ACCOUNT:user/dev`.
    pub(crate) fn base_access_key_id(&self) -> &str {
        &self.base_access_key_id
    }

    /// Secret access key of the base user.
    pub(crate) fn base_secret_access_key(&self) -> &str {
        &self.base_secret_access_key
    }

    /// What clients take for `AWS_CONTAINER_CREDENTIALS_FULL_URI`, as in ECS.
    pub(crate) fn container_uri(&self) -> String {
        self.endpoint() + sources::ECS_PATH
    }

    /// The same as in EKS with Pod Identity.
    pub(crate) fn pod_identity_uri(&self) -> String {
        self.endpoint() + sources::EKS_PATH
    }

    /// Changes any of the settings.
    pub(crate) fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.state.lock().settings);
    }

    /// The tokens that the metadata service gave out, for tests that look for secrets.
    pub(crate) fn instance_tokens(&self) -> Vec<String> {
        self.shared.state.lock().sources.tokens()
    }

    /// Makes the instance and the container get new keys.
    pub(crate) fn rotate_sources(&self) {
        self.shared.state.lock().sources.rotate();
    }

    /// Adds a fault after those already set; see [`FaultRule`] for which calls meet it.
    pub(crate) fn set_fault(&self, rule: impl Into<FaultRule>) {
        self.shared.state.lock().faults.add(rule.into());
    }

    /// Ends all faults; calls that hang are answered.
    pub(crate) fn clear_faults(&self) {
        self.shared.clear_faults();
    }

    /// See [`Settings::session_lifetime`].
    pub(crate) fn set_session_lifetime(&self, lifetime: Option<Duration>) {
        self.shared.state.lock().settings.session_lifetime = lifetime;
    }

    /// See [`Settings::token_length`].
    ///
    /// # Panics
    /// For a range outside 1 to 4096.
    pub(crate) fn set_token_length(&self, length: RangeInclusive<usize>) {
        match valid_token_length(*length.start(), *length.end()) {
            Ok(length) => self.shared.state.lock().settings.token_length = length,
            Err(error) => panic!("{error}"),
        }
    }

    /// See [`Settings::clock_offset_seconds`].
    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.shared.state.lock().settings.clock_offset_seconds = seconds;
    }

    /// Sets the trust and the limits of one role.
    pub(crate) fn set_role(&self, role_name: &str, rules: RoleRules) {
        self.shared.state.lock().settings.roles.insert(role_name.to_owned(), rules);
    }

    /// The next code of the base user's MFA device of this serial number or ARN, good for one call at
    /// any time. The device is made by its first code.
    pub(crate) fn mfa_code(&self, serial: &str) -> String {
        self.shared.state.lock().mfa.show(serial)
    }

    /// All codes that devices have shown so far.
    pub(crate) fn mfa_codes(&self) -> Vec<String> {
        self.shared.state.lock().mfa.shown()
    }

    /// The time by the emulated clock, which judges the sessions.
    pub(crate) fn now(&self) -> SystemTime {
        self.shared.state.lock().now()
    }

    /// All calls so far, in the order of arrival.
    pub(crate) fn calls(&self) -> Vec<CallRecord> {
        self.shared.state.lock().calls.clone()
    }

    /// How many calls of `action` about the role of this name arrived.
    pub(crate) fn call_count(&self, action: &str, role_name: &str) -> usize {
        let state = self.shared.state.lock();
        let fits =
            |call: &&CallRecord| call.action == action && call.role_name() == Some(role_name);
        state.calls.iter().filter(fits).count()
    }

    /// The session to which an access key id belongs, if it was issued here.
    pub(crate) fn session(&self, access_key_id: &str) -> Option<IssuedSession> {
        let state = self.shared.state.lock();
        state.sessions.iter().find(|session| session.access_key_id == access_key_id).cloned()
    }

    /// All sessions issued so far, in order.
    pub(crate) fn issued_sessions(&self) -> Vec<IssuedSession> {
        self.shared.state.lock().sessions.clone()
    }
}
