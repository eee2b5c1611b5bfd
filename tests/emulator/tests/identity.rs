//! Who callers are, and the sessions they get.

use std::collections::HashSet;

use aws_sdk_sts::primitives::DateTime;
use aws_sigv4::http_request::SignatureLocation;

use crate::emulator::{Options, RoleRules, WebIdentityTrust};
use crate::signatures::Signing;
use crate::support::*;

const QUERY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn the_base_keys_are_the_user_dev() {
    let sts = start();
    let answer = base_client(&sts).get_caller_identity().send().await.expect("an identity");
    assert_eq!(answer.arn(), Some("arn:aws:iam::123456789012:user/dev"));
    assert_eq!(answer.account(), Some("123456789012"));
    assert!(answer.user_id().expect("an id").starts_with("AIDA"));
}

#[tokio::test]
async fn an_assumed_role_has_partition_account_role_without_path_and_session() {
    let sts = start();
    let role_arn = "arn:aws-us-gov:iam::210987654321:role/team/a/prod";
    let call = base_client(&sts).assume_role().role_arn(role_arn).role_session_name("me@x+y=z");
    let answer = call.send().await.expect("a session");
    let expected = "arn:aws-us-gov:sts::210987654321:assumed-role/prod/me@x+y=z";
    let user = answer.assumed_role_user().expect("a user");
    assert_eq!(user.arn(), expected);
    assert!(user.assumed_role_id().starts_with("AROA"));
    assert!(user.assumed_role_id().ends_with(":me@x+y=z"));

    let session = client(&sts, session_keys(answer.credentials().expect("credentials")));
    let identity = session.get_caller_identity().send().await.expect("an identity");
    assert_eq!(identity.arn(), Some(expected));
    assert_eq!(identity.account(), Some("210987654321"));
    assert_eq!(identity.user_id(), Some(user.assumed_role_id()));
}

