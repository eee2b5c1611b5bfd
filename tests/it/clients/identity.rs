//! Each client finds its keys, by each name and in each way that it looks for them.

use std::process::Command;

use super::rig::{Client, ELSEWHERE, Rig, run, told, variables};
use crate::support::Scene;
use crate::support::namespace::{in_mount_namespace, namespaces_available};

/// The default profile, a named one and its live form, all by the variables of the SDKs.
#[track_caller]
fn check(client: Client) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    for (profile, role) in [
        (None, "prod"),
        (Some("dev"), "dev"),
        (Some("prod@live"), "prod"),
        (Some("dev@live"), "dev"),
    ] {
        let Some(mut command) = rig.by_variables(client) else { return };
        match (client, profile) {
            (Client::Cli, Some(profile)) => command.args(["--profile", profile]),
            (_, Some(profile)) => command.env("AWS_PROFILE", profile),
            (_, None) => &mut command,
        };
        rig.expect_identity(&mut command, role);
    }
}

#[test]
fn boto3_finds_default_named_and_live_profiles() {
    check(Client::Boto3);
}

#[test]
fn the_cli_finds_default_named_and_live_profiles() {
    check(Client::Cli);
}

#[test]
fn javascript_finds_default_named_and_live_profiles() {
    check(Client::JavaScript);
}

#[test]
fn rust_finds_default_named_and_live_profiles() {
    check(Client::Rust);
}

/// Mounted at `~/.aws`, without any variable.
#[track_caller]
fn check_at_home(client: Client) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    for profile in ["default", "prod@live"] {
        let Some(mut command) = rig.at_home(client) else { return };
        rig.expect_identity(command.env("AWS_PROFILE", profile), "prod");
    }
}

#[test]
fn boto3_finds_a_mount_at_home() {
    check_at_home(Client::Boto3);
}

#[test]
fn the_cli_finds_a_mount_at_home() {
    check_at_home(Client::Cli);
}

#[test]
fn javascript_finds_a_mount_at_home() {
    check_at_home(Client::JavaScript);
}

#[test]
fn rust_finds_a_mount_at_home() {
    check_at_home(Client::Rust);
}

/// A client in a mount namespace of its own, as in a container, where the mount is bound to another
/// directory: the live profile must name the path that exists there.
#[track_caller]
fn check_bound(client: Client) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let Some(mut inner) = rig.client(client, ELSEWHERE) else { return };
    inner.env("AWS_PROFILE", "prod@live");
    if !namespaces_available(&scene) {
        return;
    }
    let mut hidden = Command::new("sh");
    hidden
        // Leaves the bound directory alone in sight. Ordinary users may not take away what was
        // there before their namespace; for them both are.
        .args(["-c", r#"umount -l "$0"; exec "$@""#])
        .arg(&rig.daemon.mountpoint)
        .arg(inner.get_program())
        .args(inner.get_args());
    let bound = scene.path(ELSEWHERE).join(".aws");
    let binds = [(rig.daemon.mountpoint.clone(), bound)];
    let mut outer = in_mount_namespace(&scene, &binds, &hidden);
    outer.env_clear().envs(variables(&mut inner));
    rig.expect_identity(&mut outer, "prod");
}

#[test]
fn boto3_finds_a_mount_bound_elsewhere() {
    check_bound(Client::Boto3);
}

#[test]
fn the_cli_finds_a_mount_bound_elsewhere() {
    check_bound(Client::Cli);
}

#[test]
fn javascript_finds_a_mount_bound_elsewhere() {
    check_bound(Client::JavaScript);
}

#[test]
fn rust_finds_a_mount_bound_elsewhere() {
    check_bound(Client::Rust);
}

/// With `--live-only` plain names are live, and no static keys are there to be frozen.
#[track_caller]
fn check_live_only(client: Client) {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &["--live-only"]) else { return };
    for (profile, role) in [("default", "prod"), ("dev", "dev")] {
        let Some(mut command) = rig.by_variables(client) else { return };
        rig.expect_identity(command.env("AWS_PROFILE", profile), role);
    }
}

#[test]
fn boto3_finds_live_only_profiles() {
    check_live_only(Client::Boto3);
}

#[test]
fn the_cli_finds_live_only_profiles() {
    check_live_only(Client::Cli);
}

#[test]
fn javascript_finds_live_only_profiles() {
    check_live_only(Client::JavaScript);
}

#[test]
fn rust_finds_live_only_profiles() {
    check_live_only(Client::Rust);
}

#[test]
fn the_cli_tells_where_its_keys_come_from() {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    for (profile, source) in [("dev", "shared-credentials-file"), ("dev@live", "custom-process")] {
        let Some(command) = rig.at_home(Client::Cli) else { return };
        let list = ["configure", "list", "--profile", profile];
        let output = run(&mut Client::cli(command, &list));
        let told = told(&output);
        assert!(output.status.success() && told.contains(source), "{told}");
        assert!(told.contains("eu-west-1"), "{told}");
    }
}

#[test]
fn the_cli_cannot_write_into_the_mount() {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let Some(command) = rig.at_home(Client::Cli) else { return };
    let output = run(&mut Client::cli(command, &["configure", "set", "region", "eu-west-2"]));
    let told = told(&output);
    assert!(!output.status.success() && told.contains("Read-only file system"), "{told}");
}

/// The chain of boto3 as its guides show it: the region comes from `config`, the keys from the
/// mount, and a provider that the program adds for itself is left in peace.
#[test]
fn boto3_works_unchanged_beside_a_provider_of_its_own() {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    for (profile, role, method) in [
        ("default", "prod", "shared-credentials-file"),
        ("dev", "dev", "shared-credentials-file"),
        ("prod@live", "prod", "custom-process"),
    ] {
        let Some(mut command) = rig.at_home(Client::Boto3Page) else { return };
        command.env("AWS_PROFILE", profile);
        rig.expect_identity(&mut command, role);
        let told = told(&run(&mut command));
        for line in ["region eu-west-1", "endpoint region eu-west-1", &format!("method {method}")] {
            assert!(told.lines().any(|found| found == line), "{line}: {told}");
        }
        assert!(!told.contains("own provider was asked"), "{told}");
        let signed = rig.identity_calls().pop().expect("a call").region;
        assert_eq!(signed.as_deref(), Some("eu-west-1"));
    }
    let Some(cli) = rig.at_home(Client::Cli) else { return };
    rig.expect_identity(&mut Client::cli(cli, &["sts", "get-caller-identity"]), "prod");
}

/// A role that cannot be had does not make boto3 go on to the next provider of the chain.
#[test]
fn boto3_does_not_go_on_along_its_chain_when_a_role_fails() {
    let scene = Scene::new();
    let Some(rig) = Rig::start(&scene, &[]) else { return };
    let Some(mut command) = rig.at_home(Client::Boto3Page) else { return };
    let output = run(command.env("AWS_PROFILE", "broken"));
    let told = told(&output);
    assert!(!output.status.success() && told.contains(super::rig::REASON), "{told}");
    assert!(!told.contains("own provider was asked"), "{told}");
}
