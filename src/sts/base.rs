//! Base credentials, resolved anew on each call from explicit paths: never from a cache, so that
//! a rotated source is seen, and never through our own mount, which would wait for itself.

use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::{
    EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider,
};
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_sts::config::{Region, SharedHttpClient};
use aws_smithy_types::timeout::TimeoutConfig;

use super::detail::rfc3339;
use crate::broker::{Cause, SessionError};
use crate::model::{AccountId, BaseCredentials, RegionName, Secret, StsSession};

/// A session is never taken to live longer: AWS gives 36 hours at most, and an instant in a far
/// future, as a credential process may print it, has no place in a file that others parse.
pub(super) const LONGEST_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Everything a resolution needs, owned, so that it can be a task of its own.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) files: EnvConfigFiles,
    pub(super) http: SharedHttpClient,
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
    }
}

impl Resolver {
    /// Asks the source. Blocking file reads happen on the calling task.
    pub(super) async fn credentials(
        self,
        base: BaseCredentials,
    ) -> Result<Credentials, CredentialsError> {
        match base {
            BaseCredentials::DefaultChain => {
                let config = aws_config::defaults(BehaviorVersion::latest())
                    .profile_files(self.files.clone())
                    .http_client(self.http.clone())
                    .timeout_config(self.timeouts.clone())
                    .region(self.region(None).await)
                    .load()
                    .await;
                match config.credentials_provider() {
                    Some(chain) => chain.provide_credentials().await,
                    None => Err(CredentialsError::not_loaded_no_source()),
                }
            }
            BaseCredentials::Profile(name) => {
                let region = self.region(Some(&name)).await;
                ProfileFileCredentialsProvider::builder()
                    .configure(&self.provider_config(region))
                    .profile_files(self.files)
                    .profile_name(name)
                    .build()
                    .provide_credentials()
                    .await
            }
            BaseCredentials::Environment => {
                EnvironmentVariableCredentialsProvider::new().provide_credentials().await
            }
            BaseCredentials::Ec2InstanceMetadata => {
                ImdsCredentialsProvider::builder()
                    .configure(&self.provider_config(None))
                    .build()
                    .provide_credentials()
                    .await
            }
            BaseCredentials::EcsContainer => {
                EcsCredentialsProvider::builder()
                    .configure(&self.provider_config(None))
                    .build()
                    .provide_credentials()
                    .await
            }
        }
    }

    /// The region for STS and SSO calls inside a profile: as every SDK, but without the metadata
    /// service at the end of that chain, which costs seconds where there is none.
    async fn region(&self, profile: Option<&str>) -> Option<Region> {
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
    }

    fn provider_config(&self, region: Option<Region>) -> ProviderConfig {
        ProviderConfig::without_region()
            .with_region(region)
            .with_http_client(self.http.clone())
            .with_timeout_config(self.timeouts.clone())
            .with_behavior_version(Some(BehaviorVersion::latest()))
    }
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
