//! Programs that run longer than a session lives.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use super::rig::{Client, Rig, run, told};
use crate::support::Scene;

/// Sessions are cut to whole seconds, so these live 8 to 9 s; an open serves at least a third.
pub(super) const LIFETIME: Duration = Duration::from_secs(9);

/// One process with one client outlives three sessions that it used, and no call of it fails.
#[track_caller]
fn check_live(client: Client) {
    let scene = Scene::new();
    scene.emulator.set_session_lifetime(Some(LIFETIME));
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let Some(mut command) = rig.by_variables(client) else { return };
    outlives_three_sessions(&rig, command.env("AWS_PROFILE", "prod@live"));
}

/// Runs a client that is to live so long, and no call of which may fail.
#[track_caller]
pub(super) fn outlives_three_sessions(rig: &Rig<'_>, command: &mut Command) {
    let output = run(command.arg("32"));
    assert!(output.status.success(), "{}\n{}", told(&output), rig.daemon.log());

    let calls = rig.identity_calls();
    let refused: Vec<_> =
        calls.iter().filter(|call| call.result.as_deref() != Some("OK")).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let used: HashSet<_> = calls.into_iter().filter_map(|call| call.caller_access_key_id).collect();
    let now = rig.scene.emulator.now();
    let sessions = rig.scene.emulator.issued_sessions();
    let outlived = sessions
        .iter()
        .filter(|session| session.expiration <= now && used.contains(&session.access_key_id))
        .count();
    assert!(outlived >= 3, "{outlived} sessions were used and outlived");
}

#[test]
fn boto3_outlives_three_sessions() {
    check_live(Client::Boto3);
}

#[test]
fn javascript_outlives_three_sessions() {
    check_live(Client::JavaScript);
}

#[test]
fn rust_outlives_three_sessions() {
    check_live(Client::Rust);
}

/// The reason for `NAME@live`: keys read once die with their session, while a new process has new
/// ones.
#[track_caller]
fn check_static(client: Client) {
    let scene = Scene::new();
    scene.emulator.set_session_lifetime(Some(LIFETIME));
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let command = |seconds: &str| {
        let mut command = rig.by_variables(client)?;
        command.env("AWS_PROFILE", "prod").arg(seconds);
        Some(command)
    };
    let Some(mut long) = command("20") else { return };
    let output = run(&mut long);
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("ExpiredToken"), "{said}");
    let Some(mut short) = command("0") else { return };
    rig.expect_identity(&mut short, "prod");
}

#[test]
fn boto3_keeps_static_keys_until_they_expire() {
    check_static(Client::Boto3);
}

#[test]
fn javascript_keeps_static_keys_until_they_expire() {
    check_static(Client::JavaScript);
}
