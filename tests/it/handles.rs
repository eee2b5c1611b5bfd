//! Descriptors that were opened before the daemon crashed.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::process;

use rustix::io::Errno;
use rustix::process::Signal;

use crate::support::daemon::arn;
use crate::support::records::opens;
use crate::support::{Daemon, Scene, ini_value};

/// Kills the daemon, and returns when another one answers.
fn crash(daemon: &Daemon<'_>) {
    let pid = daemon.pid();
    daemon.signal(Signal::KILL);
    // Waits in the kernel until it is answered.
    daemon.credentials();
    assert_ne!(daemon.pid(), pid);
}

fn opened(daemon: &Daemon<'_>, name: &str) -> File {
    File::open(daemon.file(name)).expect("an open file")
}

fn all(mut file: &File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("the descriptor reads");
    text
}

#[test]
fn a_descriptor_from_before_a_crash_reads_one_rendering_or_fails_cleanly() {
    let Some(scene) = Scene::mountable() else { return };
    // What is longer than before cannot be read by a descriptor that was told the shorter size.
    scene.emulator.set_token_length(800..=800);
    let daemon = scene.mount(&["--supervise", "--role", &arn("prod"), "--region", "eu-west-1"]);
    let [fresh, mut begun, mut read] = [(); 3].map(|()| opened(&daemon, "credentials"));
    let others = ["config", "credmount/process/prod.json", "credmount/status.json"];
    let others = others.map(|name| opened(&daemon, name));
    let below = fs::read_dir(daemon.file("credmount/process")).unwrap();
    begun.read_exact(&mut [0; 100]).unwrap();
    let before = all(&read);
    let size = fresh.metadata().unwrap().len();
    crash(&daemon);

    let after = all(&fresh);
    assert!(ini_value(&after, "prod", "aws_access_key_id").is_some());
    assert_ne!(before, after, "the sessions of another daemon");
    assert_eq!((after.len() as u64, fresh.metadata().unwrap().len()), (size, size));
    for other in &others {
        assert!(!all(other).trim().is_empty());
    }
    // Half of one rendering and half of another would be keys that do not belong together.
    let stale = begun.read(&mut [0; 100]).expect_err("another rendering");
    assert_eq!(stale.raw_os_error(), Some(Errno::STALE.raw_os_error()));
    begun.seek(SeekFrom::Start(0)).unwrap();
    assert!(ini_value(&all(&begun), "prod", "aws_access_key_id").is_some());
    // Who has read all is told the end, as often as it asks.
    assert_eq!(read.read(&mut [0; 100]).unwrap(), 0);
    assert_eq!(below.count(), 2, "default.json and prod.json");
}

#[test]
fn who_reads_on_after_a_crash_is_judged_and_recorded_as_who_opens() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_token_length(800..=800);
    let log = scene.path("audit.jsonl");
    let role = arn("prod");
    let args = ["--supervise", "--role", &role, "--audit-log", log.to_str().unwrap()];
    let rules = ["--allow", "exe=*"];
    let daemon = scene.mount(&[&args[..], &rules[..]].concat());
    let file = opened(&daemon, "credentials");
    crash(&daemon);
    let mine = || {
        let own = u64::from(process::id());
        let opens = opens(&log, "allowed").into_iter().filter(|open| open["tgid"] == own);
        opens.map(|open| open["roles"][0]["access_key_id"].clone()).collect::<Vec<_>>()
    };
    let before = mine().len();
    let key = ini_value(&all(&file), "prod", "aws_access_key_id").expect("a key");
    let records = mine();
    assert_eq!(records.len(), before + 1);
    assert_eq!(*records.last().unwrap(), key.as_str());
}
