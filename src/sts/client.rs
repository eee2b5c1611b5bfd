//! `StsClient`: the port of the broker over `aws-sdk-sts`. One call in, one call out; caching,
//! sharing and renewal are the broker's work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::{AppName, BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_sts::config::{Builder, IdentityCache, Region, SharedHttpClient};
use aws_smithy_types::retry::RetryConfig;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::base::{self, Resolver};
use super::classify::{Call, base_error, sts_error};
use super::detail::Signer;
use super::http::{capped, https_client, timeouts};
use super::session_name::Stamps;
use super::sso::{IdentityCenter, MountAbove, SignIns};
use super::timed::{SdkTime, timed};
use crate::broker::{
    BoxFuture, Cause, MfaCodes, NoMfaCodes, ObserveCalls, Observers, SessionError, SessionSource,
};
use crate::check::{CallerIdentity, IdentitySource};
use crate::clock::Clock;
use crate::identity::Logins;
use crate::model::{BaseCredentials, ClockSkew, RegionName, RoleHop, StsSession, TokenSource};

/// What the answer to a question for the time is waited for.
const TIME_DEADLINE: Duration = Duration::from_secs(3);

/// What the adapter needs to know of its surroundings. `app` reads the environment.
#[derive(Debug, Clone)]
pub struct StsOptions {
    /// The AWS config file: `AWS_CONFIG_FILE` or `~/.aws/config`, outside our own mount.
    pub config_file: PathBuf,
    /// The AWS credentials file: `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`, outside
    /// our own mount.
    pub credentials_file: PathBuf,
    /// The region for the STS calls that base credentials may need, where neither the environment
    /// nor the profile names one. Without it: us-east-1.
    pub fallback_region: Option<RegionName>,
    /// How long keys without an expiration are served before their source is read again.
    pub key_lifetime: Duration,
    /// How long resolving base credentials may take; a credential process may ask a human.
    pub base_timeout: Duration,
    /// The user that session names carry.
    pub user: String,
    /// The host name that session names carry.
    pub host: String,
    /// The directory of sign-ins to IAM Identity Center, `~/.aws/sso/cache`; `None` without a home.
    pub sso_cache: Option<PathBuf>,
    /// Which mount of ours a path leads through: sign-ins are neither read nor written there.
    pub mount_above: MountAbove,
    /// What is known of sign-ins by the client before this one.
    pub sign_ins: SignIns,
    /// Who is logged in at issuers; `None` where nobody can be.
    pub logins: Option<Arc<Logins>>,
    /// Who is told of each call that gives a session. Calls that a profile of the base credentials makes
    /// inside the SDK are not among them.
    pub observer: Arc<dyn ObserveCalls>,
    /// Where MFA codes come from.
    pub mfa_codes: Arc<dyn MfaCodes>,
}

impl StsOptions {
    /// Options with the usual times, 1 h for keys and 30 s for base credentials; nobody observes, and
    /// nobody has an MFA code.
    pub fn new(config_file: PathBuf, credentials_file: PathBuf, user: &str, host: &str) -> Self {
        Self {
            config_file,
            credentials_file,
            fallback_region: None,
            key_lifetime: Duration::from_hours(1),
            base_timeout: Duration::from_secs(30),
            user: user.to_owned(),
            host: host.to_owned(),
            sso_cache: None,
            mount_above: |_| None,
            sign_ins: SignIns::default(),
            logins: None,
            observer: Arc::new(Observers::default()),
            mfa_codes: Arc::new(NoMfaCodes),
        }
    }
}

/// Sessions from AWS.
///
/// 1. Every call goes to AWS or to the source of the base credentials; nothing is cached.
/// 2. A call is one request: trying again is the broker's work, which knows who waits. Only a call
///    that AWS refuses for its time is made once more, if the answer has put the clock right.
///    Sources of base credentials try again as in every SDK.
/// 3. Every call ends within a bounded time: 3 s to connect and 8 s in all; base credentials
///    within `base_timeout`.
/// 4. An answer is read up to 1 MiB.
/// 5. Calls are signed with the time of the clock given, which is told the dates of the answers.
/// 6. The observer is told of each call that gives a session once, after its end and before its
///    session is given out.
/// 7. Errors repeat code, message and request id of AWS, never a secret.
#[derive(Debug)]
pub struct StsClient {
    /// Settings all calls share: endpoint overrides, FIPS, dual stack, timeouts.
    sdk: SdkConfig,
    http: SharedHttpClient,
    pub(super) options: StsOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stamps: Stamps,
    identity_center: Arc<IdentityCenter>,
}

