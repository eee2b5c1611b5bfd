//! The commands that mount, and those that change what a daemon serves.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, CommandFactory, ValueHint};

use super::Cli;
use super::options::{
    CommonArgs, DaemonArgs, DefaultArgs, LogArgs, MfaSourceArgs, ReaderArgs, SessionArgs,
};
use crate::config::{self, AddedMount, Flags};

/// `credmount [OPTIONS] [MOUNTPOINT]`.
///
/// The common options stand last, so that `--help` shows its groups in a good order.
#[derive(Debug, Clone, Args)]
pub struct MountArgs {
    /// Which role is the default.
    #[command(flatten)]
    pub default: DefaultArgs,

    /// What the daemon does for all its mounts.
    #[command(flatten)]
    pub daemon: DaemonArgs,

    /// What the mount is like for its readers.
    #[command(flatten)]
    pub readers: ReaderArgs,

    /// The options that mounting, checking and rendering share.
    #[command(flatten)]
    pub common: CommonArgs,

    /// The directory to mount on, created if missing; without it, all mounts of the configuration
    /// file are served
    #[arg(
        value_name = "MOUNTPOINT",
        value_hint = ValueHint::DirPath,
        value_parser = PathBufValueParser::new().try_map(mountpoint)
    )]
    pub mountpoint: Option<PathBuf>,
}

/// Refuses a directory that is most likely meant as a command: after an option, clap takes every
/// word for the MOUNTPOINT, and a new directory would be made and mounted on.
fn mountpoint(path: PathBuf) -> Result<PathBuf, String> {
    let command = Cli::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let Some(meant) = path.to_str().and_then(|word| config::meant(word, names)) else {
        return Ok(path);
    };
    let path = path.display();
    Err(format!(
        "for the command, write `credmount {meant}` and options after it; for a directory of this \
         name, write ./{path}"
    ))
}

impl MountArgs {
    /// The flags for [`crate::config::resolve`].
    pub fn flags(&self) -> Flags {
        self.default.flags(self.readers.flags(self.daemon.flags(self.common.flags())))
    }
}

/// `credmount mount`.
#[derive(Debug, Clone, Args)]
pub struct MountNamedArgs {
    /// The NAME of `[mounts.NAME]`; all if none is given
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// What the daemon does for all its mounts.
    #[command(flatten)]
    pub daemon: DaemonArgs,

    /// Where MFA codes come from.
    #[command(flatten)]
    pub mfa: MfaSourceArgs,

    /// Configuration and logging.
    #[command(flatten)]
    pub log: LogArgs,
}

impl MountNamedArgs {
    /// The flags for [`crate::config::resolve`].
    pub fn flags(&self) -> Flags {
        self.log.flags(self.mfa.flags(self.daemon.flags(Flags::default())))
    }
}

/// Which daemon a command is for.
#[derive(Debug, Clone, Args)]
pub struct WhichDaemon {
    /// Only the daemon that serves this mount
    #[arg(long = "daemon", value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub mountpoint: Option<PathBuf>,
}

/// `credmount add`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: credmount add run-42 --role dev --path ~/aws/run-42 --for 8h")]
pub struct AddArgs {
    /// What to call the mount, as in `credmount remove NAME`
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The directory to mount on; created if missing
    #[arg(long, value_name = "MOUNTPOINT", value_hint = ValueHint::DirPath)]
    pub path: PathBuf,

    /// Remove the mount after this time, as in 8h
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = lifetime)]
    pub for_: Option<Duration>,

    /// Remove the mount when this process has ended
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub while_pid: Option<u32>,

    /// Which daemon.
    #[command(flatten)]
    pub daemon: WhichDaemon,

    /// Which roles, and what their sessions are like.
    #[command(flatten)]
    pub sessions: SessionArgs,

    /// Which role is the default.
    #[command(flatten)]
    pub default: DefaultArgs,

    /// What the mount is like for its readers.
    #[command(flatten)]
    pub readers: ReaderArgs,
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let duration = config::duration("--for", text)?;
    if duration.is_zero() { Err("the mount would end at once".to_owned()) } else { Ok(duration) }
}

impl AddArgs {
    /// The mount for [`crate::config::Inputs::added`]; its path is as it was typed.
    pub fn added(&self) -> AddedMount {
        AddedMount {
            name: self.name.clone(),
            path: self.path.clone(),
            flags: self.default.flags(self.readers.flags(self.sessions.flags())),
        }
    }
}

/// `credmount remove`.
#[derive(Debug, Clone, Args)]
pub struct RemoveArgs {
    /// The NAME of `credmount add`
    #[arg(value_name = "NAME")]
    pub name: String,

    /// Which daemon.
    #[command(flatten)]
    pub daemon: WhichDaemon,
}

/// `credmount lock`, `unlock` and `reload`.
#[derive(Debug, Clone, Args)]
pub struct DaemonCommandArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: WhichDaemon,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Command;
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["credmount"].iter().chain(args))
    }

    fn add(args: &[&str]) -> Result<AddArgs, clap::Error> {
        let args = [&["add", "run-1", "--path", "/x"], args].concat();
        let Some(Command::Add(add)) = parse(&args)?.command else { panic!("an add") };
        Ok(add)
    }

    #[test]
    fn a_mount_may_be_named_or_all_may_be_meant() {
        let cli = parse(&["mount", "a", "b", "--background"]).expect("legal");
        let Some(Command::Mount(mount)) = cli.command else { panic!("a mount") };
        assert_eq!(mount.names, ["a", "b"]);
        assert!(mount.flags().background);
        let cli = parse(&["--region", "eu-west-1"]).expect("legal");
        assert!(cli.command.is_none() && cli.mount.mountpoint.is_none());
    }

    #[test]
    fn what_is_added_has_the_flags_of_a_mount() {
        let add = add(&["-r", "dev", "--tag", "run=1", "--allow", "uid=5", "--for", "8h"])
            .expect("legal");
        assert_eq!(add.for_, Some(Duration::from_hours(8)));
        let added = add.added();
        assert_eq!((added.name.as_str(), added.path.as_path()), ("run-1", "/x".as_ref()));
        assert_eq!(added.flags.roles, ["dev"]);
        assert_eq!(added.flags.tags, ["run=1"]);
        assert_eq!(added.flags.allow, ["uid=5"]);
    }

    #[test]
    fn an_end_that_is_none_is_refused() {
        for wrong in [["--for", "0s"], ["--for", "-1h"], ["--for", "8"], ["--while-pid", "0"]] {
            assert!(add(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_switch_that_is_on_by_default_can_be_turned_off() {
        let flag = |args: &[&str]| add(args).expect("legal").added().flags.writable_caches;
        assert_eq!(flag(&["--writable-caches=false"]).as_deref(), Some("false"));
        assert_eq!(flag(&["--writable-caches"]).as_deref(), Some("true"));
        assert_eq!(flag(&[]), None);
    }
}
