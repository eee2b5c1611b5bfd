//! No secret leaves the daemon but in the files that are there to hold it. Everything that can be
//! said is provoked at the loudest log level, all of it is gathered, and searched for each secret
//! in each form it may take.

mod cores;
mod flows;
mod life;
mod places;
pub(crate) mod search;
mod trace;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use self::search::{Evidence, PLANTED, Secrets, converse, tree};
use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, free_address, fuse_available};

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
    let address = free_address();
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
