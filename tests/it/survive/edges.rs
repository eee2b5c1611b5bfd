//! What meets a crash: a reader who maps a file, a program that is missing for a moment, a supervisor
//! that is gone, a process that the daemon has started.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;

use credmount::os::paths::mount_stem;
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{between_two_lives, key, left_in, parent, pid_state, successor, supervised};
use crate::emulator::Fault;
use crate::support::daemon::{arn, is_mounted};
use crate::support::{Scene, eventually, program, skipped, variable};

/// Opens a file, and maps it privately once it is told to. Python does that with no unsafe code here.
fn mapper(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let script = "import mmap,os,sys\n\
                  fd=os.open(sys.argv[1],os.O_RDONLY)\n\
                  print('open',flush=True)\n\
                  sys.stdin.readline()\n\
                  m=mmap.mmap(fd,0,flags=mmap.MAP_PRIVATE,prot=mmap.PROT_READ)\n\
                  sys.stdout.buffer.write(m[:])";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let mut out = BufReader::new(python.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "open\n");
    (python, out)
}

/// The kernel holds the page until the READ is answered, which the dead daemon had taken. The next
/// one waited for that page before it would answer anything, and could not even be killed.
#[test]
fn a_reader_who_maps_a_file_does_not_keep_the_next_daemon_from_serving() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let (mut python, out) = mapper(&daemon.file("credentials"));
    scene.emulator.set_fault(Fault::Hang.for_role("prod"));
    let first = daemon.pid();
    daemon.signal(Signal::KILL);
    let second = successor(&daemon, first);
    writeln!(python.stdin.take().unwrap()).unwrap();
    let wchan = format!("/proc/{}/wchan", python.id());
    eventually("the page to be waited for", || {
        // Older kernels call it otherwise.
        let place = fs::read_to_string(&wchan).unwrap();
        ["folio", "page"].iter().any(|it| place.contains(it))
    });
    daemon.signal(Signal::KILL);
    scene.emulator.clear_faults();
    successor(&daemon, second);
    key(&daemon.credentials());
    let mapped = std::io::read_to_string(out).unwrap();
    assert!(python.wait().unwrap().success());
    key(&mapped);
}

#[test]
fn a_program_that_is_missing_for_a_moment_costs_no_mount() {
    let Some(scene) = Scene::mountable() else { return };
    let program = scene.path("credmount");
    fs::copy(scene.program(), &program).unwrap();
    let scene = scene.with_program(program.clone());
    let daemon = supervised(&scene);
    let log = daemon.status()["log_file"].as_str().unwrap().to_owned();
    let process = Pid::from_raw(daemon.pid()).unwrap();
    let supervisor = parent(daemon.pid());
    let aside = scene.path("credmount.aside");
    fs::rename(&program, &aside).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    let tries = || fs::read_to_string(&log).unwrap().matches("No such file or directory").count();
    eventually("the supervisor to look for it", || tries() > 0);
    // What asks for a reload is no reason to give up.
    kill_process(supervisor, Signal::HUP).unwrap();
    let before = tries();
    eventually("the supervisor to look for it again", || tries() > before);
    fs::rename(&aside, &program).unwrap();
    key(&daemon.credentials());
}

/// The arguments of a daemon below a supervisor, whose keys come from a `credential_process` that does
/// this first.
fn with_process(scene: &Scene, first: &str) -> [String; 7] {
    let script = scene.path("keys.sh");
    let text = format!(
        "{first}\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'\n",
        scene.emulator.base_access_key_id(),
        scene.emulator.base_secret_access_key(),
    );
    fs::write(&script, text).unwrap();
    fs::create_dir(scene.path("home/.aws")).unwrap();
    let profile = format!("[profile base]\ncredential_process = sh {}\n", script.display());
    fs::write(scene.path("home/.aws/config"), profile).unwrap();
    let role = arn("prod");
    ["--supervise", "--role", &role, "--source-profile", "base", "--region", "eu-west-1"]
        .map(str::to_owned)
}

