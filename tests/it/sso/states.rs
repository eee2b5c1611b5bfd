//! What readers and operators see of a sign-in: while it lasts, when it ends, and afterwards.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::*;
use crate::emulator::{Fault, RoleRules};
use crate::support::eventually;

const NEEDED: &str = "nobody is signed in";

fn cause(daemon: &Daemon<'_>) -> Option<String> {
    daemon.status()["roles"][0]["last_cause"].as_str().map(str::to_owned)
}

#[test]
fn a_profile_that_signs_in_is_served_live_and_renewed() {
    let Some(scene) = signed_in(true) else { return };
    scene.emulator.set_session_lifetime(Some(SHORT));
    let daemon = scene.mount(&["--role", "dev"]);
    let arn = served(&scene, &daemon, "dev");
    assert!(arn.contains(":assumed-role/AWSReservedSSO_Admin_"), "{arn}");
    assert!(ini_value(&daemon.credentials(), "dev", "x_security_token_expires").is_some());
    let first = key(&daemon, "dev");
    eventually("another key", || key(&daemon, "dev") != first);
}

#[test]
fn a_role_is_assumed_with_what_a_sign_in_gives() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "behind"]);
    let arn = served(&scene, &daemon, "behind");
    assert!(arn.contains(":assumed-role/behind/"), "{arn}");
}

#[test]
fn a_profile_with_a_start_url_of_its_own_is_served() {
    let Some(scene) = Scene::mountable() else { return };
    write_profiles(&scene);
    write_sign_in(&scene, LEGACY, &scene.emulator.sign_in(), false);
    let daemon = scene.mount(&["--role", "legacy"]);
    served(&scene, &daemon, "legacy");
}

#[test]
fn the_standard_chain_comes_to_the_profile_of_a_sign_in() {
    let Some(scene) = signed_in(true) else { return };
    let output = scene
        .credmount(&["render", "--role", &crate::support::arn("prod"), "--region", "eu-west-1"])
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_PROFILE", "dev")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(portal_calls(&scene), 1);
}

#[test]
fn a_token_about_to_end_is_exchanged_and_the_next_one_written_for_all() {
    let Some(scene) = Scene::mountable() else { return };
    write_profiles(&scene);
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_mins(4));
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_hours(1));
    let before = fs::read_to_string(cache_file(&scene, CORP)).unwrap();
    let daemon = scene.mount(&["--role", "dev", "--role", "behind"]);
    served(&scene, &daemon, "dev");
    served(&scene, &daemon, "behind");
    assert_eq!(scene.emulator.action_count("CreateToken"), 1, "one exchange for both");
    let after = fs::read_to_string(cache_file(&scene, CORP)).unwrap();
    let token = |text: &str, name: &str| -> String {
        let json: Value = serde_json::from_str(text).unwrap();
        json[name].as_str().unwrap().to_owned()
    };
    for name in ["accessToken", "refreshToken", "expiresAt"] {
        assert_ne!(token(&before, name), token(&after, name), "{name}");
    }
    for name in ["startUrl", "region", "clientId", "clientSecret", "registrationExpiresAt"] {
        assert_eq!(token(&before, name), token(&after, name), "{name}");
    }
}

#[test]
fn a_daemon_that_ends_during_an_exchange_writes_the_next_token_first() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "dev"]);
    scene.emulator.set_sso(|sso| sso.access_token_lifetime = Duration::from_mins(4));
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    let token = || fs::read_to_string(cache_file(&scene, CORP)).unwrap();
    let before = token();
    scene.emulator.set_fault(Fault::Slow { delay_ms: 1500 }.for_action("CreateToken"));
    let mut refresh = scene.credmount(&["refresh"]).spawn().unwrap();
    eventually("the exchange to begin", || scene.emulator.action_count("CreateToken") == 1);
    daemon.signal(Signal::TERM);
    eventually("the token of the exchange", || token() != before);
    // Whether it was still answered does not matter.
    refresh.wait().unwrap();
}

#[test]
fn a_daemon_that_starts_before_anybody_has_signed_in_waits_for_it() {
    let Some(scene) = Scene::mountable() else { return };
    write_profiles(&scene);
    let third = format!("third={}", crate::support::arn("third"));
    let roles = ["--role", "dev", "--role", "behind", "--role", &third, "--source-profile", "dev"];
    let daemon = scene.mount(&roles);
    assert!(daemon.credentials().contains(NEEDED), "{}", daemon.credentials());
    assert_eq!(portal_calls(&scene), 0, "there is nothing to ask with");
    // Roles that have failed five times in a row are not tried again by themselves for minutes.
    for _ in 0..4 {
        assert_eq!(scene.run(&["refresh"]).status.code(), Some(1));
    }
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    let served = |role: &str| key(&daemon, role).is_some();
    eventually("all keys", || ["dev", "behind", "third"].into_iter().all(served));
}

