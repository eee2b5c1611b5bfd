//! The command line as people and scripts meet it: exit codes, messages, help, and what `status`,
//! `refresh` and `unmount` say.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use credmount::control::Request;
use credmount::fuse::mount::lock_mountpoint;
use rustix::process::{Pid, Signal, kill_process};

use crate::emulator::Fault;
use crate::support::daemon::{arn, is_mounted};
use crate::support::{Scene, eventually, fuse_available, unmount_lazily, wait_for};

#[track_caller]
fn told(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs, expects the exit code, and returns what was said on stderr.
#[track_caller]
fn refused(scene: &Scene, args: &[&str], code: i32) -> String {
    told(&scene.run(args), code)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A mount in the foreground; ended and unmounted when dropped.
#[derive(Debug)]
struct Foreground {
    child: Child,
    mountpoint: PathBuf,
    stderr: PathBuf,
}

impl Foreground {
    fn start(scene: &Scene) -> Self {
        let (mountpoint, stderr) = (scene.path("live"), scene.path("stderr"));
        let log = File::create(&stderr).unwrap();
        let args = ["--role", &arn("prod"), text(&mountpoint)];
        let child = scene.credmount(&args).stderr(log).spawn().unwrap();
        let started = Self { child, mountpoint, stderr };
        eventually("the mount to serve", || started.said().contains("serving"));
        started
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(&mut self) -> Option<i32> {
        wait_for("the daemon to end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if is_mounted(&self.mountpoint) {
            unmount_lazily(&self.mountpoint);
        }
    }
}

// Exit codes and messages.

#[test]
fn usage_errors_exit_with_2_and_say_what_is_meant() {
    let scene = Scene::new();
    for (args, words) in [
        (&[][..], "name a MOUNTPOINT"),
        (&["--role", "prod"], "name a MOUNTPOINT"),
        (&["mount", "nope"], "[mounts.NAME]"),
        (&["add", "run"], "--path <MOUNTPOINT>"),
        (&["add", "run", "--path", "/x", "--for", "8"], "8s"),
        (&["--rol", "prod", "/x"], "--role"),
        (&["statsu"], "credmount status"),
        (&["--role", "prod", "check"], "credmount check"),
        (&["check", "--jsn"], "--json"),
        (&["status", "--nope"], "--nope"),
        (&["refresh", "a", "b"], "'b'"),
        (&["unmount"], "<MOUNTPOINT>"),
        (&["render", "--format", "xml"], "ini, process, env, json"),
        (&["completions", "tcsh9"], "bash"),
        (&["man", "extra"], "extra"),
        (&["-v", "-q", "/x"], "--quiet"),
    ] {
        let said = refused(&scene, args, 2);
        assert!(said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn configuration_errors_exit_with_2_for_every_command_that_reads_it() {
    let scene = Scene::new();
    let missing = scene.path("missing.toml");
    let live = scene.path("live");
    let expected = format!(
        "credmount: configuration: the configuration file {} does not exist\n",
        text(&missing)
    );
    for command in [&["check"][..], &["render"], &[text(&live)], &["--background", text(&live)]] {
        let args = [command, &["--role", "prod", "--config", text(&missing)]].concat();
        assert_eq!(refused(&scene, &args, 2), expected, "{args:?}");
    }
    assert!(!live.exists(), "nothing is made for a mistake");
    for (args, words) in [
        (&["check"][..], "role"),
        (&["check", "--role", "nope"], "nope"),
        (&["check", "--role", "x=arn:aws:iam::123:role/a"], "12"),
        (&["check", "--role", &arn("a"), "--session-duration", "0"], "too short"),
        (&["check", "--role", &arn("a"), "--session-duration", "-1h"], "negative"),
        (&["check", "--role", &arn("a"), "--session-duration", "soon"], "write it as in"),
        (&["check", "--role", &arn("a"), "--region", "cn-north-1"], "cn-north-1"),
        (&["check", "--role", &arn("a"), "--log-format", "xml"], "text or json"),
        (&["check", "--role", &arn("a"), "--role", &arn("x/a")], "`a`"),
    ] {
        let said = refused(&scene, args, 2);
        assert!(said.starts_with("credmount: ") && said.contains(words), "{args:?}: {said}");
    }
}

#[test]
fn a_file_that_is_no_text_is_an_error_of_the_configuration_with_its_line() {
    let scene = Scene::new();
    let file = scene.path("config.toml");
    fs::write(&file, b"region = \"eu-west-1\"\n# \xe9\n").unwrap();
    let args = ["check", "--role", &arn("prod"), "--config", text(&file)];
    let expected =
        format!("credmount: {}:2: not UTF-8: save the file in this encoding\n", text(&file));
    assert_eq!(refused(&scene, &args, 2), expected);
    let home = scene.path("home");
    let args = ["check", "--role", &arn("prod"), "--config", text(&home)];
    let said = refused(&scene, &args, 2);
    assert!(said.contains(&format!("{} cannot be read: Is a directory", text(&home))), "{said}");
    // A user whose home is none has no files.
    let output =
        scene.credmount(&["check", "--role", &arn("prod")]).env("HOME", "/dev/null").output();
    assert_eq!(told(&output.unwrap(), 0), "");
}

#[test]
fn all_configuration_errors_are_told_at_once_with_their_lines() {
    let scene = Scene::new();
    let file = scene.path("c.toml");
    fs::write(
        &file,
        "regoin = \"x\"\n\n[roles.a]\nrole_arn = \"arn\"\nsession_duration = \"1s\"\n",
    )
    .unwrap();
    let said = refused(&scene, &["check", "--config", text(&file)], 2);
    let lines: Vec<&str> = said.lines().collect();
    for (line, number) in lines.iter().zip([1, 4, 5]) {
        assert!(line.starts_with(&format!("credmount: {}:{number}: ", text(&file))), "{said}");
    }
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].contains("did you mean"), "{said}");
}

#[test]
fn render_prints_credentials_and_exits_with_0_or_the_reason_and_1() {
    let scene = Scene::new();
    let (prod, dev) = (arn("prod"), arn("dev"));
    for (format, words) in [
        ("ini", "[prod]\naws_access_key_id = ASIA"),
        ("process", "{\"Version\":1,\"AccessKeyId\":\"ASIA"),
        ("env", "export AWS_ACCESS_KEY_ID=ASIA"),
        ("json", "{\"prod\":{\"Version\":1,"),
    ] {
        let output = scene.run(&["render", "--role", &prod, "--format", format]);
        assert_eq!(told(&output, 0), "");
        assert!(stdout(&output).contains(words), "{format}");
        assert!(output.stdout.ends_with(b"\n"));
    }
    for format in ["process", "env"] {
        let args = ["render", "--role", &prod, "--role", &dev, "--format", format];
        let said = refused(&scene, &args, 2);
        assert_eq!(
            said,
            format!("credmount: --format: {format} holds one role: name it with --role\n")
        );
    }
    scene.emulator.set_fault(Fault::Deny.for_role("prod"));
    let output = scene.run(&["render", "--role", &prod]);
    let said = told(&output, 1);
    assert!(output.stdout.is_empty(), "half an answer is no answer");
    assert!(said.contains("AWS denied AssumeRole") && said.contains("trust policy"), "{said}");
}

#[test]
fn check_exits_with_0_only_if_every_role_works() {
    let scene = Scene::new();
    let (prod, dev) = (arn("prod"), arn("dev"));
    let args = ["check", "--role", &prod, "--role", &dev];
    let output = scene.run(&args);
    assert_eq!(told(&output, 0), "");
    assert!(stdout(&output).contains("assumed-role/prod/"));

    scene.emulator.set_fault(Fault::Deny.for_role("dev"));
    let output = scene.run(&args);
    told(&output, 1);
    let said = stdout(&output);
    assert!(said.contains("prod: ok\n") && said.contains("dev: FAILED at AssumeRole"), "{said}");
    assert!(said.contains("advice") && said.contains("trust policy"), "{said}");

    let output = scene.run(&[&args[..], &["--json"]].concat());
    told(&output, 1);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json[0]["result"], "ok");
    assert_eq!((&json[1]["result"], &json[1]["cause"]), (&"failed".into(), &"AccessDenied".into()));
}

#[test]
fn commands_about_a_mount_that_is_not_there_say_so_and_exit_with_1() {
    let scene = Scene::new();
    let output = scene.run(&["status"]);
    told(&output, 0);
    assert_eq!(stdout(&output), "no live mounts\n");
    assert_eq!(stdout(&scene.run(&["status", "--json"])), "[]\n");
    assert_eq!(refused(&scene, &["refresh"], 1), "credmount: no live mounts\n");
    let dir = scene.path("home");
    let expected = format!("credmount: nothing of credmount is mounted on {}\n", text(&dir));
    for args in [&["status"][..], &["unmount"], &["refresh"], &["lock", "--daemon"]] {
        let args = [args, &[text(&dir)]].concat();
        assert_eq!(refused(&scene, &args, 1), expected, "{args:?}");
    }
}

#[test]
fn mount_points_that_cannot_be_used_exit_with_2_and_say_why() {
    let scene = Scene::new();
    let prod = arn("prod");
    let (file, full, link) = (scene.path("file"), scene.path("full"), scene.path("link"));
    File::create(&file).unwrap();
    fs::create_dir(&full).unwrap();
    File::create(full.join("x")).unwrap();
    symlink(scene.path("home"), &link).unwrap();
    let odd = scene.path("o'clock");
    let open = scene.path("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
    for (path, words) in [
        (&file, "it is not a directory"),
        (&full, "it is not empty"),
        (&open, "its mode is 0755"),
        (&link, "it is a symlink; name the directory it points to"),
        (&scene.path("none/live"), "No such file or directory"),
        (&PathBuf::from("/"), "/ cannot be a mount point"),
        (&odd, "--reader-path"),
    ] {
        for background in [&[][..], &["--background"]] {
            let args = [background, &["--role", &prod, text(path)]].concat();
            let said = refused(&scene, &args, 2);
            assert!(
                said.contains(&format!("{} cannot be the mount point: ", path.display())),
                "{said}"
            );
            assert!(said.contains(words), "{args:?}: {said}");
        }
    }
    assert_eq!(scene.emulator.calls().len(), 0, "no session is asked for in vain");
}

#[test]
fn the_directory_of_the_base_files_is_refused_by_whatever_way_it_is_reached() {
    let scene = Scene::new();
    let (aws, prod) = (scene.path("home/.aws"), arn("prod"));
    let private = |path: &Path| DirBuilder::new().mode(0o700).create(path).unwrap();
    private(&aws);
    let refusal = |path: &Path| {
        let said = refused(&scene, &["--role", &prod, text(path)], 2);
        assert!(said.contains("from which the base credentials are read"), "{said}");
    };
    refusal(&aws);
    // By a symlink above it.
    symlink(scene.path("home"), scene.path("link")).unwrap();
    refusal(&scene.path("link/.aws"));
    // The file is a symlink into the mount, dangling as long as nothing is mounted.
    let live = scene.path("live");
    symlink(live.join("credentials"), aws.join("credentials")).unwrap();
    refusal(&live);
    fs::remove_file(aws.join("credentials")).unwrap();
    // The directory of the files is a symlink to the mount point.
    if !live.exists() {
        private(&live);
    }
    fs::remove_dir(&aws).unwrap();
    symlink(&live, &aws).unwrap();
    refusal(&live);
}

// Generated texts.

const COMMANDS: [&[&str]; 15] = [
    &["--help"],
    &["mount", "--help"],
    &["add", "--help"],
    &["remove", "--help"],
    &["lock", "--help"],
    &["unlock", "--help"],
    &["reload", "--help"],
    &["check", "--help"],
    &["status", "--help"],
    &["refresh", "--help"],
    &["unmount", "--help"],
    &["render", "--help"],
    &["completions", "--help"],
    &["man", "--help"],
    &["-h"],
];

#[test]
fn help_is_short_and_fits_a_terminal() {
    let scene = Scene::new();
    for args in COMMANDS {
        let output = scene.run(args);
        assert_eq!(told(&output, 0), "");
        let help = stdout(&output);
        assert!(help.contains("Usage: credmount"), "{args:?}");
        assert!(help.lines().count() <= 110, "{args:?}: {} lines", help.lines().count());
        for line in help.lines() {
            assert!(line.chars().count() <= 100, "{args:?}: {line}");
        }
        assert!(!help.contains("daemon-child"), "{args:?}");
    }
    let version = scene.run(&["--version"]);
    assert_eq!(stdout(&version), concat!("credmount ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// Completions name profiles and commands, and the shell, where it is installed, can parse them.
#[track_caller]
fn check_completions(shell: &str) {
    let scene = Scene::new();
    let output = scene.run(&["completions", shell]);
    assert_eq!(told(&output, 0), "");
    let script = stdout(&output);
    assert!(script.contains("source-profile") && script.contains("unmount"), "{script}");
    assert!(!script.contains("daemon-child"), "{script}");
    let file = scene.path(shell);
    fs::write(&file, &script).unwrap();
    let Ok(checked) = Command::new(shell).arg("-n").arg(&file).output() else {
        return crate::support::skipped(&format!("{shell} is not installed"));
    };
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn bash_accepts_its_completions() {
    check_completions("bash");
}

#[test]
fn zsh_accepts_its_completions() {
    check_completions("zsh");
}

#[test]
fn fish_accepts_its_completions() {
    check_completions("fish");
}

#[test]
fn the_man_page_is_roff_without_warnings() {
    let scene = Scene::new();
    let output = scene.run(&["man"]);
    assert_eq!(told(&output, 0), "");
    let page = stdout(&output);
    assert!(page.contains(".TH credmount 1"), "{page}");
    let file = scene.path("credmount.1");
    fs::write(&file, &page).unwrap();
    let Ok(rendered) = scene
        .command("groff")
        .args(["-man", "-Tutf8", "-ww", "-rLL=100n", "-P-bcu"])
        .arg(&file)
        .output()
    else {
        return crate::support::skipped("groff is not installed");
    };
    assert!(rendered.status.success());
    assert_eq!(String::from_utf8(rendered.stderr).unwrap(), "");
    let shown = String::from_utf8(rendered.stdout).unwrap();
    assert!(shown.contains("SYNOPSIS") && shown.contains("CREDMOUNT CHECK"), "{shown}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let scene = Scene::new();
    let mut child = scene.credmount(&["man"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

// Mounting.

#[test]
fn background_returns_when_the_mount_serves() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    let output = scene.run(&["--role", &arn("prod"), "--background", text(&live)]);
    assert_eq!(told(&output, 0), "");
    assert!(output.stdout.is_empty());
    let credentials = fs::read_to_string(live.join("credentials")).unwrap();
    assert!(credentials.contains("aws_session_token"));
    assert_eq!(refused(&scene, &["unmount", text(&live)], 0), "");
    let meta = fs::metadata(&live).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o700, "made for its owner alone");
}

#[test]
fn background_tells_its_error_on_stderr() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    scene.emulator.set_fault(Fault::Deny);
    let prod = arn("prod");
    for args in [&["--background"][..], &[]] {
        let args = [args, &["--role", &prod, text(&live)]].concat();
        let said = refused(&scene, &args, 1);
        let advised = said.contains("no role can be had, so nothing was mounted\n")
            && said.contains("trust policy");
        assert!(advised, "{said}");
        assert!(said.lines().all(|line| line.contains("credmount: ") || line.contains("WARN")));
        assert!(!is_mounted(&live));
    }
}

#[test]
fn background_takes_a_mount_point_after_two_hyphens() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    let output = scene.run(&["--role", &arn("prod"), "--background", "--", text(&live)]);
    assert_eq!(told(&output, 0), "");
    assert_eq!(refused(&scene, &["unmount", text(&live)], 0), "");
}

#[test]
fn background_finds_base_files_with_relative_paths() {
    let Some(scene) = Scene::mountable() else { return };
    let keys = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        scene.emulator.base_access_key_id(),
        scene.emulator.base_secret_access_key()
    );
    fs::write(scene.path("home/keys"), keys).unwrap();
    let live = scene.path("live");
    let output = scene
        .command(env!("CARGO_BIN_EXE_credmount"))
        .current_dir(scene.path("home"))
        .env("AWS_SHARED_CREDENTIALS_FILE", "keys")
        .args(["--role", &arn("prod"), "--background", text(&live)])
        .output()
        .unwrap();
    assert_eq!(told(&output, 0), "");
    assert_eq!(refused(&scene, &["unmount", text(&live)], 0), "");
}

#[test]
fn a_relative_mount_point_is_meant_from_where_it_was_typed() {
    let Some(scene) = Scene::mountable() else { return };
    let here = |args: &[&str]| {
        let output = scene.credmount(args).current_dir(scene.path("home")).output().unwrap();
        assert_eq!(told(&output, 0), "");
        stdout(&output)
    };
    for how in [&["--background"][..], &["--supervise", "--background"]] {
        here(&[&["--role", &arn("prod"), "./live"], how].concat());
        assert!(is_mounted(&scene.path("home/live")), "{how:?}");
        let status = here(&["status", "live"]);
        assert!(status.starts_with(text(&scene.path("home/live"))), "{status}");
        here(&["unmount", "../home/live"]);
        assert!(!is_mounted(&scene.path("home/live")));
    }
}

#[test]
fn a_second_mount_on_the_directory_is_refused_and_harms_nothing() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let (log, dev) = (daemon.log(), arn("dev"));
    for background in [&[][..], &["--background"]] {
        let args = [background, &["--role", &dev, daemon.argument()]].concat();
        let said = refused(&scene, &args, 1);
        let (path, pid) = (daemon.argument(), daemon.pid());
        let expected = format!(
            "credmount: {path} is served by credmount already (pid {pid}); stop it with: \
             credmount unmount {path}\n"
        );
        assert_eq!(said, expected);
    }
    assert!(daemon.log().starts_with(&log), "the log is still that of the daemon that serves");
    assert!(daemon.credentials().contains("[prod]"));
}

#[test]
fn of_two_that_start_at_once_one_serves() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::Hang);
    let live = scene.path("live");
    let start = || {
        let args = ["--role", &arn("prod"), "--open-deadline", "40s", text(&live)];
        scene.credmount(&args).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut both = [start(), start()];
    // The one that lost says so while the other still waits for its first session.
    let lost = wait_for("one to give up", || {
        both.iter_mut().position(|child| child.try_wait().unwrap().is_some())
    });
    scene.emulator.clear_faults();
    let [first, second] = both;
    let (loser, mut winner) = if lost == 0 { (first, second) } else { (second, first) };
    let said = told(&loser.wait_with_output().unwrap(), 1);
    assert!(said.contains("another credmount is starting on"), "{said}");
    eventually("the other to serve", || live.join("credentials").exists());
    assert_eq!(refused(&scene, &["unmount", text(&live)], 0), "");
    assert!(winner.wait().unwrap().success());
}

#[test]
fn a_mount_point_is_free_as_soon_as_unmount_has_answered() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    daemon.unmount_over_socket();
    drop(lock_mountpoint(&daemon.mountpoint).expect("nobody holds the lock"));
}

#[test]
fn signals_unmount_and_exit_with_0() {
    if !fuse_available() {
        return;
    }
    for signal in [Signal::INT, Signal::TERM] {
        let scene = Scene::new();
        let mut foreground = Foreground::start(&scene);
        assert!(is_mounted(&foreground.mountpoint));
        foreground.signal(signal);
        assert_eq!(foreground.wait(), Some(0), "{signal:?}");
        assert!(!is_mounted(&foreground.mountpoint), "{signal:?}");
        assert_eq!(stdout(&scene.run(&["status"])), "no live mounts\n");
    }
}

#[test]
fn a_closed_terminal_ends_the_daemon_in_it() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    let mut command = scene.command("python3");
    for (name, value) in scene.credmount(&[]).get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // Runs the daemon in a terminal, and closes that as soon as it is told to.
    let script = "import os, pty, sys\n\
                  pid, terminal = pty.fork()\n\
                  if pid == 0: os.execv(sys.argv[1], sys.argv[1:])\n\
                  sys.stdin.readline()\n\
                  os.close(terminal)\n\
                  sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let program = env!("CARGO_BIN_EXE_credmount");
    command.args(["-c", script, program, "--role", &arn("prod"), text(&live)]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    eventually("the mount to serve", || is_mounted(&live) && live.join("config").exists());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(!is_mounted(&live));
}

#[test]
fn without_an_audit_log_one_is_told_how_to_get_it() {
    let scene = Scene::new();
    let said = refused(&scene, &["audit"], 2);
    assert!(said.contains("audit_log =") && said.contains("journalctl"), "{said}");
    let said = refused(&scene, &["audit", "/nonexistent/audit.jsonl"], 1);
    assert!(said.starts_with("credmount: /nonexistent/audit.jsonl: "), "{said}");
}

#[test]
fn a_mount_under_nohup_outlives_its_terminal() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    let mut command = scene.command("sh");
    let keys = scene.credmount(&[]);
    for (name, value) in keys.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    // As nohup does.
    let script = "trap '' HUP; exec \"$0\" --role \"$1\" \"$2\"";
    let log = File::create(scene.path("stderr")).unwrap();
    let child = command
        .args(["-c", script, env!("CARGO_BIN_EXE_credmount"), &arn("prod"), text(&live)])
        .stderr(log)
        .spawn()
        .unwrap();
    let mut started = Foreground { child, mountpoint: live, stderr: scene.path("stderr") };
    eventually("the mount to serve", || started.said().contains("serving"));
    started.signal(Signal::HUP);
    assert_eq!(refused(&scene, &["refresh"], 0), "", "it serves as before");
    started.signal(Signal::TERM);
    assert_eq!(started.wait(), Some(0));
}

#[test]
fn unmount_removes_what_a_killed_daemon_left() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    daemon.kill();
    assert!(is_mounted(&daemon.mountpoint));
    let path = daemon.argument();
    let gone = format!(
        "credmount: the daemon that served {path} is gone; credmount unmount {path} removes what it \
         left\n"
    );
    for args in [&["status", path][..], &["refresh", path], &["status", "--prometheus", path]] {
        assert_eq!(refused(&scene, args, 1), gone, "{args:?}");
    }
    // Nor is it passed over where no mount is named.
    let output = scene.run(&["status"]);
    assert_eq!((stdout(&output).as_str(), told(&output, 1)), ("no live mounts\n", gone));
    assert_eq!(refused(&scene, &["unmount", path], 0), "");
    assert!(!is_mounted(&daemon.mountpoint));
    let left = fs::read_dir(scene.path("run/credmount")).unwrap();
    let left: Vec<PathBuf> = left.map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| path.extension().is_some_and(|it| it == "log")), "{left:?}");
}

