//! The memory of the daemon is out of reach: no core, no debugger, nothing in `/proc`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::emulator::Fault;
use crate::support::{Scene, arn, eventually};

#[test]
fn no_core_can_be_dumped_and_no_neighbour_can_look() {
    let scene = Scene::new();
    super::life::allow_cores();
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
    let owner = fs::metadata(proc.join("environ")).unwrap().uid();
    // Another process of the same user.
    let can_read = |file: PathBuf| {
        let mut head = Command::new("head");
        head.args(["-c", "1"]).arg(file).stdout(Stdio::null()).stderr(Stdio::null());
        if root {
            head.uid(nobody).gid(nobody);
        }
        head.status().unwrap().success()
    };
    let mut neighbour = Command::new("sleep");
    neighbour.arg("600");
    if root {
        neighbour.uid(nobody).gid(nobody);
    }
    let mut neighbour = neighbour.spawn().unwrap();
    let of_neighbour = PathBuf::from(format!("/proc/{}", neighbour.id()));
    eventually("a process that anybody may look into", || can_read(of_neighbour.join("environ")));
    assert!(can_read(of_neighbour.join("maps")));
    let readable = ["environ", "maps", "mem", "auxv"].map(|file| can_read(proc.join(file)));
    neighbour.kill().unwrap();
    neighbour.wait().unwrap();
    let forbidden = core_is_forbidden(child.id());
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::ABORT).unwrap();
    let end = child.wait().unwrap();
    assert_eq!((end.signal(), end.core_dumped()), (Some(Signal::ABORT.as_raw()), false));
    assert!(forbidden);
    assert_eq!(readable, [false; 4]);
    // proc(5): the files of a process that cannot be dumped belong to root.
    assert_eq!(owner, 0, "the files of the process are those of its user");
}

/// Whether the limits of a process let it leave no core.
fn core_is_forbidden(pid: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    core.split_whitespace().skip(4).eq(["0", "0", "bytes"])
}

#[test]
fn a_command_that_waits_for_a_code_cannot_be_dumped() {
    let Some(scene) = Scene::mountable() else { return };
    let (prod, aws) = (arn("prod"), scene.path("home/.aws"));
    fs::create_dir(&aws).unwrap();
    let profile = format!(
        "[profile prod]\nrole_arn = {prod}\ncredential_source = Environment\n\
         mfa_serial = arn:aws:iam::123456789012:mfa/dev\n"
    );
    fs::write(aws.join("config"), profile).unwrap();
    let _daemon = scene.mount(&["--role", "prod"]);
    let mut waiting = scene.credmount(&["mfa", "prod"]).stdin(Stdio::piped()).spawn().unwrap();
    eventually("cores to be forbidden", || core_is_forbidden(waiting.id()));
    assert_eq!(waiting.try_wait().unwrap(), None, "it waits for the code");
    waiting.kill().unwrap();
    waiting.wait().unwrap();
}
