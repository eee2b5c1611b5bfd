//! Roles behind an MFA device: codes from a program, from `credmount mfa`, from a terminal, and what
//! readers are told while there is none.

mod programs;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::emulator::RoleRules;
use crate::support::daemon::arn;
use crate::support::{Daemon, Scene, eventually, ini_value};

/// The device of the emulator's base user.
pub(crate) const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

/// A scene with two roles that want MFA, which the profiles `prod` and `staging` assume.
pub(crate) fn scene() -> Option<Scene> {
    let scene = Scene::mountable()?;
    for role in ["prod", "staging"] {
        let rules = RoleRules { requires_mfa: true, ..RoleRules::default() };
        scene.emulator.set_role(role, rules);
    }
    let profile = |name: &str| {
        format!(
            "[profile {name}]\nrole_arn = {}\nsource_profile = keys\nmfa_serial = {DEVICE}\n",
            arn(name)
        )
    };
    fs::create_dir(scene.path("home/.aws")).unwrap();
    fs::write(scene.path("home/.aws/config"), profile("prod") + &profile("staging")).unwrap();
    let (id, secret) =
        (scene.emulator.base_access_key_id(), scene.emulator.base_secret_access_key());
    let keys = format!("[keys]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(scene.path("home/.aws/credentials"), keys).unwrap();
    Some(scene)
}

const BOTH: [&str; 4] = ["--role", "prod", "--role", "staging"];

/// How many sessions with MFA were asked for.
pub(crate) fn codes_sent(scene: &Scene) -> usize {
    scene.emulator.calls().iter().filter(|call| call.action == "GetSessionToken").count()
}

pub(crate) fn is_live(daemon: &Daemon<'_>, profile: &str) -> bool {
    ini_value(&daemon.credentials(), profile, "aws_access_key_id").is_some()
}

/// Gives a code that stands on the command line.
pub(crate) fn give(scene: &Scene, code: &str) -> (Option<i32>, String) {
    said(&scene.run(&["mfa", "prod", code]))
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn without_a_code_readers_are_told_the_command_and_one_code_does_for_all_roles_of_the_device() {
    let Some(scene) = scene() else { return };
    let daemon = scene.mount(&BOTH);
    for profile in ["default", "prod", "staging"] {
        let process = ini_value(&daemon.credentials(), profile, "credential_process").unwrap();
        let expected = format!(
            "credmount: profile {profile} has no keys: an MFA code is needed, run credmount mfa \
             {profile}"
        );
        assert!(process.contains(&expected), "{process}");
    }
    let role = &daemon.status()["roles"][0];
    assert_eq!(role["state"], "failing");
    assert_eq!(role["mfa"]["device"], DEVICE);
    assert_eq!(role["mfa"]["command"], "credmount mfa prod");
    assert!(role["mfa"]["expires"].is_null());
    let (_, text) = said(&scene.run(&["status"]));
    assert!(text.contains("; a code is needed: credmount mfa staging"), "{text}");
    assert!(scene.emulator.calls().is_empty(), "AWS is not asked without a code");

    let (status, text) = give(&scene, &scene.emulator.mfa_code(DEVICE));
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("prod, staging: session until 20"), "{text}");
    assert!(is_live(&daemon, "prod") && is_live(&daemon, "staging") && is_live(&daemon, "default"));
    assert_eq!(codes_sent(&scene), 1);
    let calls = scene.emulator.calls();
    let asked = calls.iter().find(|call| call.action == "GetSessionToken").unwrap();
    assert_eq!(asked.duration_seconds.as_deref(), Some("129600"));
    assert_eq!(calls.len(), 3);
    let role = &daemon.status()["roles"][0];
    assert!(role["mfa"]["command"].is_null() && role["mfa"]["expires"].is_string(), "{role}");

    daemon.refresh();
    assert_eq!(codes_sent(&scene), 1, "roles are renewed without another code");
}

#[test]
fn a_wrong_code_and_a_replayed_code_are_told_apart_from_other_failures_and_the_next_one_works() {
    let Some(scene) = scene() else { return };
    let daemon = scene.mount(&BOTH);
    let code = scene.emulator.mfa_code(DEVICE);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let (status, text) = give(&scene, wrong);
    assert_eq!(status, Some(1));
    assert!(text.contains("AWS did not accept the MFA code") && text.contains("wait for the next"));
    assert!(!text.contains(wrong), "{text}");
    let role = &daemon.status()["roles"][0];
    assert_eq!(role["mfa"]["command"], "credmount mfa prod", "{role}");
    assert!(daemon.credentials().contains("run credmount mfa prod"));
    assert_eq!(give(&scene, wrong).0, Some(1), "a code is used once");
    assert_eq!(codes_sent(&scene), 1, "AWS is not asked again with a code known to be used");

    assert_eq!(give(&scene, &code).0, Some(0));
    assert!(is_live(&daemon, "prod"));
    // As somebody else may have used a code a moment before.
    let replayed = give(&scene, &code);
    assert_eq!(replayed.0, Some(1), "{replayed:?}");
    assert!(is_live(&daemon, "prod"), "a session that is held is kept");
}

#[test]
fn a_code_is_read_from_stdin_and_the_role_may_be_left_out() {
    let Some(scene) = scene() else { return };
    let daemon = scene.mount(&BOTH);
    let mut command = scene.credmount(&["mfa"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let code = scene.emulator.mfa_code(DEVICE);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{code}\n").as_bytes())
        .unwrap();
    let (status, text) = said(&child.wait_with_output().unwrap());
    assert_eq!(status, Some(0), "{text}");
    assert!(is_live(&daemon, "staging"));

    let (status, text) = said(&scene.run(&["mfa"]));
    assert_eq!((status, text.contains("no role needs an MFA code now")), (Some(1), true), "{text}");
    let (status, text) = said(&scene.run(&["mfa", "nobody", &code]));
    assert_eq!(
        (status, text.contains("no daemon serves a role nobody")),
        (Some(1), true),
        "{text}"
    );
    let (status, text) = said(&scene.run(&["mfa", "prod", "hunter2"]));
    assert_eq!((status, text.contains("hunter2")), (Some(2), false), "{text}");
}

#[test]
fn a_session_with_mfa_that_ends_leaves_valid_keys_to_their_end() {
    let Some(scene) = scene() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(8)));
    let daemon = scene.mount(&["--role", "prod"]);
    assert_eq!(give(&scene, &scene.emulator.mfa_code(DEVICE)).0, Some(0));
    // Longer than the session with MFA, of which this is made.
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(12)));
    daemon.refresh();
    eventually("a code to be needed", || {
        let role = daemon.status()["roles"][0].clone();
        assert!(role["state"] == "live" || role["remaining_seconds"] == 0, "{role}");
        role["mfa"]["command"].is_string()
    });
    eventually("the keys to end", || daemon.credentials().contains("an MFA code is needed"));
    assert_eq!(give(&scene, &scene.emulator.mfa_code(DEVICE)).0, Some(0));
    assert!(is_live(&daemon, "prod"));
}