#[test]
fn mounting_again_clears_what_a_killed_daemon_left() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    daemon.kill();
    let again = scene.mount_prod();
    assert!(again.credentials().contains("aws_session_token"));
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let there = points.filter(|point| *point == daemon.argument()).count();
    assert_eq!(there, 1, "no mount is left below the new one");
}

#[test]
fn a_runtime_directory_open_to_others_is_refused() {
    let scene = Scene::new();
    let dir = scene.path("run/credmount");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    let live = scene.path("live");
    for args in [
        &["--role", &arn("prod"), text(&live)][..],
        &["--background", "--role", &arn("prod"), text(&live)],
        &["status"],
        &["refresh"],
        &["unmount", text(&live)],
    ] {
        let said = refused(&scene, args, 1);
        let expected =
            format!("{} is not a directory that only its owner, you, can enter", text(&dir));
        assert!(said.contains(&expected), "{args:?}: {said}");
    }
}

// What is asked of daemons.

#[test]
fn status_shows_each_role_as_text() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_fault(Fault::Deny.for_role("dev"));
    let daemon = scene.mount(&["--role", &arn("prod"), "--role", &arn("dev")]);
    for args in [&["status"][..], &["status", daemon.argument()]] {
        let output = scene.run(args);
        assert_eq!(told(&output, 0), "");
        let said = stdout(&output);
        let head = format!("{}  (pid {}, version ", daemon.argument(), daemon.pid());
        assert!(said.starts_with(&head), "{said}");
        for words in [
            "  log: ",
            &format!("  prod (default): live  {}\n    key ASIA", arn("prod")),
            "s left)\n    next renewal ",
            "1 renewals, 0 failures so far\n",
            &format!("  dev: failing  {}\n    last error at ", arn("dev")),
            "AWS denied AssumeRole",
        ] {
            assert!(said.contains(words), "{words:?} in {said}");
        }
    }
}

