//! Rules and the programs that they are about: while a reader runs another program, ends or is
//! replaced, nobody gets what was decided for somebody else.

mod others;
mod programs;

use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::emulator::Fault;
use crate::support::records::{opens, records_of};
use crate::support::{Scene, eventually, skipped};
use programs::{FAILED, Programs, REFUSED};

/// Only the program `allowed` may read; not even the mounting user by another one.
const BY_PROGRAM: &str = r#"
region = "eu-west-1"
audit_log = "ROOT/audit.jsonl"
open_deadline = "30s"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[mounts.live]
path = "ROOT/live"
[[mounts.live.allow]]
exe = "ROOT/bin/allowed"
[[mounts.live.allow]]
roles = []
"#;

/// How many at a time: more than there are processors, so that threads are stopped anywhere.
const AT_ONCE: u32 = 8;

/// Each allowed open was one of the program `allowed`, and each one of the other was refused.
#[track_caller]
fn nobody_was_taken_for_another(scene: &Scene, programs: &Programs) {
    let log = scene.path("audit.jsonl");
    let allowed = opens(&log, "allowed");
    let is_right = |open: &&Value| open["exe"] == programs.path("allowed");
    let wrong: Vec<_> = allowed.iter().filter(|open| !is_right(open)).collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), allowed.len(), wrong[0]);
    let refused = opens(&log, "refused");
    eprintln!("{} opens allowed, {} refused", allowed.len(), refused.len());
    assert!(allowed.len() > 100 && refused.len() > 100, "too little was tried");
}

/// Runs `allowed race HOW` many times, each with another delay.
fn race(programs: &Programs, how: &str, tries: u32) {
    let (file, other) = (programs.scene.path("live/credentials"), programs.path("other"));
    let expected = if "eE".contains(how) { REFUSED } else { 0 };
    thread::scope(|scope| {
        for runner in 0..AT_ONCE {
            let (file, other) = (&file, &other);
            scope.spawn(move || {
                for number in (runner..tries).step_by(AT_ONCE as usize) {
                    let delay = (number * 37 % 2000).to_string();
                    let mut race = programs.run("allowed", &["race", how]);
                    race.arg(file).arg(other).arg(delay);
                    let ended = race.stdout(Stdio::null()).status().unwrap();
                    assert_eq!(ended.code(), Some(expected), "{how}: {ended:?}");
                }
            });
        }
    });
}

#[test]
fn a_program_that_takes_the_place_of_a_reader_gets_nothing_of_its_decision() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(programs) = Programs::build(&scene) else { return };
    let _fleet = scene.serve(BY_PROGRAM);
    // By a thread of the reader that opens as the leader, whose thread id the other inherits; by
    // the leader while others open; and readers that only end.
    for (how, tries) in [("e", 700), ("E", 700), ("x", 300), ("d", 300)] {
        race(&programs, how, tries);
    }
    nobody_was_taken_for_another(&scene, &programs);
}

#[test]
fn a_process_that_gets_the_number_of_a_reader_gets_nothing_of_its_decision() {
    let Some(scene) = Scene::mountable() else { return };
    let Some(programs) = Programs::build(&scene) else { return };
    if !rustix::process::geteuid().is_root() {
        return skipped("only root may choose the number of a process");
    }
    let _fleet = scene.serve(BY_PROGRAM);
    let mut reuse = programs.run("other", &["reuse"]);
    reuse.arg(scene.path("live/credentials")).arg(programs.path("allowed")).args(["500", "3000"]);
    let output = reuse.output().unwrap();
    if output.status.code() == Some(FAILED) {
        return skipped("the number of a process cannot be chosen here");
    }
    assert!(output.status.success(), "{output:?}");
    let reused: u32 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    eprintln!("{reused} numbers used again");
    assert!(reused > 250, "only {reused}");
    nobody_was_taken_for_another(&scene, &programs);
}

/// Readers of both programs wait for a session that does not come, and meanwhile half of them are
/// killed.
#[test]
fn readers_that_are_killed_while_they_wait_leave_nothing_to_others() {
    const READERS: usize = 60;
    let Some(scene) = Scene::mountable() else { return };
    let Some(programs) = Programs::build(&scene) else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(2)));
    let fleet = scene.serve(BY_PROGRAM);
    let log = scene.path("audit.jsonl");
    for round in 0..2 {
        scene.emulator.set_fault(Fault::Hang);
        let is_expired = || fleet.status()[0].1["roles"][0]["state"] != "live";
        eventually("the session to expire while its renewal hangs", is_expired);
        let before = records_of(&log, "open").len();
        let start = |name: &str| {
            let mut reader = programs.run(name, &["wait"]);
            reader.arg(scene.path("live/credentials"));
            reader.stdout(Stdio::piped()).spawn().unwrap()
        };
        let mut allowed: Vec<Child> = (0..READERS).map(|_| start("allowed")).collect();
        let others: Vec<Child> = (0..READERS).map(|_| start("other")).collect();
        // Refusals do not wait, so when they are there the others have been judged or soon will be.
        eventually("the refusals", || records_of(&log, "open").len() == before + READERS);
        for reader in allowed.iter_mut().step_by(2) {
            reader.kill().unwrap();
        }
        scene.emulator.clear_faults();
        for (index, reader) in allowed.into_iter().enumerate() {
            let output = reader.wait_with_output().unwrap();
            if index % 2 == 1 {
                assert_eq!(output.stdout, b"got\n", "round {round}, reader {index}");
            }
        }
        for reader in others {
            assert_eq!(reader.wait_with_output().unwrap().stdout, b"refused\n");
        }
    }
    nobody_was_taken_for_another(&scene, &programs);
}
