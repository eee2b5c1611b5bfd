//! Codes that a person types on the terminal where credmount was started.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use super::*;
use crate::support::wait_for;

/// A terminal, and what a program has written to it so far.
#[derive(Debug)]
struct Terminal {
    ours: File,
    theirs: File,
    shown: String,
}

impl Terminal {
    fn open() -> Self {
        // Held by nobody else: if the test fails, the terminal hangs up, and whoever asks on it goes on.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let path = ptsname(&ours, Vec::new()).unwrap();
        let theirs = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        rustix::io::ioctl_fionbio(&ours, true).unwrap();
        Self { ours: File::from(ours), theirs, shown: String::new() }
    }

    fn start(&self, command: &mut Command) -> Child {
        let end = || OwnedFd::from(self.theirs.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// Waits until `text` is shown behind what was waited for before.
    fn await_text(&mut self, text: &str) -> String {
        wait_for(text, || {
            let mut bytes = [0; 4096];
            if let Ok(length) = self.ours.read(&mut bytes) {
                self.shown += &String::from_utf8_lossy(&bytes[..length]);
            }
            let end = self.shown.find(text)? + text.len();
            Some(self.shown.drain(..end).collect())
        })
    }

    fn type_text(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.theirs).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }
}

#[test]
fn a_start_in_the_background_asks_until_a_code_is_accepted() {
    let Some(scene) = scene() else { return };
    let mut terminal = Terminal::open();
    let code = scene.emulator.mfa_code(DEVICE);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let daemon = scene.mount_by(scene.path("live"), &BOTH, |command| {
        let child = terminal.start(command);
        terminal.await_text(&format!("MFA code of {DEVICE} (Enter to go on without): "));
        assert!(!terminal.echoes());
        terminal.type_text("12x\n");
        terminal.await_text("an MFA code has six digits");
        terminal.await_text("go on without): ");
        terminal.type_text(&format!("{wrong}\n"));
        let said = terminal.await_text("AWS did not accept the MFA code");
        assert!(!said.contains(wrong), "nothing that is typed is shown: {said}");
        terminal.await_text("go on without): ");
        // With a slip that is taken back.
        terminal.type_text(&format!("{}7\u{7f}{}\n", &code[..3], &code[3..]));
        let said = terminal.await_text("prod, staging: session until 20");
        assert!(!said.contains(&code[..3]), "{said}");
        child.wait_with_output().unwrap()
    });
    assert!(terminal.echoes(), "the terminal is as it was");
    assert!(is_live(&daemon, "staging"));
    assert_eq!(codes_sent(&scene), 2);
}

#[test]
fn ctrl_c_goes_on_without_a_code() {
    let Some(scene) = scene() else { return };
    let mut terminal = Terminal::open();
    let daemon = scene.mount_by(scene.path("live"), &BOTH, |command| {
        let child = terminal.start(command);
        terminal.await_text("go on without): ");
        terminal.type_text("\u{3}");
        terminal.await_text("without MFA until: credmount mfa prod");
        child.wait_with_output().unwrap()
    });
    assert!(terminal.echoes());
    assert!(daemon.credentials().contains("run credmount mfa prod"));
}

#[test]
fn a_mount_in_the_foreground_and_a_check_ask_before_they_begin() {
    let Some(scene) = scene() else { return };
    let mut terminal = Terminal::open();
    let mut check = terminal.start(&mut scene.credmount(&["check", "--role", "prod"]));
    terminal.await_text("go on without): ");
    terminal.type_text(&format!("{}\n", scene.emulator.mfa_code(DEVICE)));
    terminal.await_text("prod: ");
    assert!(check.wait().unwrap().success());

    let live = scene.path("live");
    let mut mount = terminal.start(&mut scene.credmount(&[&BOTH[..], &[shown(&live)]].concat()));
    terminal.await_text("go on without): ");
    terminal.type_text(&format!("{}\n", scene.emulator.mfa_code(DEVICE)));
    terminal.await_text("serving");
    let text = fs::read_to_string(live.join("credentials")).unwrap();
    assert!(ini_value(&text, "staging", "aws_access_key_id").is_some());
    assert_eq!(scene.run(&["unmount", shown(&live)]).status.code(), Some(0));
    assert!(mount.wait().unwrap().success());
    assert_eq!(codes_sent(&scene), 2);
}

#[test]
fn nobody_is_asked_where_that_is_not_wanted_or_a_program_gives_the_codes() {
    let Some(scene) = scene() else { return };
    for option in [["--mfa-prompt", "none"], ["--mfa-process", "exit 1"]] {
        let terminal = Terminal::open();
        let args = [&BOTH[..], &option].concat();
        let daemon = scene.mount_by(scene.path("live"), &args, |command| {
            terminal.start(command).wait_with_output().unwrap()
        });
        assert!(daemon.credentials().contains("run credmount mfa prod"), "{option:?}");
    }
}