#[test]
fn a_login_that_ends_in_the_middle_is_a_state_and_no_storm() {
    let Some(scene) = signed_in(true) else { return };
    scene.emulator.set_session_lifetime(Some(SHORT));
    let daemon = scene.mount(&["--role", "dev"]);
    scene.emulator.revoke_refresh_tokens();
    scene.emulator.expire_access_tokens();
    eventually("the login to be needed", || cause(&daemon).as_deref() == Some("LoginNeeded"));
    let valid = key(&daemon, "dev");
    let calls = scene.emulator.calls().len();
    // Keys that are still good are served until they are not; then readers are told.
    assert!(valid.is_some() || daemon.status()["roles"][0]["remaining_seconds"] == 0);
    eventually("the loud profile", || daemon.credentials().contains(NEEDED));
    let error = fs::read_to_string(daemon.file("credmount/errors/dev")).unwrap();
    assert!(error.contains(NEEDED) && error.contains("credmount login dev"), "{error}");
    let status = daemon.status();
    let role = &status["roles"][0];
    assert_eq!((&role["state"], &role["source_profile"]), (&"failing".into(), &"dev".into()));
    assert!(role["last_error"].as_str().unwrap().ends_with("run credmount login dev"), "{role}");
    for _ in 0..20 {
        daemon.credentials();
    }
    // A command may ask again; it costs no call either.
    assert_eq!(scene.run(&["refresh"]).status.code(), Some(1));
    assert_eq!(scene.emulator.calls().len(), calls, "nobody is asked with a dead token");
    let log = daemon.log();
    assert_eq!(log.matches("a login is needed").count(), 1, "{log}");
    assert!(!log.contains("no session"), "{log}");

    scene.emulator.set_session_lifetime(None);
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    eventually("keys again", || key(&daemon, "dev").is_some());
    assert_eq!(cause(&daemon), None);
    assert!(daemon.log().contains("signed in again"));
}

#[test]
fn a_token_that_the_portal_refuses_is_exchanged_before_a_login_is_needed() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "dev"]);
    let first = key(&daemon, "dev");
    scene.emulator.expire_access_tokens();
    daemon.refresh();
    assert_ne!(key(&daemon, "dev"), first);
    assert_eq!(scene.emulator.action_count("CreateToken"), 1);
}

#[test]
fn another_program_may_be_quicker_with_a_refresh_token() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "dev"]);
    scene.emulator.expire_access_tokens();
    scene.emulator.revoke_refresh_tokens();
    scene.emulator.set_fault(Fault::Hang.for_action("CreateToken"));
    let refresh = scene.credmount(&["refresh"]).spawn().unwrap();
    eventually("the exchange to begin", || scene.emulator.action_count("CreateToken") == 1);
    // What the other one has got for it.
    write_sign_in(&scene, CORP, &scene.emulator.sign_in(), true);
    scene.emulator.clear_faults();
    let refreshed = refresh.wait_with_output().unwrap();
    assert!(refreshed.status.success(), "{}", daemon.log());
    assert!(!daemon.log().contains("a login is needed"));
}

#[test]
fn a_role_that_is_not_given_is_told_from_a_login_that_is_needed() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "dev"]);
    let rules = RoleRules { is_deleted: true, ..RoleRules::default() };
    scene.emulator.set_role("Admin", rules);
    assert_eq!(scene.run(&["refresh"]).status.code(), Some(1));
    assert_eq!(cause(&daemon).as_deref(), Some("NotAssigned"));
    let status = daemon.status();
    let error = status["roles"][0]["last_error"].as_str().unwrap().to_owned();
    assert!(error.contains("role Admin of account 123456789012"), "{error}");
    assert!(key(&daemon, "dev").is_some(), "what is valid is served");
}

#[test]
fn trouble_of_the_portal_passes_by_itself() {
    let Some(scene) = signed_in(true) else { return };
    let daemon = scene.mount(&["--role", "dev"]);
    let cases = [
        (Fault::Throttle, "Throttled"),
        (Fault::ServerError { status: 503 }, "ServiceUnavailable"),
    ];
    for (fault, expected) in cases {
        scene.emulator.set_fault(fault.for_action("GetRoleCredentials"));
        assert_eq!(scene.run(&["refresh"]).status.code(), Some(1));
        assert_eq!(cause(&daemon).as_deref(), Some(expected));
        let status = daemon.status();
        let error = status["roles"][0]["last_error"].as_str().unwrap().to_owned();
        assert!(error.contains("portal of IAM Identity Center in eu-west-1"), "{error}");
        scene.emulator.clear_faults();
        daemon.refresh();
    }
}

#[test]
fn a_sign_in_is_neither_read_nor_written_through_a_mount_of_ours() {
    let Some(scene) = signed_in(true) else { return };
    // A mount in whose writable directories the sign-in would be.
    let (aws, config) = (scene.path("home/.aws"), scene.path("config"));
    fs::rename(aws.join("config"), &config).unwrap();
    fs::rename(&aws, scene.path("aws")).unwrap();
    let run = |args: &[&str]| {
        let mut command = scene.credmount(args);
        command.env("AWS_CONFIG_FILE", &config);
        command.env("AWS_SHARED_CREDENTIALS_FILE", scene.path("none"));
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    let told = run(&["--role", "dev", "--background", aws.to_str().unwrap()]);
    let refreshed = run(&["refresh"]);
    let signed_in = run(&["login", "dev"]);
    run(&["unmount", aws.to_str().unwrap()]);
    for words in [&refreshed, &signed_in] {
        assert!(words.contains("is inside the mount"), "{told}{words}");
    }
    assert_eq!(scene.emulator.calls().len(), 0);
}
