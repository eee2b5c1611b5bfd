//! The audit log of a real daemon: a record for each open, whatever happens meanwhile.

mod calls;
mod commands;
mod disk;
mod metrics;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use credmount::audit::{Decision, Event, Line, Open, RoleRead, Text, parse};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::emulator::Fault;
use crate::support::namespace::{in_mount_namespace, namespaces_available};
use crate::support::records::{opens, records, records_of};
use crate::support::wait::now;
use crate::support::{Scene, eventually, ini_value, variable};

/// Two mounts that are read and one that nobody may read.
const MOUNTS: &str = r#"
region = "eu-west-1"
audit_log = "ROOT/audit.jsonl"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[roles.dev]
role_arn = "arn:aws:iam::123456789012:role/dev"
[mounts.ops]
path = "ROOT/ops"
roles = ["prod", "dev"]
[mounts.agent]
path = "ROOT/agent"
roles = ["prod"]
[mounts.shut]
path = "ROOT/shut"
roles = ["dev"]
[[mounts.shut.allow]]
roles = []
"#;

const ONE: &str = r#"
region = "eu-west-1"
audit_log = "ROOT/audit.jsonl"
[roles.prod]
role_arn = "arn:aws:iam::123456789012:role/prod"
[mounts.live]
path = "ROOT/live"
"#;

fn tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// The key of `[prod]`.
fn key(text: &str) -> String {
    ini_value(text, "prod", "aws_access_key_id").expect("a key")
}

