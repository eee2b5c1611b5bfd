//! IAM Identity Center: who has signed in, and the role credentials that this gives. The only place
//! of the crate that reads and writes `~/.aws/sso/cache`, which the AWS CLI and the SDKs share.
//!
//! 1. A sign-in is one file of the cache. It is read for each call, so what others write counts.
//! 2. A token that ends within [`REFRESH_AHEAD`] is exchanged for a new one, if there is a refresh
//!    token, by one call at a time, whose failure is that of all who wait. Nobody who gives up ends
//!    it: a refresh token may be good only once, and then the answer is all there is.
//! 3. A token that AWS has refused is not sent again, nor is a refresh token. Until another one
//!    stands in the file nobody is asked, and [`Cause::LoginNeeded`] is the answer.
//! 4. As long as a token is good, it serves no purpose to fail because the next one cannot be had.
//! 5. A new token that cannot be written is kept in memory, also beyond a reload ([`SignIns`]): the
//!    one before may be good for nothing. One that somebody else has written meanwhile stays.
//!
//! Must not know roles, hops or mounts.

mod answers;
mod cache;
#[cfg(test)]
mod exchange_tests;
mod login;
mod settings;
mod token;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::profile::{ProfileSet, load};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_sts::config::{Region, SharedHttpClient};
use aws_smithy_types::retry::RetryConfig;
use aws_types::os_shim_internal::{Env, Fs};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::base;
use super::http::timeouts;
use super::timed::SdkTime;
use crate::broker::{Cause, ObserveCalls, SessionError};
use crate::clock::Clock;
use crate::model::BaseCredentials;

use cache::TokenCache;
use settings::SsoProfile;
use token::SignIn;

pub use login::{DeviceCodes, Polled};
pub use settings::SsoSession;

/// From so long before its end on a token is exchanged for a new one.
const REFRESH_AHEAD: Duration = Duration::from_mins(5);

/// How often the file of a sign-in is looked at while nobody is signed in.
const LOGIN_CHECK: Duration = Duration::from_secs(1);

/// Says which mount of ours, if any, a path leads through.
pub type MountAbove = fn(&Path) -> Option<PathBuf>;

/// Sign-ins and what they give.
#[derive(Debug)]
pub struct IdentityCenter {
    config_file: PathBuf,
    credentials_file: PathBuf,
    http: SharedHttpClient,
    clock: Arc<dyn Clock>,
    cache: Option<TokenCache>,
    observer: Arc<dyn ObserveCalls>,
    sign_ins: SignIns,
}

/// What is known of sign-ins, by the files of the cache. Clients that follow one another have it in
/// common: otherwise the second would send tokens that the first has seen refused or has exchanged.
#[derive(Debug, Clone, Default)]
pub struct SignIns(Arc<Mutex<HashMap<PathBuf, Arc<SignIn>>>>);

impl SignIns {
    /// Waits until no token is being exchanged. As long as what is returned is held, none is from now
    /// on.
    pub async fn at_rest(&self) -> impl Sized + use<> {
        let sign_ins: Vec<Arc<SignIn>> = self.0.lock().values().cloned().collect();
        let mut turns = Vec::new();
        for sign_in in sign_ins {
            turns.push(sign_in.turn.clone().lock_owned().await);
        }
        turns
    }

    fn of(&self, cache: &TokenCache, file: PathBuf) -> Arc<SignIn> {
        let fresh = |file: &PathBuf| Arc::new(SignIn::new(cache.clone(), file.clone()));
        self.0.lock().entry(file).or_insert_with_key(fresh).clone()
    }
}

impl IdentityCenter {
    pub(super) fn new(
        options: &super::StsOptions,
        http: SharedHttpClient,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (directory, above) = (options.sso_cache.clone(), options.mount_above);
        Self {
            config_file: options.config_file.clone(),
            credentials_file: options.credentials_file.clone(),
            http,
            clock,
            observer: options.observer.clone(),
            cache: directory.map(|directory| TokenCache { directory, above }),
            sign_ins: options.sign_ins.clone(),
        }
    }

    /// All sign-ins that the AWS files speak of: `[sso-session NAME]` sections, and start URLs that
    /// stand in profiles themselves. Each once, by its label.
    pub async fn sessions(&self) -> Vec<SsoSession> {
        let Some(sections) = self.sections().await else { return Vec::new() };
        settings::sessions(&sections)
    }

