//! The life of one daemon with one flow in it: mounted under a supervisor and strace at the loudest
//! log level, looked at from all sides, killed so that it would dump its memory, and stopped.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use rustix::process::{Resource, Rlimit, Signal, geteuid, getrlimit, setrlimit};
use serde_json::Value;
use tempfile::TempDir;

use super::search::{Evidence, Secrets, converse, tree};
use super::trace::{self, Told};
use crate::support::{Daemon, Scene, eventually, wait_for};

/// The files of a mount that are there to hold a secret, by their beginnings and ends. All others
/// are looked at.
const FOR_SECRETS: [(&str, &str); 7] = [
    ("credentials", ""),
    ("credmount/process/", ".json"),
    ("credmount/endpoint/", "token"),
    ("credmount/github/", "/token"),
    ("credmount/github/", "/git-credentials"),
    ("credmount/ssh/", "/id_ed25519"),
    ("credmount/web-identity/", "/token"),
];

/// See the module documentation.
pub(super) struct Life<'a> {
    pub(super) scene: &'a Scene,
    pub(super) evidence: Evidence,
    secrets: Secrets,
    /// What the person has given to the daemon by its environment.
    variables: Vec<(&'static str, String)>,
    /// Secrets that stand in variables, because that is the flow.
    in_environment: Secrets,
    /// Files of the person, which hold secrets and are nobody else's business.
    own: Vec<PathBuf>,
    /// A directory where the daemon is meant to keep secrets, as the AWS CLI does.
    kept: Option<PathBuf>,
    shown: usize,
    expected: Vec<String>,
    mount: Option<Mount<'a>>,
    /// Traces, which hold secrets of their own; `None` where nothing can be traced.
    traces: Option<TempDir>,
    traced: Vec<(String, PathBuf)>,
}

struct Mount<'a> {
    daemon: Daemon<'a>,
    starter: Child,
}

impl<'a> Life<'a> {
    pub(super) fn new(scene: &'a Scene) -> Self {
        allow_cores();
        for dir in ["home/.aws", "tmp"] {
            fs::create_dir(scene.path(dir)).unwrap();
        }
        let traces = trace::is_possible().then(|| tempfile::tempdir().unwrap());
        Self {
            scene,
            evidence: Evidence::default(),
            secrets: Secrets::planted(),
            variables: Vec::new(),
            in_environment: Secrets::default(),
            own: Vec::new(),
            kept: None,
            shown: 0,
            expected: Vec::new(),
            mount: None,
            traces,
            traced: Vec::new(),
        }
    }

    // What there is before the mount.

    /// A secret that the emulator has not given out.
    pub(super) fn secret(&mut self, name: &str, secret: &str) {
        self.secrets.add(name, secret);
    }

    pub(super) fn secrets(&mut self) -> &mut Secrets {
        &mut self.secrets
    }

    /// A file of the person.
    pub(super) fn write(&mut self, name: &str, text: &str) -> PathBuf {
        let path = self.scene.path(name);
        // In one step: a daemon may read it at any time.
        let unfinished = path.with_extension("unfinished");
        fs::write(&unfinished, text).unwrap();
        fs::rename(unfinished, &path).unwrap();
        self.own.push(path.clone());
        path
    }

    /// `[roles]` and the like.
    pub(super) fn configure(&mut self, text: &str) {
        self.variables
            .push(("CREDMOUNT_CONFIG", self.scene.write_config(text).display().to_string()));
    }

    /// Writes the profile `keys`, of the base user, into `~/.aws/credentials`.
    pub(super) fn keys(&mut self) {
        let (id, key) = (
            self.scene.emulator.base_access_key_id(),
            self.scene.emulator.base_secret_access_key(),
        );
        let text = format!("[keys]\naws_access_key_id = {id}\naws_secret_access_key = {key}\n");
        self.write("home/.aws/credentials", &text);
    }

    pub(super) fn profiles(&mut self, text: &str) {
        self.write("home/.aws/config", text);
    }

