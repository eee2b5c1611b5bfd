//! The `credential_process` of a profile, run by us rather than by the SDK, which never ends one: each
//! attempt at a program that hangs would leave one more behind. Must not know which profile it is.

use std::fmt;
use std::time::Duration;

use aws_config::profile::Profile;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::command::{CommandError, secret_output};

/// Keys are a few KiB. The SDK for Java takes 64,000 bytes.
const LARGEST: usize = 64 * 1024;

/// Where the SDKs look first for the keys of a profile (aws-config, `profile/credentials/repr.rs`).
const BEFORE: [&str; 9] = [
    "role_arn",
    "credential_source",
    "web_identity_token_file",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "login_session",
];

/// Why a program gave no keys. Holds nothing of what it printed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProcessError {
    /// It failed.
    #[error("its credential_process failed: {0}")]
    Failed(#[from] CommandError),
    /// AWS SDKs and Tools Reference Guide, "Process credential provider".
    #[error("its credential_process printed no credential JSON with Version 1")]
    NoKeys,
}

/// The keys that the program of `profile` prints; `None` if they come from elsewhere. It is killed with
/// all that it has started when nobody waits any more.
pub(super) async fn credentials(
    profile: &Profile,
) -> Option<Result<Credentials, CredentialsError>> {
    let command = profile.get("credential_process")?;
    if BEFORE.iter().any(|key| profile.get(key).is_some()) {
        return None;
    }
    let printed = secret_output(command, LARGEST, Duration::MAX).await;
    let keys = printed.map_err(ProcessError::from).and_then(|printed| {
        let printed: Printed =
            serde_json::from_str(printed.expose()).map_err(|_| ProcessError::NoKeys)?;
        printed.keys(profile.get("aws_account_id")).ok_or(ProcessError::NoKeys)
    });
    Some(keys.map_err(CredentialsError::provider_error))
}

/// What a program prints.
#[derive(Default)]
struct Printed {
    version: Option<u64>,
    access_key_id: Option<String>,
    secret_access_key: Option<Zeroizing<String>>,
    session_token: Option<Zeroizing<String>>,
    expiration: Option<String>,
    account_id: Option<String>,
}

impl Printed {
    fn keys(self, account_id: Option<&str>) -> Option<Credentials> {
        let expiration = |text: String| {
            let instant = DateTime::from_str(&text, Format::DateTimeWithOffset).ok()?;
            instant.try_into().ok()
        };
        let mut keys = Credentials::builder()
            .access_key_id(self.access_key_id?)
            .secret_access_key(std::mem::take(&mut *self.secret_access_key?))
            .provider_name("CredentialProcess");
        keys.set_session_token(self.session_token.map(|mut token| std::mem::take(&mut *token)));
        if let Some(text) = self.expiration {
            keys.set_expiry(Some(expiration(text)?));
        }
        let account_id = self.account_id.as_deref().or(account_id);
        keys.set_account_id(account_id.map(Into::into));
        (self.version == Some(1)).then(|| keys.build())
    }
}

impl<'de> Deserialize<'de> for Printed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

/// Reads the keys of the object in whatever case they are written, as the SDK does.
struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Printed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("credentials")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Printed, A::Error> {
        let mut printed = Printed::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.to_ascii_lowercase().as_str() {
                "version" => printed.version = map.next_value()?,
                "accesskeyid" => printed.access_key_id = map.next_value()?,
                "secretaccesskey" => {
                    printed.secret_access_key = map.next_value::<Option<_>>()?.map(Zeroizing::new);
                }
                "sessiontoken" => {
                    printed.session_token = map.next_value::<Option<_>>()?.map(Zeroizing::new);
                }
                "expiration" => printed.expiration = map.next_value()?,
                "accountid" => printed.account_id = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(printed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn keys(json: &str) -> Option<Credentials> {
        serde_json::from_str::<Printed>(json).ok()?.keys(Some("123456789012"))
    }

    #[test]
    fn whole_keys_are_understood_in_whatever_case() {
        let found = keys(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","SessionToken":"t",
                "Expiration":"1970-01-01T02:00:00+01:00","AccountId":"999999999999","More":[{}]}"#,
        )
        .unwrap();
        assert_eq!((found.access_key_id(), found.secret_access_key()), ("A", "s"));
        assert_eq!(found.session_token(), Some("t"));
        assert_eq!(found.expiry(), Some(SystemTime::UNIX_EPOCH + Duration::from_hours(1)));
        assert_eq!(found.account_id().unwrap().as_str(), "999999999999");
        let found = keys(
            r#"{"version":1,"accesskeyid":"A","SECRETACCESSKEY":"s","SessionToken":null,
                "Expiration":null}"#,
        )
        .unwrap();
        assert_eq!((found.session_token(), found.expiry()), (None, None));
        assert_eq!(found.account_id().unwrap().as_str(), "123456789012");
    }

    #[test]
    fn what_is_not_whole_is_nothing() {
        for json in [
            "",
            "[]",
            r#"{"AccessKeyId":"A","SecretAccessKey":"s"}"#,
            r#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"s"}"#,
            r#"{"Version":1,"SecretAccessKey":"s"}"#,
            r#"{"Version":1,"AccessKeyId":"A"}"#,
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}"#,
        ] {
            assert!(keys(json).is_none(), "{json}");
        }
    }
}