impl StsClient {
    /// A client with the settings of the environment and the shared files: endpoint URLs
    /// (`AWS_ENDPOINT_URL_STS`, `AWS_ENDPOINT_URL`, `endpoint_url`), FIPS, dual stack.
    pub async fn new(options: StsOptions, clock: Arc<dyn Clock>) -> Self {
        Self::with_http(options, clock, https_client()).await
    }

    /// The same over another transport than HTTPS, for those who want to choose the answers.
    pub async fn with_transport(
        options: StsOptions,
        clock: Arc<dyn Clock>,
        transport: SharedHttpClient,
    ) -> Self {
        Self::with_http(options, clock, capped(transport)).await
    }

    pub(super) async fn with_http(
        options: StsOptions,
        clock: Arc<dyn Clock>,
        http: SharedHttpClient,
    ) -> Self {
        let http = timed(http, clock.clone());
        let files = base::shared_files(&options.config_file, &options.credentials_file);
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .profile_files(files)
            .http_client(http.clone())
            .time_source(SdkTime(clock.clone()))
            .no_credentials()
            // Each call brings its region. Without any here, the loader asks the metadata
            // service for one, which costs ten seconds where there is none.
            .region(Region::from_static(base::LAST_REGION))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts())
            .disable_clock_skew_correction(true);
        if let Ok(name) = AppName::new(concat!("credmount-", env!("CARGO_PKG_VERSION"))) {
            loader = loader.app_name(name);
        }
        let sdk = loader.load().await;
        let center = IdentityCenter::new(&options, http.clone(), clock.clone());
        let identity_center = Arc::new(center);
        Self { sdk, http, options, clock, stamps: Stamps::new(), identity_center }
    }

    /// Who AWS says that `session` is, asked in `region`. Needs no permission.
    ///
    /// # Errors
    /// As AssumeRole; an answer without all three parts is `BadAnswer`.
    pub async fn caller_identity(
        &self,
        session: &StsSession,
        region: &RegionName,
    ) -> Result<CallerIdentity, SessionError> {
        self.timely(|| self.ask_identity(session, region)).await
    }

    async fn ask_identity(
        &self,
        session: &StsSession,
        region: &RegionName,
    ) -> Result<CallerIdentity, SessionError> {
        const SUBJECT: &str = "GetCallerIdentity";
        let output = self.sts(region, Some(session)).get_caller_identity().send().await;
        let output = output.map_err(|error| {
            sts_error(self.call(SUBJECT, region, Signer::Session(session)), &error)
        })?;
        match (output.arn, output.account, output.user_id) {
            (Some(arn), Some(account), Some(user_id)) => {
                Ok(CallerIdentity { arn, account, user_id })
            }
            _ => Err(SessionError::new(SUBJECT, Cause::BadAnswer, "a part is missing")),
        }
    }

    /// Sign-ins to IAM Identity Center, for those who sign in.
    pub fn identity_center(&self) -> Arc<IdentityCenter> {
        self.identity_center.clone()
    }

    pub(super) fn codes(&self) -> &dyn MfaCodes {
        &*self.options.mfa_codes
    }

    pub(super) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    pub(super) async fn resolve(&self, base: &BaseCredentials) -> Result<StsSession, SessionError> {
        let subject = base::subject(base);
        let credentials = self.credentials(&subject, base).await?;
        let lifetime = self.options.key_lifetime;
        let session = |now| base::session(&subject, &credentials, lifetime, now);
        match session(self.clock.now()) {
            Err(error) if error.cause == Cause::BaseExpired && self.is_unsure() => {
                // It may be our clock: whatever STS answers to these keys tells the time.
                self.ask_the_time(&session(SystemTime::UNIX_EPOCH)?).await;
                session(self.clock.now())
            }
            judged => judged,
        }
    }

    /// Asks the source of `base`.
    async fn credentials(
        &self,
        subject: &str,
        base: &BaseCredentials,
    ) -> Result<Credentials, SessionError> {
        let late = || {
            let limit = humantime::format_duration(self.options.base_timeout);
            let detail = format!("the source of the base credentials took more than {limit}");
            Err(SessionError::new(subject, Cause::TimedOut, &detail))
        };
        if let Some(profile) = self.identity_center.profile(base).await? {
            let given = self.identity_center.credentials(subject, &profile);
            return timeout(self.options.base_timeout, given).await.unwrap_or_else(|_| late());
        }
        let resolver = Resolver {
            files: base::shared_files(&self.options.config_file, &self.options.credentials_file),
            http: self.http.clone(),
            clock: self.clock.clone(),
            timeouts: timeouts(),
            fallback_region: self.options.fallback_region.clone(),
        };
        // A task of its own: the SDK panics over some malformed profiles, and that must cost one
        // answer, not the daemon. Dropping the set ends the task.
        let mut task = JoinSet::new();
        task.spawn(resolver.credentials(base.clone()));
        match timeout(self.options.base_timeout, task.join_next()).await {
            Ok(Some(Ok(Ok(credentials)))) => Ok(credentials),
            Ok(Some(Ok(Err(error)))) => {
                let now = self.clock.now();
                let call = Call { subject, region: None, signed_by: Signer::Nobody, now };
                Err(base_error(call, &error))
            }
            Ok(Some(Err(_)) | None) => Err(SessionError::new(
                subject,
                Cause::Misconfigured,
                "the AWS SDK broke off over this profile; look for an indented comment in it",
            )),
            Err(_) => late(),
        }
    }

    async fn ask_the_time(&self, signer: &StsSession) {
        let global = || RegionName::parse(base::LAST_REGION).ok();
        if let Some(region) = self.options.fallback_region.clone().or_else(global) {
            self.ask_the_time_in(&region, signer).await;
        }
    }

    async fn ask_the_time_in(&self, region: &RegionName, signer: &StsSession) {
        // Its date is what is asked for, and the clock has heard it.
        let _ = timeout(TIME_DEADLINE, self.ask_identity(signer, region)).await;
    }

    /// Whether there is a clock that could be told the time of AWS, and does not know it.
    pub(super) fn is_unsure(&self) -> bool {
        self.clock.corrected().is_some_and(|clock| !clock.is_sure())
    }

    /// Asks for the time if it is not known, signing with `session`, which was given to a call that
    /// was not signed: AWS tells the time only to signatures.
    pub(super) async fn know_the_time_in(&self, region: &RegionName, session: &StsSession) {
        if self.is_unsure() {
            self.ask_the_time_in(region, session).await;
        }
    }

    /// Does `call`, and once more if AWS refused it for its time and the answer has put the clock
    /// right.
    pub(super) async fn timely<T, F>(&self, call: impl Fn() -> F) -> Result<T, SessionError>
    where
        F: Future<Output = Result<T, SessionError>>,
    {
        let (then, clock) = (self.clock.now(), Instant::now());
        let outcome = call().await;
        let refused = matches!(&outcome, Err(error) if error.cause == Cause::ClockSkew);
        let moved = ClockSkew::between(self.clock.now(), then + clock.elapsed());
        if refused && moved.is_notable() { call().await } else { outcome }
    }

    /// A client for one call, which is not signed without `with`. It is cheap, since the connections belong to `http`, and it leaves
    /// no cache that could sign with the keys of another session.
    pub(super) fn sts(
        &self,
        region: &RegionName,
        with: Option<&StsSession>,
    ) -> aws_sdk_sts::Client {
        let mut config = Builder::from(&self.sdk)
            .region(Region::new(region.as_str().to_owned()))
            .identity_cache(IdentityCache::no_cache());
        config.set_credentials_provider(with.map(|with| {
            SharedCredentialsProvider::new(Credentials::new(
                with.access_key_id.as_str(),
                with.secret_access_key.expose(),
                with.session_token.as_ref().map(|token| token.expose().to_owned()),
                None,
                "credmount",
            ))
        }));
        aws_sdk_sts::Client::from_conf(config.build())
    }

    pub(super) fn call<'a>(
        &self,
        subject: &'a str,
        region: &'a RegionName,
        signed_by: Signer<'a>,
    ) -> Call<'a> {
        Call { subject, region: Some(region.as_str()), signed_by, now: self.clock.now() }
    }
}

