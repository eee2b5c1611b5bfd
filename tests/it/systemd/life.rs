//! The life of the service of a user: it starts, is restarted, upgraded, reloaded and stopped, and
//! those who bound its mounts read on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::container::Container;
use super::machine::As;
use super::rig::{Rig, SERVICE, after};
use crate::support::wait::now;
use crate::support::{eventually, ini_value};

#[test]
fn an_enabled_service_is_there_when_its_user_logs_in_and_goes_with_the_user() {
    let Some(rig) = Rig::serving(As::User) else { return };
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "2");
    eventually("the status text", || {
        let text = rig.property(SERVICE, "StatusText");
        text.contains("prod: 5") && text.contains("dev: 5") && text.contains(" min left")
    });
    let manager = "user@70000.service";
    let mut logs_out = rig.machine.systemctl(As::Root, &["stop", manager]);
    assert!(logs_out.status().unwrap().success());
    assert!(rig.mounted().is_empty(), "{:?}\n{}", rig.mounted(), rig.machine.journal());
    let mut logs_in = rig.machine.systemctl(As::Root, &["start", manager]);
    assert!(logs_in.status().unwrap().success());
    rig.await_running();
    let mut container = rig.container("live");
    rig.valid_key(&container.read("credentials"));
}

#[test]
fn a_restart_keeps_what_is_bound() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut containers = [rig.container("live"), rig.container("other")];
    let before = rig.main_pid();
    let began = after(|| rig.succeeds(&["restart", SERVICE]));
    for container in &mut containers {
        rig.reads_again(container, "systemctl restart", began);
    }
    let between = rig.main_pid();
    assert_ne!(between, before);
    let began = now();
    let output = rig.credmount(&["restart"]);
    assert!(output.status.success(), "{output:?}");
    for container in &mut containers {
        rig.reads_again(container, "credmount restart", began);
    }
    rig.await_running();
    assert_ne!(rig.main_pid(), between);
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "2");
    assert!(!rig.machine.journal().contains("Failed with result"), "a restart is no failure");
}

#[test]
fn an_upgrade_keeps_what_is_bound() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    let old = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(container.read("credmount/metrics").contains(&old));
    let next = rig.program().with_extension("next");
    let (from, to) = (env!("CARGO_PKG_VERSION").replace('.', "\\."), "9.9.9");
    assert_eq!(to.len(), env!("CARGO_PKG_VERSION").len(), "a program cannot be edited otherwise");
    let mut edited = Command::new("sed");
    edited.arg(format!("s/{from}/{to}/g")).arg(env!("CARGO_BIN_EXE_credmount"));
    fs::write(&next, edited.output().unwrap().stdout).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
    // As `cargo install` and package managers do.
    fs::rename(&next, rig.program()).unwrap();
    let began = after(|| rig.succeeds(&["restart", SERVICE]));
    rig.reads_again(&mut container, "upgrade", began);
    assert!(container.read("credmount/metrics").contains("version=\"9.9.9\""));
}

#[test]
fn a_reload_changes_the_mounts_of_the_confined_daemon() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    let pid = rig.main_pid();
    rig.configure(&["live", "third"], "");
    rig.succeeds(&["reload", SERVICE]);
    eventually("the new mount", || rig.mounted() == [rig.at("live"), rig.at("third")]);
    rig.valid_key(&rig.container("third").read("credentials"));
    let added = rig.at("added");
    let output = rig.credmount(&["add", "added", "--role=dev", "--path", added.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}\n{}", rig.machine.journal());
    let mut of_added = rig.container("added");
    assert!(ini_value(&of_added.read("credentials"), "dev", "aws_access_key_id").is_some());
    rig.valid_key(&container.read("credentials"));
    assert_eq!(rig.main_pid(), pid, "a reload is no restart");
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "3");

    let began = after(|| rig.signal("KILL"));
    rig.reads_again(&mut container, "kill -9 after a reload", began);
    assert!(ini_value(&of_added.read("credentials"), "dev", "aws_access_key_id").is_some());
}

#[test]
fn a_stop_unmounts_and_leaves_nothing_with_systemd() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    // A service that was stopped and started is a new one.
    assert!(rig.credmount(&["lock"]).status.success());
    let began = now();
    rig.succeeds(&["stop", SERVICE]);
    eprintln!("systemctl stop: {} ms", began.elapsed().as_millis());
    assert!(rig.mounted().is_empty(), "{:?}\n{}", rig.mounted(), rig.machine.journal());
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "0");
    assert_eq!(rig.property(SERVICE, "Result"), "success");
    assert!(container.read("credentials").contains("not connected"));
    assert!(rig.at("live").read_dir().unwrap().next().is_none());
    rig.succeeds(&["start", SERVICE]);
    rig.valid_key(&rig.container("live").read("credentials"));
}

#[test]
fn the_last_unmount_ends_the_service() {
    let Some(rig) = Rig::serving(As::User) else { return };
    for mount in ["live", "other"] {
        let output = rig.credmount(&["unmount", rig.at(mount).to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
    }
    eventually("the service to end", || rig.property(SERVICE, "ActiveState") == "inactive");
    assert!(rig.mounted().is_empty());
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "0");
}

#[test]
fn an_instance_serves_the_mount_or_the_role_of_its_name() {
    let Some(rig) = Rig::installed(As::User) else { return };
    rig.configure(&["live", "other"], "");
    rig.succeeds(&["enable", "--now", "credmount@live", "credmount@prod"]);
    let home = rig.machine.home();
    let role = home.join(".aws-live/prod");
    let mut mounted = rig.mounted();
    mounted.sort();
    let mut expected = [rig.at("live"), role.clone()];
    expected.sort();
    assert_eq!(mounted, expected, "{}", rig.machine.journal());
    let mut container = Container::start(&rig.machine, As::User, &role);
    let credentials = container.read("credentials");
    rig.valid_key(&credentials);
    assert_eq!(ini_value(&credentials, "dev", "aws_access_key_id"), None);
    let unit = "credmount@prod.service";
    rig.succeeds(&["kill", "--kill-who=main", "--signal=KILL", unit]);
    rig.valid_key(&container.read("credentials"));
    rig.succeeds(&["stop", "credmount@live"]);
    assert_eq!(rig.mounted(), [role]);
    rig.succeeds(&["stop", unit]);
    assert!(rig.mounted().is_empty());
}
