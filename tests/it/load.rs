//! More readers at once than any machine has programs.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Condvar};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::wait::now;
use crate::support::{Scene, eventually, skipped};

/// What one reader got, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// A live key of the role that hangs, which there cannot be.
    Key,
    TooMany,
    NoAnswer,
}

/// Readers that all open at the same moment.
#[derive(Debug, Default)]
struct Start {
    #[expect(clippy::disallowed_types, reason = "Condvar of std takes no other")]
    is_given: std::sync::Mutex<bool>,
    given: Condvar,
}

impl Start {
    fn give(&self) {
        *self.is_given.lock().unwrap() = true;
        self.given.notify_all();
    }

    fn wait(&self) {
        let is_given = self.is_given.lock().unwrap();
        drop(self.given.wait_while(is_given, |is_given| !*is_given).unwrap());
    }
}

type Reader = JoinHandle<(Told, Duration)>;

/// `None`, said loudly, where there may not be so many threads.
fn crowd(path: &Path, start: &Arc<Start>) -> Option<Vec<Reader>> {
    let reader = || {
        let (path, start) = (path.to_owned(), start.clone());
        thread::Builder::new().stack_size(STACK).spawn(move || {
            start.wait();
            let begun = now();
            let mut file = File::open(&path).expect("every open is answered");
            let took = begun.elapsed();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            drop(file);
            assert!(text.contains("[dev]\naws_access_key_id"), "a role that is live stays so");
            let told = if text.contains("prod has no keys: too many programs wait") {
                Told::TooMany
            } else if text.contains("prod has no keys: no answer came in time") {
                Told::NoAnswer
            } else {
                Told::Key
            };
            (told, took)
        })
    };
    let mut readers = Vec::new();
    for _ in 0..READERS {
        match reader() {
            Ok(reader) => readers.push(reader),
            Err(error) => {
                start.give();
                for reader in readers {
                    let _ = reader.join();
                }
                skipped(&format!("{READERS} threads cannot be started: {error}"));
                return None;
            }
        }
    }
    Some(readers)
}

/// The most memory that a process had resident, in KiB.
fn peak(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the reader's own clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

#[test]
fn ten_thousand_readers_at_once_leave_the_daemon_small_and_are_answered_in_time() {
    let Some(scene) = Scene::mountable() else { return };
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let deadline = format!("{}s", DEADLINE.as_secs());
    let roles = [&arn("prod")[..], &arn("dev")];
    let daemon =
        scene.mount(&["--role", roles[0], "--role", roles[1], "--open-deadline", &deadline]);
    let pid = daemon.pid();
    let before = peak(pid);

    let start = Arc::new(Start::default());
    let Some(readers) = crowd(&daemon.file("credentials"), &start) else { return };
    // The session of one role ends while its renewal hangs.
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(2)));
    daemon.refresh();
    scene.emulator.set_fault(Fault::Hang.for_role("prod"));
    scene.emulator.set_session_lifetime(None);
    eventually("the session to end", || {
        let role = &daemon.status()["roles"][0];
        let ends = humantime::parse_rfc3339(role["expires"].as_str().unwrap()).unwrap();
        role["state"] == "pending" && ends < wall_clock()
    });
    start.give();
    let answers: Vec<(Told, Duration)> =
        readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    let after = peak(pid);

    let took = |told: Told| {
        let mut times: Vec<Duration> =
            answers.iter().filter(|(it, _)| *it == told).map(|(_, took)| *took).collect();
        times.sort();
        times
    };
    let (too_many, waited) = (took(Told::TooMany), took(Told::NoAnswer));
    eprintln!(
        "{} were not let wait, answered within {:?}; {} waited, {:?} at most; {before} KiB before, \
         {after} KiB at the peak",
        too_many.len(),
        too_many.last(),
        waited.len(),
        waited.last(),
    );
    assert_eq!(too_many.len() + waited.len(), READERS, "everybody was answered by the truth");
    assert!(waited.len() >= MAY_WAIT, "those who may wait do");
    assert!(!too_many.is_empty());
    assert!(answers.iter().all(|(_, took)| *took < DEADLINE + MARGIN), "nobody waits for longer");
    assert!(after - before < ROOM, "{before} KiB before, {after} KiB at the peak");
    scene.emulator.clear_faults();
    eventually("the role to come back", || {
        daemon.credentials().contains("[prod]\naws_access_key_id")
    });
}

const READERS: usize = 10_000;

/// As many as may wait if nothing is configured.
const MAY_WAIT: usize = 4096;

/// Enough to open and to read.
const STACK: usize = 128 * 1024;

/// So long that all readers have come.
const DEADLINE: Duration = Duration::from_secs(5);

/// For a machine that does other things beside.
const MARGIN: Duration = Duration::from_secs(40);

/// KiB: about 2 for each reader were measured, and no more than twice that is accepted.
const ROOM: u64 = 40 * 1024;