impl SessionSource for StsClient {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        match base {
            BaseCredentials::Mfa(mfa) => Box::pin(self.mfa_session(mfa)),
            base => Box::pin(self.resolve(base)),
        }
    }

    fn signed_in<'a>(&'a self, base: &'a BaseCredentials) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match (base, &self.options.logins) {
                (BaseCredentials::WebIdentity(TokenSource::Identity(identity)), Some(logins)) => {
                    logins.logged_in(identity).await;
                }
                _ => self.identity_center.signed_in(base).await,
            }
        })
    }

    fn know_the_time<'a>(&'a self, session: &'a StsSession) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            // The end of keys that last is made up here, by whatever clock.
            if session.session_token.is_some() && self.is_unsure() {
                self.ask_the_time(session).await;
                self.tell_skew();
            }
        })
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(self.timely(move || self.assume(hop, with)))
    }

    fn assume_role_with_web_identity<'a>(
        &'a self,
        hop: &'a RoleHop,
        token: &'a TokenSource,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(self.assume_with_token(hop, token))
    }
}

impl IdentitySource for StsClient {
    fn caller_identity<'a>(
        &'a self,
        session: &'a StsSession,
        region: &'a RegionName,
    ) -> BoxFuture<'a, Result<CallerIdentity, SessionError>> {
        Box::pin(self.caller_identity(session, region))
    }
}
