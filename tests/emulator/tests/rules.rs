//! The limits on parameters.

use crate::emulator::{Emulator, RoleRules};
use crate::support::*;

/// Assumes `PROD` with the base keys, changed by `change`, and expects a `ValidationError` that
/// contains `expected`.
macro_rules! check_invalid {
    ($sts:expr, $expected:expr, $change:expr) => {{
        let call = $change(assume_prod(&base_client(&$sts)));
        let (status, code, message) = refusal(call.send().await);
        assert_eq!((status, code.as_str()), (400, "ValidationError"), "{message}");
        assert!(message.contains($expected), "{message}");
        assert!($sts.issued_sessions().is_empty(), "a session was issued all the same");
    }};
}

fn set_prod(sts: &Emulator, external_id: Option<&str>, maximum: u64) {
    let external_id = external_id.map(str::to_owned);
    let rules =
        RoleRules { external_id, max_session_duration_seconds: maximum, ..RoleRules::default() };
    sts.set_role("prod", rules);
}

#[tokio::test]
async fn durations_are_900_to_43200_seconds() {
    let sts = start();
    check_invalid!(sts, "greater than or equal to 900", |call: Call| call.duration_seconds(899));
    check_invalid!(sts, "greater than or equal to 900", |call: Call| call.duration_seconds(-1));
    check_invalid!(sts, "less than or equal to 43200", |call: Call| call.duration_seconds(43_201));
    for seconds in [900, 43_200] {
        let call = assume_prod(&base_client(&sts)).duration_seconds(seconds);
        call.send().await.expect("a session");
    }
}

#[tokio::test]
async fn durations_are_limited_by_the_role() {
    let sts = start();
    set_prod(&sts, None, 7_200);
    check_invalid!(sts, "exceeds the MaxSessionDuration", |call: Call| {
        call.duration_seconds(7_201)
    });
    let call = assume_prod(&base_client(&sts)).duration_seconds(7_200);
    call.send().await.expect("a session");
}

#[tokio::test]
async fn chained_roles_get_one_hour_at_most() {
    let sts = start();
    let role = client(&sts, prod_session(&sts).await);
    let (status, code, message) = refusal(assume_prod(&role).duration_seconds(3_601).send().await);
    assert_eq!((status, code.as_str()), (400, "ValidationError"));
    assert_eq!(
        message,
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by \
         role chaining"
    );
    assume_prod(&role).duration_seconds(3_600).send().await.expect("a session");
}

#[tokio::test]
async fn session_names_have_2_to_64_characters_of_their_set() {
    let sts = start();
    let long = "x".repeat(65);
    for (name, expected) in [
        ("x", "length greater than or equal to 2"),
        (long.as_str(), "length less than or equal to 64"),
        ("a b", "[\\w+=,.@-]*"),
        ("a/b", "[\\w+=,.@-]*"),
        ("å<&>", "[\\w+=,.@-]*"),
    ] {
        check_invalid!(sts, expected, |call: Call| call.role_session_name(name));
    }
    check_invalid!(sts, "must not be null", |call: Call| call.set_role_session_name(None));
    for name in ["a_", "A-b_c=d,e.f@g+h", &long[..64]] {
        let call = assume_prod(&base_client(&sts)).role_session_name(name);
        call.send().await.expect(name);
    }
}

#[tokio::test]
async fn role_arns_must_be_role_arns() {
    let sts = start();
    for (arn, expected) in [
        ("prod", "length greater than or equal to 20"),
        ("arn:aws:iam::123456789012:user/dev", "is invalid"),
        ("arn:aws:iam::12345:role/production", "is invalid"),
    ] {
        check_invalid!(sts, expected, |call: Call| call.role_arn(arn));
    }
}

#[tokio::test]
async fn a_role_with_an_external_id_denies_callers_without_it() {
    let sts = start();
    set_prod(&sts, Some("e-1"), 43_200);
    let base = base_client(&sts);
    for external_id in [None, Some("e-2".to_owned())] {
        let outcome = assume_prod(&base).set_external_id(external_id).send().await;
        let (status, code, message) = refusal(outcome);
        assert_eq!((status, code.as_str()), (403, "AccessDenied"));
        assert_eq!(
            message,
            format!(
                "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: \
                 sts:AssumeRole on resource: {PROD}"
            )
        );
    }
    assume_prod(&base).external_id("e-1").send().await.expect("a session");
}

#[tokio::test]
async fn external_ids_have_2_to_1224_characters_of_their_set() {
    let sts = start();
    let long = "x".repeat(1_225);
    for (external_id, expected) in [
        ("x", "length greater than or equal to 2"),
        (long.as_str(), "length less than or equal to 1224"),
        ("a b", "[\\w+=,.@:\\/-]*"),
    ] {
        check_invalid!(sts, expected, |call: Call| call.external_id(external_id));
    }
    let call = assume_prod(&base_client(&sts)).external_id("a:b/c@d");
    call.send().await.expect("a session");
}

#[tokio::test]
async fn unknown_actions_and_versions_are_refused() {
    let sts = start();
    for (body, code) in [
        ("Action=GetFederationToken&Version=2011-06-15", "InvalidAction"),
        ("Action=GetCallerIdentity&Version=2010-01-01", "InvalidAction"),
        ("Action=GetCallerIdentity", "InvalidAction"),
        ("Version=2011-06-15", "MissingAction"),
    ] {
        let answer = plain(&sts, "POST", "/", &[], body);
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains(&format!("<Code>{code}</Code>")), "{}", answer.body);
    }
}

type Call = aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