    /// A variable for the daemon and for all commands.
    pub(super) fn variable(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.push((name, value.into()));
    }

    /// A variable whose value is a secret.
    pub(super) fn secret_variable(&mut self, name: &'static str, what: &str, value: &str) {
        self.in_environment.add(what, value);
        self.variable(name, value);
    }

    /// A directory where secrets are meant to be kept.
    pub(super) fn keeps(&mut self, dir: &str) {
        self.kept = Some(self.scene.path(dir));
    }

    // What is done.

    /// `credmount ARGS` with nothing but what was said above.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.scene.command(self.scene.program());
        command.args(args).env("TMPDIR", self.scene.path("tmp"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The command, under strace where that can be.
    fn traced(&mut self, command: Command, who: &str) -> Command {
        let Some(dir) = &self.traces else { return command };
        let file = dir.path().join(self.traced.len().to_string());
        self.traced.push((who.to_owned(), file.clone()));
        trace::traced(&command, &file)
    }

    /// Mounts on `live` with these arguments more.
    pub(super) fn mount(&mut self, args: &[&str]) {
        let audit = self.scene.path("audit.jsonl").display().to_string();
        let loud = ["-vvv", "--supervise", "--audit-log", &audit];
        let scene = self.scene;
        let mut starter = None;
        let said = fs::File::create(scene.path("said")).unwrap();
        let daemon = scene.mount_by(scene.path("live"), &[&loud[..], args].concat(), |usual| {
            let args: Vec<&str> = usual.get_args().map(|arg| arg.to_str().unwrap()).collect();
            let mut command = self.command(&args);
            command.stdin(Stdio::null());
            let mut command = self.traced(command, "the daemon");
            command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
            let mut child = command.spawn().unwrap();
            let mut end = None;
            eventually("the mount to serve", || {
                end = end.or_else(|| child.try_wait().unwrap());
                end.is_some()
                    || scene.run(&["status", "--json", args.last().unwrap()]).status.success()
            });
            starter = Some(child);
            let stderr = fs::read(scene.path("said")).unwrap();
            Output { status: end.unwrap_or(ExitStatus::from_raw(0)), stdout: Vec::new(), stderr }
        });
        self.mount = Some(Mount { daemon, starter: starter.unwrap() });
        self.look("after the start");
    }

    pub(super) fn is_traced(&self) -> bool {
        self.traces.is_some()
    }

    pub(super) fn daemon(&self) -> &Daemon<'a> {
        &self.mount.as_ref().expect("it is mounted").daemon
    }

    /// Reads a file of the mount until it shows what the emulator has given out or the flow has
    /// named.
    pub(super) fn shows(&mut self, file: &str) -> String {
        assert!(is_for_secrets(file), "{file} is no file for secrets");
        let path = self.daemon().file(file);
        let text = wait_for(&format!("a secret in {file}"), || {
            let text = fs::read_to_string(&path).ok()?;
            let known = Secrets::of(self.scene);
            let is_known =
                [&known, &self.secrets].iter().any(|it| it.found_in(&text).next().is_some());
            is_known.then_some(text)
        });
        self.shown += 1;
        text
    }

    /// Runs a command whose output holds no keys; its exit code.
    pub(super) fn run(&mut self, args: &[&str]) -> Option<i32> {
        self.run_with(args, "")
    }

    /// The same with this on its stdin.
    pub(super) fn run_with(&mut self, args: &[&str], stdin: &str) -> Option<i32> {
        let child = self.start(args, stdin);
        self.ended(args, child)
    }

    pub(super) fn start(&mut self, args: &[&str], stdin: &str) -> Child {
        let command = self.command(args);
        let mut command = self.traced(command, &format!("credmount {}", args[0]));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have refused before it read.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child
    }

    pub(super) fn ended(&mut self, args: &[&str], child: Child) -> Option<i32> {
        let output = child.wait_with_output().unwrap();
        self.evidence.output(args, &output);
        output.status.code()
    }

    /// Asks for new keys and tokens, and gathers what is told of how it went.
    pub(super) fn refresh(&mut self, when: &str) {
        let at = self.daemon().argument().to_owned();
        for args in [&["refresh", &at][..], &["status", "--json", &at]] {
            let output = self.command(args).output().unwrap();
            self.evidence.output(args, &output);
        }
        let errors = self.daemon().file("credmount/errors");
        let told = if errors.is_dir() { all_below(&errors) } else { Vec::new() };
        for path in told {
            self.evidence.add(format!("{} {when}", path.display()), fs::read(&path).unwrap());
        }
    }

    /// These words must be said anywhere by the end: that something was provoked is not taken for
    /// granted.
    pub(super) fn expect_said(&mut self, words: &str) {
        self.expected.push(words.to_owned());
    }

    /// Gathers all that can be known of the daemon now.
    pub(super) fn look(&mut self, when: &str) {
        let daemon = self.daemon();
        let (at, mountpoint) = (daemon.argument().to_owned(), daemon.mountpoint.clone());
        let status = daemon.status();
        for args in [&["status", &at][..], &["status", "--json"], &["status", "--prometheus"]] {
            let output = self.scene.run(args);
            self.evidence.output(args, &output);
        }
        // Whoever reads makes the daemon say something.
        fs::read(mountpoint.join("credentials")).unwrap();
        for path in all_below(&mountpoint) {
            let name = path.strip_prefix(&mountpoint).unwrap().to_str().unwrap().to_owned();
            if !is_for_secrets(&name) {
                self.evidence.add(format!("{name} {when}"), fs::read(&path).unwrap());
            }
        }
        let number = |value: &Value| value.as_i64().expect("a process id");
        let pid = number(&status["pid"]);
        for (who, pid) in [("daemon", pid), ("supervisor", parent_of(pid))] {
            let read = |file: &str| fs::read(format!("/proc/{pid}/{file}"));
            self.evidence.add(format!("cmdline of the {who}"), read("cmdline").unwrap());
            // proc(5): the environment of a process that cannot be dumped is for root alone.
            match read("environ") {
                Ok(bytes) => self.evidence.add(format!("environ of the {who}"), bytes),
                Err(error) => assert!(!geteuid().is_root(), "{error}"),
            }
        }
        for request in ["{\"command\":\"status\"}\n", "{}\n", "{\"command\":\"x\"}\n"] {
            self.converse(request);
        }
    }

    /// Says this to the control socket.
    pub(super) fn converse(&mut self, request: &str) {
        let is_socket = |path: &PathBuf| fs::metadata(path).unwrap().file_type().is_socket();
        let socket = tree(&self.scene.path("run")).into_iter().find(is_socket).expect("a socket");
        self.evidence.add("the socket's answer", converse(&socket, request.as_bytes()));
    }

    /// Kills the daemon by a signal for which the kernel dumps the memory of a process, if it may, and
    /// waits for the next one.
    fn crash(&self) {
        let pid = self.daemon().pid();
        self.daemon().signal(Signal::ABORT);
        eventually("the next daemon", || self.daemon().try_pid().is_some_and(|next| next != pid));
    }

    /// Ends the life and looks at all that it leaves behind.
    pub(super) fn end(mut self) {
        self.look("before the crash");
        self.crash();
        self.look("after the crash");
        let (crashes, evidence, secrets) = self.remains();
        assert!(self.shown > 0, "the flow came to its end: readers had what it is for");
        evidence.assert_said("the daemon ended; it is started again");
        for words in &self.expected {
            evidence.assert_said(words);
        }
        assert!(crashes.iter().all(|it| it == "SIGABRT"), "memory was dumped: {crashes:?}");
        assert!(self.traces.is_none() || !crashes.is_empty(), "the crash was seen");
        let mut leaks = evidence.leaks(&secrets);
        leaks.retain(|(place, name)| {
            !(place.starts_with("environ") && self.in_environment.has(name))
        });
        assert!(leaks.is_empty(), "secrets were found: {leaks:#?}");
    }

    /// Unmounts; how processes were killed, all that was told and written, and what must not be in it.
    pub(super) fn remains(&mut self) -> (Vec<String>, Evidence, Secrets) {
        let Mount { daemon, mut starter } = self.mount.take().expect("it is mounted");
        let status = daemon.status();
        let at = daemon.argument().to_owned();
        let audit = self.scene.path("audit.jsonl");
        self.run(&["audit", audit.to_str().unwrap()]);
        assert_eq!(self.run(&["unmount", &at]), Some(0));
        starter.wait().unwrap();
        drop(daemon);
        assert!(Path::new(status["log_file"].as_str().unwrap()).exists());
        let mut evidence = std::mem::take(&mut self.evidence);
        for path in tree(&self.scene.path("")) {
            let is_meant = self.own.contains(&path)
                || self.kept.as_ref().is_some_and(|kept| path.starts_with(kept));
            if !is_meant && path.is_file() {
                evidence.add(format!("on disk: {}", path.display()), fs::read(&path).unwrap());
            }
        }
        let mut killed = Vec::new();
        for (who, file) in &self.traced {
            let told = Told::of(&String::from_utf8_lossy(&fs::read(file).unwrap()));
            assert!(!told.has_ring, "{who} writes through a ring, which strace cannot see");
            let unseen = told.unseen.iter().find(|to| !self.may_hold(who, to));
            assert_eq!(unseen, None, "{who} writes there what strace cannot see");
            for path in &told.opened {
                assert!(self.may_be_written(path), "{who} opens {path} for writing");
            }
            killed.extend(told.killed.iter().cloned());
            told.testify(who, &mut evidence, |to| self.may_hold(who, to));
        }
        let mut secrets = Secrets::of(self.scene);
        secrets.extend(std::mem::take(&mut self.secrets));
        (killed, evidence, secrets)
    }

    /// Whether secrets may go there: to the readers of the mount, to services, from programs that
    /// print them, into their cache, and with `credmount mfa` to the daemon.
    fn may_hold(&self, who: &str, to: &str) -> bool {
        let is_kept = self.kept.as_ref().is_some_and(|kept| Path::new(to).starts_with(kept));
        let is_code = who == "credmount mfa" && to.starts_with("UNIX-");
        let to_nobody = to == "/dev/null";
        to_nobody
            || to == "/dev/fuse"
            || to.starts_with("TCP:")
            || to.starts_with("pipe:")
            || is_kept
            || is_code
    }

    /// Where a daemon or a command may write at all.
    fn may_be_written(&self, path: &str) -> bool {
        let path = Path::new(path);
        let kept = self.kept.iter().any(|kept| path.starts_with(kept));
        let scene = ["run/credmount", "audit.jsonl"].map(|it| self.scene.path(it));
        let system = ["/dev/null", "/dev/fuse", "/dev/tty"].map(Path::new);
        kept || scene.iter().any(|it| path.starts_with(it)) || system.contains(&path)
    }
}

/// From now on every program leaves a core that does not forbid it, as far as this user may say so.
pub(super) fn allow_cores() {
    let maximum = getrlimit(Resource::Core).maximum;
    let limit = if geteuid().is_root() { None } else { maximum };
    setrlimit(Resource::Core, Rlimit { current: limit, maximum: limit }).unwrap();
}

fn is_for_secrets(name: &str) -> bool {
    FOR_SECRETS.iter().any(|(begin, end)| {
        name == *begin || (!end.is_empty() && name.starts_with(begin) && name.ends_with(end))
    })
}

/// All files below a directory of the mount.
fn all_below(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { all_below(&path) } else { vec![path] }).collect()
}

fn parent_of(pid: i64) -> i64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|pid| pid.trim().parse().ok()).expect("a parent")
}