#[tokio::test]
async fn a_role_keeps_its_unique_id_and_another_has_another() {
    let sts = start();
    let mut ids = Vec::new();
    for role in [PROD, PROD, "arn:aws:iam::210987654321:role/dev"] {
        let call = base_client(&sts).assume_role().role_arn(role).role_session_name("tests");
        let answer = call.send().await.expect("a session");
        ids.push(answer.assumed_role_user().expect("a user").assumed_role_id().to_owned());
    }
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[tokio::test]
async fn a_role_can_assume_another() {
    let sts = start();
    let first = client(&sts, prod_session(&sts).await);
    let call = first.assume_role().role_arn("arn:aws:iam::333333333333:role/next");
    let answer = call.role_session_name("hop").send().await.expect("a session");
    let second = client(&sts, session_keys(answer.credentials().expect("credentials")));
    assert_eq!(identity(&second).await, "arn:aws:sts::333333333333:assumed-role/next/hop");
}

#[tokio::test]
async fn issued_keys_have_the_shape_of_real_ones() {
    let sts = start();
    sts.set_token_length(30..=60);
    let mut lengths = HashSet::new();
    for _ in 0..20 {
        let session = prod_session(&sts).await;
        assert_eq!(session.access_key_id().len(), 20);
        assert!(session.access_key_id().starts_with("ASIA"));
        assert_eq!(session.secret_access_key().len(), 40);
        lengths.insert(session.session_token().expect("a token").len());
    }
    assert!(lengths.iter().all(|length| (30..=60).contains(length)), "{lengths:?}");
    assert!(lengths.len() > 1, "the length never varies");
}

#[tokio::test]
async fn tokens_of_4096_characters_work() {
    let sts = start();
    sts.set_token_length(4096..=4096);
    let session = prod_session(&sts).await;
    assert_eq!(session.session_token().expect("a token").len(), 4096);
    assert!(identity(&client(&sts, session)).await.ends_with("assumed-role/prod/tests"));
}

#[tokio::test]
async fn get_session_token_keeps_the_user_and_needs_its_own_keys() {
    let sts = start();
    let answer = base_client(&sts).get_session_token().send().await.expect("a session");
    let session = client(&sts, session_keys(answer.credentials().expect("credentials")));
    assert_eq!(identity(&session).await, "arn:aws:iam::123456789012:user/dev");
    let again = session.get_session_token().send().await;
    assert_eq!(refusal_code(again), (403, "AccessDenied".to_owned()));
    // It is not role chaining to assume a role with it.
    assume_prod(&session).duration_seconds(7200).send().await.expect("a session");
}

#[tokio::test]
async fn a_web_identity_needs_no_signature() {
    let sts = start();
    let answer = assume_with_token(&sts, &jwt(r#"{"sub":"me","iss":"https://idp"}"#)).await;
    let answer = answer.expect("a session");
    assert_eq!(answer.subject_from_web_identity_token(), Some("me"));
    assert_eq!(answer.provider(), Some("https://idp"));
    let session = client(&sts, session_keys(answer.credentials().expect("credentials")));
    assert!(identity(&session).await.ends_with("assumed-role/prod/web"));
    assert_eq!(sts.calls()[0].caller_access_key_id, None);
}

#[tokio::test]
async fn a_web_identity_token_must_be_a_jwt_that_is_not_over() {
    let sts = start();
    let now = DateTime::from(machine_time()).secs();
    let over = assume_with_token(&sts, &jwt(&format!("{{\"exp\":{}}}", now - 10))).await;
    assert_eq!(refusal_code(over), (400, "ExpiredTokenException".to_owned()));
    assume_with_token(&sts, &jwt(&format!("{{\"exp\":{}}}", now + 60))).await.expect("a session");
    for token in ["junk", "a.b.c", "e30.W10.e30", "e30.e30"] {
        let outcome = assume_with_token(&sts, token).await;
        assert_eq!(refusal_code(outcome), (400, "InvalidIdentityToken".to_owned()), "{token}");
    }
}

#[tokio::test]
async fn a_role_may_ask_for_issuer_audience_and_subject() {
    let sts = start();
    let wants = |text: &str| Some(text.to_owned());
    let trust = WebIdentityTrust {
        issuer: wants("https://idp"),
        audience: wants("sts"),
        subject: wants("me"),
    };
    sts.set_role("prod", RoleRules { web_identity: Some(trust), ..RoleRules::default() });
    let right = r#"{"sub":"me","iss":"https://idp","aud":"sts"}"#;
    assume_with_token(&sts, &jwt(right)).await.expect("a session");
    for (found, other) in [("me", "you"), ("https://idp", "https://other"), ("sts", "client")] {
        let outcome = assume_with_token(&sts, &jwt(&right.replace(found, other))).await;
        assert_eq!(refusal_code(outcome), (403, "AccessDenied".to_owned()), "{other}");
    }
}

#[tokio::test]
async fn a_presigned_url_is_as_good_as_a_header() {
    let sts = start();
    let mut signing = Signing::new(&sts, prod_session(&sts).await);
    signing.location = SignatureLocation::QueryParams;
    let target = signing.presigned("GET", &format!("/?{QUERY}"));
    let answer = plain(&sts, "GET", &target, &[], "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains(":assumed-role/prod/tests</Arn>"), "{}", answer.body);

    let altered = target.replace("Version=2011-06-15", "Version=2011-06-15&Extra=1");
    let answer = plain(&sts, "GET", &altered, &[], "");
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("<Code>SignatureDoesNotMatch</Code>"), "{}", answer.body);
}

#[tokio::test]
async fn calls_are_recorded_with_what_they_led_to() {
    let sts = start();
    let call = assume_prod(&base_client(&sts)).duration_seconds(1800).external_id("e-1");
    call.send().await.expect("a session");
    let call = last_call(&sts);
    assert_eq!(call.action, "AssumeRole");
    assert_eq!(call.role_arn.as_deref(), Some(PROD));
    assert_eq!(call.session_name.as_deref(), Some("tests"));
    assert_eq!(call.external_id.as_deref(), Some("e-1"));
    assert_eq!(call.duration_seconds.as_deref(), Some("1800"));
    assert_eq!(call.region.as_deref(), Some("eu-west-1"));
    assert_eq!(call.caller_access_key_id.as_deref(), Some(sts.base_access_key_id()));
    assert!(call.user_agent.expect("a user agent").contains("aws-sdk-rust"));
    assert_eq!(call.result.as_deref(), Some("OK"));
    let issued = &sts.issued_sessions()[0];
    assert_eq!(call.issued_access_key_id.as_ref(), Some(&issued.access_key_id));
    assert_eq!(issued.arn, "arn:aws:sts::210987654321:assumed-role/prod/tests");
    assert_eq!(sts.call_count("AssumeRole", "prod"), 1);
    assert_eq!(sts.call_count("AssumeRole", "dev"), 0);
}

#[tokio::test]
async fn base_keys_and_account_can_be_chosen() {
    let options = Options {
        account_id: "999999999999".to_owned(),
        base_access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        base_secret_access_key: "chosen".to_owned(),
        ..Options::default()
    };
    let sts = crate::emulator::Emulator::start_with(options).expect("a free port");
    let caller = client(&sts, keys("AKIAIOSFODNN7EXAMPLE", "chosen", None));
    assert_eq!(identity(&caller).await, "arn:aws:iam::999999999999:user/dev");
}

async fn assume_with_token(
    sts: &crate::emulator::Emulator,
    token: &str,
) -> Result<
    aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityOutput,
    aws_sdk_sts::error::SdkError<
        aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError,
    >,
> {
    let call = base_client(sts).assume_role_with_web_identity().role_arn(PROD);
    call.role_session_name("web").web_identity_token(token).send().await
}

fn jwt(claims: &str) -> String {
    crate::emulator::jwt(&serde_json::from_str(claims).expect("claims"))
}
