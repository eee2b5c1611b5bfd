//! Source identities, session tags and session policies.

use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder as Call;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag as SdkTag};
use serde_json::Value;

use crate::emulator::{Emulator, IssuedSession, PACKED_LIMIT, RoleRules, SessionAttributes, Tag};
use crate::support::*;

const NEXT: &str = "arn:aws:iam::333333333333:role/next";
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": []}"#;

fn tag(key: &str, value: &str) -> SdkTag {
    SdkTag::builder().key(key).value(value).build().expect("a whole tag")
}

fn policy_arn(arn: &str) -> PolicyDescriptorType {
    PolicyDescriptorType::builder().arn(arn).build()
}

/// Assumes `PROD` with the base keys, changed by `change`, and expects a refusal.
async fn check_refused(sts: &Emulator, code: &str, text: &str, change: impl FnOnce(Call) -> Call) {
    let outcome = change(assume_prod(&base_client(sts))).send().await;
    let (status, actual, message) = refusal(outcome);
    assert_eq!((status, actual.as_str()), (400, code), "{message}");
    assert!(message.contains(text), "{message} should say: {text}");
    assert!(sts.issued_sessions().is_empty(), "a session was issued all the same");
}

fn last_session(sts: &Emulator) -> IssuedSession {
    sts.issued_sessions().pop().expect("a session")
}

/// A client with the session of a call.
async fn chained(sts: &Emulator, call: Call) -> aws_sdk_sts::Client {
    let answer = call.send().await.expect("a session");
    client(sts, session_keys(answer.credentials().expect("credentials")))
}

fn assume_next(client: &aws_sdk_sts::Client) -> Call {
    client.assume_role().role_arn(NEXT).role_session_name("hop")
}

#[tokio::test]
async fn a_session_carries_what_its_call_sent() {
    let sts = start();
    let call = assume_prod(&base_client(&sts))
        .source_identity("run-7")
        .tags(tag("team", "search: find"))
        .tags(tag("Größe", ""))
        .transitive_tag_keys("TEAM")
        .policy(POLICY)
        .policy_arns(policy_arn("arn:aws:iam::aws:policy/ReadOnlyAccess"))
        .policy_arns(policy_arn("arn:aws:iam::210987654321:policy/path/own"));
    let answer = call.send().await.expect("a session");
    assert_eq!(answer.source_identity(), Some("run-7"));

    let key = answer.credentials().expect("credentials").access_key_id();
    let session = sts.session(key).expect("the session of this key");
    let pair = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let expected = SessionAttributes {
        source_identity: Some("run-7".to_owned()),
        tags: vec![pair("team", "search: find"), pair("Größe", "")],
        transitive_tag_keys: vec!["TEAM".to_owned()],
        policy: Some(POLICY.to_owned()),
        policy_arns: vec![
            "arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(),
            "arn:aws:iam::210987654321:policy/path/own".to_owned(),
        ],
    };
    assert_eq!(session.attributes, expected);
    assert_eq!(session.attributes.tag("Team"), Some("search: find"));
    assert_eq!(last_call(&sts).attributes, expected);
}

#[tokio::test]
async fn a_session_without_attributes_has_none() {
    let sts = start();
    let answer = assume_prod(&base_client(&sts)).send().await.expect("a session");
    assert_eq!(answer.source_identity(), None);
    assert_eq!(last_session(&sts).attributes, SessionAttributes::default());
}

#[tokio::test]
async fn source_identities_have_2_to_64_characters_of_their_set() {
    let sts = start();
    let long = "x".repeat(65);
    for (identity, text) in [
        ("x", "at 'sourceIdentity' failed to satisfy constraint: Member must have length greater"),
        (&long, "length less than or equal to 64"),
        ("aws:me", "[\\w+=,.@-]*"),
        ("a b", "[\\w+=,.@-]*"),
    ] {
        check_refused(&sts, "ValidationError", text, |call| call.source_identity(identity)).await;
    }
    let call = assume_prod(&base_client(&sts)).source_identity("A-b_c=d,e.f@g+h");
    call.send().await.expect("a session");
}

