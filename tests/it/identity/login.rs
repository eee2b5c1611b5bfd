//! Logins at an issuer by the device authorization grant: keys that follow, and every refusal on the
//! way.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::emulator::{Decision, RoleRules, WebIdentityTrust};
use crate::support::daemon::arn;
use crate::support::{Daemon, Scene, eventually, ini_value, wait_for};

/// A configuration whose role `prod` is assumed in the name of whoever is logged in as `corp`.
fn configured(scene: &Scene, kind: &str) -> String {
    let issuer = scene.emulator.issuer();
    let trust = WebIdentityTrust {
        issuer: Some(issuer.clone()),
        subject: Some("jane".to_owned()),
        ..WebIdentityTrust::default()
    };
    scene.emulator.set_role("prod", RoleRules { web_identity: Some(trust), ..Default::default() });
    let file = scene.path("config.toml");
    let text = format!(
        "region = \"eu-west-1\"\n[identities.corp]\ntype = \"{kind}\"\nissuer = \"{issuer}\"\n\
         client_id = \"credmount\"\n[roles.prod]\nrole_arn = \"{}\"\nidentity = \"corp\"\n",
        arn("prod")
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

pub(crate) fn mounted<'a>(scene: &'a Scene, kind: &str, args: &[&str]) -> Daemon<'a> {
    let config = configured(scene, kind);
    scene.mount(&[&["--config", &config][..], args].concat())
}

/// `credmount login corp`, which waits for the person.
fn login(scene: &Scene) -> Child {
    let mut command = scene.credmount(&["login", "corp"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn user_code(scene: &Scene) -> String {
    wait_for("a user code", || scene.emulator.login_codes().pop())
}

/// Logs in and returns what the command printed.
pub(crate) fn logged_in(scene: &Scene) -> String {
    let child = login(scene);
    let code = user_code(scene);
    assert!(scene.emulator.decide_login(&code, Decision::Approve));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn key(daemon: &Daemon<'_>) -> Option<String> {
    let key = ini_value(&daemon.credentials(), "prod", "aws_access_key_id")?;
    key.starts_with("ASIA").then_some(key)
}

pub(crate) fn cause(daemon: &Daemon<'_>) -> String {
    daemon.status()["roles"][0]["last_cause"].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn has_keys(daemon: &Daemon<'_>) {
    eventually("keys", || key(daemon).is_some());
}

#[test]
fn a_login_gives_keys_and_the_code_is_shown_before() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "vouch", &[]);
    assert!(daemon.credentials().contains("nobody is signed in"), "{}", daemon.credentials());
    assert_eq!(cause(&daemon), "LoginNeeded");
    assert_eq!(daemon.status()["roles"][0]["identity"], "corp");
    let told = logged_in(&scene);
    assert!(told.contains("/oidc/verify?user_code="), "{told}");
    assert!(told.ends_with("logged in: corp\n"), "{told}");
    has_keys(&daemon);
    let calls = scene.emulator.calls();
    let actions: Vec<_> = calls.iter().map(|call| call.action.as_str()).collect();
    // The second is asked for the time, once.
    assert_eq!(actions, ["AssumeRoleWithWebIdentity", "GetCallerIdentity"]);
    // Each renewal asks the issuer for a token of its own.
    let before = scene.emulator.issuer_calls("/v1/credentials/aws/token");
    daemon.refresh();
    assert_eq!(scene.emulator.issuer_calls("/v1/credentials/aws/token"), before + 1);
}

#[test]
fn without_a_token_url_the_id_token_of_the_login_is_sent() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "oidc-device", &[]);
    logged_in(&scene);
    has_keys(&daemon);
    assert_eq!(scene.emulator.issuer_calls("/v1/credentials/aws/token"), 0);
}

#[test]
fn a_second_login_joins_the_one_under_way() {
    let Some(scene) = Scene::mountable() else { return };
    let _daemon = mounted(&scene, "vouch", &[]);
    let first = login(&scene);
    let code = user_code(&scene);
    let mut second = login(&scene);
    // It shows the same code, and waits.
    let mut told = BufReader::new(second.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains(&code) {
        line.clear();
        assert_ne!(told.read_line(&mut line).unwrap(), 0, "it ended without the code");
    }
    assert_eq!(scene.emulator.login_codes(), std::slice::from_ref(&code));
    assert!(scene.emulator.decide_login(&code, Decision::Approve));
    for child in [first, second] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(scene.emulator.issuer_calls("/device"), 1);
}

#[test]
fn a_denied_login_says_so_and_another_heals() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "vouch", &[]);
    let child = login(&scene);
    assert!(scene.emulator.decide_login(&user_code(&scene), Decision::Deny));
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the login was denied"), "{told}");
    assert_eq!(cause(&daemon), "LoginNeeded");
}

#[test]
fn a_code_that_is_too_old_says_so() {
    let Some(scene) = Scene::mountable() else { return };
    let _daemon = mounted(&scene, "vouch", &[]);
    let child = login(&scene);
    user_code(&scene);
    scene.emulator.expire_login_codes();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("the code has expired"), "{told}");
}

#[test]
fn an_issuer_that_asks_for_slower_polls_is_obeyed() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "vouch", &[]);
    scene.emulator.slow_logins_down(1);
    logged_in(&scene);
    has_keys(&daemon);
    // The emulator tells whoever comes too early to slow down once more.
    assert_eq!(scene.emulator.issuer_calls("/token"), 2);
}

#[test]
fn an_access_token_that_was_taken_back_is_renewed() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "vouch", &[]);
    logged_in(&scene);
    has_keys(&daemon);
    scene.emulator.revoke_logins(false);
    let before = key(&daemon);
    daemon.refresh();
    assert_ne!(key(&daemon), before);
    assert_eq!(cause(&daemon), "");
}

#[test]
fn a_login_that_ends_leaves_valid_keys_and_then_asks_for_another() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(8)));
    let daemon = mounted(&scene, "vouch", &[]);
    logged_in(&scene);
    has_keys(&daemon);
    let last = key(&daemon);
    scene.emulator.revoke_logins(true);
    eventually("the renewal to fail", || cause(&daemon) == "LoginNeeded");
    assert!(last.is_some());
    eventually("the keys to end", || daemon.credentials().contains("nobody is signed in"));
    scene.emulator.set_session_lifetime(None);
    logged_in(&scene);
    has_keys(&daemon);
}

#[test]
fn an_issuer_that_is_down_ends_no_login() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mounted(&scene, "vouch", &[]);
    logged_in(&scene);
    has_keys(&daemon);
    let before = key(&daemon);
    scene.emulator.set_issuer(|issuer| issuer.is_down = true);
    let output = scene.run(&["refresh", daemon.argument()]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("HTTP status 503"), "{told}");
    assert_eq!(key(&daemon), before, "valid keys are served meanwhile");
    assert_eq!(cause(&daemon), "TokenSourceFailed");
    scene.emulator.set_issuer(|issuer| issuer.is_down = false);
    daemon.refresh();
    assert_ne!(key(&daemon), before);
}

#[test]
fn a_name_that_nobody_serves_is_told() {
    let scene = Scene::new();
    let output = scene.run(&["login", "corp"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
