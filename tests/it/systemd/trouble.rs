//! What befalls the service of a user: it is killed, hangs, cannot start, and is confined.

use std::fs;
use std::time::Duration;

use super::machine::As;
use super::rig::{Rig, SERVICE, after};
use crate::emulator::Fault;
use crate::support::wait::now;
use crate::support::{arn, eventually, ini_value};

#[test]
fn a_killed_daemon_is_back_for_those_who_bound_its_mount() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    let mut waiting = rig.container("other");
    let first = rig.valid_key(&container.read("credentials"));
    container.run("exec 3</mnt/credmount/process/prod.json");
    // An open that the daemon has read and not answered when it is killed.
    rig.emulator.set_fault(Fault::Hang.for_role("dev"));
    assert!(rig.credmount(&["lock"]).status.success());
    let mut unlocking = rig.command(&["unlock"]).spawn().unwrap();
    eventually("the call that hangs", || rig.emulator.call_count("AssumeRole", "dev") >= 2);
    waiting.begin("cat /mnt/credmount/process/dev.json");
    eventually("the open to wait", || rig.waits_for_a_reply("cat"));
    let began = after(|| rig.signal("KILL"));
    rig.emulator.clear_faults();
    rig.reads_again(&mut container, "kill -9", began);
    assert!(waiting.end().contains("AccessKeyId"), "an open that waited is answered");
    unlocking.wait().unwrap();
    let kept = container.run("cat <&3");
    let whole = rig.emulator.issued_sessions().into_iter().any(|session| {
        kept.contains(&session.access_key_id) && kept.contains(&session.session_token)
    });
    assert!(whole, "a descriptor of before reads a whole rendering: {kept}; then it was {first}");
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "2");
    assert_eq!(rig.mounted(), [rig.at("live"), rig.at("other")]);
}

#[test]
fn a_daemon_that_is_killed_over_and_over_stays() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    for _ in 0..5 {
        let began = after(|| rig.signal("KILL"));
        rig.reads_again(&mut container, "kill -9", began);
        rig.await_running();
    }
}

#[test]
fn a_service_that_wants_the_mount_runs_on_when_the_daemon_is_replaced() {
    let Some(rig) = Rig::serving(As::User) else { return };
    // As README's Quadlet has it.
    let unit = "[Unit]\nWants=credmount.service\nAfter=credmount.service\n\
                [Service]\nExecStart=sleep infinity\n";
    rig.write_unit("reader.service", unit);
    rig.reload_units();
    rig.succeeds(&["start", "reader"]);
    let reader = rig.property("reader", "MainPID");
    rig.signal("KILL");
    let mut container = rig.container("live");
    rig.valid_key(&container.read("credentials"));
    rig.await_running();
    rig.succeeds(&["restart", SERVICE]);
    rig.valid_key(&container.read("credentials"));
    assert_eq!(rig.property("reader", "MainPID"), reader);
}

#[test]
fn a_daemon_that_hangs_is_replaced_by_the_watchdog() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    let began = after(|| rig.signal("STOP"));
    rig.reads_again(&mut container, "SIGSTOP", began);
    eventually("the reason in the journal", || rig.machine.journal().contains("Watchdog timeout"));
}

#[test]
fn a_daemon_that_serves_for_long_is_not_taken_for_one_that_hangs() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let pid = rig.main_pid();
    let limit = Duration::from_millis(5_500);
    let began = now();
    eventually("the watchdog's time to be over", || began.elapsed() > limit);
    assert_eq!(rig.main_pid(), pid);
}