#[test]
fn a_credential_process_does_not_get_the_way_to_the_supervisor() {
    let Some(scene) = Scene::mountable() else { return };
    let seen = scene.path("stdin");
    let args = with_process(&scene, &format!("readlink /proc/self/fd/0 >'{}'", seen.display()));
    let daemon = scene.mount_with(&args.each_ref().map(String::as_str), |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    });
    key(&daemon.credentials());
    assert_eq!(fs::read_to_string(seen).unwrap(), "/dev/null\n");
}

/// As the first process of a container, or here by prctl(2), it gets all those that lost their parent.
#[test]
fn a_supervisor_buries_the_orphans_that_it_is_given() {
    let Some(scene) = Scene::mountable() else { return };
    let orphan = scene.path("orphan");
    let first = format!("sleep 0.1 >/dev/null 2>&1 &\necho $! >'{}'", orphan.display());
    let args = with_process(&scene, &first);
    let args = args.each_ref().map(String::as_str);
    let subreaper = "import ctypes,os,sys\n\
                     assert ctypes.CDLL(None).prctl(36,1,0,0,0)==0\n\
                     os.execv(sys.argv[1],sys.argv[1:])";
    let daemon = scene.mount_by(scene.path("live"), &args, |command| {
        let mut python = scene.command("python3");
        python.args(["-c", subreaper]).arg(scene.program()).arg("--daemon-child");
        python.args(command.get_args()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut supervisor = python.spawn().unwrap();
        let mut told = [0; 6];
        supervisor.stdout.take().unwrap().read_exact(&mut told).unwrap();
        thread::spawn(move || supervisor.wait());
        Output { status: ExitStatus::default(), stdout: told.to_vec(), stderr: Vec::new() }
    });
    let orphan = fs::read_to_string(orphan).unwrap().trim().parse().unwrap();
    eventually("the orphan to be forgotten", || {
        pid_state(Pid::from_raw(orphan).unwrap()).is_none()
    });
    key(&daemon.credentials());
}

/// An abort is no unmount: what is left says "Transport endpoint is not connected" for ever.
#[test]
fn an_aborted_connection_leaves_no_dead_mount_behind() {
    let Some(scene) = Scene::mountable() else { return };
    if !geteuid().is_root() {
        return skipped("only root can mount the file system by which connections are aborted");
    }
    let daemon = scene.mount_prod();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let below = |line: &&str| line.split(' ').nth(4).unwrap().starts_with(daemon.argument());
    let minor = |line: &str| line.split([' ', ':']).nth(3).unwrap().to_owned();
    let connections: Vec<String> = table.lines().filter(below).map(minor).collect();
    let script = "mount -t fusectl none /sys/fs/fuse/connections\n\
                  for it; do echo 1 >/sys/fs/fuse/connections/$it/abort; done";
    let mut aborting = Command::new("unshare");
    aborting.args(["--mount", "sh", "-ec", script, "sh"]).args(&connections);
    assert!(aborting.status().unwrap().success());
    eventually("the dead mount to go", || !is_mounted(&daemon.mountpoint));
}

#[test]
fn a_mount_that_cannot_be_unmounted_now_can_be_later() {
    if !crate::support::fuse_available() {
        return;
    }
    // A fusermount3 that does nothing while there is a certain file.
    let tools = tempfile::tempdir().unwrap();
    let broken = tools.path().join("broken");
    let path = variable("PATH").unwrap().into_string().unwrap();
    let script = format!(
        "#!/bin/sh\nif [ -e '{}' ]; then echo out of order >&2; exit 1; fi\n\
         PATH='{path}' exec fusermount3 \"$@\"\n",
        broken.display()
    );
    let tool = tools.path().join("fusermount3");
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    let enter = ["env".to_owned(), format!("PATH={}:{path}", tools.path().display())];
    let scene =
        Scene::elsewhere(enter.to_vec(), program("credmount", env!("CARGO_BIN_EXE_credmount")));
    let mount = |name| {
        format!("[mounts.{name}]\npath = \"ROOT/{name}\"\nroles = [\"prod={}\"]\n", arn("prod"))
    };
    let fleet = scene.serve(&(mount("stays") + &mount("goes")));
    let goes = scene.path("goes");
    let unmount = ["unmount", goes.to_str().unwrap()];

    fs::write(&broken, "").unwrap();
    let output = scene.run(&unmount);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("out of order"), "{told}");
    let added = scene.path("added");
    let role = format!("prod={}", arn("prod"));
    let output = scene.run(&["add", "added", "--role", &role, "--path", added.to_str().unwrap()]);
    assert!(!output.status.success(), "{output:?}");
    let left = left_in(&scene.path("run/credmount"));
    let of_added = |path: &PathBuf| path.to_string_lossy().contains("/added-");
    assert!(!left.iter().any(of_added), "nothing is known of a mount that was not made: {left:?}");

    fs::remove_file(&broken).unwrap();
    assert!(is_mounted(&goes));
    let output = scene.run(&unmount);
    assert!(output.status.success(), "{output:?}");
    assert!(!is_mounted(&goes));
    // The last one ends the daemon, but not if it stays.
    fs::write(&broken, "").unwrap();
    let output = scene.run(&["unmount", scene.path("stays").to_str().unwrap()]);
    assert!(!output.status.success(), "{output:?}");
    assert_eq!(fleet.names(), ["stays"]);
    fs::remove_file(&broken).unwrap();
}