/// 640 000 opens with `CREDMOUNT_TEST_AUDIT_OPENS=10000` and `cargo test`, because nextest ends tests
/// that take minutes.
#[test]
fn a_crowd_of_readers_leaves_as_many_whole_records_as_opens() {
    const READERS: usize = 64;
    let Some(scene) = Scene::mountable() else { return };
    let count = variable("CREDMOUNT_TEST_AUDIT_OPENS");
    let count = count.map_or(250, |count| count.to_str().unwrap().parse().unwrap());
    let fleet = scene.serve(MOUNTS);
    let file = scene.path("agent/credentials");
    // Opens, and of some of them what was read.
    let read = || {
        let mut keys = Vec::new();
        for number in 0..count {
            let mut opened = File::open(&file).unwrap();
            if number % 16 == 0 {
                let mut text = String::new();
                opened.read_to_string(&mut text).unwrap();
                keys.push((number, key(&text)));
            }
        }
        (tid(), keys)
    };
    let began = now();
    let read = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        while !readers.iter().all(thread::ScopedJoinHandle::is_finished) {
            fleet.refresh_over_socket("agent");
            thread::sleep(Duration::from_millis(200));
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let (all, took) = (READERS * count, began.elapsed());
    eprintln!("{all} opens in {took:?}");

    let mut by_reader: HashMap<u32, Vec<Open>> = HashMap::new();
    for line in BufReader::new(File::open(scene.path("audit.jsonl")).unwrap()).split(b'\n') {
        match parse(&line.unwrap()) {
            Line::Event(Event::Open(open)) => {
                assert_eq!(open.decision, Decision::Allowed);
                by_reader.entry(open.reader.pid).or_default().push(*open);
            }
            Line::Event(_) => {}
            broken => panic!("{broken:?}"),
        }
    }
    assert_eq!(by_reader.values().map(Vec::len).sum::<usize>(), all);
    for (tid, keys) in read {
        let records = &by_reader[&tid];
        assert_eq!(records.len(), count);
        for (number, key) in keys {
            let roles = &records[number].roles;
            let is_it = |role: &RoleRead| role.access_key_id == Some(Text::new(&key));
            assert!(roles.len() == 2 && roles.iter().all(is_it), "{roles:?}, read {key}");
        }
    }
    let status = &fleet.status()[0].1["audit"];
    assert_eq!((status["failed"].as_u64(), &status["failing"]), (Some(0), &Value::Bool(false)));
}

#[test]
fn the_life_of_a_daemon_is_told_in_its_order_and_without_secrets() {
    let Some(scene) = Scene::mountable() else { return };
    let log = scene.path("audit.jsonl");
    let fleet = scene.serve(MOUNTS);
    let run = |args: &[&str]| {
        let output = scene.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    fleet.read("ops", "credentials");
    fleet.read("agent", "credmount/process/prod.json");
    fleet.read("agent", "config");
    for file in ["credentials", "config", "credmount/process/dev.json"] {
        let error = File::open(scene.path("shut").join(file)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
    run(&["lock"]);
    assert!(!fleet.read("agent", "credentials").contains("ASIA"));
    run(&["unlock"]);
    fleet.read("ops", "credentials");
    scene.emulator.set_fault(Fault::Deny.for_role("dev"));
    assert!(!scene.run(&["refresh", scene.path("ops").to_str().unwrap()]).status.success());
    scene.emulator.clear_faults();
    assert!(fleet.reload(&MOUNTS.replace("\"prod\", ", "")).status.success());
    assert!(!fleet.reload(&MOUNTS.replace("eu-west-1", "here")).status.success());
    let path = scene.path("run-1");
    scene.write_config(&MOUNTS.replace("\"prod\", ", ""));
    run(&["add", "run-1", "-r", "x=dev", "--path", path.to_str().unwrap()]);
    run(&["remove", "run-1"]);
    for mount in ["ops", "agent", "shut"] {
        run(&["unmount", scene.path(mount).to_str().unwrap()]);
    }

    let all = records(&log);
    let told = |record: &Value| {
        let words = ["event", "mount", "reason", "result", "changed", "errors"];
        let words = words.map(|word| record[word].to_string().replace('"', ""));
        words.into_iter().filter(|word| word != "null").collect::<Vec<_>>().join(" ")
    };
    let is_life = |it: &&Value| it["event"] != "open" && it["event"] != "assume_role";
    let life: Vec<String> = all.iter().filter(is_life).map(told).collect();
    let expected = [
        "start",
        "mount ops",
        "mount agent",
        "mount shut",
        "lock",
        "unlock",
        "reload ok 1 0",
        "reload failed 0 2",
        "mount run-1",
        "unmount run-1 command",
        "unmount ops command",
        "unmount agent command",
        "unmount shut command",
        "stop",
    ];
    assert_eq!(life, expected);
    let opened = |open: &Value| {
        let roles = open["roles"].as_array().into_iter().flatten();
        let roles: Vec<String> = roles
            .map(|role| {
                let name = role["name"].as_str().unwrap();
                if role["access_key_id"].is_string() {
                    name.to_owned()
                } else {
                    format!("({name})")
                }
            })
            .collect();
        let words = ["mount", "file", "decision", "rule"].map(|it| open[it].as_str().unwrap());
        format!("{} {}", words.join(" "), roles.join(" "))
    };
    let opens: Vec<String> = records_of(&log, "open").iter().map(opened).collect();
    let expected = [
        "ops credentials allowed owner default prod dev",
        "agent credmount/process/prod.json allowed owner prod",
        "shut credentials refused allow[1] ",
        "shut config refused allow[1] ",
        "shut credmount/process/dev.json refused allow[1] (dev)",
        "agent credentials allowed owner (default) (prod)",
        "ops credentials allowed owner default prod dev",
    ];
    assert_eq!(opens, expected);
    joined(&scene, &all);
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o7777, 0o600);
    without_secrets(&scene, &log);
}

/// Each key that was handed out is that of an AssumeRole told before, and each session issued has
/// been told.
#[track_caller]
fn joined(scene: &Scene, all: &[Value]) {
    let mut assumed: HashMap<&str, &Value> = HashMap::new();
    let mut failed = 0;
    for record in all {
        match (record["event"].as_str().unwrap(), record["result"].as_str()) {
            ("assume_role", Some("ok")) => {
                let key = record["access_key_id"].as_str().unwrap();
                assert!(assumed.insert(key, record).is_none(), "{record}");
                let session = scene.emulator.session(key).expect("a session that was issued");
                let name = record["session_name"].as_str().unwrap();
                assert!(session.arn.ends_with(name), "{record}");
                assert!(record["request_id"].is_string(), "{record}");
            }
            ("assume_role", _) => {
                failed += 1;
                assert_eq!(record["code"], "AccessDenied");
                assert_eq!(record.get("access_key_id"), None);
            }
            ("open", _) => {
                for role in record["roles"].as_array().into_iter().flatten() {
                    let Some(key) = role["access_key_id"].as_str() else { continue };
                    let call = assumed.get(key).expect("an AssumeRole before the open");
                    assert_eq!(call["expiration"], role["expiration"]);
                }
            }
            _ => {}
        }
    }
    assert_eq!(assumed.len(), scene.emulator.issued_sessions().len());
    assert!(failed > 0, "a call that failed is told too");
}

#[track_caller]
fn without_secrets(scene: &Scene, log: &Path) {
    let text = fs::read_to_string(log).unwrap();
    assert!(text.contains("ASIA"));
    let sessions = scene.emulator.issued_sessions();
    let issued = sessions.iter().flat_map(|it| [&it.secret_access_key, &it.session_token]);
    let secrets = issued.map(String::as_str).chain([scene.emulator.base_secret_access_key()]);
    for secret in secrets {
        assert!(!text.contains(&secret[..12]) && !text.contains(&secret[secret.len() - 12..]));
    }
}

/// Opens `agent/credentials` from several threads until `work` is done. Returns how often.
fn while_reading(scene: &Scene, work: impl FnOnce(&AtomicU64)) -> usize {
    let (is_over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let file = scene.path("agent/credentials");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    File::open(&file).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // If it panics the readers have to end all the same.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&count)));
        is_over.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
    });
    usize::try_from(count.into_inner()).unwrap()
}

#[test]
fn no_record_is_lost_while_the_log_is_rotated() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(MOUNTS);
    let (log, pid) = (scene.path("audit.jsonl"), fleet.pid());
    let old = |number: u32| scene.path(&format!("audit.jsonl.{number}"));
    let reads = while_reading(&scene, |_| {
        for number in 0..10 {
            fs::rename(&log, old(number)).unwrap();
            kill_process(pid, Signal::HUP).unwrap();
            eventually("the new file", || fs::metadata(&log).is_ok_and(|meta| meta.len() > 0));
        }
    });
    let files = (0..10).map(old).chain([log.clone()]);
    assert_eq!(files.map(|file| opens(&file, "allowed").len()).sum::<usize>(), reads);
    // The commands of those ten reloads came too.
    assert_eq!(fleet.status()[0].1["audit"]["failed"], 0);
}

#[test]
fn no_record_is_lost_when_a_reload_names_another_log() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.serve(MOUNTS);
    let other = MOUNTS.replace("audit.jsonl", "other.jsonl");
    let reads = while_reading(&scene, |_| {
        for config in [&other, MOUNTS].iter().cycle().take(20) {
            assert!(fleet.reload(config).status.success());
        }
    });
    let [first, second] = ["audit.jsonl", "other.jsonl"].map(|name| scene.path(name));
    let counts = [&first, &second].map(|log| opens(log, "allowed").len());
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert_eq!(counts.iter().sum::<usize>(), reads);

    // Without a log nothing is recorded, and with one again everything is.
    let none = MOUNTS.replace("audit_log", "# audit_log");
    assert!(fleet.reload(&none).status.success());
    fleet.read("agent", "credentials");
    assert_eq!(fleet.status()[0].1.get("audit"), None);
    assert!(fleet.reload(MOUNTS).status.success());
    fleet.read("agent", "credentials");
    assert_eq!(opens(&first, "allowed").len(), counts[0] + 1);
    // A log that cannot be written is an error that changes nothing.
    let wrong = MOUNTS.replace("audit.jsonl", "none/audit.jsonl");
    assert!(!fleet.reload(&wrong).status.success());
    fleet.read("agent", "credentials");
    assert_eq!(opens(&first, "allowed").len(), counts[0] + 2);
}

