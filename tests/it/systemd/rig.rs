//! credmount as a service: installed and configured in a machine, for its user or for all of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use super::container::{Container, directory_of_user};
use super::machine::{As, Machine};
use crate::emulator::{Emulator, Options};
use crate::support::wait::now;
use crate::support::{arn, eventually, ini_value};

/// A machine with the units, and an emulator outside of it.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) emulator: Emulator,
    pub(crate) who: As,
}

impl Rig {
    /// The units and the program are where the user has installed them (or root, for the system),
    /// the base credentials where the units look for variables. Nothing is started.
    pub(crate) fn installed(who: As) -> Option<Self> {
        let machine = Machine::boot()?;
        let emulator = Emulator::start_with(Options::default()).expect("the emulator starts");
        // What is longer than before cannot be read by a descriptor that was told a shorter size.
        emulator.set_token_length(800..=800);
        let rig = Self { machine, emulator, who };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let units: &[&str] = match who {
            As::User => &["credmount.service", "credmount@.service"],
            As::Root => &["system/credmount.service"],
        };
        for unit in units {
            let text = fs::read_to_string(root.join("systemd").join(unit)).expect("a unit");
            rig.write_unit(unit.trim_start_matches("system/"), &text);
        }
        let program = rig.program();
        rig.make_directory(program.parent().expect("a directory"));
        symlink("/opt/credmount-it/credmount", &program).expect("a link");
        let environment = format!(
            "AWS_ACCESS_KEY_ID={}\nAWS_SECRET_ACCESS_KEY={}\nAWS_ENDPOINT_URL_STS={}\n\
             AWS_EC2_METADATA_DISABLED=true\n",
            rig.emulator.base_access_key_id(),
            rig.emulator.base_secret_access_key(),
            rig.emulator.endpoint(),
        );
        for name in ["credmount", "live", "prod"] {
            rig.write(&rig.configuration(&format!("{name}.env")), &environment);
        }
        rig.reload_units();
        Some(rig)
    }

    /// The same with two mounts, `live` and `other`, that are being served.
    pub(crate) fn serving(who: As) -> Option<Self> {
        let rig = Self::installed(who)?;
        rig.configure(&["live", "other"], "");
        rig.succeeds(&["enable", "--now", SERVICE]);
        Some(rig)
    }

    /// Writes a configuration with these mounts, each with the roles `prod` and `dev`, and more
    /// lines before them.
    pub(crate) fn configure(&self, mounts: &[&str], more: &str) {
        let role = |role| format!("[roles.{role}]\nrole_arn = \"{}\"\n", arn(role));
        let mount =
            |mount: &&str| format!("[mounts.{mount}]\npath = \"{}\"\n", self.at(mount).display());
        let roles = ["prod", "dev"].map(role).concat();
        let mounts: String = mounts.iter().map(mount).collect();
        let text = format!("region = \"eu-west-1\"\n{more}\n{roles}{mounts}");
        self.write(&self.configuration("config.toml"), &text);
    }

    /// Where a mount is, in the machine.
    pub(crate) fn at(&self, mount: &str) -> PathBuf {
        match self.who {
            As::User => self.machine.home().join(mount),
            As::Root => Path::new("/srv").join(mount),
        }
    }

    /// Where the program is installed, as it is reached from here.
    pub(crate) fn program(&self) -> PathBuf {
        match self.who {
            As::User => self.machine.home().join(".cargo/bin/credmount"),
            As::Root => self.machine.reach("/usr/local/bin/credmount"),
        }
    }

    fn configuration(&self, name: &str) -> PathBuf {
        match self.who {
            As::User => self.machine.home().join(".config/credmount").join(name),
            As::Root => self.machine.reach("/etc/credmount").join(name),
        }
    }

    /// Writes a unit or a drop-in of one.
    pub(crate) fn write_unit(&self, name: &str, text: &str) {
        let directory = match self.who {
            As::User => self.machine.home().join(".config/systemd/user"),
            As::Root => self.machine.reach("/etc/systemd/system"),
        };
        self.write(&directory.join(name), text);
    }

    /// Has the manager read its units again.
    pub(crate) fn reload_units(&self) {
        self.succeeds(&["daemon-reload"]);
    }

