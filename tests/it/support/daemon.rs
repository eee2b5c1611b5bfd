//! A real daemon: the binary, in the background, against an emulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use credmount::control::{Request, Response, ask};
use credmount::os::paths::mount_stem;
use serde_json::Value;
use tempfile::TempDir;

use super::{eventually, fuse_available, variable};
use crate::emulator::{Emulator, Options};

/// A directory of its own with an emulator: home, runtime directory, mount point.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) emulator: Emulator,
    root: TempDir,
    /// The words before each command; none for here.
    enter: Vec<String>,
    credmount: PathBuf,
}

/// A mount that serves.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    scene: &'a Scene,
    pub(crate) mountpoint: PathBuf,
}

impl Scene {
    /// A scene for a test that mounts; `None`, said loudly, where nothing can be mounted.
    pub(crate) fn mountable() -> Option<Self> {
        fuse_available().then(Self::new)
    }

    pub(crate) fn new() -> Self {
        Self::elsewhere(Vec::new(), program("credmount", env!("CARGO_BIN_EXE_credmount")))
    }

    /// A scene whose commands run in other namespaces or as another user: by the words of `enter`,
    /// with credmount at a path that can be used there.
    pub(crate) fn elsewhere(enter: Vec<String>, credmount: PathBuf) -> Self {
        let emulator = Emulator::start_with(Options::default()).expect("the emulator starts");
        let root = tempfile::Builder::new().prefix("credmount-it-").tempdir().expect("a directory");
        for dir in ["home", "run"] {
            fs::create_dir(root.path().join(dir)).expect("a directory");
        }
        Self { emulator, root, enter, credmount }
    }

    /// The program under test.
    pub(crate) fn program(&self) -> &Path {
        &self.credmount
    }

    /// The same scene with another program.
    pub(crate) fn with_program(self, credmount: PathBuf) -> Self {
        Self { credmount, ..self }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The command with an environment that has nothing of the person who runs the tests.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut words: Vec<_> = self.enter.iter().map(AsRef::<std::ffi::OsStr>::as_ref).collect();
        words.push(program.as_ref());
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", variable("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("USER", "tester")
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_STS", self.emulator.endpoint())
            .env("AWS_ENDPOINT_URL_SSO", self.emulator.endpoint())
            .env("AWS_ENDPOINT_URL_SSO_OIDC", self.emulator.endpoint())
            .stdin(Stdio::null());
        command
    }

    /// `credmount ARGS` with the emulator's base keys in the environment.
    pub(crate) fn credmount(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.credmount);
        command
            .env("AWS_ACCESS_KEY_ID", self.emulator.base_access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", self.emulator.base_secret_access_key())
            .args(args);
        command
    }

    /// Runs `credmount ARGS` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.credmount(args).output().expect("credmount runs")
    }

    /// Mounts in the background on `live` with these arguments.
    pub(crate) fn mount(&self, args: &[&str]) -> Daemon<'_> {
        self.mount_on(self.path("live"), args)
    }

    /// Mounts in the background on `mountpoint` with these arguments.
    pub(crate) fn mount_on(&self, mountpoint: PathBuf, args: &[&str]) -> Daemon<'_> {
        self.mount_by(mountpoint, args, |command| command.output().expect("credmount runs"))
    }

    /// Mounts in the background on `live` with these arguments, in the environment that `prepare`
    /// makes of the usual one.
    pub(crate) fn mount_with(
        &self,
        args: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Daemon<'_> {
        self.mount_by(self.path("live"), args, |command| {
            prepare(command);
            command.output().expect("credmount runs")
        })
    }

    /// Mounts in the background on `mountpoint` by a command that `run` may change before it runs it.
    pub(crate) fn mount_by(
        &self,
        mountpoint: PathBuf,
        args: &[&str],
        run: impl FnOnce(&mut Command) -> Output,
    ) -> Daemon<'_> {
        let daemon = Daemon { scene: self, mountpoint };
        let mountpoint = daemon.mountpoint.to_str().expect("a path in UTF-8").to_owned();
        let args = [args, &["--background", &mountpoint]].concat();
        let output = run(&mut self.credmount(&args));
        assert!(output.status.success(), "mounting failed: {output:?}");
        daemon
    }

    /// Mounts the role `prod`, as most tests do.
    pub(crate) fn mount_prod(&self) -> Daemon<'_> {
        self.mount(&["--role", &arn("prod"), "--region", "eu-west-1"])
    }
}

