//! Mounts that outlive their daemon: crash, hang, restart, upgrade.

mod broken;
mod edges;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::gettid;

use crate::emulator::Fault;
use crate::support::daemon::{Daemon, arn, is_mounted, unmount_lazily};
use crate::support::fleet::Fleet;
use crate::support::reader::Reader;
use crate::support::wait::now;
use crate::support::{Scene, eventually, ini_value, wait_for};

/// Serves the role `prod` under a supervisor.
fn supervised(scene: &Scene) -> Daemon<'_> {
    // What is longer than before cannot be read by a descriptor that was told the shorter size.
    scene.emulator.set_token_length(800..=800);
    scene.mount(&["--supervise", "--role", &arn("prod"), "--region", "eu-west-1"])
}

/// The parent of a process.
fn parent(pid: i32) -> Pid {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

/// Ends the daemon, and returns its supervisor, which starts the next one when it is told to go on.
fn between_two_lives(daemon: &Daemon<'_>) -> Pid {
    let supervisor = parent(daemon.pid());
    kill_process(supervisor, Signal::STOP).unwrap();
    daemon.kill();
    supervisor
}

/// Waits until another process than `before` serves.
fn successor(daemon: &Daemon<'_>, before: i32) -> i32 {
    wait_for("another daemon", || daemon.try_pid().filter(|pid| *pid != before))
}

fn key(text: &str) -> String {
    ini_value(text, "default", "aws_access_key_id").expect("a key")
}

#[test]
fn binds_answer_again_after_the_daemon_was_killed() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let Some(mut reader) = Reader::in_a_bind(&scene, &daemon.mountpoint) else { return };
    key(&reader.read("credentials"));
    let mut pid = daemon.pid();
    for signal in [Signal::KILL, Signal::SEGV, Signal::ABORT] {
        let process = Pid::from_raw(pid).unwrap();
        // The first SIGSEGV that is sent by hand only takes the handler of the runtime away.
        eventually("the daemon to end", || {
            let _ = kill_process(process, signal);
            pid_state(process).is_none_or(|state| state == 'Z')
        });
        let began = now();
        let text = reader.read("credentials");
        eprintln!("{signal:?}: a bind answers after {:?}", began.elapsed());
        key(&text);
        pid = successor(&daemon, pid);
    }
    let names = reader.list();
    assert!(names.contains(&"credentials".to_owned()), "{names:?}");
}

/// It told whoever had started it before it told its supervisor, which took that end for a start that
/// had failed.
#[test]
fn a_daemon_killed_the_moment_it_serves_is_started_again() {
    let Some(scene) = Scene::mountable() else { return };
    let prod = arn("prod");
    for round in 0..5 {
        let mut killed = 0;
        let args = ["--supervise", "--role", &prod, "--region", "eu-west-1"];
        // Each on a directory of its own: the worker of the last one may still be about to end.
        let live = scene.path(&format!("live-{round}"));
        let daemon = scene.mount_by(live.clone(), &args, |command| {
            // In the place of the process that was typed, which would take a while to tell.
            let mut stays = scene.credmount(&["--daemon-child"]);
            stays.args(command.get_args());
            let mut stays = stays.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let arguments = ["--supervised", live.to_str().unwrap()];
            let worker = wait_for("the daemon", || process_with(&arguments));
            let mut told = [0; 6];
            stays.stdout.take().unwrap().read_exact(&mut told).unwrap();
            assert_eq!(&told, b"ready\n");
            kill_process(worker, Signal::KILL).unwrap();
            killed = worker.as_raw_nonzero().get();
            thread::spawn(move || stays.wait());
            Output { status: ExitStatus::default(), stdout: told.to_vec(), stderr: Vec::new() }
        });
        successor(&daemon, killed);
        key(&daemon.credentials());
    }
}

