//! Roles assumed with a web identity token: from a file, from a command; with no keys anywhere.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::emulator::{RoleRules, WebIdentityTrust, jwt};
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, ini_value};

const AUDIENCE: &str = "sts.amazonaws.com";

/// A token for `subject` that ends so many seconds from now.
fn token(scene: &Scene, subject: &str, seconds: i64) -> String {
    let now = scene.emulator.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let exp = now.saturating_add_signed(seconds);
    jwt(&json!({ "iss": "https://idp.example", "aud": AUDIENCE, "sub": subject, "exp": exp }))
}

/// A configuration with these lines in the role `prod`, of which the trust policy wants `pod`.
fn configured(scene: &Scene, lines: &str) -> String {
    let trust = WebIdentityTrust {
        issuer: Some("https://idp.example".to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        subject: Some("pod".to_owned()),
    };
    scene.emulator.set_role("prod", RoleRules { web_identity: Some(trust), ..Default::default() });
    let file = scene.path("config.toml");
    let role = arn("prod");
    let text = format!("region = \"eu-west-1\"\n[roles.prod]\nrole_arn = \"{role}\"\n{lines}\n");
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn token_file(scene: &Scene, token: &str) -> PathBuf {
    let path = scene.path("token");
    // In one step, as the kubelet does.
    let unfinished = scene.path("token.tmp");
    fs::write(&unfinished, token).unwrap();
    fs::rename(unfinished, &path).unwrap();
    path
}

fn key(text: &str) -> Option<String> {
    ini_value(text, "prod", "aws_access_key_id")
}

/// `credmount ARGS` without any key in its environment.
fn without_keys(scene: &Scene, args: &[&str]) -> Command {
    let mut command = scene.credmount(args);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command
}

/// What the only role fails with; empty if it does not.
fn failure(status: &Value) -> &str {
    let role = &status["roles"][0];
    if role["state"] == "failing" { role["last_error"].as_str().unwrap_or_default() } else { "" }
}

#[test]
fn a_token_file_gives_keys_with_no_other_credentials_anywhere() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &(token(&scene, "pod", 600) + "\n"));
    let line =
        format!("web_identity_token_file = \"{}\"\nsession_duration = \"12h\"", file.display());
    let config = configured(&scene, &line);
    let metadata = TcpListener::bind("127.0.0.1:0").unwrap();
    metadata.set_nonblocking(true).unwrap();
    let mountpoint = scene.path("live");
    let args = ["--config", &config, "--background", mountpoint.to_str().unwrap()];
    let mounted = without_keys(&scene, &args)
        .env_remove("AWS_EC2_METADATA_DISABLED")
        .env(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            format!("http://{}", metadata.local_addr().unwrap()),
        )
        .output()
        .unwrap();
    let text = fs::read_to_string(mountpoint.join("credentials"));
    let unmounted = scene.run(&["unmount", mountpoint.to_str().unwrap()]);
    assert!(mounted.status.success() && unmounted.status.success(), "{mounted:?} {unmounted:?}");
    let calls = scene.emulator.calls();
    let [call, time] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(time.action, "GetCallerIdentity", "only signed calls tell the time of AWS");
    assert_eq!(time.caller_access_key_id, call.issued_access_key_id);
    assert_eq!(call.action, "AssumeRoleWithWebIdentity");
    assert_eq!(call.caller_access_key_id, None, "it is not signed");
    assert_eq!(call.duration_seconds.as_deref(), Some("43200"));
    assert_eq!(key(&text.unwrap()), call.issued_access_key_id);
    let asked = metadata.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock), "no metadata service was asked");
}

#[test]
fn a_token_that_was_rotated_is_sent_with_the_next_call() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &token(&scene, "pod", 600));
    let line = format!("web_identity_token_file = \"{}\"", file.display());
    let daemon = scene.mount(&["--config", &configured(&scene, &line)]);
    let first = key(&daemon.credentials()).unwrap();
    // The trust policy knows the other token only.
    token_file(&scene, &token(&scene, "successor", 600));
    let trust = WebIdentityTrust { subject: Some("successor".to_owned()), ..Default::default() };
    scene.emulator.set_role("prod", RoleRules { web_identity: Some(trust), ..Default::default() });
    daemon.refresh();
    assert_ne!(key(&daemon.credentials()).unwrap(), first);
}

