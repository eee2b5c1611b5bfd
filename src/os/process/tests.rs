//! On real threads and processes.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

fn ids() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn own_tid() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()
}

/// The facts of a thread that runs as this test does.
fn process(tid: u32) -> Option<Process> {
    let (uid, gid) = ids();
    caller(uid, gid, tid, false).process
}

/// A child that is killed at the end.
#[derive(Debug)]
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn sleep(program: &Path) -> Self {
        Self::start(Command::new(program).arg("1000"))
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `/bin/sleep` under another name.
fn sleep_called(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join(name);
    fs::copy("/bin/sleep", &path).unwrap();
    (dir, path)
}

/// A thread that runs until the sender is dropped, and its id.
fn thread_called(name: &str) -> (mpsc::Sender<()>, thread::JoinHandle<()>, u32) {
    let (tell, tid) = mpsc::channel();
    let (end, until) = mpsc::channel::<()>();
    let body = move || {
        tell.send(own_tid()).unwrap();
        let _ = until.recv();
    };
    let handle = thread::Builder::new().name(name.into()).spawn(body).unwrap();
    (end, handle, tid.recv().unwrap())
}

#[test]
fn a_thread_is_told_with_its_process() {
    let (end, handle, tid) = thread_called("a thread");
    let known = process(tid).unwrap();
    assert_eq!(known.tgid, std::process::id());
    assert_ne!(tid, std::process::id());
    assert_eq!(known.comm, "a thread");
    assert_eq!(known.exe.as_deref(), std::env::current_exe().unwrap().to_str());
    let path = cgroup(&fs::read("/proc/self/cgroup").unwrap());
    assert_eq!(known.cgroup, path);
    assert_eq!(known.container, path.as_deref().and_then(container::of_cgroup));
    drop(end);
    handle.join().unwrap();
}

#[test]
fn a_child_is_told_with_the_time_it_started() {
    let (_dir, program) = sleep_called("sleeper");
    let child = Running::sleep(&program);
    let known = process(child.0.id()).unwrap();
    assert_eq!(known.tgid, child.0.id());
    assert_eq!(known.comm, "sleeper");
    assert_eq!(known.exe.as_deref(), program.to_str());
    let before = process(own_tid()).unwrap().start_time;
    // Clock ticks of 10 ms, since boot: the child is younger than this thread, and not by much.
    assert!((before..before + 100 * 600).contains(&known.start_time), "{before} {known:?}");
}

#[test]
fn names_that_look_like_other_fields_are_told_as_they_are() {
    for name in ["a) S 1 (b) 2", "x\nUid:\t7\t7", "back\\slash\\n", "(((", ")", "é€"] {
        let (_dir, program) = sleep_called(name);
        let child = Running::sleep(&program);
        let known = process(child.0.id()).unwrap();
        assert_eq!(known.comm, name);
        assert_eq!(known.exe.as_deref(), program.to_str());
    }
}

#[test]
fn a_program_that_was_replaced_is_told_as_deleted() {
    let (dir, program) = sleep_called("sleeper");
    let child = Running::sleep(&program);
    drop(dir);
    let exe = process(child.0.id()).unwrap().exe.unwrap();
    assert_eq!(exe, format!("{} (deleted)", program.display()));
}

#[test]
fn nothing_is_told_of_a_caller_who_is_not_sure() {
    let (uid, gid) = ids();
    let tid = own_tid();
    assert!(caller(uid, gid, tid, false).process.is_some());
    assert_eq!(caller(uid, gid, tid, true), Caller::unknown(uid, gid, tid));
    assert_eq!(caller(uid, gid, 0, false), Caller::unknown(uid, gid, 0));
    // Somebody opens in the name of another.
    assert_eq!(caller(uid + 1, gid, tid, false), Caller::unknown(uid + 1, gid, tid));
    assert_eq!(caller(uid, gid + 1, tid, false), Caller::unknown(uid, gid + 1, tid));
    // Higher than any `pid_max`.
    assert_eq!(caller(uid, gid, u32::MAX, false).process, None);
}

#[test]
fn other_users_are_told_to_root() {
    if ids().0 != 0 {
        return;
    }
    let child = Running::start(Command::new("/bin/sleep").arg("1000").uid(4711).gid(4712));
    let known = caller(4711, 4712, child.0.id(), false).process.unwrap();
    assert!(known.exe.is_some());
    assert_eq!(process(child.0.id()), None);
}

#[test]
fn a_zombie_is_nobody() {
    let mut child = Command::new("/bin/true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&stat).unwrap().contains(") Z ") {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(process(child.id()), None);
    child.wait().unwrap();
    assert_eq!(process(child.id()), None);
}

#[test]
fn a_thread_that_ended_is_nobody_though_its_directory_is_open() {
    let (uid, gid) = ids();
    let (end, handle, tid) = thread_called("short");
    let opened = Thread::open(tid).unwrap();
    assert!(opened.process(uid, gid).is_some());
    drop(end);
    handle.join().unwrap();
    // join(3) returns a moment before the kernel has buried the thread.
    while Path::new(&format!("/proc/self/task/{tid}")).exists() {
        thread::yield_now();
    }
    assert_eq!(opened.process(uid, gid), None);
}

/// Needs to choose the number of the next process, as root may (`ns_last_pid`, namespaces(7)).
#[test]
fn a_process_that_got_the_number_of_another_is_not_taken_for_it() {
    let (uid, gid) = ids();
    let mut first = Running::sleep(Path::new("/bin/sleep"));
    let pid = first.0.id();
    let opened = Thread::open(pid).unwrap();
    assert!(opened.process(uid, gid).is_some());
    first.end();
    let mut others = Vec::new();
    while !Path::new(&format!("/proc/{pid}")).exists() {
        if fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).is_err() {
            return;
        }
        others.push(Running::sleep(Path::new("/bin/sleep")));
        assert!(others.len() < 1000, "process {pid} does not come back");
    }
    assert_eq!(opened.process(uid, gid), None);
}