#[test]
fn refresh_without_a_mount_point_needs_a_single_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let first = scene.mount_prod();
    let key = || first.credentials();
    let before = key();
    let output = scene.run(&["refresh"]);
    assert_eq!((told(&output, 0).as_str(), stdout(&output).as_str()), ("", ""));
    assert_ne!(key(), before);
    assert_eq!(refused(&scene, &["refresh", "--role", "prod"], 0), "");
    assert_eq!(
        refused(&scene, &["refresh", "--role", "nope"], 1),
        "credmount: this mount has no role nope; credmount status lists its roles\n"
    );
    let other = scene.path("other");
    let args = ["--role", &arn("dev"), "--background", text(&other)];
    assert_eq!(refused(&scene, &args, 0), "");
    let said = refused(&scene, &["refresh"], 1);
    assert_eq!(refused(&scene, &["unmount", text(&other)], 0), "");
    assert_eq!(said, "credmount: there are 2 live mounts; say which (see credmount status)\n");
}

#[test]
fn a_refresh_that_fails_tells_why_and_exits_with_1() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let before = daemon.credentials();
    scene.emulator.set_fault(Fault::Deny);
    let said = refused(&scene, &["refresh"], 1);
    assert!(said.contains("AWS denied AssumeRole"), "{said}");
    assert_eq!(daemon.credentials(), before, "keys still valid are served");
}