/// It was made anew under the name of the dead connection, which the daemon then took.
#[test]
fn a_mount_that_was_removed_while_its_daemon_was_dead_is_not_made_again() {
    let Some(rig) = Rig::serving(As::User) else { return };
    rig.write_unit("credmount.service.d/slow.conf", "[Service]\nRestartSec=2s\n");
    rig.reload_units();
    rig.signal("KILL");
    let mut unmount = rig.machine.command(As::User, "fusermount3");
    assert!(unmount.arg("-uz").arg(rig.at("live")).status().unwrap().success());
    eventually("the next daemon", || rig.property(SERVICE, "NRestarts") == "1");
    rig.await_running();
    rig.valid_key(&rig.container("other").read("credentials"));
    eventually("nothing but the other", || rig.mounted() == [rig.at("other")]);
    eventually("its connection alone", || rig.property(SERVICE, "NFileDescriptorStore") == "1");
    // Whoever starts the service anew wants all of it.
    rig.succeeds(&["stop", SERVICE]);
    rig.succeeds(&["start", SERVICE]);
    rig.valid_key(&rig.container("live").read("credentials"));
}

#[test]
fn a_wrong_configuration_is_told_once() {
    let Some(rig) = Rig::installed(As::User) else { return };
    rig.configure(&["live"], "regoin = \"eu-west-1\"");
    assert!(!rig.systemctl(&["start", SERVICE]).status.success());
    assert_eq!(rig.property(SERVICE, "ActiveState"), "failed");
    assert_eq!(rig.property(SERVICE, "ExecMainStatus"), "2");
    assert_eq!(rig.property(SERVICE, "NRestarts"), "0");
    eventually("the reason in the journal", || rig.machine.journal().contains("regoin"));
    assert!(rig.mounted().is_empty());
    rig.configure(&["live"], "");
    rig.succeeds(&["start", SERVICE]);
    rig.valid_key(&rig.container("live").read("credentials"));
}

#[test]
fn a_wrong_configuration_takes_no_mount_that_is_served() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    rig.configure(&["live", "other"], "regoin = \"eu-west-1\"");
    rig.systemctl(&["reload", SERVICE]);
    rig.valid_key(&container.read("credentials"));
    eventually("the reason in the journal", || rig.machine.journal().contains("regoin"));
    assert_eq!(rig.property(SERVICE, "SubState"), "running");
}

#[test]
fn a_crash_and_a_restart_while_the_configuration_is_wrong_cost_no_mount() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    rig.configure(&["live", "other"], "regoin = \"eu-west-1\"");
    rig.signal("KILL");
    let told = "the configuration of credmount is broken in config.toml line 2";
    let text = container.read("credentials");
    assert!(text.contains(told), "{text}\n{}", rig.machine.journal());
    rig.await_running();
    assert_eq!(rig.property(SERVICE, "NRestarts"), "1");
    rig.succeeds(&["restart", SERVICE]);
    assert!(container.read("credentials").contains(told));
    let status = rig.property(SERVICE, "StatusText");
    assert!(status.starts_with("configuration broken: ") && status.contains("regoin"), "{status}");
    eventually("the reason in the journal", || rig.machine.journal().contains("regoin"));

    let pid = rig.main_pid();
    rig.configure(&["live", "other"], "");
    eventually("keys", || container.read("credentials").contains("aws_session_token"));
    rig.valid_key(&container.read("credentials"));
    assert_eq!(rig.main_pid(), pid);
    assert_eq!(rig.mounted(), [rig.at("live"), rig.at("other")]);
    eventually("the status of the roles", || {
        rig.property(SERVICE, "StatusText").contains("prod: ")
    });
    rig.succeeds(&["stop", SERVICE]);
    assert!(rig.mounted().is_empty());
}

#[test]
fn an_instance_knows_its_mount_again_when_the_configuration_can_be_read_again() {
    let Some(rig) = Rig::installed(As::User) else { return };
    rig.configure(&["live"], "");
    let instance = "credmount@live.service";
    rig.succeeds(&["start", instance]);
    assert_eq!(rig.mounted(), [rig.at("live")]);
    let mut container = rig.container("live");
    rig.configure(&["live"], "region =");
    rig.succeeds(&["kill", "--kill-who=main", "--signal=KILL", instance]);
    let text = container.read("credentials");
    assert!(text.contains("the configuration of credmount is broken"), "{text}");
    rig.configure(&["live"], "");
    eventually("keys", || container.read("credentials").contains("aws_session_token"));
    assert_eq!(rig.mounted(), [rig.at("live")]);
}