/// A process that runs one program after the other and then ends is read all the while. Each has a
/// name of its own, so a fact of one beside a fact of another would show.
#[test]
fn facts_of_two_programs_are_never_mixed() {
    const PROGRAMS: u32 = 200;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().canonicalize().unwrap();
    fs::copy("/bin/sh", home.join("p0")).unwrap();
    for number in 1..=PROGRAMS {
        fs::hard_link(home.join("p0"), home.join(format!("p{number}"))).unwrap();
    }
    let script = format!("n=$(($1 + 1)); [ $n -gt {PROGRAMS} ] || exec ./p$n ./next $n");
    fs::write(home.join("next"), script).unwrap();
    let (mut told, mut mixed) = (0, Vec::new());
    for _ in 0..3 {
        let mut command = Command::new(home.join("p0"));
        let mut child = command.args(["./next", "0"]).current_dir(&home).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            let Some(known) = process(child.id()) else { continue };
            told += 1;
            assert_eq!(known.tgid, child.id());
            let exe = known.exe.as_deref().unwrap_or_default();
            if exe != home.join(&known.comm).to_str().unwrap() {
                mixed.push(known);
            }
        }
    }
    assert!(told > 100, "told {told} times");
    assert!(mixed.is_empty(), "{} of {told}: {mixed:?}", mixed.len());
}

#[test]
fn threads_that_end_while_they_are_read_are_told_right_or_not_at_all() {
    for round in 0..100 {
        let name = format!("round {round}");
        let (end, handle, tid) = thread_called(&name);
        let alive = process(tid).expect("a thread that waits is told");
        assert_eq!(alive.comm, name);
        drop(end);
        while let Some(known) = process(tid) {
            // The number may already be that of a later thread of another test.
            if known.tgid == std::process::id() && known.comm.starts_with("round") {
                assert_eq!(known.comm, name);
            }
        }
        handle.join().unwrap();
    }
}

#[test]
fn the_fourth_ids_of_status_count() {
    let text = b"Name:\ta\\nb\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t12\nNgid:\t0\nPid:\t13\n\
        PPid:\t1\nTracerPid:\t0\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t0 1\n";
    let status = Status::parse(text).unwrap();
    assert_eq!(status, Status { name: b"a\\nb".to_vec(), tgid: 12, uid: 4, gid: 8 });
    assert!(status.is_called(b"a\nb") && status.is_called(b"a\\nb"));
    assert!(!status.is_called(b"a") && !status.is_called(b"ab"));
    assert_eq!(Status::parse(b"Name:\ta\nTgid:\t12\nUid:\t1\t2\t3\n"), None);
    assert_eq!(Status::parse(b""), None);
}

#[test]
fn the_start_time_stands_behind_the_last_parenthesis() {
    let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
    let text = format!("7 (a) S 1 (b)) S {}\n", fields.join(" "));
    let expected = Stat { name: b"a) S 1 (b)", is_dead: false, start_time: 22 };
    assert_eq!(Stat::parse(text.as_bytes()), Some(expected));
    let dead = text.replace(") S 4", ") Z 4");
    assert!(Stat::parse(dead.as_bytes()).unwrap().is_dead);
    for text in ["", "7 (a", "7 (a)", "7 (a) S", "7 (a) S 4 5", "7 )a( S 4 5"] {
        assert_eq!(Stat::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn the_hierarchy_that_tells_containers_apart_is_chosen() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(cgroup(text.as_bytes()).as_deref(), expected, "{text}");
    };
    check("0::/docker/abc\n", Some("/docker/abc"));
    check("0::/a:b:c d\n", Some("/a:b:c d"));
    check("0::/\n", Some("/"));
    // Cgroups v1, with an old runtime, with a unified hierarchy, and with an unused one of systemd.
    let hybrid = "9:memory:/x\n1:name=systemd:/docker/abc\n";
    check(hybrid, Some("/docker/abc"));
    check(&format!("{hybrid}0::/system.slice/docker.service\n"), Some("/docker/abc"));
    check("1:name=systemd:/\n0::/docker/abc\n", Some("/docker/abc"));
    check("1:name=systemd:/\n", Some("/"));
    check("9:memory:/x\n", None);
    check("garbage\n", None);
    check("", None);
}
