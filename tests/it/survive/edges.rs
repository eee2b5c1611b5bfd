//! What meets a crash: a reader who maps a file, a program that is missing for a moment, a supervisor
//! that is gone, a process that the daemon has started.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{key, parent, pid_state, successor, supervised};
use crate::emulator::Fault;
use crate::support::daemon::arn;
use crate::support::{Scene, eventually, program};

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
    let aside = scene.path("credmount.aside");
    fs::rename(&program, &aside).unwrap();
    kill_process(process, Signal::KILL).unwrap();
    eventually("the supervisor to look for it", || {
        fs::read_to_string(&log).unwrap().contains("No such file or directory")
    });
    fs::rename(&aside, &program).unwrap();
    key(&daemon.credentials());
}

#[test]
fn a_daemon_whose_supervisor_is_gone_is_not_restarted() {
    let Some(scene) = Scene::mountable() else { return };
    let daemon = supervised(&scene);
    let supervisor = parent(daemon.pid());
    kill_process(supervisor, Signal::KILL).unwrap();
    eventually("the supervisor to go", || pid_state(supervisor).is_none_or(|it| it == 'Z'));
    let output = scene.run(&["restart"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    key(&daemon.credentials());
}

#[test]
fn a_credential_process_does_not_get_the_way_to_the_supervisor() {
    let Some(scene) = Scene::mountable() else { return };
    let (script, seen) = (scene.path("keys.sh"), scene.path("stdin"));
    let text = format!(
        "readlink /proc/self/fd/0 >'{}'\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"{}\",\"SecretAccessKey\":\"{}\"}}'\n",
        seen.display(),
        scene.emulator.base_access_key_id(),
        scene.emulator.base_secret_access_key(),
    );
    fs::write(&script, text).unwrap();
    fs::create_dir(scene.path("home/.aws")).unwrap();
    let profile = format!("[profile base]\ncredential_process = sh {}\n", script.display());
    fs::write(scene.path("home/.aws/config"), profile).unwrap();
    let role = arn("prod");
    let args =
        ["--supervise", "--role", &role, "--source-profile", "base", "--region", "eu-west-1"];
    let daemon = scene.mount_with(&args, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    });
    key(&daemon.credentials());
    assert_eq!(fs::read_to_string(seen).unwrap(), "/dev/null\n");
}