    /// Writes a file of whoever the service runs as.
    pub(crate) fn write(&self, path: &Path, text: &str) {
        self.make_directory(path.parent().expect("a directory"));
        fs::write(path, text).expect("root may write");
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("root may");
    }

    /// Makes a directory and those that it is in, all of them of whoever the service runs as.
    pub(crate) fn make_directory(&self, path: &Path) {
        if self.who == As::Root {
            return fs::create_dir_all(path).expect("a directory");
        }
        let below = path.strip_prefix(self.machine.home()).expect("below the home directory");
        let mut at = self.machine.home().to_owned();
        for name in below {
            at.push(name);
            directory_of_user(&at);
        }
    }

    /// Runs `systemctl` of the manager concerned.
    pub(crate) fn systemctl(&self, args: &[&str]) -> Output {
        self.machine.systemctl(self.who, args).output().expect("systemctl")
    }

    #[track_caller]
    pub(crate) fn succeeds(&self, args: &[&str]) {
        let output = self.systemctl(args);
        assert!(output.status.success(), "{args:?}: {output:?}\n{}", self.machine.journal());
    }

    /// A property of a unit.
    pub(crate) fn property(&self, unit: &str, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, unit]);
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    /// The process that serves, as numbered in the machine.
    pub(crate) fn main_pid(&self) -> String {
        self.property(SERVICE, "MainPID")
    }

    /// Sends a signal to the daemon alone.
    #[track_caller]
    pub(crate) fn signal(&self, signal: &str) {
        self.succeeds(&["kill", "--kill-who=main", "--signal", signal, SERVICE]);
    }

    /// `credmount ARGS` in the machine, of whoever the service runs as.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let program = match self.who {
            As::User => self.program(),
            As::Root => "/usr/local/bin/credmount".into(),
        };
        let mut command = self.machine.command(self.who, program);
        command.args(args);
        command
    }

    /// Runs it to its end.
    pub(crate) fn credmount(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("credmount")
    }

    /// Whether a process of this name in the machine waits for an answer of a file system.
    pub(crate) fn waits_for_a_reply(&self, name: &str) -> bool {
        let list = self.machine.command(As::Root, "ps").args(["-eo", "comm=,wchan:32="]).output();
        let list = String::from_utf8(list.expect("ps").stdout).expect("UTF-8");
        list.lines().any(|line| line.starts_with(name) && line.contains("request_wait_answer"))
    }

    /// A container in which a mount is bound.
    pub(crate) fn container(&self, mount: &str) -> Container {
        Container::start(&self.machine, self.who, &self.at(mount))
    }

    /// Where our trees are mounted in the machine, in the order in which they were.
    pub(crate) fn mounted(&self) -> Vec<PathBuf> {
        let table = fs::read_to_string(self.machine.reach("/proc/1/mountinfo")).expect("mountinfo");
        let ours = table.lines().filter(|line| line.contains(" - fuse.credmount "));
        let points = ours.filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
        points.filter(|point| !point.ends_with("credentials")).collect()
    }

    /// Waits until the service is up and nothing else is about to happen.
    #[track_caller]
    pub(crate) fn await_running(&self) {
        eventually("the service to run", || self.property(SERVICE, "SubState") == "running");
    }

    /// The access key id of `prod`, which has to be one of a session that is valid now.
    #[track_caller]
    pub(crate) fn valid_key(&self, credentials: &str) -> String {
        let key = ini_value(credentials, "prod", "aws_access_key_id");
        let key =
            key.unwrap_or_else(|| panic!("no keys in {credentials:?}\n{}", self.machine.journal()));
        let session = self.emulator.session(&key).expect("a session of this emulator");
        assert!(session.expiration > self.emulator.now(), "{key} has expired");
        key
    }

    /// Has a reader in a container get valid keys, and tells how long after `event` that was.
    #[track_caller]
    pub(crate) fn reads_again(&self, container: &mut Container, event: &str, since: Instant) {
        self.valid_key(&container.read("credentials"));
        eprintln!("{event}: keys again after {} ms", since.elapsed().as_millis());
    }
}

/// Does something and tells when it began.
pub(crate) fn after(action: impl FnOnce()) -> Instant {
    let began = now();
    action();
    began
}

/// The unit of all mounts.
pub(crate) const SERVICE: &str = "credmount.service";
