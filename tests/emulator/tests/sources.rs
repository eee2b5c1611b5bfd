//! Who may assume what, and the services that hand out keys of instances and containers.

use std::time::Duration;

use serde_json::Value;

use crate::emulator::{Emulator, Fault, RoleRules};
use crate::support::*;

const TTL: (&str, &str) = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
const ROLE: &str = "/latest/meta-data/iam/security-credentials/";
const KEYS: &str = "/latest/meta-data/iam/security-credentials/instance";

fn imds_token(sts: &Emulator) -> String {
    let answer = plain(sts, "PUT", "/latest/api/token", &[TTL], "");
    assert_eq!(answer.status, 200);
    answer.body
}

fn imds(sts: &Emulator, path: &str) -> PlainAnswer {
    let token = imds_token(sts);
    plain(sts, "GET", path, &[("x-aws-ec2-metadata-token", &token)], "")
}

fn key_in(answer: &PlainAnswer) -> String {
    let value: Value = serde_json::from_str(&answer.body).expect(&answer.body);
    value["AccessKeyId"].as_str().expect("a key").to_owned()
}

/// The client that the keys in an answer make.
fn client_of(sts: &Emulator, answer: &PlainAnswer) -> aws_sdk_sts::Client {
    let value: Value = serde_json::from_str(&answer.body).expect(&answer.body);
    let text = |name: &str| value[name].as_str().expect(name);
    let keys = keys(text("AccessKeyId"), text("SecretAccessKey"), Some(text("Token")));
    client(sts, keys)
}

#[tokio::test]
async fn an_instance_gets_keys_of_its_role() {
    let sts = start();
    assert_eq!(imds(&sts, ROLE).body, "instance");
    assert_eq!(imds(&sts, "/latest/meta-data/placement/region").body, "eu-west-1");
    let answer = imds(&sts, KEYS);
    let arn = identity(&client_of(&sts, &answer)).await;
    assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/instance/i-0123456789abcdef0");
    assert_eq!(sts.call_count("InstanceCredentials", "instance"), 1);
}

#[test]
fn version_1_of_the_metadata_service_is_refused() {
    let sts = start();
    for path in [ROLE, KEYS, "/latest/meta-data/placement/region"] {
        assert_eq!(plain(&sts, "GET", path, &[], "").status, 401, "{path}");
        let wrong = [("x-aws-ec2-metadata-token", "invented")];
        assert_eq!(plain(&sts, "GET", path, &wrong, "").status, 401, "{path}");
    }
    assert!(sts.issued_sessions().is_empty());
}

#[test]
fn a_token_of_the_metadata_service_ends() {
    let sts = start();
    let token = imds_token(&sts);
    sts.set_clock_offset(61);
    let answer = plain(&sts, "GET", ROLE, &[("x-aws-ec2-metadata-token", &token)], "");
    assert_eq!(answer.status, 401);
}

#[test]
fn a_token_takes_a_put_with_a_lifetime_and_no_proxy() {
    let sts = start();
    let ask = |method, headers: &[(&str, &str)]| {
        plain(&sts, method, "/latest/api/token", headers, "").status
    };
    assert_eq!(ask("GET", &[TTL]), 405);
    assert_eq!(ask("PUT", &[]), 400);
    assert_eq!(ask("PUT", &[(TTL.0, "21601")]), 400);
    assert_eq!(ask("PUT", &[TTL, ("x-forwarded-for", "10.0.0.1")]), 403);
    assert_eq!(ask("PUT", &[TTL]), 200);
}

#[test]
fn an_instance_without_a_role_has_no_keys() {
    let sts = start();
    sts.configure(|settings| settings.instance_role = None);
    assert_eq!(imds(&sts, ROLE).status, 404);
    assert_eq!(imds(&sts, KEYS).status, 404);
}

#[test]
fn keys_of_an_instance_stay_until_little_of_them_is_left() {
    let sts = start();
    sts.configure(|settings| settings.source_lifetime = Some(Duration::from_mins(30)));
    let first = key_in(&imds(&sts, KEYS));
    sts.set_clock_offset(19 * 60);
    assert_eq!(key_in(&imds(&sts, KEYS)), first);
    sts.set_clock_offset(21 * 60);
    let second = key_in(&imds(&sts, KEYS));
    assert_ne!(second, first);
    sts.rotate_sources();
    assert_ne!(key_in(&imds(&sts, KEYS)), second);
}

#[test]
fn an_instance_that_may_not_have_its_role_is_told_so() {
    let sts = start();
    sts.set_fault(Fault::Deny.for_action("InstanceCredentials"));
    let answer = imds(&sts, KEYS);
    assert!(answer.body.contains("AssumeRoleUnauthorizedAccess"), "{}", answer.body);
}

#[tokio::test]
async fn a_container_gets_keys_of_its_role_for_its_token() {
    let sts = start();
    sts.configure(|settings| settings.container_token = Some("let-me-in".to_owned()));
    for uri in [sts.container_uri(), sts.pod_identity_uri()] {
        let path = uri.strip_prefix(&sts.endpoint()).expect("an URI of the emulator");
        assert_eq!(plain(&sts, "GET", path, &[], "").status, 403);
        let wrong = [("authorization", "let-me-out")];
        assert_eq!(plain(&sts, "GET", path, &wrong, "").status, 403);
        let answer = plain(&sts, "GET", path, &[("authorization", "let-me-in")], "");
        let arn = identity(&client_of(&sts, &answer)).await;
        assert_eq!(arn, "arn:aws:sts::123456789012:assumed-role/container/container");
    }
    sts.configure(|settings| settings.container_role = None);
    assert_eq!(plain(&sts, "GET", "/v1/credentials", &[], "").status, 404);
}

#[tokio::test]
async fn a_role_admits_those_it_trusts() {
    let sts = start();
    let trusts = vec!["arn:aws:iam::123456789012:role/hub".to_owned()];
    sts.set_role("prod", RoleRules { trusts, ..RoleRules::default() });
    let outcome = assume_prod(&base_client(&sts)).send().await;
    assert_eq!(refusal_code(outcome), (403, "AccessDenied".to_owned()));
    let hub = base_client(&sts)
        .assume_role()
        .role_arn("arn:aws:iam::123456789012:role/hub")
        .role_session_name("tests");
    let answer = hub.send().await.expect("a session");
    let hub = client(&sts, session_keys(answer.credentials().expect("credentials")));
    assume_prod(&hub).send().await.expect("the hub is trusted");
}

#[tokio::test]
async fn a_role_that_requires_mfa_denies_keys_without_it() {
    let sts = start();
    sts.set_role("prod", RoleRules { requires_mfa: true, ..RoleRules::default() });
    let outcome = assume_prod(&base_client(&sts)).send().await;
    assert_eq!(refusal_code(outcome), (403, "AccessDenied".to_owned()));
}

#[tokio::test]
async fn an_answer_tells_the_packed_size_of_policies_and_tags() {
    let sts = start();
    let base = base_client(&sts);
    let answer = assume_prod(&base).send().await.expect("a session");
    assert_eq!(answer.session_token_utilization(), None);
    let tag = aws_sdk_sts::types::Tag::builder().key("team").value("x".repeat(200));
    let answer = assume_prod(&base).tags(tag.build().expect("a tag")).send().await;
    assert_eq!(answer.expect("a session").session_token_utilization(), Some(5));
}
