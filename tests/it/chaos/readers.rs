//! The readers: processes in mount namespaces of their own, and what they have to tell.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::support::Scene;
use crate::support::namespace::{Bind, bound};
use crate::support::wait::now;

/// What one reader found.
#[derive(Debug, Deserialize)]
pub(crate) struct Report {
    /// Renderings read to their end.
    pub(crate) reads: u64,
    /// Keys in them.
    pub(crate) keys: u64,
    /// Keys that signed a call.
    pub(crate) calls: u64,
    /// Renderings in which a role said that it fails.
    pub(crate) failing: u64,
    /// Keys that were good when they were read and over when they were tried.
    pub(crate) late: u64,
    /// Descriptors that had become stale: opened when, and told when.
    pub(crate) stale: Vec<(f64, f64)>,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
    /// The longest waits for the kernel, the longest first: seconds, since when, and for what.
    pub(crate) waits: Vec<(f64, f64, String)>,
}

/// Readers at work. They end with this, whatever the test did.
#[derive(Debug)]
pub(crate) struct Readers(Vec<Child>);

impl Readers {
    /// Two in each of three namespaces: one where the directory is bound, one where it is bound
    /// with what is mounted on `credentials`, one where that file alone is bound.
    pub(crate) fn start(scene: &Scene, mountpoint: &Path, seed: u64) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/chaos/reader.py");
        let file = mountpoint.join("credentials");
        let binds: [(Bind, PathBuf, &str, &str); 3] = [
            (Bind::Single, mountpoint.to_owned(), "bound-a", "bound-a/credentials"),
            (Bind::Recursive, mountpoint.to_owned(), "bound-b", "bound-b/credentials"),
            (Bind::Single, file, "bound-c", "bound-c"),
        ];
        let mut readers = Self(Vec::new());
        for (bind, (how, source, target, file)) in (0_u64..).zip(binds) {
            // One shell in the namespace starts both.
            let mut both = Command::new("sh");
            both.args(["-c", BOTH, "sh", "python3"]).arg(&script).arg(scene.path(file));
            both.arg(scene.emulator.endpoint()).arg((seed + bind).to_string());
            let mut command = bound(scene, how, &[(source, scene.path(target))], &both);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            readers.0.push(command.spawn().expect("readers start"));
        }
        readers
    }

    /// Ends the readers and returns their reports.
    pub(crate) fn stop(mut self) -> Vec<Report> {
        for reader in &mut self.0 {
            drop(reader.stdin.take());
        }
        let deadline = now() + PATIENCE;
        while self.0.iter_mut().any(|reader| reader.try_wait().expect("a child").is_none()) {
            assert!(now() < deadline, "a reader hangs: {:?}", self.waiting());
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut reports = Vec::new();
        for reader in &mut self.0 {
            let mut text = String::new();
            let mut out = reader.stdout.take().expect("a pipe");
            out.read_to_string(&mut text).expect("text");
            for line in text.lines() {
                reports.push(serde_json::from_str(line).unwrap_or_else(|_| panic!("{text}")));
            }
        }
        assert_eq!(reports.len(), 2 * self.0.len(), "each reader reports");
        reports
    }

    /// Where in the kernel the readers wait (`proc_pid_wchan(5)`).
    fn waiting(&self) -> Vec<String> {
        let children = self.0.iter().flat_map(|shell| {
            let path = format!("/proc/{0}/task/{0}/children", shell.id());
            let children = std::fs::read_to_string(path).unwrap_or_default();
            children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        });
        let wchan = |pid: String| std::fs::read_to_string(format!("/proc/{pid}/wchan"));
        children.filter_map(|pid| wchan(pid).ok()).collect()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        for reader in &mut self.0 {
            // Its standard input ends with it, and then the two that it started.
            let _ = reader.kill();
            let _ = reader.wait();
        }
    }
}

/// Runs the reader in both ways. Background jobs of a shell have no standard input of their own.
const BOTH: &str = r#"exec 3<&0; "$@" read <&3 & "$@" hold <&3 & wait"#;

/// A reader looks up at least this often.
const PATIENCE: Duration = Duration::from_secs(40);