#[test]
fn an_unmount_that_meets_the_end_of_a_daemon_is_for_the_next_one() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let supervisor = between_two_lives(&daemon);
    // As the daemon would have been, had it been killed a moment later.
    let socket = scene.path("run/credmount").join(mount_stem(&daemon.mountpoint));
    let socket = socket.with_extension("sock");
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let ending = thread::spawn(move || {
        drop(listener.accept().unwrap());
        drop(listener);
        kill_process(supervisor, Signal::CONT).unwrap();
    });
    let output = scene.run(&["unmount", daemon.argument()]);
    ending.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!is_mounted(&daemon.mountpoint));
}

#[test]
fn what_somebody_else_has_mounted_upon_it_is_left_alone() {
    let Some(scene) = Scene::mountable() else { return };
    if !geteuid().is_root() {
        return skipped("only root can mount anything upon it");
    }
    let daemon = scene.mount_prod();
    let mut mount = Command::new("mount");
    let mount = mount.args(["-t", "tmpfs", "upon", daemon.argument()]).status().unwrap();
    assert!(mount.success());
    let output = scene.run(&["unmount", daemon.argument()]);
    let umount = Command::new("umount").arg(daemon.argument()).status().unwrap();
    assert!(umount.success(), "it was taken away");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("unmount that first"), "{told}");
    key(&daemon.credentials());
}

#[test]
fn a_daemon_clears_away_the_sockets_of_killed_ones() {
    let Some(scene) = Scene::mountable() else { return };
    let ops = format!("[mounts.ops]\npath = \"ROOT/ops\"\nroles = [\"prod={}\"]\n", arn("prod"));
    let fleet = scene.supervise(&ops);
    kill_process(fleet.pid(), Signal::KILL).unwrap();
    // Answered by the next one, which has a socket of its own.
    fleet.read("ops", "credentials");
    let is_socket =
        |path: &PathBuf| path.extension().is_some_and(|it| it == "sock") && !path.is_symlink();
    eventually("one socket", || {
        left_in(&scene.path("run/credmount")).iter().filter(|path| is_socket(path)).count() == 1
    });
}

#[test]
fn a_lock_that_cannot_be_written_down_is_told() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    // In the way of the file that would take the place of the one before.
    let state = mount_stem(&daemon.mountpoint) + ".daemon.new";
    let in_the_way = scene.path("run/credmount").join(state);
    fs::create_dir(&in_the_way).unwrap();
    let output = scene.run(&["lock"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("only until this daemon ends"), "{output:?}");
    assert!(daemon.credentials().contains("credmount is locked"));
    fs::remove_dir(&in_the_way).unwrap();
    let output = scene.run(&["lock"]);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}