#[test]
fn a_profile_of_keys_with_a_device_is_served_as_its_session_with_mfa() {
    let Some(scene) = scene() else { return };
    let config = scene.path("home/.aws/config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text + &format!("[profile keys]\nmfa_serial = {DEVICE}\n")).unwrap();
    let daemon = scene.mount(&["--role", "keys", "--role", "prod"]);
    assert!(daemon.credentials().contains("run credmount mfa keys"));
    let (status, text) = give(&scene, &scene.emulator.mfa_code(DEVICE));
    assert_eq!(status, Some(0), "{text}");
    let key = ini_value(&daemon.credentials(), "keys", "aws_access_key_id").unwrap();
    let session = scene.emulator.session(&key).unwrap();
    assert_eq!(session.arn, "arn:aws:iam::123456789012:user/dev");
    assert!(is_live(&daemon, "prod"));
    assert_eq!(codes_sent(&scene), 1);
}

#[test]
fn keys_that_are_a_session_already_are_told_before_a_code_is_asked_for() {
    let Some(scene) = scene() else { return };
    let credentials = scene.path("home/.aws/credentials");
    let text = fs::read_to_string(&credentials).unwrap();
    fs::write(&credentials, text + "aws_session_token = x\n").unwrap();
    let (status, text) = said(&scene.run(&["check", "--json", "--role", "prod"]));
    assert_eq!(status, Some(1));
    assert!(text.contains("for the keys of an IAM user only, and profile keys are"), "{text}");
    assert!(scene.emulator.calls().is_empty());
}

/// A file of the scene.
fn file(scene: &Scene, name: &str, text: &str) -> PathBuf {
    let path = scene.path(name);
    fs::write(&path, text).unwrap();
    path
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
