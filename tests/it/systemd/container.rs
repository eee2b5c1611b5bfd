//! A reader in a mount namespace of its own, as a container is, in which a mount is bound. Must not
//! know who serves the mount.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use super::machine::{As, Machine, USER};
use crate::support::PATIENCE;

/// A shell in the container, which does what it is told. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Container {
    shell: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Container {
    /// One in which `mount` is bound on `/mnt`, of the user or of root.
    pub(crate) fn start(machine: &Machine, who: As, mount: &Path) -> Self {
        let mut command = machine.command(who, "unshare");
        command.arg("--mount");
        if who == As::User {
            command.arg("--map-root-user");
        }
        let script = "exec 2>&1; mount --rbind \"$1\" /mnt && exec sh";
        let mut shell = command
            .args(["sh", "-c", script, "sh"])
            .arg(mount)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter");
        let stdout = BufReader::new(shell.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut container = Self { stdin: shell.stdin.take(), shell, lines };
        assert_eq!(container.run("echo in"), "in\n");
        container
    }

    /// Has the shell do something, and tells what it printed. Whoever waits for long hangs.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> String {
        self.begin(script);
        self.end()
    }

    /// Has the shell begin with something.
    pub(crate) fn begin(&mut self, script: &str) {
        let stdin = self.stdin.as_mut().expect("it runs");
        // What is printed last need not end with a newline.
        writeln!(stdin, "{script}\necho; echo '{END}'").expect("the shell runs");
    }

    /// What was printed since [`Container::begin`], once it is done.
    #[track_caller]
    pub(crate) fn end(&mut self) -> String {
        let mut printed = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("a reader hangs after {printed:?}"));
            if line == END {
                printed.pop();
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }

    /// A file of the mount.
    #[track_caller]
    pub(crate) fn read(&mut self, name: &str) -> String {
        self.run(&format!("cat /mnt/{name}"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // One that hangs in a read must not keep the test from its end; the machine ends it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// A directory of the user.
pub(crate) fn directory_of_user(path: &Path) {
    fs::create_dir_all(path).expect("a directory");
    chown(path, Some(USER), Some(USER)).expect("root may give it away");
}

const END: &str = "-- done --";
