//! A machine of its own that systemd has booted, made of namespaces and of a throw-away copy of the
//! file system, which leaves nothing behind, whatever becomes of the test. Must not know what runs
//! in it.

use std::env::temp_dir;
use std::ffi::OsStr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{eventually, fuse_available, script, skipped};

/// Who runs a command in a machine, and which manager it speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    Root,
    /// `tester`, an ordinary user.
    User,
}

/// A running machine. Dropping it ends every process in it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The script, whose stdin keeps the machine running.
    script: Child,
    /// The init of the machine, as it is seen from here.
    init: String,
    /// The home directory of the user.
    home: TempDir,
}

impl Machine {
    /// A machine in which both managers, that of the system and that of the user, are up. `None`,
    /// said loudly, where there can be none.
    pub(crate) fn boot() -> Option<Self> {
        if !fuse_available() {
            return None;
        }
        match Self::try_boot() {
            Ok(machine) => {
                machine.await_managers();
                Some(machine)
            }
            Err(reason) => {
                skipped(&reason);
                None
            }
        }
    }

    fn try_boot() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("a machine with systemd needs root".into());
        }
        for needed in NEEDED {
            if !Path::new(needed).exists() {
                return Err(format!("systemd needs {needed}, which is not installed"));
            }
        }
        let home = tempfile::Builder::new().prefix("credmount-it-").tempdir().expect("a directory");
        chown(home.path(), Some(USER), Some(USER)).expect("root may give it away");
        let built = Path::new(env!("CARGO_BIN_EXE_credmount")).parent().expect("a directory");
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .args([include_str!("machine.sh"), "sh", &USER.to_string()])
            .args([home.path(), built, &temp_dir()]);
        let made = script::start(&mut command);
        let (script, init) =
            made.map_err(|said| format!("no machine with systemd can be made here: {said}"))?;
        Ok(Self { script, init, home })
    }

    fn await_managers(&self) {
        for who in [As::Root, As::User] {
            eventually("the managers to run", || {
                let asked = self.systemctl(who, &["is-system-running"]).output();
                asked.is_ok_and(|asked| asked.stdout == b"running\n")
            });
        }
    }

    /// The home directory of the user.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A command in the machine, with the environment of a login.
    pub(crate) fn command(&self, who: As, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.init))
            .args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--root", "--wd"])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        if who == As::User {
            let runtime = format!("/run/user/{USER}");
            command
                .args(["setpriv", "--clear-groups"])
                .args([format!("--reuid={USER}"), format!("--regid={USER}")])
                .env("HOME", self.home())
                .env("USER", "tester")
                .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={runtime}/bus"))
                .env("XDG_RUNTIME_DIR", runtime);
        } else {
            command.env("HOME", "/root").env("USER", "root");
        }
        command.arg(program);
        command
    }

    /// `systemctl ARGS`, of the manager of the user or of the system.
    pub(crate) fn systemctl(&self, who: As, args: &[&str]) -> Command {
        let mut command = self.command(who, "systemctl");
        command.args((who == As::User).then_some("--user")).args(args);
        command
    }

    /// What the managers and all services have logged so far.
    pub(crate) fn journal(&self) -> String {
        let args = ["--no-pager", "--output=short-monotonic", "--quiet"];
        let output = self.command(As::Root, "journalctl").args(args).output().expect("journalctl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A path in the machine, as it is reached from here.
    pub(crate) fn reach(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        // Ends when all is cleaned up. What it says is worth knowing when a test has failed.
        let _ = self.script.wait();
    }
}

/// The user of every machine.
pub(crate) const USER: u32 = 70_000;

/// `dbus-user-session`, of which the last is a part, lets the daemon ask for what its confinement
/// does not let it do itself.
const NEEDED: [&str; 4] = [
    "/usr/lib/systemd/systemd",
    "/usr/bin/systemd-run",
    "/usr/bin/dbus-daemon",
    "/usr/lib/systemd/user/dbus.socket",
];