/// A bind mount outlives the mount, and the daemon answers it for a moment more.
#[test]
fn no_open_goes_unrecorded_while_the_daemon_stops() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let _fleet = scene.serve(ONE);
    let bound = scene.path("container/.aws");
    let read = |number: u32| scene.path(&format!("read-{number}"));
    let mut readers: Vec<Child> = (0..4)
        .map(|number| {
            let mut reads = Command::new("sh");
            let script = "while cat \"$0/credentials\" >>\"$1\"; do :; done";
            reads.args(["-c", script]).arg(&bound).arg(read(number));
            let mut reader =
                in_mount_namespace(&scene, &[(scene.path("live"), bound.clone())], &reads);
            reader.stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    let reads = |number| {
        let text = fs::read_to_string(read(number)).unwrap_or_default();
        text.matches("\n[prod]\n").count()
    };
    eventually("the first reads", || (0..4).all(|number| reads(number) > 10));
    let unmounted = scene.run(&["unmount", scene.path("live").to_str().unwrap()]);
    assert!(unmounted.status.success(), "{unmounted:?}");
    for reader in &mut readers {
        reader.wait().unwrap();
    }
    let served: usize = (0..4).map(reads).sum();
    let recorded = opens(&scene.path("audit.jsonl"), "allowed").len();
    // The daemon may have ended between the record of an open and its reads.
    assert!((served..=served + 4).contains(&recorded), "{served} served, {recorded} recorded");
}
