//! No secret leaves the daemon but in the files that are there to hold it. Everything that can be
//! said is provoked at the loudest log level, all of it is gathered, and searched for each secret
//! in each form it may take.

mod mfa;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::emulator::Fault;
use crate::endpoint;
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, fuse_available};

/// Keys that stand in files and variables, where nobody expects them to be repeated.
const PLANTED: [(&str, &str); 2] = [
    ("the planted secret key", "Zq7RkT2mXv9LwPb4Hs8YcN1dFg6JeU3aVo5KxQ0i"),
    ("the planted session token", "IQoPlanted7Hk2Wm9Rt4Yx8Bz1Lc6Vn3Qd5Fs0Gj7Ua2Ei4Ow"),
];

/// Texts to look for, by what they are.
#[derive(Default)]
pub(crate) struct Secrets(Vec<(String, String)>);

impl Secrets {
    fn planted() -> Self {
        let mut secrets = Self::default();
        for (name, text) in PLANTED {
            secrets.add(name, text);
        }
        secrets
    }

    /// The planted ones, the base key, and all that the emulator issued so far, answered or not.
    pub(crate) fn of(scene: &Scene) -> Self {
        let mut secrets = Self::planted();
        secrets.add("the base secret key", scene.emulator.base_secret_access_key());
        for (number, session) in scene.emulator.issued_sessions().iter().enumerate() {
            let arn = &session.arn;
            secrets.add(&format!("secret key {number} ({arn})"), &session.secret_access_key);
            secrets.add(&format!("token {number} ({arn})"), &session.session_token);
        }
        for (number, secret) in scene.emulator.sso_secrets().iter().enumerate() {
            secrets.add(&format!("secret {number} of IAM Identity Center"), secret);
        }
        secrets
    }

    pub(crate) fn add(&mut self, name: &str, secret: &str) {
        assert!(secret.len() >= 36 && secret.is_ascii(), "{name} is long enough to search for");
        let mut form = |form: &str, text: String| self.0.push((format!("{name}{form}"), text));
        form("", secret.to_owned());
        form(", its begin", secret[..12].to_owned());
        form(", its end", secret[secret.len() - 12..].to_owned());
        let escaped: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        form(", escaped for a URL", escaped);
        for shift in 0..3 {
            // One of the three stands in the base64 of any text that holds the secret.
            let whole_groups = aws_smithy_types::base64::encode(&secret[shift..shift + 30]);
            form(", in base64", whole_groups);
        }
        let mut hex = String::new();
        for byte in secret.bytes().take(16) {
            write!(hex, "{byte:02x}").unwrap();
        }
        form(", in hexadecimal", hex);
    }
}

/// What was said and where.
#[derive(Default)]
pub(crate) struct Evidence(Vec<(String, Vec<u8>)>);

impl Evidence {
    pub(crate) fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    pub(crate) fn output(&mut self, args: &[&str], output: &Output) {
        self.add(format!("stdout of {args:?}"), output.stdout.clone());
        self.add(format!("stderr of {args:?}"), output.stderr.clone());
    }

    /// Runs a command whose output holds no keys.
    pub(crate) fn run(&mut self, scene: &Scene, args: &[&str]) -> i32 {
        let output = scene.run(args);
        self.output(args, &output);
        output.status.code().expect("no signal ends it")
    }

    /// All files below a directory.
    pub(crate) fn files(&mut self, dir: &Path) {
        for path in tree(dir) {
            if path.is_file() {
                self.add(path.display().to_string(), fs::read(&path).unwrap());
            }
        }
    }

    /// What the endpoint of a mount answers to one who shows this.
    fn asked(&mut self, address: SocketAddr, path: &str, shown: &str, when: &str) {
        let request = endpoint::request(address, path, shown, &[]);
        let answer = endpoint::converse(address, &request).unwrap();
        self.add(format!("the endpoint's answer {when}"), answer.whole);
    }

    /// The same for those who guess. What they tried must not be written down either: it may be
    /// another secret.
    fn guesses(&mut self, address: SocketAddr, token: &str, when: &str) {
        let guess = PLANTED[0].1;
        self.asked(address, "/role/prod", guess, when);
        self.asked(address, &format!("/{guess}"), token, when);
        self.asked(address, "/role/nobody", token, when);
    }

