//! What the tests of this folder share: a mount with roles that work and one that does not, and
//! clients as processes of their own that know the mount and nothing else.

use std::fs::{self, DirBuilder};
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::emulator::{CallRecord, Emulator, Fault};
use crate::support::{self, Daemon, Scene, arn, fuse_available, skipped};

/// A role that the emulator denies.
pub(crate) const BROKEN: &str = "broken";
/// What readers are told about it.
pub(crate) const REASON: &str = "profile broken has no keys: AWS denied AssumeRole";

/// A mount with the roles `prod` (also the default), `dev` and [`BROKEN`].
pub(crate) struct Rig<'a> {
    pub(crate) scene: &'a Scene,
    pub(crate) daemon: Daemon<'a>,
}

impl<'a> Rig<'a> {
    /// Mounts, with more arguments for the daemon. `None`, said aloud, where nothing can be
    /// mounted.
    pub(crate) fn start(scene: &'a Scene, arguments: &[&str]) -> Option<Self> {
        if !fuse_available() {
            return None;
        }
        scene.emulator.set_fault(Fault::Deny.for_role(BROKEN));
        for name in [READER, ELSEWHERE] {
            DirBuilder::new().mode(0o700).create(scene.path(name)).expect("a directory");
        }
        let roles = ["prod", "dev", BROKEN].map(|role| format!("--role={role}={}", arn(role)));
        let mut all: Vec<_> = roles.iter().map(String::as_str).collect();
        all.extend(["--region", "eu-west-1"]);
        all.extend(arguments);
        let daemon = scene.mount_on(scene.path(READER).join(".aws"), &all);
        Some(Self { scene, daemon })
    }

    /// A client that finds the mount at `~/.aws`.
    pub(crate) fn at_home(&self, client: Client) -> Option<Command> {
        self.client(client, READER)
    }

    /// A client that finds the mount by the variables that name its files.
    pub(crate) fn by_variables(&self, client: Client) -> Option<Command> {
        let mut command = self.client(client, ELSEWHERE)?;
        command
            .env("AWS_CONFIG_FILE", self.daemon.file("config"))
            .env("AWS_SHARED_CREDENTIALS_FILE", self.daemon.file("credentials"));
        Some(command)
    }

    /// A client with this home directory. `None`, said aloud, where it is not installed.
    pub(crate) fn client(&self, client: Client, home: &str) -> Option<Command> {
        match client.command(self.scene) {
            Ok(mut command) => {
                command.env("HOME", self.scene.path(home));
                Some(command)
            }
            Err(reason) => {
                skipped(reason);
                None
            }
        }
    }

    /// The calls of clients, who alone ask for an identity here.
    pub(crate) fn identity_calls(&self) -> Vec<CallRecord> {
        identity_calls(&self.scene.emulator)
    }

    /// As the function of this name.
    #[track_caller]
    pub(crate) fn expect_identity(&self, command: &mut Command, role: &str) {
        expect_identity(&self.scene.emulator, &|| self.daemon.log(), command, role);
    }
}

/// The calls of clients, who alone ask for an identity in these tests.
pub(crate) fn identity_calls(emulator: &Emulator) -> Vec<CallRecord> {
    let mut calls = emulator.calls();
    calls.retain(|call| call.action == "GetCallerIdentity");
    calls
}

/// Runs `command`, which must succeed and print the ARN of a session of `role`; the emulator must
/// have seen one verified call, with a session that it issued for that role. `log` is shown if not.
#[track_caller]
pub(crate) fn expect_identity(
    emulator: &Emulator,
    log: &dyn Fn() -> String,
    command: &mut Command,
    role: &str,
) {
    let before = identity_calls(emulator).len();
    let output = run(command);
    let arn = format!("arn:aws:sts::123456789012:assumed-role/{role}/");
    assert!(output.status.success(), "{}\n{}", told(&output), log());
    assert!(told(&output).contains(&arn), "{}", told(&output));
    let calls = identity_calls(emulator);
    let [call] = &calls[before..] else { panic!("one call, not {:#?}", &calls[before..]) };
    assert_eq!(call.result.as_deref(), Some("OK"));
    let sessions = emulator.issued_sessions();
    let caller = call.caller_access_key_id.as_deref();
    let session = sessions.iter().find(|session| Some(&*session.access_key_id) == caller);
    assert!(session.expect("a session of ours").arn.starts_with(&arn));
}

/// The programs in `tests/clients/`, and the AWS CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Boto3,
    /// The program of `boto3_page.py`.
    Boto3Page,
    Cli,
    JavaScript,
    Rust,
}

impl Client {
    /// A command that asks who it is, once. Scripts are written out first: users who cannot read
    /// the repository run these tests too.
    fn command(self, scene: &Scene) -> Result<Command, &'static str> {
        let script = |name: &str, text: &str| {
            let path = scene.path(name);
            fs::write(&path, text).expect("a script");
            path
        };
        let python = || {
            support::variable("CREDMOUNT_TEST_PYTHON")
                .ok_or("CREDMOUNT_TEST_PYTHON names no Python with boto3 and the AWS CLI")
        };
        Ok(match self {
            Self::Boto3 => {
                let mut command = scene.command(python()?);
                let text = include_str!("../../clients/boto3_client.py");
                command.arg(script("boto3_client.py", text));
                command
            }
            Self::Boto3Page => {
                let mut command = scene.command(python()?);
                let text = include_str!("../../clients/boto3_page.py");
                command.arg(script("boto3_page.py", text));
                command
            }
            Self::Cli => {
                let mut command = scene.command(python()?);
                command.args(["-m", "awscli"]).args(WHO_AM_I);
                command
            }
            Self::JavaScript => {
                let modules = support::variable("CREDMOUNT_TEST_NODE_MODULES")
                    .ok_or("CREDMOUNT_TEST_NODE_MODULES names no packages of npm")?;
                let mut command = scene.command("node");
                let text = include_str!("../../clients/javascript_client.mjs");
                command
                    // The SDK warns of its next minimum of Node.js.
                    .arg("--no-warnings")
                    .arg(script("javascript_client.mjs", text))
                    // With a slash at its end, as Node.js wants it.
                    .env("CREDMOUNT_TEST_NODE_MODULES", Path::new(&modules).join(""));
                command
            }
            Self::Rust => {
                // Cargo builds examples before tests, but tells tests no path of theirs.
                let beside = Path::new(env!("CARGO_BIN_EXE_credmount"));
                let built = beside.with_file_name("examples").join("rust-client");
                scene.command(support::program("rust-client", built))
            }
        })
    }

    /// The AWS CLI with other arguments than the ones that ask who it is.
    pub(crate) fn cli(mut who_am_i: Command, arguments: &[&str]) -> Command {
        let mut command = Command::new(who_am_i.get_program());
        command.env_clear().envs(variables(&mut who_am_i)).args(["-m", "awscli"]).args(arguments);
        command
    }
}

/// The environment that was made for a command.
pub(crate) fn variables(command: &mut Command) -> Vec<(std::ffi::OsString, std::ffi::OsString)> {
    let set = command.get_envs().filter_map(|(name, value)| Some((name.into(), value?.into())));
    set.collect()
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
    command.output().expect("the client starts")
}

/// What a client printed, for people and assertions.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The home directory whose `.aws` is the mount.
const READER: &str = "reader";
/// A home directory without `.aws`.
pub(crate) const ELSEWHERE: &str = "elsewhere";
/// What the AWS CLI is asked.
const WHO_AM_I: [&str; 2] = ["sts", "get-caller-identity"];
