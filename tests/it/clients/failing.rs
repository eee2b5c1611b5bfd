//! What clients say of a role that cannot be had. The worst would be silence: a client that goes on
//! to the role of the machine.

use super::rig::{BROKEN, Client, REASON, Rig, Temptation, run, told};
use crate::support::Scene;

/// The client must fail, tell `reason`, and not ask the endpoint of the container for other keys;
/// the other roles of the same files must work.
#[track_caller]
fn check(client: Client, profile: &str, reason: &str) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let temptation = Temptation::start(&scene.emulator);
    let command = || {
        let mut command = rig.by_variables(client)?;
        command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &temptation.url);
        Some(command)
    };
    let Some(mut broken) = command() else { return };
    let output = run(broken.env("AWS_PROFILE", profile));
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(reason), "{said}");
    assert_eq!(rig.identity_calls().len(), 0, "no call was signed with other keys");
    assert_eq!(temptation.asked(), 0, "no other keys were asked for");

    let Some(mut works) = command() else { return };
    rig.expect_identity(works.env("AWS_PROFILE", "dev"), "dev");
}

#[test]
fn boto3_tells_why_a_role_is_denied() {
    check(Client::Boto3, BROKEN, REASON);
}

#[test]
fn the_cli_tells_why_a_role_is_denied() {
    check(Client::Cli, BROKEN, REASON);
}

#[test]
fn rust_tells_why_a_role_is_denied() {
    check(Client::Rust, BROKEN, REASON);
}

#[test]
fn boto3_tells_why_a_live_role_is_denied() {
    check(Client::Boto3, "broken@live", REASON);
}

#[test]
fn the_cli_tells_why_a_live_role_is_denied() {
    check(Client::Cli, "broken@live", REASON);
}

#[test]
fn rust_refuses_a_live_role_that_is_denied() {
    // This SDK never shows what a process printed; the line names the process at least.
    check(Client::Rust, "broken@live", "Error retrieving credentials from external process");
}

/// This SDK tries its next source whatever a profile says, and shows no reason. With no other
/// source it fails, as README advises to arrange.
#[track_caller]
fn check_javascript(profile: &str) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let Some(mut broken) = rig.by_variables(Client::JavaScript) else { return };
    let output = run(broken.env("AWS_PROFILE", profile));
    let said = told(&output);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Could not load credentials from any providers"), "{said}");
    assert_eq!(rig.identity_calls().len(), 0, "no call was signed with other keys");

    let Some(mut works) = rig.by_variables(Client::JavaScript) else { return };
    rig.expect_identity(works.env("AWS_PROFILE", "dev"), "dev");
}

#[test]
fn javascript_has_no_keys_for_a_role_that_is_denied() {
    check_javascript(BROKEN);
}

#[test]
fn javascript_has_no_keys_for_a_live_role_that_is_denied() {
    check_javascript("broken@live");
}