#[test]
fn a_daemon_that_hangs_is_replaced() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let pid = daemon.pid();
    daemon.signal(Signal::STOP);
    let began = now();
    key(&daemon.credentials());
    eprintln!("a stopped daemon is replaced after {:?}", began.elapsed());
    successor(&daemon, pid);
}

#[test]
fn an_open_that_the_dead_daemon_had_taken_is_answered_by_the_next() {
    let Some(scene) = Scene::mountable() else { return };
    scene.emulator.set_session_lifetime(Some(Duration::from_secs(3)));
    let daemon = supervised(&scene);
    scene.emulator.set_fault(Fault::Hang.for_role("prod"));
    eventually("the role to be waited for", || daemon.status()["roles"][0]["state"] == "pending");
    let file = daemon.file("credentials");
    let (tell, told) = mpsc::channel();
    let reader = thread::spawn(move || {
        tell.send(gettid()).unwrap();
        fs::read_to_string(file)
    });
    let wchan = format!("/proc/self/task/{}/wchan", told.recv().unwrap().as_raw_nonzero());
    eventually("the open to wait in the daemon", || {
        fs::read_to_string(&wchan).unwrap() == "request_wait_answer"
    });
    scene.emulator.set_session_lifetime(None);
    scene.emulator.clear_faults();
    daemon.signal(Signal::KILL);
    key(&reader.join().unwrap().unwrap());
}

#[test]
fn a_descriptor_of_before_the_crash_reads_a_whole_rendering_or_fails() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let path = daemon.file("credentials");
    let [mut fresh, mut begun, mut done] = [(); 3].map(|()| File::open(&path).unwrap());
    let mut bytes = [0; 100];
    begun.read_exact(&mut bytes).unwrap();
    let mut before = String::new();
    done.read_to_string(&mut before).unwrap();

    let pid = daemon.pid();
    daemon.signal(Signal::KILL);
    successor(&daemon, pid);

    // Nothing was read by it, so it reads what is served now.
    let mut text = String::new();
    fresh.read_to_string(&mut text).unwrap();
    assert_eq!(key(&text), key(&daemon.credentials()));
    assert_eq!(text.len() as u64, fresh.metadata().unwrap().size());
    // It goes on reading the same.
    fresh.seek(SeekFrom::Start(0)).unwrap();
    let mut again = String::new();
    fresh.read_to_string(&mut again).unwrap();
    assert_eq!(again, text);
    // Half of one rendering and half of another would be torn.
    let error = begun.read(&mut bytes).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::STALE.raw_os_error()));
    // Everything was read by it.
    assert_eq!(done.read(&mut bytes).unwrap(), 0);
}

#[test]
fn a_restart_runs_the_program_that_is_at_its_path_now() {
    let Some(scene) = Scene::mountable() else { return };
    let program = scene.path("credmount");
    fs::copy(scene.program(), &program).unwrap();
    let scene = scene.with_program(program.clone());
    let daemon = supervised(&scene);
    let pid = daemon.pid();
    let next = scene.path("credmount.next");
    fs::copy(&program, &next).unwrap();
    let inode = fs::metadata(&next).unwrap().ino();
    fs::rename(&next, &program).unwrap();

    let file = File::open(daemon.file("config")).unwrap();
    let output = scene.run(&["restart"]);
    assert!(output.status.success(), "{output:?}");
    let pid = successor(&daemon, pid);
    // Nobody but root can look into a process that cannot be dumped.
    if geteuid().is_root() {
        assert_eq!(fs::metadata(format!("/proc/{pid}/exe")).unwrap().ino(), inode);
    }
    key(&daemon.credentials());
    assert!(file.metadata().unwrap().is_file());
}

#[test]
fn a_daemon_that_nothing_keeps_is_not_restarted() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = scene.mount_prod();
    let output = scene.run(&["restart"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("start it with --supervise or as a systemd service"), "{told}");
    key(&daemon.credentials());
}

