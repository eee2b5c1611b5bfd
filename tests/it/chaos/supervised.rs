//! A daemon under `--supervise`, its program in a directory where it can be replaced, and the blows
//! as they are struck.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use credmount::control::{DaemonStatus, Request, Response, ask};
use credmount::os::paths::mount_stem;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::daemon::{arn, is_mounted};
use crate::support::wait::now;
use crate::support::{Scene, eventually, program, unmount_lazily, wait_for};

/// The program in two versions, of which one stands where it is started from.
#[derive(Debug)]
pub(crate) struct Programs {
    dir: TempDir,
    is_other: Cell<bool>,
}

impl Programs {
    /// The second version differs in its number only, of which every copy in the program is changed.
    pub(crate) fn make() -> Self {
        let dir = tempfile::Builder::new().prefix("credmount-it-").tempdir().expect("a directory");
        let built = program("credmount", env!("CARGO_BIN_EXE_credmount"));
        fs::copy(&built, dir.path().join(VERSION)).expect("a copy of the program");
        let other = dir.path().join(other_version());
        fs::copy(&built, &other).expect("a copy of the program");
        let change = format!("s/{}/{}/g", VERSION.replace('.', "\\."), other_version());
        let sed = Command::new("sed").env("LC_ALL", "C").args(["-i", &change]).arg(&other).status();
        assert!(sed.expect("sed runs").success(), "the version could not be changed");
        let programs = Self { dir, is_other: Cell::new(true) };
        programs.replace();
        let told = Command::new(&other).arg("--version").output().expect("it runs").stdout;
        assert_eq!(String::from_utf8_lossy(&told).trim(), format!("credmount {}", other_version()));
        programs
    }

    /// Where the program is started from.
    pub(crate) fn current(&self) -> PathBuf {
        self.dir.path().join("credmount")
    }

    /// The version that stands there.
    pub(crate) fn version(&self) -> String {
        if self.is_other.get() { other_version() } else { VERSION.to_owned() }
    }

    /// Puts the other version there in one step, as package managers do.
    pub(crate) fn replace(&self) {
        self.is_other.set(!self.is_other.get());
        let link = self.dir.path().join("next");
        fs::hard_link(self.dir.path().join(self.version()), &link).expect("a link");
        fs::rename(link, self.current()).expect("a replacement");
    }
}

/// A supervisor with its daemon. Both end with this, and the mount goes, whatever the test did.
#[derive(Debug)]
pub(crate) struct Supervised<'a> {
    scene: &'a Scene,
    supervisor: Child,
    pub(crate) mountpoint: PathBuf,
}

impl<'a> Supervised<'a> {
    /// Serves the roles `prod`, which is the default too, and `dev`.
    pub(crate) fn start(scene: &'a Scene) -> Self {
        let mountpoint = scene.path("live");
        let log = fs::File::create(scene.path("log")).expect("a log");
        let roles = ["prod", "dev"].map(|role| format!("--role={role}={}", arn(role)));
        let mut command = scene.credmount(&["--supervise", "--region", "eu-west-1"]);
        command.args(roles).arg(&mountpoint).stdout(Stdio::null()).stderr(log);
        let supervisor = command.spawn().expect("the supervisor starts");
        let supervised = Self { scene, supervisor, mountpoint };
        supervised.await_serving(0);
        supervised.await_keys();
        supervised
    }

    /// The daemon of now; 0 between two.
    pub(crate) fn pid(&self) -> i32 {
        let path = format!("/proc/{0}/task/{0}/children", self.supervisor.id());
        let children = fs::read_to_string(path).expect("the supervisor runs");
        children.split_whitespace().next().map_or(0, |pid| pid.parse().expect("a number"))
    }

    /// Waits for a daemon that may not serve yet.
    pub(crate) fn await_other_than(&self, before: i32) -> i32 {
        wait_for("another daemon", || Some(self.pid()).filter(|pid| ![0, before].contains(pid)))
    }

    /// Waits until a daemon other than this one tells its state; returns its version.
    pub(crate) fn await_serving(&self, before: i32) -> String {
        let serving = || {
            let status = self.status().filter(|status| status.pid.cast_signed() != before)?;
            Some(status.mounts.first()?.version.clone())
        };
        let deadline = now() + LONGEST_START;
        loop {
            if let Some(version) = serving() {
                return version;
            }
            assert!(now() < deadline, "no daemon serves any more\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until both roles have keys.
    pub(crate) fn await_keys(&self) {
        eventually("keys of both roles", || {
            let roles = self.status().into_iter().flat_map(|status| status.mounts);
            let mut roles = roles.flat_map(|mount| mount.roles);
            roles.next().is_some_and(|first| first.state == "live")
                && roles.all(|role| role.state == "live")
        });
    }

    /// `credmount restart`, without the cost of starting a process.
    pub(crate) fn restart(&self) {
        let response = ask(&self.socket(), &Request::Restart {}).expect("an answer");
        assert!(matches!(response, Response::Done(_)), "{response:?}");
    }

    /// What the daemon and its supervisor have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.scene.path("log")).expect("a log")
    }

    fn status(&self) -> Option<Box<DaemonStatus>> {
        match ask(&self.socket(), &Request::Status { mount: None }) {
            Ok(Response::Status(status)) => Some(status),
            _ => None,
        }
    }

    fn socket(&self) -> PathBuf {
        let stem = mount_stem(&self.mountpoint);
        self.scene.path("run/credmount").join(stem).with_extension("sock")
    }
}

/// Sends a signal to a daemon, which may be dying of the blow before.
pub(crate) fn send(signal: Signal, pid: i32) {
    let _ = kill_process(Pid::from_raw(pid).expect("a daemon"), signal);
}

impl Drop for Supervised<'_> {
    fn drop(&mut self) {
        let unmounted = self.scene.credmount(&["unmount"]).arg(&self.mountpoint).output();
        if unmounted.is_ok_and(|output| output.status.success()) && ends(&mut self.supervisor) {
            return;
        }
        let daemon = Pid::from_raw(self.pid());
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
        let _ = daemon.map(|daemon| kill_process(daemon, Signal::KILL));
        if is_mounted(&self.mountpoint) && !std::thread::panicking() {
            unmount_lazily(&self.mountpoint);
        } else {
            ask_to_unmount(&self.mountpoint);
        }
    }
}

fn ends(child: &mut Child) -> bool {
    let deadline = now() + Duration::from_secs(10);
    while now() < deadline {
        if child.try_wait().is_ok_and(|end| end.is_some()) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn ask_to_unmount(path: &Path) {
    let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(path).output();
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// As long as the version.
fn other_version() -> String {
    let (head, last) = VERSION.split_at(VERSION.len() - 1);
    format!("{head}{}", if last == "9" { "8" } else { "9" })
}

/// The watchdog's time, and what a start takes on a busy machine.
const LONGEST_START: Duration = Duration::from_mins(1);
