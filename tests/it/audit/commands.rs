//! `credmount audit`: the log as it is read.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{MOUNTS, while_reading};
use crate::support::records::{opens, records};
use crate::support::{Scene, arn, eventually};

/// What `credmount audit ARGS` prints.
fn audit(scene: &Scene, args: &[&str]) -> String {
    let output = scene.run(&[&["audit"][..], args].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The records that `credmount audit --json ARGS` prints.
fn printed(scene: &Scene, args: &[&str]) -> Vec<Value> {
    let text = audit(scene, &[&["--json"][..], args].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_table_and_its_filters_show_who_read_what() {
    let Some(scene) = Scene::mountable() else { return };
    let log = scene.path("audit.jsonl");
    let fleet = scene.serve(MOUNTS);
    fleet.read("ops", "credentials");
    fleet.read("agent", "credentials");
    fs::read(scene.path("shut/credentials")).unwrap_err();

    // The log of the daemon that runs, unless another is named.
    let all = records(&log);
    let table = audit(&scene, &[]);
    assert_eq!(table.lines().count(), 1 + all.len(), "{table}");
    let program = std::env::current_exe().unwrap();
    for words in ["TIME", "allowed", "REFUSED", "shut", "prod=ASIA", program.to_str().unwrap()] {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert_eq!(printed(&scene, &[]), all);
    assert_eq!(printed(&scene, &[log.to_str().unwrap()]), all);

    let check = |args: &[&str], is_wanted: &dyn Fn(&Value) -> bool| {
        let wanted: Vec<_> = all.iter().filter(|record| is_wanted(record)).cloned().collect();
        assert_eq!(printed(&scene, args), wanted, "{args:?}");
        wanted.len()
    };
    let has_role = |record: &Value, name: &str| {
        let mut roles = record["roles"].as_array().into_iter().flatten();
        roles.any(|role| role["name"] == name) || record["role_arn"] == arn(name)
    };
    assert_eq!(check(&["--role", "dev"], &|it| has_role(it, "dev")), 2);
    assert_eq!(check(&["--role", "prod"], &|it| has_role(it, "prod")), 3);
    assert_eq!(check(&["--mount", "shut"], &|it| it["mount"] == "shut"), 2);
    assert_eq!(check(&["--since", "1h"], &|_| true), all.len());
    assert_eq!(check(&["--since", "2999-01-01T00:00:00Z"], &|_| false), 0);
    let last = all.last().unwrap()["time"].as_str().unwrap();
    assert!(check(&["--since", last], &|it| it["time"].as_str().unwrap() >= last) >= 1);
    assert_eq!(check(&["--container", "0123456789ab"], &|_| false), 0);
    let wrong = scene.run(&["audit", "--since", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

/// Ended with the test.
#[derive(Debug)]
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_is_followed_over_rotations_without_a_gap() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(MOUNTS);
    let (log, pid) = (scene.path("audit.jsonl"), fleet.pid());
    let mut follow = scene.credmount(&["audit", "--json", "--follow", "--mount", "agent"]);
    let mut following = Following(follow.stdout(Stdio::piped()).spawn().unwrap());
    let printed = BufReader::new(following.0.stdout.take().unwrap());
    let count = AtomicUsize::new(0);
    let old = |number: u32| scene.path(&format!("audit.jsonl.{number}"));
    let (mut times, mut reads) = (Vec::new(), 0);
    thread::scope(|scope| {
        let printing = scope.spawn(|| {
            let mut times = Vec::new();
            for line in printed.lines() {
                let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
                if record["event"] == "open" {
                    count.fetch_add(1, Ordering::Relaxed);
                    times.push(record["time"].as_str().unwrap().to_owned());
                }
            }
            times
        });
        reads = while_reading(&scene, |reads| {
            eventually("the log to be open", || count.load(Ordering::Relaxed) > 0);
            for number in 0..4 {
                fs::rename(&log, old(number)).unwrap();
                kill_process(pid, Signal::HUP).unwrap();
                eventually("the new file", || fs::metadata(&log).is_ok_and(|it| it.len() > 0));
                // What is read from here on is in the new file.
                let before = usize::try_from(reads.load(Ordering::Relaxed)).unwrap() + 8;
                eventually("it to be followed", || count.load(Ordering::Relaxed) > before);
            }
        });
        eventually("the last records", || count.load(Ordering::Relaxed) >= reads);
        following.0.kill().unwrap();
        times = printing.join().unwrap();
    });
    assert_eq!(times.len(), reads);
    let files = (0..4).map(old).chain([log]);
    let written: Vec<String> = files
        .flat_map(|file| opens(&file, "allowed"))
        .map(|open| open["time"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(times, written, "in the order in which they were written");
}