#[test]
fn one_daemon_that_does_not_answer_does_not_hide_the_others() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    // Listens, and never answers.
    let deaf = std::os::unix::net::UnixListener::bind(scene.path("run/credmount/a.sock")).unwrap();
    std::thread::spawn(move || deaf.incoming().for_each(drop));
    let output = scene.run(&["status"]);
    let said = told(&output, 1);
    assert!(stdout(&output).starts_with(daemon.argument()));
    assert!(said.contains("a.sock did not answer"), "{said}");
}

// The control socket.

fn socket(scene: &Scene) -> PathBuf {
    let mut entries = fs::read_dir(scene.path("run/credmount")).unwrap();
    entries
        .find_map(|entry| {
            Some(entry.unwrap().path()).filter(|path| path.extension() == Some("sock".as_ref()))
        })
        .expect("a socket")
}

/// Sends bytes and returns the line that is answered; empty if the daemon hangs up.
fn converse(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may hang up before all was written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

#[test]
fn nonsense_on_the_control_socket_is_answered_and_harms_nothing() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let socket = socket(&scene);
    assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().mode() & 0o7777, 0o700);
    let deep = [b"[".repeat(100_000), b"\n".to_vec()].concat();
    let long = vec![b'x'; 3 << 20];
    for (bytes, reason) in [
        (&b"{\"command\":\"stop\"}\n"[..], "unknown variant"),
        (b"{\"command\":\"status\",\"x\":1}\n", "unknown field"),
        (b"{\"command\":\"refresh\",\"profile\":7}\n", "invalid type"),
        (b"garbage\n", "expected value"),
        (b"\n", "EOF"),
        (b"", "EOF"),
        (b"\xff\xfe\n", "expected value"),
        (&deep, "invalid type"),
        (&long, ""),
    ] {
        let answer = converse(&socket, bytes);
        if reason.is_empty() {
            // With more on the way than it reads, its answer may be lost with the connection.
            assert!(answer.is_empty() || answer.contains("not a request"), "{answer}");
        } else {
            assert!(answer.starts_with("{\"failed\":\"not a request: "), "{answer}");
            assert!(answer.contains(reason), "{reason}: {answer}");
        }
        assert_eq!(daemon.status()["roles"][0]["state"], "live");
    }
    let answer = converse(&socket, b"{\"command\":\"status\"}");
    assert!(answer.starts_with("{\"status\":{"), "a last line needs no newline: {answer}");
}

