//! Each client finds its keys, by each name and in each way that it looks for them.

use std::process::Command;

use rustix::process::geteuid;

use super::rig::{Client, ELSEWHERE, Rig, make_dir, run, told, variables};
use crate::support::{Scene, skipped};

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
    let bound = make_dir(&scene.path(ELSEWHERE).join(".aws"));
    // Ordinary users may bind only in a user namespace of their own, and take nothing away there;
    // as root, what the daemon mounted is out of sight but for the bound directory.
    let (user, script): (&[&str], _) = if geteuid().is_root() {
        (&[], r#"mount --bind "$0" "$1" && umount -l "$0" && shift && exec "$@""#)
    } else {
        (&["--user", "--map-root-user"], r#"mount --bind "$0" "$1" && shift && exec "$@""#)
    };
    let isolated = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation=private"]).args(user);
        command
    };
    if !isolated().arg("true").status().is_ok_and(|status| status.success()) {
        return skipped("mount namespaces cannot be made here");
    }
    let mut outer = isolated();
    outer
        .args(["sh", "-c", script])
        .args([&rig.daemon.mountpoint, &bound])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(variables(&mut inner));
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
