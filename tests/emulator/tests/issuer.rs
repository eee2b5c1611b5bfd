//! The issuer of OIDC tokens: each endpoint, and each refusal.

use aws_smithy_types::base64;
use serde_json::Value;

use crate::emulator::{Decision, Emulator};
use crate::support::*;

fn json(answer: &PlainAnswer) -> Value {
    serde_json::from_str(&answer.body).expect("JSON")
}

fn post(sts: &Emulator, path: &str, form: &str) -> (u16, Value) {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let answer = plain(sts, "POST", &format!("/oidc{path}"), &headers, form);
    (answer.status, json(&answer))
}

fn begun(sts: &Emulator) -> (String, String) {
    let (status, device) = post(sts, "/device", "client_id=credmount&scope=openid");
    assert_eq!(status, 200, "{device}");
    let text = |name: &str| device[name].as_str().expect(name).to_owned();
    (text("device_code"), text("user_code"))
}

fn poll(sts: &Emulator, device_code: &str) -> (u16, Value) {
    let grant = "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code";
    let form = format!("client_id=credmount&grant_type={grant}&device_code={device_code}");
    post(sts, "/token", &form)
}

/// Tokens of a person who agreed at once.
fn tokens(sts: &Emulator) -> Value {
    let (device_code, user_code) = begun(sts);
    assert!(sts.decide_login(&user_code, Decision::Approve));
    let (status, tokens) = poll(sts, &device_code);
    assert_eq!(status, 200, "{tokens}");
    tokens
}

fn for_aws(sts: &Emulator, access: &str) -> PlainAnswer {
    let bearer = format!("Bearer {access}");
    plain(sts, "GET", "/oidc/v1/credentials/aws/token", &[("authorization", &bearer)], "")
}

#[test]
fn the_discovery_document_names_the_endpoints() {
    let sts = start();
    let answer = plain(&sts, "GET", "/oidc/.well-known/openid-configuration", &[], "");
    let document = json(&answer);
    assert_eq!(document["issuer"], sts.issuer());
    assert_eq!(document["token_endpoint"], format!("{}/token", sts.issuer()));
}

#[test]
fn a_login_goes_from_pending_to_tokens_that_work() {
    let sts = start();
    let (device_code, user_code) = begun(&sts);
    let (status, pending) = poll(&sts, &device_code);
    assert_eq!((status, &pending["error"]), (400, &Value::from("authorization_pending")));
    assert_eq!(sts.login_codes(), [user_code]);
    let access = tokens(&sts)["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(for_aws(&sts, &access).status, 200);
    sts.revoke_logins(false);
    assert_eq!(for_aws(&sts, &access).status, 401);
}

#[test]
fn denial_and_expiry_are_told_apart() {
    let sts = start();
    let (device_code, user_code) = begun(&sts);
    assert!(sts.decide_login(&user_code, Decision::Deny));
    assert_eq!(poll(&sts, &device_code).1["error"], "access_denied");
    let (device_code, _) = begun(&sts);
    sts.expire_login_codes();
    assert_eq!(poll(&sts, &device_code).1["error"], "expired_token");
}

#[test]
fn a_refresh_token_is_good_once_and_not_after_it_was_taken_back() {
    let sts = start();
    let refresh = |token: &Value| {
        let token = token.as_str().expect("a token");
        let form = format!("client_id=credmount&grant_type=refresh_token&refresh_token={token}");
        post(&sts, "/token", &form)
    };
    let first = tokens(&sts)["refresh_token"].clone();
    let (status, next) = refresh(&first);
    assert_eq!(status, 200, "{next}");
    assert_eq!(refresh(&first).1["error"], "invalid_grant");
    sts.revoke_logins(true);
    assert_eq!(refresh(&next["refresh_token"]).1["error"], "invalid_grant");
}

#[test]
fn certificates_for_ssh_are_for_those_who_are_logged_in_and_read_by_ssh_keygen() {
    let sts = start();
    let access = tokens(&sts)["access_token"].as_str().expect("a token").to_owned();
    let blob = base64::encode([b"\0\0\0\x0bssh-ed25519\0\0\0\x20".as_slice(), &[7; 32]].concat());
    let ask = |access: &str, key: &str| {
        let headers = [("authorization", &*format!("Bearer {access}"))];
        let body = format!(r#"{{"public_key":"{key}"}}"#);
        let answer = plain(&sts, "POST", "/oidc/v1/credentials/ssh", &headers, &body);
        (answer.status, json(&answer))
    };
    let key = format!("ssh-ed25519 {blob}");
    assert_eq!(ask("other", &key).0, 401);
    assert_eq!(ask(&access, "ssh-ed25519 AAAA").0, 400);
    let (status, given) = ask(&access, &key);
    assert_eq!(
        (status, &given["serial"], &given["principals"][0]),
        (200, &1.into(), &"jane".into())
    );
    assert_eq!(given["valid_for_seconds"], 3600);
    assert_eq!(sts.ssh_certificates()[0].public_key, key);
    let line = given["certificate"].as_str().expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("certificate.pub");
    std::fs::write(&file, format!("{line}\n")).expect("a file");
    // Without it the tests of the mount are skipped, too.
    let said = std::process::Command::new("ssh-keygen").arg("-L").arg("-f").arg(&file).output();
    if let Ok(said) = said {
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(said.contains("Key ID: \"jane@example.com\"\n        Serial: 1\n"), "{said}");
        assert!(said.contains("Principals: \n                jane\n"), "{said}");
    }
    sts.set_issuer(|issuer| issuer.denies_ssh = true);
    assert_eq!(ask(&access, &key).0, 403);
}

#[test]
fn other_clients_are_refused_and_all_while_it_is_down() {
    let sts = start();
    assert_eq!(post(&sts, "/device", "client_id=other").0, 401);
    sts.set_issuer(|issuer| issuer.is_down = true);
    assert_eq!(post(&sts, "/device", "client_id=credmount").0, 503);
}
