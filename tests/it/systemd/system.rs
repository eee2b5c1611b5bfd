//! The service of the machine, which sees as little of it as possible.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use super::machine::As;
use super::rig::{Rig, SERVICE, after};
use crate::support::eventually;

#[test]
fn the_service_of_the_machine_survives_what_that_of_a_user_survives() {
    let Some(rig) = Rig::serving(As::Root) else { return };
    let mut container = rig.container("live");
    rig.valid_key(&container.read("credentials"));
    let began = after(|| rig.signal("KILL"));
    rig.reads_again(&mut container, "kill -9 of the system's", began);
    rig.await_running();
    let began = after(|| rig.succeeds(&["restart", SERVICE]));
    rig.reads_again(&mut container, "systemctl restart of the system's", began);
    let began = after(|| rig.signal("STOP"));
    rig.reads_again(&mut container, "SIGSTOP of the system's", began);
    rig.await_running();
    rig.succeeds(&["stop", SERVICE]);
    assert!(rig.mounted().is_empty(), "{:?}\n{}", rig.mounted(), rig.machine.journal());
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "0");
}

#[test]
fn the_service_of_the_machine_is_confined_and_can_still_be_told_to_mount() {
    let Some(rig) = Rig::serving(As::Root) else { return };
    let of_daemon = rig.machine.reach(&format!("/proc/{}", rig.main_pid()));
    let mounts = fs::read_to_string(of_daemon.join("mountinfo")).unwrap();
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
    assert!(root.split(' ').nth(5).unwrap().starts_with("ro"), "{root}");
    let status = fs::read_to_string(of_daemon.join("status")).unwrap();
    // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.
    assert!(status.contains("CapBnd:\t0000000000080004"), "{status}");

    // The daemon itself cannot make a directory there.
    DirBuilder::new().mode(0o700).create(rig.machine.reach("/srv/third")).unwrap();
    rig.configure(&["live", "other", "third"], "audit_log = \"/var/log/credmount/audit.jsonl\"");
    rig.succeeds(&["reload", SERVICE]);
    eventually("the new mount", || rig.mounted().contains(&rig.at("third")));
    rig.valid_key(&rig.container("third").read("credentials"));
    let log = rig.machine.reach("/var/log/credmount/audit.jsonl");
    assert!(fs::read_to_string(log).unwrap().contains("\"third\""));
    rig.configure(&["live"], "");
    rig.succeeds(&["reload", SERVICE]);
    eventually("the mounts to go", || rig.mounted() == [rig.at("live")]);
    rig.succeeds(&["stop", SERVICE]);
    assert!(rig.mounted().is_empty());
}