    fn leaks(&self, secrets: &Secrets) -> Vec<String> {
        let mut leaks = BTreeSet::new();
        for (place, bytes) in &self.0 {
            let said = String::from_utf8_lossy(bytes);
            for (name, secret) in &secrets.0 {
                if said.contains(secret.as_str()) {
                    leaks.insert(format!("{name}: {place}"));
                }
            }
        }
        leaks.into_iter().collect()
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self, secrets: &Secrets) {
        let leaks = self.leaks(secrets);
        assert!(leaks.is_empty(), "secrets were found:\n{}", leaks.join("\n"));
    }

    /// Whether a text was said anywhere: that something was provoked is not taken for granted.
    #[track_caller]
    pub(crate) fn assert_said(&self, words: &str) {
        let said = self.0.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(words));
        assert!(said, "nobody said {words:?}");
    }
}

/// Everything below a directory, without going through mounts or symlinks.
fn tree(dir: &Path) -> Vec<PathBuf> {
    let device = fs::metadata(dir).unwrap().dev();
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() && meta.dev() == device {
            found.extend(tree(&path));
        }
        found.push(path);
    }
    found
}

/// What a socket answers.
fn converse(socket: &Path, request: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer).unwrap();
    answer
}

#[test]
fn the_search_finds_every_form_of_a_secret() {
    let (_, secret) = PLANTED[0];
    let hidden = |text: String| {
        let mut evidence = Evidence::default();
        evidence.add("stderr", text);
        !evidence.leaks(&Secrets::planted()).is_empty()
    };
    assert!(hidden(format!("key={secret}")));
    assert!(hidden(format!("key={}…", &secret[..12])));
    assert!(hidden(format!("…{}", &secret[28..])));
    for before in ["", "x", "xy"] {
        assert!(
            hidden(aws_smithy_types::base64::encode(format!("{before}{secret}"))),
            "{before:?}"
        );
    }
    assert!(!hidden(format!("key={}", &secret[14..25])));
}