#[test]
fn mounts_that_were_added_survive_with_their_time() {
    let Some(scene) = Scene::mountable() else { return };
    let fleet = scene.supervise(&format!(
        "[mounts.ops]\npath = \"ROOT/ops\"\nroles = [\"prod={}\"]\n",
        arn("prod")
    ));
    let path = scene.path("run-42");
    let role = format!("dev={}", arn("dev"));
    let added = ["add", "run-42", "--role", &role, "--for", "1h", "--path", path.to_str().unwrap()];
    let output = scene.run(&added);
    assert!(output.status.success(), "{output:?}");
    let ends = |fleet: &Fleet<'_>| {
        let all = fleet.status();
        all.iter().find(|(name, _)| name == "run-42").unwrap().1["ends"].clone()
    };
    let before = ends(&fleet);
    let pid = fleet.pid();
    kill_process(pid, Signal::KILL).unwrap();
    // A descriptor of this mount waits until it is served again.
    let text = fs::read_to_string(path.join("credentials")).unwrap();
    assert!(ini_value(&text, "dev", "aws_access_key_id").is_some());
    eventually("another daemon", || fleet.try_pid().is_some_and(|it| it != pid));
    let sockets = left_in(&scene.path("run/credmount")).into_iter();
    let sockets = sockets.filter(|path| path.extension().is_some_and(|it| it == "sock"));
    let own: Vec<_> = sockets.filter(|path| !path.is_symlink()).collect();
    assert_eq!(own.len(), 1, "that of the dead one is gone: {own:?}");
    assert_eq!(fleet.names(), ["ops", "run-42"]);
    assert_eq!(ends(&fleet), before);
}

#[test]
fn a_lock_outlives_the_daemon_until_it_is_unlocked() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    assert!(scene.run(&["lock"]).status.success());
    let issued = scene.emulator.call_count("AssumeRole", "prod");
    let mut pid = daemon.pid();
    for crash in [true, false] {
        if crash {
            daemon.signal(Signal::KILL);
        } else {
            assert!(scene.run(&["restart"]).status.success());
        }
        pid = successor(&daemon, pid);
        let text = daemon.credentials();
        assert!(text.contains("credmount is locked"), "{text}");
        assert_eq!(ini_value(&text, "default", "aws_access_key_id"), None);
    }
    assert_eq!(scene.emulator.call_count("AssumeRole", "prod"), issued);
    assert!(scene.run(&["unlock"]).status.success());
    eventually("keys", || daemon.credentials().contains("aws_session_token"));
}

#[test]
fn a_mount_that_cannot_be_made_takes_none_with_it_that_was_kept() {
    let Some(scene) = Scene::mountable() else { return };
    let ops = format!("[mounts.ops]\npath = \"ROOT/ops\"\nroles = [\"prod={}\"]\n", arn("prod"));
    let fleet = scene.supervise(&ops);
    fs::create_dir(scene.path("full")).unwrap();
    fs::write(scene.path("full/file"), "").unwrap();
    let full = ops.replace("mounts.ops", "mounts.full").replace("ROOT/ops", "ROOT/full");
    scene.write_config(&format!("{ops}{full}"));
    let pid = fleet.pid();
    kill_process(pid, Signal::KILL).unwrap();
    assert!(ini_value(&fleet.read("ops", "credentials"), "prod", "aws_access_key_id").is_some());
    eventually("another daemon", || fleet.try_pid().is_some_and(|it| it != pid));
    assert_eq!(fleet.names(), ["ops"]);
}

#[test]
fn a_clean_end_leaves_nothing_behind() {
    let Some(scene) = Scene::mountable() else { return };
    for ends in [Signal::TERM, Signal::INT] {
        let daemon = supervised(&scene);
        let supervisor = parent(daemon.pid());
        kill_process(supervisor, ends).unwrap();
        eventually("the mount to go", || !is_mounted(&daemon.mountpoint));
        eventually("the supervisor to go", || {
            !Path::new(&format!("/proc/{}", supervisor.as_raw_nonzero())).exists()
                || pid_state(supervisor) == Some('Z')
        });
        let left = left_in(&scene.path("run/credmount"));
        assert!(
            left.iter().all(|path| path.extension().is_some_and(|it| it == "log" || it == "old")),
            "{left:?}"
        );
    }
}

