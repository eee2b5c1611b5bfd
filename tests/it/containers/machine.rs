//! Where container runtimes run: a machine of its own, made of namespaces, that leaves nothing
//! behind, whatever becomes of the test. Must not know what is read in containers.

use std::fmt;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::support::{Scene, fuse_available, script, skipped, variable};

/// The ordinary user of a machine, `tester`.
pub(crate) const USER: u32 = 70_000;

/// The name of the image in every machine.
pub(crate) const IMAGE: &str = "credmount-it";

/// A running machine. Dropping it ends every process in it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The script, whose stdin keeps the machine running.
    script: Child,
    /// A process in all namespaces of the machine.
    pid: String,
}

/// Who runs a command in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Root,
    /// [`USER`].
    User,
}

impl Machine {
    /// A machine for a test that needs these programs. `None`, said loudly, where there can be
    /// none.
    pub(crate) fn start(programs: &[&str]) -> Option<Self> {
        Self::with_daemon(programs, &[])
    }

    /// A machine in which `daemon` runs, too.
    pub(crate) fn with_daemon(programs: &[&str], daemon: &[&str]) -> Option<Self> {
        if !fuse_available() {
            return None;
        }
        match Self::try_start(programs, daemon) {
            Ok(machine) => Some(machine),
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    fn try_start(programs: &[&str], daemon: &[&str]) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a machine for containers needs root".into());
        }
        for program in programs {
            let found = Command::new("which").arg(program).output();
            if !found.is_ok_and(|found| found.status.success()) {
                return Err(format!("{program} is not installed"));
            }
        }
        let [python, packages] = python()?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let built = Path::new(env!("CARGO_BIN_EXE_credmount")).parent().expect("a directory");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .args([include_str!("machine.sh"), "sh"])
            .args([&python, &packages, &root.join("tests/clients"), built])
            .arg(USER.to_string())
            .args(daemon);
        let made = script::start(&mut command);
        let (script, pid) =
            made.map_err(|said| format!("no machine for containers can be made here: {said}"))?;
        Ok(Self { script, pid })
    }

    /// A scene whose commands, the daemon among them, run in this machine.
    pub(crate) fn scene(&self, who: As) -> Scene {
        let mut enter = vec!["nsenter".to_owned(), format!("--target={}", self.pid)];
        enter.extend(["--mount", "--pid", "--cgroup"].map(str::to_owned));
        if who == As::User {
            enter.push("setpriv".to_owned());
            enter.extend([format!("--reuid={USER}"), format!("--regid={USER}")]);
            enter.push("--clear-groups".to_owned());
        }
        let scene = Scene::elsewhere(enter, "/run/clients/programs/credmount".into());
        if who == As::User {
            for name in ["", "home", "run"] {
                give_to_user(&scene.path(name));
            }
        }
        scene
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // Ends when all is cleaned up. What it says is worth knowing when a test has failed.
        let _ = self.script.wait();
    }
}

fn give_to_user(path: &Path) {
    chown(path, Some(USER), Some(USER)).expect("root may give it away");
}

/// A new directory of the ordinary user, to mount below.
pub(crate) fn parent_of_user(scene: &Scene) -> PathBuf {
    let parent = scene.path("parent");
    fs::create_dir(&parent).expect("a directory");
    give_to_user(&parent);
    parent
}

/// Words of a command line, with what is to be shown in panics.
pub(crate) fn words<T: fmt::Display>(parts: &[T]) -> Vec<String> {
    parts.iter().map(ToString::to_string).collect()
}

/// The directories of the Python that clients use and of their packages.
fn python() -> Result<[PathBuf; 2], String> {
    let python = variable("CREDMOUNT_TEST_PYTHON")
        .ok_or("CREDMOUNT_TEST_PYTHON names no Python with boto3")?;
    let ask = "import sys, sysconfig; print(sys.base_prefix, sysconfig.get_path('purelib'), \
               sep='\\n')";
    let output = Command::new(python).args(["-c", ask]).output();
    let output = output.map_err(|error| format!("CREDMOUNT_TEST_PYTHON: {error}"))?;
    let told = String::from_utf8(output.stdout).expect("paths in UTF-8");
    let mut lines = told.lines().map(PathBuf::from);
    let mut next = || lines.next().ok_or("CREDMOUNT_TEST_PYTHON does not tell where it is");
    Ok([next()?, next()?])
}
