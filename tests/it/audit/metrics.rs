//! Counts for Prometheus, of a mount and of the daemon.

use std::fs;

use super::MOUNTS;
use crate::emulator::Fault;
use crate::support::{Scene, eventually};

/// The value of the only sample of this name that has these labels; 0 if there is none.
#[track_caller]
pub(super) fn sample(text: &str, name: &str, labels: &[&str]) -> u64 {
    let is_it = |line: &&str| {
        line.starts_with(&format!("{name}{{")) && labels.iter().all(|label| line.contains(label))
    };
    let found: Vec<&str> = text.lines().filter(is_it).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

fn of_daemon(scene: &Scene) -> String {
    let output = scene.run(&["status", "--prometheus"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn counts_rise_with_each_decision_and_each_call() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(MOUNTS);
    for _ in 0..3 {
        fleet.read("ops", "credentials");
    }
    fleet.read("agent", "credmount/process/prod.json");
    fs::read(scene.path("shut/credentials")).unwrap_err();
    fs::read(scene.path("shut/config")).unwrap_err();
    scene.emulator.set_fault(Fault::Deny.for_role("dev"));
    let refreshed = scene.run(&["refresh", scene.path("ops").to_str().unwrap()]);
    assert_eq!(refreshed.status.code(), Some(1));

    let text = of_daemon(&scene);
    let opens = |mount: &str, decision: &str| {
        let labels = [&*format!("mount=\"{mount}\""), &*format!("decision=\"{decision}\"")];
        sample(&text, "credmount_opens_total", &labels)
    };
    let counts = ["ops", "agent", "shut"].map(|it| (opens(it, "allowed"), opens(it, "refused")));
    assert_eq!(counts, [(3, 0), (1, 0), (0, 2)]);
    let renewals = |role: &str, result: &str| {
        let labels = [&*format!("role/{role}\""), &*format!("result=\"{result}\"")];
        sample(&text, "credmount_renewals_total", &labels)
    };
    assert_eq!((renewals("prod", "ok"), renewals("dev", "ok")), (2, 1));
    let failed = text
        .lines()
        .filter(|line| line.starts_with("credmount_renewals_total") && line.contains("role/dev\""));
    assert_eq!(failed.count(), 2, "ok and the cause of the failure: {text}");
    let counted = |mount: &str| {
        let label = format!("mount=\"{mount}\"");
        sample(&text, "credmount_open_duration_seconds_count", &[&label])
    };
    assert_eq!(["ops", "agent", "shut"].map(counted), [3, 1, 2]);
    let recorded = |text: &str, mount: &str| {
        sample(text, "credmount_audit_records_total", &[&format!("mount=\"{mount}\"")])
    };
    assert_eq!(["ops", "agent", "shut"].map(|mount| recorded(&text, mount)), [3, 1, 2]);
    // Nobody waits for these records. The start, three mounts, and four calls.
    let reaches = |count| eventually("the records", || recorded(&of_daemon(&scene), "") == count);
    reaches(8);

    // Counters never go back, nor are records of mounts taken for those of the daemon.
    let without_ops = MOUNTS.split("[mounts.ops]").next().unwrap().to_owned()
        + "[mounts.agent]"
        + MOUNTS.split("[mounts.agent]").nth(1).unwrap();
    assert!(fleet.reload(&without_ops).status.success());
    // The reload and the end of a mount.
    reaches(10);
    let other = without_ops.replace("audit.jsonl", "other.jsonl");
    assert!(fleet.reload(&other).status.success());
    reaches(11);
    assert_eq!(recorded(&of_daemon(&scene), "agent"), 1);
}

#[test]
fn the_file_of_a_mount_tells_nothing_of_other_mounts() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(MOUNTS);
    fleet.read("ops", "credentials");
    let text = fleet.read("agent", "credmount/metrics");
    assert!(text.contains("mount=\"agent\"") && text.contains("role/prod"));
    for word in ["ops", "shut", "role/dev", "\"dev\"", "mount=\"\""] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let opened = |text: &str| {
        sample(text, "credmount_opens_total", &["mount=\"agent\"", "decision=\"allowed\""])
    };
    assert_eq!(opened(&text), 0);
    fleet.read("agent", "credentials");
    let text = fleet.read("agent", "credmount/metrics");
    assert_eq!(opened(&text), 1);
    let left = sample(&text, "credmount_session_remaining_seconds", &["profile=\"prod\""]);
    assert!(left > 60, "{left} s left");
}