impl Daemon<'_> {
    /// A file of the mount.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.mountpoint.join(name)
    }

    pub(crate) fn credentials(&self) -> String {
        fs::read_to_string(self.file("credentials")).expect("credentials can be read")
    }

    /// What `status --json` says of this mount.
    pub(crate) fn status(&self) -> Value {
        let output = self.scene.run(&["status", "--json", self.argument()]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    pub(crate) fn refresh(&self) {
        let output = self.scene.run(&["refresh", self.argument()]);
        assert!(output.status.success(), "{output:?}");
    }

    /// As [`Daemon::refresh`], without the cost of starting a process.
    pub(crate) fn refresh_over_socket(&self) {
        self.ask(&Request::Refresh { mount: None, profile: None });
    }

    /// As `credmount unmount`, and back as soon as there is an answer.
    pub(crate) fn unmount_over_socket(&self) {
        self.ask(&Request::Unmount { mount: self.argument().to_owned() });
    }

    fn ask(&self, request: &Request) {
        let socket = self.scene.path("run/credmount").join(mount_stem(&self.mountpoint));
        let response = ask(&socket.with_extension("sock"), request).expect("an answer");
        assert_eq!(response, Response::Done(String::new()));
    }

    pub(crate) fn argument(&self) -> &str {
        self.mountpoint.to_str().expect("a path in UTF-8")
    }

    pub(crate) fn pid(&self) -> i32 {
        self.status()["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a pid")
    }

    /// The same while there may be no daemon.
    pub(crate) fn try_pid(&self) -> Option<i32> {
        let output = self.scene.run(&["status", "--json", self.argument()]);
        let status: Value = serde_json::from_slice(&output.stdout).ok()?;
        status["pid"].as_i64().and_then(|pid| pid.try_into().ok())
    }

    /// The log of the daemon so far.
    pub(crate) fn log(&self) -> String {
        let path = self.status()["log_file"].as_str().map(PathBuf::from).expect("a log file");
        fs::read_to_string(path).expect("a log")
    }

    /// Kills the daemon, and returns when it holds nothing any more.
    pub(crate) fn kill(&self) {
        let process = Path::new("/proc").join(self.pid().to_string());
        self.signal(rustix::process::Signal::KILL);
        // A zombie has closed its files, unless one of its threads is still on its way out.
        let is_zombie = || {
            let stat = fs::read_to_string(process.join("stat"));
            let threads = fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            stat.map_or(true, |stat| stat.contains(") Z ")) && threads <= 1
        };
        eventually("the daemon to be gone", is_zombie);
    }

    /// Ends the daemon by a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("the daemon runs");
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let stopped = self.scene.credmount(&["unmount", self.argument()]).output();
        let stopped = stopped.is_ok_and(|output| output.status.success());
        if !stopped && is_mounted(&self.mountpoint) {
            ask_to_unmount(&self.mountpoint);
            // A panic within a panic would abort, and nobody be told what all other tests found.
            if !std::thread::panicking() {
                await_unmounted(&self.mountpoint);
            }
        }
    }
}

/// Whether anything is mounted there, told without touching it.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == path))
}

/// Removes a mount that may have lost its daemon.
pub(crate) fn unmount_lazily(path: &Path) {
    ask_to_unmount(path);
    await_unmounted(path);
}

fn ask_to_unmount(path: &Path) {
    let _ = Command::new("fusermount3").args(["-u", "-z", "--"]).arg(path).output();
}

fn await_unmounted(path: &Path) {
    eventually("the mount to go", || !is_mounted(path));
}

/// The ARN of a role in the emulator's account.
pub(crate) fn arn(role: &str) -> String {
    format!("arn:aws:iam::123456789012:role/{role}")
}

/// A program under test: where `CREDMOUNT_TEST_PROGRAMS` says if the tests run as a user who cannot
/// enter the build directory, else where it was built.
pub(crate) fn program(name: &str, built: impl Into<PathBuf>) -> PathBuf {
    match variable("CREDMOUNT_TEST_PROGRAMS") {
        Some(dir) => Path::new(&dir).join(name),
        None => built.into(),
    }
}