/// All faults, each for a role of its own, by the role's name.
fn faults() -> [(&'static str, Fault); 12] {
    [
        ("denied", Fault::Deny),
        ("throttled", Fault::Throttle),
        ("retryafter", Fault::ThrottleRetryAfter { seconds: 1 }),
        ("servererror", Fault::ServerError { status: 503 }),
        ("hanging", Fault::Hang),
        ("slow", Fault::Slow { delay_ms: 300 }),
        ("dropped", Fault::DropConnection),
        ("halved", Fault::DropMidAnswer),
        ("malformed", Fault::MalformedXml),
        ("truncated", Fault::TruncatedXml),
        ("huge", Fault::HugeAnswer { bytes: 3_000_000 }),
        ("expired", Fault::ExpiredSession),
    ]
}

/// Nor is any other file held open, as far as may be seen: only root can look into a process that
/// cannot be dumped.
#[track_caller]
fn holds_no_other_file(pid: i32, mountpoint: &Path) {
    let open = fs::read_dir(format!("/proc/{pid}/fd"));
    assert_eq!(open.is_ok(), rustix::process::geteuid().is_root());
    for fd in open.into_iter().flatten() {
        let target = fs::read_link(fd.unwrap().path()).unwrap();
        let log = target.extension().is_some_and(|extension| extension == "log");
        let device = target.starts_with("/dev/null") || target.starts_with("/dev/fuse");
        let locked = target == mountpoint;
        let kernel = !target.starts_with("/");
        assert!(log || device || locked || kernel, "{}", target.display());
    }
}

#[test]
fn a_life_with_every_fault_leaves_no_secret_behind() {
    let Some(scene) = Scene::mountable() else { return };
    let before: BTreeSet<PathBuf> = tree(&scene.path("")).into_iter().collect();
    let faults = faults();
    for (role, fault) in &faults {
        scene.emulator.set_fault(fault.clone().for_role(role));
    }
    let all_arns: Vec<String> =
        std::iter::once("prod").chain(faults.iter().map(|(role, _)| *role)).map(arn).collect();
    let roles: Vec<&str> = all_arns.iter().flat_map(|arn| ["--role", arn.as_str()]).collect();
    let mut evidence = Evidence::default();

    // A start in which all but two fail, and what is told of it.
    let address = endpoint::free_address();
    let listen = address.to_string();
    let options = ["-vv", "--open-deadline", "1s", "--endpoint", &listen];
    let daemon = scene.mount(&[&options[..], &roles].concat());
    let token = fs::read_to_string(daemon.file("credmount/endpoint/token")).unwrap();
    let mountpoint = daemon.argument().to_owned();
    let pid = daemon.pid();
    let socket = {
        let mut sockets = tree(&scene.path("run")).into_iter();
        sockets.find(|path| fs::metadata(path).unwrap().file_type().is_socket()).expect("a socket")
    };
    let look = |evidence: &mut Evidence, when: &str| {
        daemon.credentials();
        for command in [&["status"][..], &["status", "--json"], &["status", "--json", &mountpoint]]
        {
            assert_eq!(evidence.run(&scene, command), 0);
        }
        for file in ["credmount/status.json", "config"] {
            evidence.add(format!("{file} {when}"), fs::read(daemon.file(file)).unwrap());
        }
        for (role, _) in &faults {
            let path = daemon.file(&format!("credmount/errors/{role}"));
            evidence.add(format!("errors/{role} {when}"), fs::read(path).unwrap());
        }
        evidence.guesses(address, &token, when);
        for request in [&b"{\"command\":\"status\"}\n"[..], b"{}\n", b"{\"command\":\"x\"}\n"] {
            evidence.add(format!("the socket's answer {when}"), converse(&socket, request));
        }
        evidence.files(&scene.path("run"));
        let proc = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap();
        evidence.add("/proc/PID/cmdline", proc("cmdline"));
        evidence.add("/proc/PID/comm", proc("comm"));
    };
    look(&mut evidence, "after the start");

    // But for the one that is only slow.
    let failing = faults.iter().filter(|(_, fault)| !matches!(fault, Fault::Slow { .. }));
    for (role, _) in failing {
        evidence.asked(address, &format!("/role/{role}"), &token, "in failure");
    }

    // A refresh that fails in all ways at once; what hangs is let go when the rest has failed.
    let args = ["refresh", mountpoint.as_str()];
    let refresh =
        scene.credmount(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let failed = || {
        let status = daemon.status();
        let roles = status["roles"].as_array().unwrap();
        roles.iter().filter(|role| role["failures"].as_u64() >= Some(1)).count()
    };
    eventually("ten roles to fail", || failed() >= 10);
    look(&mut evidence, "in failure");
    let pairs = roles.chunks(2).filter(|pair| !pair[1].ends_with("hanging"));
    let ready: Vec<&str> = pairs.flatten().copied().collect();
    assert_eq!(evidence.run(&scene, &[&["check", "-vv"][..], &ready].concat()), 1);
    let rendering = [&["render", "-vv"][..], &ready].concat();
    let rendered = scene.run(&rendering);
    assert_eq!(rendered.status.code(), Some(1));
    evidence.output(&rendering, &rendered);
    scene.emulator.clear_faults();
    let refreshed = refresh.wait_with_output().unwrap();
    assert_eq!(refreshed.status.code(), Some(1));
    evidence.output(&args, &refreshed);

    // All is well again: renewals, and output that holds keys only where it should.
    assert_eq!(evidence.run(&scene, &args), 0);
    look(&mut evidence, "in health");
    assert_eq!(evidence.run(&scene, &[&["check", "-vv"][..], &roles].concat()), 0);
    let rendered = scene.run(&[&["render", "-vv"][..], &roles].concat());
    evidence.add("stderr of render", rendered.stderr);
    evidence.add("status.json as root of tests sees it", daemon.status().to_string());

    // Nothing is written but log, socket and what the next daemon has to know.
    let now: BTreeSet<PathBuf> = tree(&scene.path("")).into_iter().collect();
    let made: Vec<&PathBuf> =
        now.difference(&before).filter(|path| !path.starts_with(&daemon.mountpoint)).collect();
    let runtime_dir = scene.path("run/credmount");
    for path in &made {
        let extension = path.extension().and_then(|extension| extension.to_str());
        let ours = path.parent() == Some(&runtime_dir)
            && matches!(extension, Some("log" | "sock" | "json"));
        assert!(**path == runtime_dir || ours, "{}", path.display());
    }
    assert_eq!(made.len(), 4, "{made:?}");
    for state in made.iter().filter(|path| path.extension().is_some_and(|it| it == "json")) {
        evidence.add("what the next daemon has to know", fs::read(state).unwrap());
    }
    holds_no_other_file(pid, &daemon.mountpoint);

    assert_eq!(evidence.run(&scene, &["unmount", &mountpoint]), 0);
    evidence.files(&scene.path("run"));
    assert!(scene.emulator.issued_sessions().len() > 2 * faults.len(), "much was issued");
    for words in ["AccessDenied", "Throttling", "\"failing\"", "session received"] {
        evidence.assert_said(words);
    }
    evidence.assert_said("InvalidToken");
    let mut secrets = Secrets::of(&scene);
    secrets.add("the token of the endpoint", &token);
    evidence.assert_clean(&secrets);
}

/// Keys and tokens of the services that instances and containers have.
#[test]
fn sources_of_base_credentials_leave_no_secret_behind() {
    let Some(scene) = Scene::mountable() else { return };
    let token = "LetMeIn-9fXw2Lk7Qz4Rb8Tn1Vc6Hs3Yp5Dj0GaEu";
    scene.emulator.configure(|settings| settings.container_token = Some(token.to_owned()));
    fs::create_dir(scene.path("home/.aws")).unwrap();
    let config = ["Ec2InstanceMetadata", "EcsContainer"].map(|source| {
        let arn = arn(source);
        format!("[profile {source}]\nrole_arn = {arn}\ncredential_source = {source}\n")
    });
    fs::write(scene.path("home/.aws/config"), config.concat()).unwrap();
    let place = |command: &mut Command| {
        command
            .env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", scene.emulator.endpoint())
            .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", scene.emulator.container_uri())
            .env("AWS_CONTAINER_AUTHORIZATION_TOKEN", token);
    };
    let roles = ["--role", "Ec2InstanceMetadata", "--role", "EcsContainer"];
    let daemon = scene.mount_with(&[&["-vv"], &roles[..]].concat(), place);
    let mut evidence = Evidence::default();
    let look = |evidence: &mut Evidence| {
        daemon.credentials();
        evidence.run(&scene, &["status", "--json"]);
        evidence.files(&scene.path("run"));
        for role in ["Ec2InstanceMetadata", "EcsContainer"] {
            let path = daemon.file(&format!("credmount/errors/{role}"));
            evidence.add(format!("errors/{role}"), fs::read(path).unwrap());
        }
        let mut check = scene.credmount(&[&["check", "-vv"], &roles[..]].concat());
        place(&mut check);
        evidence.output(&["check"], &check.output().unwrap());
    };
    look(&mut evidence);
    // The services refuse, fail and hand out keys that are over.
    let refresh = ["refresh", daemon.argument()];
    scene.emulator.configure(|settings| settings.container_token = Some("another".to_owned()));
    scene.emulator.set_fault(Fault::Deny.for_action("InstanceCredentials").times(2));
    evidence.run(&scene, &refresh);
    look(&mut evidence);
    scene.emulator.clear_faults();
    scene.emulator.set_fault(Fault::ExpiredSession.for_action("InstanceCredentials"));
    evidence.run(&scene, &refresh);
    look(&mut evidence);
    for words in ["session received", "AssumeRoleUnauthorizedAccess", "they expired at"] {
        evidence.assert_said(words);
    }
    let mut secrets = Secrets::of(&scene);
    secrets.add("the token of the container", token);
    for token in scene.emulator.instance_tokens() {
        secrets.add("a token of the metadata service", &token);
    }
    evidence.assert_clean(&secrets);
}

#[test]
fn a_mount_in_the_foreground_logs_no_secret_in_either_format() {
    if !fuse_available() {
        return;
    }
    for format in ["text", "json"] {
        let scene = Scene::new();
        let (live, stderr) = (scene.path("live"), scene.path("stderr"));
        let prod = arn("prod");
        let args = ["-vvv", "--log-format", format, "--role", &prod, live.to_str().unwrap()];
        let log = fs::File::create(&stderr).unwrap();
        let mut child = scene.credmount(&args).stderr(log).spawn().unwrap();
        eventually("the mount to serve", || {
            fs::read_to_string(&stderr).unwrap().contains("serving")
        });
        fs::read(live.join("credentials")).unwrap();
        fs::read(live.join("credmount/process/prod.json")).unwrap();
        let mut evidence = Evidence::default();
        assert_eq!(evidence.run(&scene, &["refresh"]), 0);
        assert_eq!(evidence.run(&scene, &["unmount", live.to_str().unwrap()]), 0);
        assert!(child.wait().unwrap().success());
        evidence.add("the log", fs::read(&stderr).unwrap());
        evidence.assert_said("session received");
        evidence.assert_clean(&Secrets::of(&scene));
    }
}

/// A start that fails for good, as each command tells it.
#[test]
fn failures_without_a_mount_tell_no_secret() {
    let (key, token) = (PLANTED[0].1, PLANTED[1].1);
    let scene = Scene::new();
    let aws = scene.path("home/.aws");
    fs::create_dir(&aws).unwrap();
    let stored = format!("aws_secret_access_key = {key}\naws_session_token = {token}\n");
    let process =
        |name: &str, command: &str| format!("[profile {name}]\ncredential_process = {command}\n");
    let json = format!("{{\"Version\":1,\"AccessKeyId\":\"ASIAX\",\"SecretAccessKey\":\"{key}\"");
    let profiles = [
        process("exits", &format!("sh -c 'echo {key}; echo {token} >&2; exit 3'")),
        process("prints", &format!("echo {key} {token}")),
        process("unfinished", &format!("printf %s '{json}'")),
        process("dated", &format!("printf %s '{json},\"Expiration\":\"{token}\"}}'")),
        process(
            "expired",
            &format!("printf %s '{json},\"Expiration\":\"2020-01-01T00:00:00Z\"}}'"),
        ),
        process("version", &format!("printf %s '{{\"Version\":\"{key}\"}}'")),
        format!("[profile spaced]\naws_access_key_id = AKIA X\n{stored}"),
        format!("[profile continued]\naws_access_key_id = AKIAX\n{stored}  # {key}\n"),
        format!("[profile half]\n{stored}"),
        format!("[profile unknown]\naws_access_key_id = AKIAXXXXXXXXXXXXXXXX\n{stored}"),
    ];
    let names = ["exits", "prints", "unfinished", "dated", "expired", "version", "spaced"];
    let names = names.into_iter().chain(["continued", "half", "unknown"]);
    fs::write(aws.join("config"), profiles.concat()).unwrap();
    let mut evidence = Evidence::default();
    let (prod, live) = (arn("prod"), scene.path("live"));
    for name in names {
        let source = ["-vv", "--role", &prod, "--source-profile", name];
        for command in [&["check"][..], &["check", "--json"], &["render"]] {
            assert_ne!(evidence.run(&scene, &[command, &source].concat()), 0, "{name}");
        }
        // With base credentials as they are.
        assert_ne!(evidence.run(&scene, &["check", "-vv", "--role", name]), 0, "{name}");
    }
    // Mounts that end in advice, and one that would stay.
    for args in [&["--background"][..], &[]] {
        let source = ["-vv", "--role", &prod, "--source-profile", "unknown"];
        let args = [args, &source, &[live.to_str().unwrap()]].concat();
        assert_eq!(evidence.run(&scene, &args), 1);
    }
    evidence.files(&scene.path("run"));
    evidence.assert_said("AWS does not accept the base credentials");
    evidence.assert_said("the source of the base credentials failed");
    evidence.assert_clean(&Secrets::of(&scene));
}

#[test]
fn errors_about_files_do_not_quote_the_keys_in_them() {
    let (key, token) = (PLANTED[0].1, PLANTED[1].1);
    let prod = arn("prod");
    let mut evidence = Evidence::default();

    let aws_files = [
        format!("[profile p]\naws_secret_access_key {key}\n"),
        format!("[profile p]\n{key}\n"),
        format!("[profile p]\naws_secret_access_key: {key}\nrole_arn = {prod}\n"),
        format!("aws_secret_access_key = {key}\n[profile p]\n"),
        format!("[profile p\naws_secret_access_key = {key}\n"),
        format!("[profile p]\n  aws_secret_access_key = {key}\n"),
        format!(
            "[profile p]\nAWS_SECRET_ACCESS_KEY = {key}\n[profile p]\naws_session_token={token}\n"
        ),
        format!("[profile p]\naws_secret_acess_key = {key}\nrole_arn = {prod}\n"),
        format!("[profile p]\nmy secret = {key}\nrole_arn = {prod}\nsource_profile = q\n"),
        format!("[profile p]\ns3 =\n  {key}\n"),
        format!("[profile p]\nrole_arn = {prod}\nregion = xx\naws_session_token = {token}\n"),
        format!("[profile p q]\naws_secret_access_key = {key}\n[profile p]\nrole_arn = x\n"),
    ];
    for text in aws_files {
        for file in ["config", "credentials"] {
            let scene = Scene::new();
            let aws = scene.path("home/.aws");
            fs::create_dir(&aws).unwrap();
            fs::write(
                aws.join(file),
                text.replace("profile ", if file == "config" { "profile " } else { "" }),
            )
            .unwrap();
            evidence.run(&scene, &["check", "-vv", "--role", "p"]);
            evidence.run(&scene, &["check", "-vv", "--role", &prod, "--source-profile", "p"]);
            evidence.run(&scene, &["render", "-vv", "--role", "p"]);
        }
    }

    let own_files = [
        format!("aws_secret_access_key = \"{key}\"\n"),
        format!("[roles.a]\nrole_arn = \"{prod}\"\nsecret_access_key = \"{key}\"\n"),
        format!("[roles.a]\nrole_arn = \"{prod}\"\naws_session_token = {token}\n"),
        format!("secret = \"{key}\n"),
        format!("{key}\n"),
        format!("[roles.a]\nrole_arn = {{ key = \"{key}\" }}\n"),
        format!("verbose = [\"{key}\"]\n"),
    ];
    let scene = Scene::new();
    for text in own_files {
        let file = scene.path("c.toml");
        fs::write(&file, &text).unwrap();
        let args = ["check", "-vv", "--config", file.to_str().unwrap()];
        assert_eq!(evidence.run(&scene, &args), 2);
    }

    for (name, value) in [
        ("CREDMOUNT_ROLES", format!("\"{key}\"")),
        ("CREDMOUNT_ROLES", format!("{{\"a\":\"{key}\"}}")),
        ("CREDMOUNT_ROLES", format!("{{\"a\":{{\"secret\":\"{key}\"}}}}")),
        ("CREDMOUNT_ROLES", key.to_owned()),
        ("AWS_AUTH_ROLES", format!("[\"{key}\"]")),
        ("AWS_AUTH_ROLES", format!("{{\"a\":{{\"secret\":\"{key}\"}}}}")),
        ("CREDMOUNT_SECRET", key.to_owned()),
        ("AWS_SESSION_TOKEN", format!("{token} {token}")),
    ] {
        let args = ["check", "-vv", "--role", &prod];
        let output = scene.credmount(&args).env(name, value).output().unwrap();
        assert_ne!(output.status.code(), None);
        evidence.output(&[name], &output);
    }
    evidence.assert_said("line without `=`");
    evidence.assert_said("not TOML");
    evidence.assert_said("not JSON of roles, at line 1");
    evidence.assert_clean(&Secrets::planted());
}

#[test]
fn no_core_can_be_dumped_and_no_neighbour_can_look() {
    let scene = Scene::new();
    scene.emulator.set_fault(Fault::Hang);
    // As another user where root runs the tests: what is root's own anyway proves nothing.
    let nobody = 65_534;
    let root = rustix::process::geteuid().is_root();
    let (run, live) = (scene.path("run"), scene.path("live"));
    let program = scene.path("credmount");
    let mut command: Command = scene.credmount(&["--role", &arn("prod"), live.to_str().unwrap()]);
    if root {
        fs::create_dir(&live).unwrap();
        fs::set_permissions(&live, fs::Permissions::from_mode(0o700)).unwrap();
        for path in [&run, &live] {
            chown(path, Some(nobody), Some(nobody)).unwrap();
        }
        fs::set_permissions(scene.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        // The target directory may be closed to others.
        if fs::hard_link(env!("CARGO_BIN_EXE_credmount"), &program).is_err() {
            fs::copy(env!("CARGO_BIN_EXE_credmount"), &program).unwrap();
        }
        let mut other = Command::new(&program);
        other.args(command.get_args()).env_clear().stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            other.env(name, value.unwrap_or_default());
        }
        other.uid(nobody).gid(nobody);
        command = other;
    }
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let ended = |child: &mut std::process::Child| child.try_wait().unwrap();
    eventually("the call for a session", || {
        assert_eq!(ended(&mut child), None, "it waits for its session");
        scene.emulator.call_count("AssumeRole", "prod") > 0
    });
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let limits = fs::read_to_string(proc.join("limits")).unwrap();
    let owner = fs::metadata(proc.join("environ")).unwrap().uid();
    child.kill().unwrap();
    child.wait().unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<&str> = core.split_whitespace().skip(4).collect();
    assert_eq!(values, ["0", "0", "bytes"]);
    // proc(5): the files of a process that cannot be dumped belong to root.
    assert_eq!(owner, 0, "the files of the process are those of its user");
}