#[test]
fn a_daemon_that_cannot_be_kept_alive_is_given_up_and_a_start_mends_it() {
    let Some(rig) = Rig::serving(As::User) else { return };
    let mut container = rig.container("live");
    let limit = "[Unit]\nStartLimitIntervalSec=1min\nStartLimitBurst=3\n";
    rig.write_unit("credmount.service.d/limit.conf", limit);
    rig.reload_units();
    eventually("the limit to be met", || {
        rig.systemctl(&["kill", "--kill-who=main", "--signal=KILL", SERVICE]);
        rig.property(SERVICE, "ActiveState") == "failed"
    });
    assert_eq!(rig.property(SERVICE, "NFileDescriptorStore"), "0");
    assert!(container.read("credentials").contains("not connected"), "an error, and no hang");
    rig.succeeds(&["reset-failed", SERVICE]);
    rig.succeeds(&["start", SERVICE]);
    assert_eq!(rig.mounted().len(), 2, "what was left is gone");
    rig.valid_key(&rig.container("live").read("credentials"));
}

#[test]
fn a_whole_life_makes_no_system_call_that_its_confinement_forbids() {
    let Some(rig) = Rig::installed(As::User) else { return };
    // Instead of an error, which a daemon may live with, a signal, which it may not.
    rig.write_unit("credmount.service.d/kill.conf", "[Service]\nSystemCallErrorNumber=kill\n");
    rig.reload_units();
    let keys = format!(
        "printf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'",
        rig.emulator.base_access_key_id(),
        rig.emulator.base_secret_access_key()
    );
    let home = rig.machine.home();
    rig.write(&home.join("keys"), &keys);
    let profile = format!("[profile base]\ncredential_process = sh {}/keys\n", home.display());
    rig.write(&home.join(".aws/config"), &profile);
    rig.configure(
        &["live"],
        &format!(
            "audit_log = \"{0}/audit.jsonl\"\naudit_journal = true\nwritable_caches = true\n\
             allow_other = true\n[roles.child]\nrole_arn = \"{1}\"\nsource_profile = \"base\"\n",
            home.display(),
            arn("child"),
        ),
    );
    let rules = "[[mounts.live.allow]]\nexe = \"/usr/bin/*\"\n[[mounts.live.allow]]\n\
                 cgroup = \"/*\"\n[[mounts.live.allow]]\nuid = 0\nroles = [\"dev\"]\n";
    let config = home.join(".config/credmount/config.toml");
    let text = fs::read_to_string(&config).unwrap() + rules;
    rig.write(&config, &text);
    rig.succeeds(&["start", SERVICE]);

    let status = format!("/proc/{}/status", rig.main_pid());
    let status = fs::read_to_string(rig.machine.reach(&status)).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("NoNewPrivs:").ends_with('1') && line("Seccomp:").ends_with('2'), "{status}");

    let pid = rig.main_pid();
    let mut container = rig.container("live");
    let credentials = container.read("credentials");
    rig.valid_key(&credentials);
    assert!(ini_value(&credentials, "child", "aws_access_key_id").is_some(), "{credentials}");
    assert_eq!(container.run("echo x >/mnt/cli/x && cat /mnt/cli/x"), "x\n");
    assert!(fs::read_to_string(home.join("audit.jsonl")).unwrap().contains("\"exe\""));
    let added = rig.at("added");
    let path = added.to_str().unwrap();
    for args in [
        &["reload"][..],
        &["add", "added", "--role=dev", "--path", path],
        &["refresh", rig.at("live").to_str().unwrap()],
        &["lock"],
        &["unlock"],
        &["status", "--prometheus", path],
        &["remove", "added"],
    ] {
        let output = rig.credmount(args);
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", rig.machine.journal());
    }
    rig.valid_key(&container.read("credentials"));
    assert_eq!(rig.main_pid(), pid);
    rig.succeeds(&["stop", SERVICE]);
    let journal = rig.machine.journal();
    assert!(!journal.contains("SYS"), "{journal}");
}
