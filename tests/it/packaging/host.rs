//! A copy of this system that packages can be installed into, made of namespaces and an overlay.
//! Must not know what is installed there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use tempfile::TempDir;

use super::scripts::Said;
use crate::support::{fuse_available, script, skipped, variable};

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
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                include_str!("host.sh"),
                "sh",
            ])
            .args([files.path(), shared]);
        let made = script::start(&mut command);
        let (script, pid) =
            made.map_err(|said| format!("no copy of this system can be made here: {said}"))?;
        Ok(Self { script, pid, _files: files })
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