#[tokio::test]
async fn tags_have_keys_and_values_of_their_length_and_set() {
    let sts = start();
    let long = "x".repeat(257);
    for (key, value, text) in [
        ("", "v", "at 'tags.1.member.key' failed to satisfy constraint: Member must have length"),
        (&long[..129], "v", "length less than or equal to 128"),
        ("a*", "v", "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+"),
        ("k", &long, "at 'tags.1.member.value' failed to satisfy constraint: Member must have"),
        ("k", "a\tb", "[\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*"),
    ] {
        let change = |call: Call| call.tags(tag(key, value));
        check_refused(&sts, "ValidationError", text, change).await;
    }
    let reserved = |call: Call| call.tags(tag("AWS:team", "v"));
    check_refused(&sts, "InvalidParameterValue", "reserved", reserved).await;
    let call = assume_prod(&base_client(&sts)).tags(tag(&long[..128], &long[..256]));
    call.send().await.expect("a session");
}

#[tokio::test]
async fn there_are_at_most_50_tags() {
    let sts = start();
    let tags = |count: usize| (0..count).map(|index| tag(&format!("k{index}"), "v")).collect();
    let call = |count| move |call: Call| call.set_tags(Some(tags(count)));
    check_refused(&sts, "ValidationError", "less than or equal to 50", call(51)).await;
    call(50)(assume_prod(&base_client(&sts))).send().await.expect("a session");
}

#[tokio::test]
async fn tag_keys_differ_in_more_than_case() {
    let sts = start();
    let twice = |call: Call| call.tags(tag("Team", "a")).tags(tag("team", "b"));
    check_refused(&sts, "InvalidParameterValue", "Duplicate tag keys found.", twice).await;
}

#[tokio::test]
async fn transitive_keys_are_keys_of_the_tags() {
    let sts = start();
    let text = "must be included in the requested tags";
    let other = |call: Call| call.tags(tag("team", "a")).transitive_tag_keys("run");
    check_refused(&sts, "InvalidParameterValue", text, other).await;
}