#[test]
fn a_daemon_outlives_its_supervisor() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let supervisor = parent(daemon.pid());
    kill_process(supervisor, Signal::KILL).unwrap();
    eventually("the supervisor to go", || pid_state(supervisor).is_none_or(|it| it == 'Z'));
    key(&daemon.credentials());
    daemon.refresh();
    key(&daemon.credentials());
    // A restart would end the last process that has the mount.
    let output = scene.run(&["restart"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the supervisor of this daemon is gone"), "{told}");
    key(&daemon.credentials());
}

#[test]
fn a_mount_that_was_removed_while_its_daemon_was_dead_is_not_made_again() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let supervisor = between_two_lives(&daemon);
    unmount_lazily(&daemon.mountpoint);
    kill_process(supervisor, Signal::CONT).unwrap();
    eventually("the supervisor to go", || pid_state(supervisor).is_none_or(|it| it == 'Z'));
    assert!(!is_mounted(&daemon.mountpoint));
}

#[test]
fn a_mount_that_is_about_to_be_served_again_is_not_taken_for_a_stale_one() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let supervisor = between_two_lives(&daemon);
    let output = scene.run(&["--role", &arn("prod"), daemon.argument()]);
    let told = String::from_utf8_lossy(&output.stderr);
    kill_process(supervisor, Signal::CONT).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("its supervisor or systemd will start it again"), "{told}");
    key(&daemon.credentials());
}

#[test]
fn a_daemon_between_two_lives_is_waited_for_and_never_passed_over() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let first = daemon.pid();
    let output = scene.run(&["restart"]);
    assert!(output.status.success(), "{output:?}");
    // It serves by now, so it is there for whatever is asked next.
    let output = scene.run(&["status"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.starts_with(daemon.argument()), "{output:?}");
    let mut pid = daemon.pid();
    assert_ne!(pid, first);
    // However far its end has come.
    for _ in 0..5 {
        daemon.signal(Signal::KILL);
        let output = scene.run(&["status"]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.starts_with(daemon.argument()), "{output:?}");
        pid = successor(&daemon, pid);
    }
    let supervisor = between_two_lives(&daemon);
    // To be told of success while the next one hands out keys would be dangerous.
    for args in [&["lock"][..], &["status", daemon.argument()]] {
        let output = scene.run(args);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert!(told.contains("its supervisor or systemd will start it again"), "{args:?}: {told}");
    }
    kill_process(supervisor, Signal::CONT).unwrap();
    let output = scene.run(&["lock"]);
    assert!(output.status.success(), "{output:?}");
    let locked = || daemon.credentials().contains("credmount is locked");
    assert!(locked(), "{}", daemon.credentials());
}

#[test]
fn a_daemon_that_never_served_is_not_started_again() {
    let Some(scene) = Scene::mountable() else { return };
    let live = scene.path("live");
    let output = scene.run(&["--supervise", "--role", "nobody", live.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    scene.emulator.set_fault(Fault::Deny.for_role("prod"));
    let output = scene.run(&["--supervise", "--role", &arn("prod"), live.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no role can be had, so nothing was mounted"), "{told}");
    assert!(!is_mounted(&live));
}

/// The process that was started with these arguments, among others.
fn process_with(arguments: &[&str]) -> Option<Pid> {
    let all = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let has_all = |path: &PathBuf| {
        let cmdline = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        arguments.iter().all(|it| cmdline.split('\0').any(|argument| argument == *it))
    };
    let number = |path: PathBuf| path.file_name()?.to_str()?.parse().ok().and_then(Pid::from_raw);
    all.filter(has_all).find_map(number)
}

fn pid_state(pid: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn left_in(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect()
}