#[test]
fn slow_and_vanished_clients_hold_nobody_up() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let socket = socket(&scene);
    // Clients that say nothing, half a line, or leave without reading the answer.
    let silent: Vec<UnixStream> = (0..50).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut half = UnixStream::connect(&socket).unwrap();
    half.write_all(b"{\"command\":").unwrap();
    for request in [&b"{\"command\":\"status\"}\n"[..], b"{\"command\":\"refresh\"}\n", b"{"] {
        let mut gone = UnixStream::connect(&socket).unwrap();
        gone.write_all(request).unwrap();
        drop(gone);
    }
    assert_eq!(daemon.status()["roles"][0]["state"], "live");
    assert_eq!(refused(&scene, &["refresh"], 0), "");
    // The daemon gives up on those that never finish their line.
    let mut rest = Vec::new();
    half.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    drop(silent);
    assert_eq!(refused(&scene, &["unmount", daemon.argument()], 0), "");
}

#[test]
fn an_unmount_whose_asker_is_gone_happens_all_the_same() {
    let Some(scene) = Scene::mountable() else { return };
    let mut foreground = Foreground::start(&scene);
    let mut stream = UnixStream::connect(socket(&scene)).unwrap();
    let request = Request::Unmount { mount: text(&foreground.mountpoint).to_owned() };
    let line = serde_json::to_string(&request).unwrap() + "\n";
    stream.write_all(line.as_bytes()).unwrap();
    drop(stream);
    assert_eq!(foreground.wait(), Some(0));
    assert!(!is_mounted(&foreground.mountpoint));
}

#[test]
fn a_mount_removed_by_somebody_else_ends_the_daemon() {
    let Some(scene) = Scene::mountable() else { return };
    let mut foreground = Foreground::start(&scene);
    unmount_lazily(&foreground.mountpoint);
    assert_eq!(foreground.wait(), Some(0));
    assert!(foreground.said().contains("removed by somebody else"));
    assert_eq!(fs::read_dir(scene.path("run/credmount")).unwrap().count(), 0, "no socket is left");
}