#[tokio::test]
async fn policies_are_json_with_statements() {
    let sts = start();
    for (policy, text) in [
        ("{\"Version\": ", "invalid Json"),
        ("read only please", "invalid Json"),
        ("[]", "Syntax errors in policy"),
        (r#"{"Version": "2012-10-17"}"#, "Syntax errors in policy"),
    ] {
        let change = |call: Call| call.policy(policy);
        check_refused(&sts, "MalformedPolicyDocument", text, change).await;
    }
    let text = "at 'policy' failed to satisfy constraint";
    check_refused(&sts, "ValidationError", text, |call| call.policy("")).await;
    check_refused(&sts, "ValidationError", text, |call| call.policy("€")).await;
}

#[tokio::test]
async fn policy_arns_are_at_most_10_and_count_with_the_policy() {
    let sts = start();
    for (arn, text) in [
        ("arn:aws:iam::aws:p", "length greater than or equal to 20"),
        ("arn:aws:iam::123456789012:role/prod", "is not valid"),
        ("arn:aws:iam::12345:policy/prod-read", "is not valid"),
    ] {
        let change = |call: Call| call.policy_arns(policy_arn(arn));
        check_refused(&sts, "ValidationError", text, change).await;
    }
    let arns = |count: usize, length: usize| {
        let arn = format!("arn:aws:iam::aws:policy/{}", "x".repeat(length));
        move |call: Call| call.set_policy_arns(Some(vec![policy_arn(&arn); count]))
    };
    check_refused(&sts, "ValidationError", "less than or equal to 10", arns(11, 5)).await;
    let both = |call| arns(10, 200)(call).policy(POLICY);
    check_refused(&sts, "ValidationError", "'policy'", both).await;
    arns(10, 5)(assume_prod(&base_client(&sts))).send().await.expect("a session");
}

#[tokio::test]
async fn too_much_of_all_is_told_with_its_share() {
    let sts = start();
    let tags = || (0..50).map(|index| tag(&format!("k{index:09}"), &"v".repeat(90))).collect();
    let size = 50 * 100;
    assert!(size > PACKED_LIMIT, "this test needs more than fits");
    let percent = (size * 100).div_ceil(PACKED_LIMIT);
    let text = format!("Packed size of session tags consumes {percent}% of allotted space.");
    let call = |call: Call| call.set_tags(Some(tags()));
    check_refused(&sts, "PackedPolicyTooLarge", &text, call).await;
    let with_policy = |call: Call| call.set_tags(Some(tags())).policy(POLICY);
    check_refused(&sts, "PackedPolicyTooLarge", "Packed policy consumes", with_policy).await;
}

#[tokio::test]
async fn a_chained_role_inherits_source_identity_and_transitive_tags() {
    let sts = start();
    let first = assume_prod(&base_client(&sts))
        .source_identity("run-7")
        .tags(tag("team", "search"))
        .tags(tag("step", "1"))
        .transitive_tag_keys("team")
        .policy(POLICY);
    let first = chained(&sts, first).await;
    let second = chained(&sts, assume_next(&first).tags(tag("step", "2"))).await;
    let carried = last_session(&sts).attributes;
    assert_eq!(carried.source_identity.as_deref(), Some("run-7"));
    assert_eq!((carried.tag("team"), carried.tag("step")), (Some("search"), Some("2")));
    assert_eq!(carried.policy, None, "a session policy is of its own session only");

    assume_prod(&second).send().await.expect("a session");
    let carried = last_session(&sts).attributes;
    assert_eq!(carried.source_identity.as_deref(), Some("run-7"));
    assert_eq!((carried.tag("team"), carried.tag("step")), (Some("search"), None));
}

#[tokio::test]
async fn a_chained_role_keeps_the_source_identity_that_is_set() {
    let sts = start();
    let first = assume_prod(&base_client(&sts)).source_identity("run-7");
    let first = chained(&sts, first).await;
    let (status, code, message) =
        refusal(assume_next(&first).source_identity("run-8").send().await);
    assert_eq!((status, code.as_str()), (400, "ValidationError"));
    assert_eq!(message, "The source identity is already set for this assume role session");
    assume_next(&first).source_identity("run-7").send().await.expect("the same is no change");
}

#[tokio::test]
async fn a_tag_that_is_inherited_cannot_be_set_again() {
    let sts = start();
    let first = assume_prod(&base_client(&sts)).tags(tag("team", "a")).transitive_tag_keys("team");
    let first = chained(&sts, first).await;
    let (status, code, message) = refusal(assume_next(&first).tags(tag("TEAM", "a")).send().await);
    assert_eq!((status, code.as_str()), (400, "InvalidParameterValue"));
    assert!(message.contains("conflicts with a transitive tag key"), "{message}");
}

#[tokio::test]
async fn a_role_can_deny_tags_and_source_identities_inherited_ones_too() {
    let sts = start();
    let rules = RoleRules {
        allows_tag_session: false,
        allows_set_source_identity: false,
        ..RoleRules::default()
    };
    sts.set_role("next", rules);
    let base = base_client(&sts);
    let tagged = assume_prod(&base).tags(tag("team", "a")).transitive_tag_keys("team");
    let tagged = chained(&sts, tagged).await;
    let known = chained(&sts, assume_prod(&base).source_identity("run-7")).await;
    for (call, action) in [
        (assume_next(&base).tags(tag("team", "a")), "TagSession"),
        (assume_next(&tagged), "TagSession"),
        (assume_next(&base).source_identity("run-7"), "SetSourceIdentity"),
        (assume_next(&known), "SetSourceIdentity"),
    ] {
        let (status, code, message) = refusal(call.send().await);
        assert_eq!((status, code.as_str()), (403, "AccessDenied"));
        let text = format!("is not authorized to perform: sts:{action} on resource: {NEXT}");
        assert!(message.ends_with(&text), "{message}");
    }
    assume_next(&base).send().await.expect("a session without either");
}

#[tokio::test]
async fn sessions_and_calls_show_attributes_and_no_secret() {
    let sts = start();
    let call = assume_prod(&base_client(&sts)).source_identity("run-7").tags(tag("team", "a"));
    call.send().await.expect("a session");
    let session = last_session(&sts);
    for (name, list) in [("sessions", "sessions"), ("calls", "calls")] {
        let text = plain(&sts, "GET", &format!("/_emulator/{name}"), &[], "").body;
        let shown: Value = serde_json::from_str(&text).expect("JSON");
        let attributes = &shown[list][0]["attributes"];
        assert_eq!(attributes["source_identity"], "run-7", "{text}");
        assert_eq!(attributes["tags"][0]["key"], "team", "{text}");
        assert!(text.contains(&session.access_key_id), "{text}");
        for secret in [&session.secret_access_key, &session.session_token] {
            assert!(!text.contains(secret.as_str()), "{name} shows a secret");
        }
    }
}
