//! Both mounts as seen where they are bound, and what an open of the keys costs.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirEntryExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{has_key_mount, mount};
use crate::support::daemon::arn;
use crate::support::namespace::{Bind, bound, namespaces_available};
use crate::support::{Daemon, Scene, skipped};

/// A program in a mount namespace of its own that reads a file each time it is told to.
struct Reader {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Reader {
    fn start(scene: &Scene, how: Bind, source: PathBuf, target: PathBuf, file: &Path) -> Self {
        let script = "while read -r _; do stat -c %s \"$0\" && cat \"$0\"; echo END; done";
        let mut reads = Command::new("sh");
        reads.args(["-c", script]).arg(file);
        let mut child = bound(scene, how, &[(source, target)], &reads);
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// What it reads now, which must have the size that it was told.
    fn read(&mut self) -> String {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let (mut size, mut text) = (String::new(), String::new());
        self.out.read_line(&mut size).unwrap();
        while !text.ends_with("END\n") {
            assert_ne!(self.out.read_line(&mut text).unwrap(), 0, "{size}{text}");
        }
        text.truncate(text.len() - "END\n".len());
        assert_eq!(size.trim().parse(), Ok(text.len()));
        text
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn keys_are_fresh_in_every_kind_of_bind() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = mount(&scene, &[]);
    let start = |how, source: &str, target: &str, file: &str| {
        let (source, file) = (scene.path(source), scene.path(file));
        Reader::start(&scene, how, source, scene.path(target), &file)
    };
    let mut readers = [
        start(Bind::Recursive, "live", "all", "all/credentials"),
        start(Bind::Single, "live", "one", "one/credentials"),
        start(Bind::Single, "live/credentials", "keys", "keys"),
    ];
    for _ in 0..3 {
        let keys = daemon.credentials();
        for reader in &mut readers {
            assert_eq!(reader.read(), keys);
        }
        daemon.refresh();
        assert_ne!(daemon.credentials(), keys);
    }
}

#[test]
fn what_a_container_writes_is_seen_by_all_who_have_the_mount() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    let daemon = mount(&scene, &[]);
    for (how, name) in [(Bind::Recursive, "all"), (Bind::Single, "one")] {
        let target = scene.path(name);
        let script = format!("cd \"$0\" && mkdir sso/{name} && echo kept > sso/{name}/token");
        let mut write = Command::new("sh");
        write.args(["-c", &script]).arg(&target);
        let binds = [(daemon.mountpoint.clone(), target)];
        let output = bound(&scene, how, &binds, &write).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let kept = fs::read_to_string(daemon.file(&format!("sso/{name}/token"))).unwrap();
        assert_eq!(kept, "kept\n");
    }
}

/// The system calls by which the daemon has received requests of the kernel so far, one each.
fn requests(daemon: &Daemon<'_>) -> u64 {
    let tasks = PathBuf::from(format!("/proc/{}/task", daemon.pid()));
    let mut received = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap().starts_with("fuse") {
            let io = fs::read_to_string(task.join("io")).unwrap();
            let reads = io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap();
            received += reads.parse::<u64>().unwrap();
        }
    }
    received
}

/// Requests per round of open, fstat, read, close.
fn requests_per_open(daemon: &Daemon<'_>, file: &str) -> f64 {
    const ROUNDS: u32 = 500;
    let path = daemon.file(file);
    let round = || {
        let file = fs::File::open(&path).unwrap();
        let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
        assert_eq!(file.read_at(&mut vec![0; size], 0).unwrap(), size);
    };
    round();
    let before = requests(daemon);
    (0..ROUNDS).for_each(|_| round());
    let after = u32::try_from(requests(daemon) - before).unwrap();
    f64::from(after) / f64::from(ROUNDS)
}

/// Three are needed: OPEN, READ and RELEASE. A fourth would be GETATTR.
#[test]
fn an_open_of_the_keys_costs_no_getattr() {
    let Some(scene) = Scene::mountable() else { return };
    if !has_key_mount() {
        return skipped("only root can make a mount upon the keys here, and count requests");
    }
    let cost = |args: &[&str]| {
        let role = arn("prod");
        let daemon = scene.mount(&[&["--role", &role], args].concat());
        (requests_per_open(&daemon, "credentials"), requests_per_open(&daemon, "config"))
    };
    let (read_only, default) = (cost(&["--writable-caches=false"]), cost(&[]));
    eprintln!("requests per open of (credentials, config): {read_only:?}, by default {default:?}");
    let is = |found: f64, expected: f64| (found - expected).abs() < 0.05;
    assert!(is(read_only.0, 3.0) && is(read_only.1, 3.0), "{read_only:?}");
    assert!(is(default.0, 3.0), "{default:?}");
    // What is not a mount of its own tells what the other would cost without being one.
    assert!(is(default.1, 4.0), "{default:?}");
}

#[test]
fn the_keys_have_the_inode_number_that_is_listed() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = mount(&scene, &[]);
    let meta = fs::metadata(daemon.file("credentials")).unwrap();
    assert_eq!(meta.mode(), 0o100_400);
    let listed = fs::read_dir(&daemon.mountpoint).unwrap().map(|it| it.unwrap());
    let listed = listed.filter(|it| it.file_name() == "credentials");
    let listed: Vec<_> = listed.map(|it| it.ino()).collect();
    assert_eq!(listed, [meta.ino()]);
}

/// What came from a more privileged namespace as one cannot be taken apart (`mount_namespaces(7)`).
#[test]
fn a_user_namespace_binds_the_two_mounts_together_only() {
    let Some(scene) = Scene::mountable().filter(namespaces_available) else { return };
    if !has_key_mount() {
        return skipped("without root or allow_other there is one mount only");
    }
    let daemon = mount(&scene, &[]);
    let target = scene.path("bound");
    fs::create_dir(&target).unwrap();
    let read_by = |how: &str| {
        let script = format!("mount {how} \"$0\" \"$1\" && cat \"$1/credentials\"");
        let mut reader = scene.command("unshare");
        reader.args(["--map-root-user", "--mount", "sh", "-c", &script]);
        reader.arg(&daemon.mountpoint).arg(&target).output().unwrap()
    };
    assert_eq!(read_by("--rbind").stdout, daemon.credentials().as_bytes());
    assert!(!read_by("--bind").status.success());
}