    /// The sign-in of a profile, or of the one that it is assumed with, or of this name; `None` if
    /// there is none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn session(&self, name: &str) -> Result<Option<SsoSession>, SessionError> {
        let Some(sections) = self.sections().await else { return Ok(None) };
        let found = settings::session_behind(&sections, name)
            .or_else(|| settings::session_of_name(&sections, name));
        let wrong = |detail: String| SessionError::new(name, Cause::Misconfigured, &detail);
        found.transpose().map_err(wrong)
    }

    /// The profile behind `base`, if it signs in by IAM Identity Center.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn profile(
        &self,
        base: &BaseCredentials,
    ) -> Result<Option<SsoProfile>, SessionError> {
        let name = match base {
            BaseCredentials::Profile(name) => Some(name.as_str()),
            // The standard chain comes to the profile after the environment.
            BaseCredentials::DefaultChain if !base::environment_has_keys().await => None,
            _ => return Ok(None),
        };
        let Some(sections) = self.sections().await else { return Ok(None) };
        let name = name.unwrap_or_else(|| sections.selected_profile());
        let wrong =
            |detail: String| SessionError::new(base::subject(base), Cause::Misconfigured, &detail);
        settings::profile(&sections, name).transpose().map_err(wrong)
    }

    /// The role credentials of `profile`.
    ///
    /// # Errors
    /// `LoginNeeded`, about `subject`, if nobody is signed in.
    pub(super) async fn credentials(
        self: &Arc<Self>,
        subject: &str,
        profile: &SsoProfile,
    ) -> Result<Credentials, SessionError> {
        let sign_in = self.sign_in(subject, &profile.session)?;
        // A token may end between the look at it and the call, or be taken back at any time; then
        // the one that the refresh token gives is tried.
        let mut refused = profile.login_needed(subject, "");
        for _ in 0..2 {
            let token = sign_in.token(self, subject, profile).await?;
            match self.role_credentials(subject, profile, &token).await {
                Err(error) if error.cause == Cause::LoginNeeded => {
                    sign_in.refused(&token);
                    refused = error;
                }
                Ok(given) => {
                    sign_in.healed(&profile.session);
                    return Ok(given);
                }
                Err(error) => return Err(error),
            }
        }
        sign_in.warn_once(&refused);
        Err(refused)
    }

    /// Ends when another attempt at `base` may go otherwise than the last: when somebody has signed
    /// in. Never, for what is no matter of a sign-in.
    pub(super) async fn signed_in(&self, base: &BaseCredentials) {
        let Ok(Some(profile)) = self.profile(base).await else {
            return std::future::pending().await;
        };
        let Ok(sign_in) = self.sign_in("", &profile.session) else {
            return std::future::pending().await;
        };
        while !sign_in.may_be_good(Instant::now()) {
            tokio::time::sleep(LOGIN_CHECK).await;
        }
    }

    fn sign_in(&self, subject: &str, session: &SsoSession) -> Result<Arc<SignIn>, SessionError> {
        let Some(cache) = &self.cache else {
            let detail = "HOME is not set, below which sign-ins are kept (~/.aws/sso/cache)";
            return Err(SessionError::new(subject, Cause::Misconfigured, detail));
        };
        Ok(self.sign_ins.of(cache, cache.file(&session.cache_name())))
    }

    fn files(&self) -> EnvConfigFiles {
        base::shared_files(&self.config_file, &self.credentials_file)
    }

    /// What the AWS files say; `None` if they cannot be read, which others explain.
    async fn sections(&self) -> Option<ProfileSet> {
        load(&Fs::real(), &Env::real(), &self.files(), None).await.ok()
    }

    /// Settings for a client in the region of `session`, with the endpoints of the environment and
    /// of `profile`.
    async fn sdk(&self, session: &SsoSession, profile: Option<&str>, attempts: u32) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .profile_files(self.files())
            .http_client(self.http.clone())
            .time_source(SdkTime(self.clock.clone()))
            .no_credentials()
            .region(Region::new(session.region.as_str().to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(attempts))
            .timeout_config(timeouts());
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        loader.load().await
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// The time by the clock of the machine, however wrong: AWS tells how long a token lasts, and
    /// every program that shares the cache writes and reads its end by that clock.
    fn machine_now(&self) -> SystemTime {
        self.clock.corrected().map_or_else(|| self.now(), |clock| clock.read().wall)
    }
}
