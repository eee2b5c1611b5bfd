//! What the tests of this folder share: an emulator, a daemon that mounts, and clients as
//! processes of their own that know the mount and nothing else.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::emulator::{CallRecord, Emulator, Fault};

/// A role that the emulator denies.
pub(crate) const BROKEN: &str = "broken";
/// What readers are told about it.
pub(crate) const REASON: &str = "profile broken has no keys: AWS denied AssumeRole";

/// A mount with the roles `prod` (also the default), `dev` and [`BROKEN`].
pub(crate) struct Rig {
    pub(crate) emulator: Emulator,
    dir: TempDir,
    daemon: Child,
}

impl Rig {
    /// Mounts with ordinary sessions of one hour. `None`, said aloud, where nothing can be mounted.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(None, &[])
    }

    /// Mounts with sessions of this lifetime and more arguments for the daemon.
    pub(crate) fn start_with(lifetime: Option<Duration>, arguments: &[&str]) -> Option<Self> {
        if let Err(reason) = can_mount() {
            skipped(&reason);
            return None;
        }
        let emulator = Emulator::start().expect("a free port");
        emulator.set_session_lifetime(lifetime);
        emulator.set_fault(Fault::Deny.for_role(BROKEN));
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["home", "elsewhere", "daemon", "run"] {
            fs::DirBuilder::new().mode(0o700).create(dir.path().join(name)).expect("a directory");
        }
        let log = File::create(dir.path().join("daemon.log")).expect("a log");
        let mut command = Command::new(program("credmount", env!("CARGO_BIN_EXE_credmount")));
        for role in ["prod", "dev", BROKEN] {
            command.args(["--role", &format!("{role}=arn:aws:iam::123456789012:role/{role}")]);
        }
        let daemon = with_only(&mut command, &dir.path().join("daemon"))
            .args(["--region", "eu-west-1"])
            .args(arguments)
            .arg(dir.path().join("home/.aws"))
            .env("XDG_RUNTIME_DIR", dir.path().join("run"))
            .env("AWS_ENDPOINT_URL_STS", emulator.endpoint())
            .env("AWS_ACCESS_KEY_ID", emulator.base_access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", emulator.base_secret_access_key())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log)
            .spawn()
            .expect("the daemon starts");
        let mut rig = Self { emulator, dir, daemon };
        rig.wait_until_mounted();
        Some(rig)
    }

    /// The mount: `.aws` in the home directory of [`Self::at_home`].
    pub(crate) fn mount(&self) -> PathBuf {
        self.home().join(".aws")
    }

    /// The home directory whose `.aws` is the mount.
    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// A home directory without `.aws`.
    pub(crate) fn elsewhere(&self) -> PathBuf {
        self.dir.path().join("elsewhere")
    }

    /// A client that finds the mount at `~/.aws`.
    pub(crate) fn at_home(&self, client: Client) -> Option<Command> {
        self.client(client, &self.home())
    }

    /// A client that finds the mount by the variables that name its files.
    pub(crate) fn by_variables(&self, client: Client) -> Option<Command> {
        let mut command = self.client(client, &self.elsewhere())?;
        command
            .env("AWS_CONFIG_FILE", self.mount().join("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.mount().join("credentials"));
        Some(command)
    }

    /// A client with this home directory and nothing that leads to the mount. `None`, said aloud,
    /// where the client is not installed.
    pub(crate) fn client(&self, client: Client, home: &Path) -> Option<Command> {
        let mut command = match client.command(self.dir.path()) {
            Ok(command) => command,
            Err(reason) => {
                skipped(&reason);
                return None;
            }
        };
        with_only(&mut command, home).env("AWS_ENDPOINT_URL_STS", self.emulator.endpoint());
        if client == Client::JavaScript {
            command.env("CREDMOUNT_TEST_NODE_MODULES", node_modules()?);
        }
        Some(command)
    }

    /// The calls of clients, who alone ask for an identity here.
    pub(crate) fn identity_calls(&self) -> Vec<CallRecord> {
        let mut calls = self.emulator.calls();
        calls.retain(|call| call.action == "GetCallerIdentity");
        calls
    }

    /// Runs `command`, which must succeed and print the ARN of a session of `role`; the emulator
    /// must have seen one verified call of a session that it issued for that role.
    #[track_caller]
    pub(crate) fn expect_identity(&self, command: &mut Command, role: &str) {
        let before = self.identity_calls().len();
        let output = run(command);
        let arn = format!("arn:aws:sts::123456789012:assumed-role/{role}/");
        assert!(output.status.success(), "{}\n{}", told(&output), self.log());
        assert!(told(&output).contains(&arn), "{}", told(&output));
        let calls = self.identity_calls();
        let [call] = &calls[before..] else { panic!("one call, not {:#?}", &calls[before..]) };
        assert_eq!(call.result.as_deref(), Some("OK"));
        let sessions = self.emulator.issued_sessions();
        let caller = call.caller_access_key_id.as_deref();
        let session = sessions.iter().find(|session| Some(&*session.access_key_id) == caller);
        assert!(session.expect("a session of ours").arn.starts_with(&arn));
    }

    /// What the daemon wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default()
    }

    fn wait_until_mounted(&mut self) {
        // A mount appears in mountinfo before it is served; a stat waits for the rest.
        let config = self.mount().join("config");
        for _ in 0..300 {
            if let Some(status) = self.daemon.try_wait().expect("a child") {
                panic!("the daemon ended with {status}:\n{}", self.log());
            }
            if config.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the daemon did not mount within 15 s:\n{}", self.log());
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.daemon.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..100 {
            if !matches!(self.daemon.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        // The test fails elsewhere; here nothing must be left behind.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = Command::new("fusermount3").args(["-u", "-z"]).arg(self.mount()).status();
    }
}

/// The programs in `tests/clients/`, and the AWS CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Boto3,
    Cli,
    JavaScript,
    Rust,
}

impl Client {
    /// The program, written to `dir` if it is a script: users who cannot read the repository run
    /// these tests too.
    fn command(self, dir: &Path) -> Result<Command, String> {
        let script = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).expect("a script");
            path
        };
        match self {
            Self::Boto3 => {
                let mut command = Command::new(python()?);
                let text = include_str!("../../clients/boto3_client.py");
                command.arg(script("boto3_client.py", text));
                Ok(command)
            }
            Self::Cli => {
                let mut command = Command::new(python()?);
                command.args(["-m", "awscli"]);
                Ok(command)
            }
            Self::JavaScript => {
                node_modules().ok_or("the npm packages of tests/clients are not installed")?;
                let mut command = Command::new("node");
                let text = include_str!("../../clients/javascript_client.mjs");
                // The SDK warns of its next minimum of Node.
                command.arg("--no-warnings").arg(script("javascript_client.mjs", text));
                Ok(command)
            }
            Self::Rust => {
                // Cargo builds examples before tests, but tells tests no path of theirs.
                let beside = Path::new(env!("CARGO_BIN_EXE_credmount"));
                let path = beside.with_file_name("examples").join("rust-client");
                Ok(Command::new(program("rust-client", &path.display().to_string())))
            }
        }
    }
}

/// A container-credentials endpoint that would hand out keys that work, and counts who asks.
pub(crate) struct Temptation {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Temptation {
    pub(crate) fn start(emulator: &Emulator) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let body = format!(
            r#"{{"AccessKeyId":"{}","SecretAccessKey":"{}"}}"#,
            emulator.base_access_key_id(),
            emulator.base_secret_access_key()
        );
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let length = body.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
                // Whether the asker stays to read makes no difference.
                let _ = stream.and_then(|mut stream| {
                    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}")
                });
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Runs a client to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().expect("the client starts")
}

/// What a client printed, for people and assertions.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Says that a test cannot run here, where `scripts/test` counts it.
#[expect(clippy::print_stderr, reason = "a test that did not run must not look like one that did")]
pub(crate) fn skipped(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {reason}");
    if let Some(list) = environment("CREDMOUNT_TEST_SKIPPED") {
        let mut list = File::options().append(true).create(true).open(list).expect("the list");
        writeln!(list, "{test}: {reason}").expect("the list");
    }
}

fn can_mount() -> Result<(), String> {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .map_err(|error| format!("/dev/fuse cannot be opened ({error})"))?;
    Command::new("fusermount3")
        .arg("--version")
        .output()
        .map_err(|error| format!("fusermount3 cannot be run ({error})"))?;
    Ok(())
}

/// A program under test: where the variable says if the tests run as a user who cannot enter the
/// build directory, else where it was built.
fn program(name: &str, built: &str) -> PathBuf {
    environment("CREDMOUNT_TEST_PROGRAMS").map_or_else(|| built.into(), |dir| dir.join(name))
}

fn python() -> Result<PathBuf, String> {
    environment("CREDMOUNT_TEST_PYTHON")
        .ok_or_else(|| "CREDMOUNT_TEST_PYTHON names no Python with boto3 and the AWS CLI".into())
}

/// The directory with a slash at its end, as Node.js wants it.
fn node_modules() -> Option<PathBuf> {
    environment("CREDMOUNT_TEST_NODE_MODULES").map(|dir| dir.join(""))
}

/// An environment of the search path, a home directory and what keeps clients on this machine.
fn with_only<'a>(command: &'a mut Command, home: &Path) -> &'a mut Command {
    command.env_clear();
    for name in ["PATH", "LD_LIBRARY_PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = environment(name) {
            command.env(name, value);
        }
    }
    command.env("HOME", home).env("AWS_EC2_METADATA_DISABLED", "true")
}

#[expect(clippy::disallowed_methods, reason = "tests are told by variables where things are")]
fn environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Makes a directory of the test's own, inside a home directory.
pub(crate) fn make_dir(path: &Path) {
    fs::create_dir(path).expect("a directory");
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("a directory of ours");
}
