//! Base credentials, resolved anew on each call from explicit paths: never from a cache, so that
//! a rotated source is seen, and never through our own mount, which would wait for itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider, load};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::config::{Region, SharedHttpClient};
use aws_smithy_async::time::StaticTimeSource;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::os_shim_internal::{Env, Fs};

use super::detail::{innermost, rfc3339};
use super::process;
use super::timed::SdkTime;
use crate::broker::{Cause, SessionError};
use crate::clock::Clock;
use crate::model::{AccountId, BaseCredentials, RegionName, Secret, StsSession};

/// A session is never taken to live longer: AWS gives 36 hours at most, and an instant in a far
/// future, as a credential process may print it, has no place in a file that others parse.
pub(super) const LONGEST_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The region where nothing names one: that of the global endpoint of STS.
pub(super) const LAST_REGION: &str = "us-east-1";

/// Everything a resolution needs, owned, so that it can be a task of its own.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) files: EnvConfigFiles,
    pub(super) http: SharedHttpClient,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeouts: TimeoutConfig,
    pub(super) fallback_region: Option<RegionName>,
}

/// The shared files at explicit paths. A missing file counts as an empty one, as in every SDK.
pub(super) fn shared_files(config: &Path, credentials: &Path) -> EnvConfigFiles {
    let mut files = EnvConfigFiles::builder();
    for (kind, path) in
        [(EnvConfigFileKind::Config, config), (EnvConfigFileKind::Credentials, credentials)]
    {
        files =
            if path.exists() { files.with_file(kind, path) } else { files.with_contents(kind, "") };
    }
    files.build()
}

/// Whether the environment gives keys, which the standard chain takes before any profile.
pub(super) async fn environment_has_keys() -> bool {
    EnvironmentVariableCredentialsProvider::new().provide_credentials().await.is_ok()
}

/// How errors name the base credentials.
pub(super) fn subject(base: &BaseCredentials) -> String {
    match base {
        BaseCredentials::DefaultChain => "base credentials of the default AWS chain".to_owned(),
        BaseCredentials::Profile(name) => format!("base credentials of profile '{name}'"),
        BaseCredentials::Environment => "base credentials of the environment".to_owned(),
        BaseCredentials::Ec2InstanceMetadata => {
            "base credentials of the EC2 instance metadata".to_owned()
        }
        BaseCredentials::EcsContainer => "base credentials of the container endpoint".to_owned(),
        BaseCredentials::Mfa(session) => session.subject(),
        BaseCredentials::WebIdentity(token) => token.to_string(),
    }
}

impl Resolver {
    /// Asks the source. Blocking file reads happen on the calling task.
    pub(super) async fn credentials(
        self,
        base: BaseCredentials,
    ) -> Result<Credentials, CredentialsError> {
        match self.ask(base).await {
            // The providers keep the line and the reason of a syntax error to their logs.
            Err(CredentialsError::InvalidConfiguration(invalid)) => match self.syntax_error().await
            {
                Some(text) => Err(CredentialsError::invalid_configuration(text)),
                None => Err(CredentialsError::InvalidConfiguration(invalid)),
            },
            outcome => outcome,
        }
    }

