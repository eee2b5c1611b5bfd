//! A copy of this system that packages can be installed into, made of namespaces and an overlay.
//! Must not know what is installed there.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::scripts::Said;
use crate::support::{fuse_available, skipped, variable};

/// A running copy. Dropping it ends every process in it.
#[derive(Debug)]
pub(super) struct Host {
    /// The script, whose stdin keeps the copy running.
    script: Child,
    pid: String,
    /// Files of the copy that differ from those of this system; empty outside of it.
    _files: TempDir,
}

impl Host {
    /// A copy that has `shared` in common with this system. `None`, said loudly, where there can be
    /// none.
    pub(super) fn start(shared: &Path) -> Option<Self> {
        if !fuse_available() {
            return None;
        }
        match Self::try_start(shared) {
            Ok(host) => Some(host),
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    fn try_start(shared: &Path) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("installing packages needs root".into());
        }
        let files = tempfile::Builder::new().prefix("credmount-it-").tempdir();
        let files = files.expect("a directory");
        let mut script = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                include_str!("host.sh"),
                "sh",
            ])
            .args([files.path(), shared])
            // Out of reach of the signals that end the test.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        let stdout = script.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a pipe can be read");
        if let Some(pid) = line.trim_end().strip_prefix("ready ") {
            return Ok(Self { script, pid: pid.to_owned(), _files: files });
        }
        let mut said = String::new();
        script.stderr.take().expect("a pipe").read_to_string(&mut said).expect("UTF-8");
        script.wait().expect("the script ends");
        Err(format!("no copy of this system can be made here: {}", said.trim()))
    }

    /// The words that make a command run in the copy.
    pub(super) fn enter(&self) -> Vec<String> {
        let words = ["nsenter", &format!("--target={}", self.pid), "--mount", "--pid"];
        words.map(str::to_owned).into()
    }

    /// A command in the copy, with an environment as that of an administrator.
    pub(super) fn command(&self, program: &str) -> Command {
        let enter = self.enter();
        let mut command = Command::new(&enter[0]);
        command
            .args(&enter[1..])
            .arg(program)
            .env_clear()
            .env("PATH", variable("PATH").unwrap_or_default())
            .env("HOME", "/root")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Runs a command that must succeed, and returns what it said on both.
    pub(super) fn run(&self, program: &str, args: &[&str]) -> String {
        let said = Said::of(self.command(program).args(args));
        assert!(said.ok(), "{program} {args:?}: {said:?}");
        said.out + &said.err
    }

    /// A path of the copy, as seen from here.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        Path::new("/proc").join(&self.pid).join("root").join(&path[1..])
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
