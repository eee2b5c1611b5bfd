//! Base credentials from profiles, programs and broken files.

use std::fs;

use aws_smithy_http_client::test_util::NeverClient;

use super::*;
use crate::broker::SessionSource as _;
use crate::sts::client::{StsClient, StsOptions};
use crate::sts::client_tests::{FixedClock, now};

/// What the profile `p` of a config file gives.
async fn resolve(config: &str) -> Result<StsSession, SessionError> {
    resolve_within(Duration::from_secs(30), config).await
}

async fn resolve_within(base_timeout: Duration, config: &str) -> Result<StsSession, SessionError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    fs::write(&file, config).unwrap();
    let mut options = StsOptions::new(file, directory.path().join("none"), "u", "h");
    options.base_timeout = base_timeout;
    let http = SharedHttpClient::new(NeverClient::new());
    let client = StsClient::with_http(options, Arc::new(FixedClock(now())), http).await;
    client.base(&BaseCredentials::Profile("p".to_owned())).await
}

async fn failure(config: &str) -> (Cause, String) {
    let error = resolve(config).await.unwrap_err();
    (error.cause, error.to_string())
}

fn process(json: &str) -> String {
    format!("[profile p]\ncredential_process = echo '{json}'\n")
}

#[tokio::test]
async fn static_keys_of_a_profile_get_the_key_lifetime() {
    let session = resolve(
        "[profile p]\naws_access_key_id = AKIA1\naws_secret_access_key = s/1\n\
         aws_account_id = 123456789012\n",
    )
    .await
    .unwrap();
    assert_eq!(session.access_key_id, "AKIA1");
    assert_eq!(session.secret_access_key.expose(), "s/1");
    assert!(session.session_token.is_none());
    assert_eq!(session.account_id.unwrap().as_str(), "123456789012");
    assert_eq!(session.expiration, now() + Duration::from_hours(1));
}

#[tokio::test]
async fn a_credential_process_gives_its_own_expiration() {
    let session = resolve(&process(
        r#"{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"s","SessionToken":"t","Expiration":"2026-11-22T02:30:00Z"}"#,
    ))
    .await
    .unwrap();
    assert_eq!(session.session_token.unwrap().expose(), "t");
    assert_eq!(session.expiration, now() + Duration::from_mins(30));
}

#[tokio::test]
async fn expired_base_credentials_are_told_apart() {
    let (cause, text) = failure(&process(
        r#"{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"s","SessionToken":"t","Expiration":"1960-01-01T00:00:00Z"}"#,
    ))
    .await;
    assert_eq!(cause, Cause::BaseExpired);
    assert!(text.ends_with("they expired at 1960-01-01T00:00:00Z"), "{text}");
}

#[tokio::test]
async fn a_failing_process_is_told_without_what_it_printed() {
    let (cause, text) =
        failure("[profile p]\ncredential_process = echo out-secret; echo err-secret >&2; exit 3\n")
            .await;
    assert_eq!(cause, Cause::BaseSourceFailed);
    let told = "its credential_process failed: it ended with exit status 3";
    assert!(text.ends_with(told), "{text}");
}

#[tokio::test]
async fn a_process_that_prints_no_credentials_is_told_without_what_it_printed() {
    let (cause, text) = failure("[profile p]\ncredential_process = echo out-secret\n").await;
    assert_eq!(cause, Cause::BaseSourceFailed);
    assert!(text.contains("printed no credential JSON"), "{text}");
    assert!(!text.contains("out-secret"), "{text}");
}

#[tokio::test]
async fn a_process_that_hangs_is_given_up_and_killed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let command = format!("sleep 600 & echo $! >{}; wait", file.display());
    let config = format!("[profile p]\ncredential_process = {command}\n");
    let error = resolve_within(Duration::from_millis(700), &config).await.unwrap_err();
    assert_eq!(error.cause, Cause::TimedOut);
    assert!(error.to_string().contains("took more than 700ms"), "{error}");
    let is_alive = || {
        // Without a number it was killed before it had started anything.
        let pid = fs::read_to_string(&file).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        !pid.is_empty() && stat.contains("(sleep) S")
    };
    for _ in 0..1000 {
        if !is_alive() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("what the process has started lives on");
}

#[tokio::test]
async fn a_missing_profile_is_named() {
    let (cause, text) = failure("[profile q]\nregion = eu-west-1\n").await;
    assert_eq!(cause, Cause::NoBaseCredentials);
    assert!(text.contains("profile 'p'"), "{text}");
}

#[tokio::test]
async fn a_broken_config_file_is_told_with_its_line() {
    let (cause, text) = failure("[profile p]\nthis is no setting\n").await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(text.ends_with("on line 2: Expected an '=' sign defining a property"), "{text}");
    assert!(!text.contains("this is no setting"), "{text}");
}

#[tokio::test]
async fn a_loop_of_source_profiles_is_misconfigured() {
    let (cause, text) = failure(
        "[profile p]\nrole_arn = arn:aws:iam::1:role/a\nsource_profile = q\n\
         [profile q]\nrole_arn = arn:aws:iam::1:role/b\nsource_profile = p\n",
    )
    .await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(text.contains("loop"), "{text}");
}

/// An indented comment continues the value above it, in every SDK.
#[tokio::test]
async fn an_indented_comment_in_a_profile_costs_one_answer() {
    let (cause, text) =
        failure("[profile p]\naws_secret_access_key = s\naws_access_key_id = AKIA1\n  # comment\n")
            .await;
    assert_eq!(cause, Cause::Misconfigured);
    assert!(text.contains("access key id"), "{text}");
}

/// The same where the SDK itself signs with such keys, and panics.
#[tokio::test]
async fn a_panic_of_the_sdk_costs_one_answer() {
    let (cause, _) = failure(
        "[profile p]\nregion = eu-west-1\nrole_arn = arn:aws:iam::1:role/a\n\
         source_profile = q\n[profile q]\naws_secret_access_key = s\n\
         aws_access_key_id = AKIA1\n  # comment\n",
    )
    .await;
    assert_eq!(cause, Cause::Misconfigured);
}