    async fn syntax_error(&self) -> Option<String> {
        let error = load(&Fs::real(), &Env::real(), &self.files, None).await.err()?;
        Some(innermost(&error).lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }

    async fn ask(&self, base: BaseCredentials) -> Result<Credentials, CredentialsError> {
        match base {
            BaseCredentials::DefaultChain => {
                // The chain comes to the profile after the environment.
                if !environment_has_keys().await
                    && let Some(given) = self.by_process(None).await
                {
                    return given;
                }
                let config = aws_config::defaults(BehaviorVersion::latest())
                    .profile_files(self.files.clone())
                    .http_client(self.http.clone())
                    .time_source(SdkTime(self.clock.clone()))
                    .timeout_config(self.timeouts.clone())
                    .region(self.region(None).await)
                    .load()
                    .await;
                let Some(chain) = config.credentials_provider() else {
                    return Err(CredentialsError::not_loaded_no_source());
                };
                let credentials = chain.provide_credentials().await?;
                if of_instance(&credentials) { self.of_instance().await } else { Ok(credentials) }
            }
            BaseCredentials::Profile(name) => {
                if let Some(given) = self.by_process(Some(&name)).await {
                    return given;
                }
                let region = self.region(Some(&name)).await;
                ProfileFileCredentialsProvider::builder()
                    .configure(&self.provider_config(Some(region)))
                    .profile_files(self.files.clone())
                    .profile_name(name)
                    .build()
                    .provide_credentials()
                    .await
            }
            // A session is made of keys, by a call of its own.
            BaseCredentials::Mfa(_) => Err(CredentialsError::not_loaded_no_source()),
            BaseCredentials::Environment => {
                EnvironmentVariableCredentialsProvider::new().provide_credentials().await
            }
            BaseCredentials::Ec2InstanceMetadata => self.of_instance().await,
            BaseCredentials::EcsContainer => {
                EcsCredentialsProvider::builder()
                    .configure(&self.provider_config(None))
                    .build()
                    .provide_credentials()
                    .await
            }
            BaseCredentials::WebIdentity(_) => {
                Err(CredentialsError::not_loaded("a token is for a role to be assumed with"))
            }
        }
    }

    /// The keys that the program of a profile prints, of the selected one without a name; `None` if they
    /// come from elsewhere.
    async fn by_process(
        &self,
        name: Option<&str>,
    ) -> Option<Result<Credentials, CredentialsError>> {
        let sections = load(&Fs::real(), &Env::real(), &self.files, None).await.ok()?;
        let name = name.unwrap_or_else(|| sections.selected_profile());
        process::credentials(sections.get_profile(name)?).await
    }

    /// The keys of the instance, with the expiration that its metadata service tells. The SDK takes
    /// keys that are expired for good for some minutes more, so that programs go on while the
    /// service has no newer ones; we serve keys with their expiration and must not make one up. It
    /// cannot while it takes the time to be 1970.
    async fn of_instance(&self) -> Result<Credentials, CredentialsError> {
        let config = self
            .provider_config(None)
            .with_time_source(StaticTimeSource::new(SystemTime::UNIX_EPOCH));
        let provider = ImdsCredentialsProvider::builder().configure(&config).build();
        provider.provide_credentials().await
    }

    /// The region for STS calls inside a profile: as every SDK, but without the metadata service
    /// at the end of that chain, which costs seconds where there is none.
    async fn region(&self, profile: Option<&str>) -> Region {
        let mut in_profile = ProfileFileRegionProvider::builder().profile_files(self.files.clone());
        if let Some(name) = profile {
            in_profile = in_profile.profile_name(name);
        }
        let fallback = self.fallback_region.as_ref();
        RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(in_profile.build())
            .or_else(fallback.map(|region| Region::new(region.as_str().to_owned())))
            .region()
            .await
            .unwrap_or(Region::from_static(LAST_REGION))
    }

    fn provider_config(&self, region: Option<Region>) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(region)
            .with_http_client(self.http.clone())
            .with_time_source(SdkTime(self.clock.clone()))
            .with_timeout_config(self.timeouts.clone())
            .with_behavior_version(Some(BehaviorVersion::latest()))
    }
}

/// Whether the chain got them from the instance metadata service.
fn of_instance(credentials: &Credentials) -> bool {
    let features = credentials.get_property::<Vec<AwsCredentialFeature>>();
    features.is_some_and(|features| features.contains(&AwsCredentialFeature::CredentialsImds))
}

/// `credentials` as a session. Keys without an expiration get `key_lifetime` from `now`.
///
/// # Errors
/// `BaseExpired` if they are expired; `Misconfigured` if a part is empty or could not stand in
/// an HTTP header: the SDK would panic while signing with it.
pub(super) fn session(
    subject: &str,
    credentials: &Credentials,
    key_lifetime: Duration,
    now: SystemTime,
) -> Result<StsSession, SessionError> {
    let token = credentials.session_token().filter(|token| !token.is_empty());
    let parts = [
        ("access key id", Some(credentials.access_key_id())),
        ("secret access key", Some(credentials.secret_access_key())),
        ("session token", token),
    ];
    for (name, part) in parts {
        if part.is_some_and(|part| !is_key_text(part)) {
            let detail = format!(
                "the {name} is empty or has a space, a line break or another character that no \
                 key has; look for an indented or trailing comment"
            );
            return Err(SessionError::new(subject, Cause::Misconfigured, &detail));
        }
    }
    let expiration = credentials.expiry().unwrap_or(now + key_lifetime);
    if expiration <= now {
        let detail = format!("they expired at {}", rfc3339(expiration));
        return Err(SessionError::new(subject, Cause::BaseExpired, &detail));
    }
    Ok(StsSession {
        access_key_id: credentials.access_key_id().to_owned(),
        secret_access_key: Secret::new(credentials.secret_access_key()),
        session_token: token.map(Secret::new),
        account_id: credentials.account_id().and_then(|id| AccountId::parse(id.as_str()).ok()),
        issued: now,
        expiration: expiration.min(now + LONGEST_LIFETIME),
    })
}

/// Whether `text` can be a part of AWS keys: printable ASCII without spaces.
pub(super) fn is_key_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