#[test]
fn an_expired_token_is_told_and_a_new_one_heals() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &token(&scene, "pod", -5));
    let line = format!("web_identity_token_file = \"{}\"", file.display());
    let daemon = scene.mount(&["--config", &configured(&scene, &line)]);
    let text = daemon.credentials();
    assert!(text.contains("the web identity token is expired"), "{text}");
    assert!(failure(&daemon.status()).contains("ExpiredTokenException"), "{}", daemon.status());
    token_file(&scene, &token(&scene, "pod", 600));
    eventually("keys", || key(&daemon.credentials()).is_some_and(|key| key.starts_with("ASIA")));
}

#[test]
fn a_missing_token_file_is_told_and_heals_when_it_comes() {
    let Some(scene) = Scene::mountable() else { return };
    let line = format!("web_identity_token_file = \"{}\"", scene.path("token").display());
    let daemon = scene.mount(&["--config", &configured(&scene, &line)]);
    let text = daemon.credentials();
    assert!(text.contains("the source of the web identity token failed"), "{text}");
    assert!(failure(&daemon.status()).contains("No such file"), "{}", daemon.status());
    assert_eq!(scene.emulator.calls().len(), 0, "there was nothing to send");
    token_file(&scene, &token(&scene, "pod", 600));
    eventually("keys", || key(&daemon.credentials()).is_some_and(|key| key.starts_with("ASIA")));
}

#[test]
fn a_process_gives_a_token_for_each_call() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &token(&scene, "pod", 600));
    let runs = scene.path("runs");
    let command = format!("echo run >>{}; cat {}", runs.display(), file.display());
    let line = format!("web_identity_process = \"{command}\"");
    let daemon = scene.mount(&["--config", &configured(&scene, &line)]);
    assert!(key(&daemon.credentials()).is_some());
    daemon.refresh();
    assert_eq!(fs::read_to_string(runs).unwrap(), "run\nrun\n");
    assert_eq!(scene.emulator.call_count("AssumeRoleWithWebIdentity", "prod"), 2);
}

#[test]
fn a_token_that_the_trust_policy_does_not_want_is_denied_and_check_says_what_to_look_at() {
    let scene = Scene::new();
    let file = token_file(&scene, &token(&scene, "somebody", 600));
    let line = format!("web_identity_token_file = \"{}\"", file.display());
    let config = configured(&scene, &line);
    let output = without_keys(&scene, &["check", "--config", &config]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    for words in ["AWS denied AssumeRoleWithWebIdentity", "ISSUER:aud", "ISSUER:sub"] {
        assert!(text.contains(words), "{text}");
    }
    token_file(&scene, &token(&scene, "pod", 600));
    let output = without_keys(&scene, &["check", "--config", &config]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(":assumed-role/prod/"), "{text}");
}

#[test]
fn a_role_behind_it_is_assumed_with_its_session() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &token(&scene, "pod", 600));
    let line = format!(
        "web_identity_token_file = \"{}\"\n[roles.leaf]\nrole_arn = \"{}\"\nsource_role = \"prod\"",
        file.display(),
        arn("leaf")
    );
    let daemon = scene.mount(&["--config", &configured(&scene, &line)]);
    let text = daemon.credentials();
    let calls = scene.emulator.calls();
    let leaf = calls.iter().find(|call| call.action == "AssumeRole").unwrap();
    assert_eq!(leaf.caller_access_key_id, key(&text));
    assert_eq!(scene.emulator.call_count("AssumeRoleWithWebIdentity", "prod"), 1);
}

#[test]
fn an_aws_profile_with_a_token_file_is_assumed_with_its_own_session_name() {
    let Some(scene) = Scene::mountable() else { return };
    let file = token_file(&scene, &token(&scene, "pod", 600));
    let aws = scene.path("home/.aws");
    fs::create_dir_all(&aws).unwrap();
    let profile = format!(
        "[profile web]\nrole_arn = {}\nweb_identity_token_file = {}\nrole_session_name = pod-7\n",
        arn("web"),
        file.display()
    );
    fs::write(aws.join("config"), profile).unwrap();
    let daemon = scene.mount(&["--role", "web", "--session-duration", "2h"]);
    assert!(ini_value(&daemon.credentials(), "web", "aws_access_key_id").is_some());
    let call = &scene.emulator.calls()[0];
    assert_eq!(call.action, "AssumeRoleWithWebIdentity");
    assert_eq!(call.session_name.as_deref(), Some("pod-7"));
    assert_eq!(call.duration_seconds.as_deref(), Some("7200"));
}
