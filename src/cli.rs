//! What was typed. Knows no default of the domain and reads nothing: options come out as texts,
//! which [`crate::config`] checks together with environment and files.

#![forbid(unsafe_code)]

mod audit;
mod documents;
mod login;
mod mfa;
mod mounts;
mod options;
mod service;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use audit::AuditArgs;
pub use documents::{write_completions, write_man_page};
pub use login::LoginArgs;
pub use mfa::MfaArgs;
pub use mounts::{AddArgs, DaemonCommandArgs, MountArgs, MountNamedArgs, RemoveArgs, WhichDaemon};
pub use options::{
    CommonArgs, DaemonArgs, DefaultArgs, LogArgs, MfaSourceArgs, ReaderArgs, SessionArgs,
};
pub use service::{ServiceArgs, ServiceStep};

const EXAMPLES: &str = "\
Examples:
  credmount --role prod ~/.aws-live
  credmount --role prod=arn:aws:iam::123456789012:role/admin --role dev --background ~/.aws-live
  credmount check --role prod
  credmount unmount ~/.aws-live
  credmount --config mounts.toml    (all its mounts)

Options can also stand in the configuration file (session_duration = \"1h\") and in the
environment (CREDMOUNT_SESSION_DURATION=1h). Flags win over environment, environment over file.

Exit codes: 0 ok, 1 failed, 2 usage or configuration.";

/// Mounts a live ~/.aws: its keys are fresh each time a program reads them.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "credmount",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES,
    max_term_width = 100
)]
pub struct Cli {
    /// The command; without one, the mount is made.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The options of the mount.
    #[command(flatten)]
    pub mount: MountArgs,

    /// Set by `--background` for the process that stays.
    #[arg(long, hide = true, global = true)]
    pub daemon_child: bool,

    /// Set by `--supervise` for the daemon.
    #[arg(long, hide = true, global = true)]
    pub supervised: bool,
}

/// Everything but the mount of the command line.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Serve mounts of the configuration file: those named, or all.
    Mount(MountNamedArgs),
    /// Assume each role once and say who one becomes, or what is wrong and what to do.
    Check(CheckArgs),
    /// Show the roles of a mount, or of all mounts of this user.
    Status(StatusArgs),
    /// Fetch new sessions now, even when the current ones are valid.
    Refresh(RefreshArgs),
    /// Give the code of an MFA device to the running daemon.
    Mfa(MfaArgs),
    /// Unmount cleanly; also removes what a killed daemon left.
    Unmount(UnmountArgs),
    /// Add a mount to a running daemon, as for one run of an agent.
    Add(AddArgs),
    /// Remove a mount that was added.
    Remove(RemoveArgs),
    /// Hand out no keys, in any mount, until `unlock`.
    Lock(DaemonCommandArgs),
    /// Hand out keys again.
    Unlock(DaemonCommandArgs),
    /// Start the daemon again, as after an upgrade; its mounts stay.
    Restart(DaemonCommandArgs),
    /// Apply what has changed in the configuration, without unmounting.
    Reload(DaemonCommandArgs),
    /// Log in: at the issuer of an identity that a daemon needs, or to IAM Identity Center.
    Login(LoginArgs),
    /// Print credentials once, without mounting.
    Render(RenderArgs),
    /// Show who read which keys: the records of the audit log.
    Audit(AuditArgs),
    /// What the systemd units run.
    Service(Box<ServiceArgs>),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the man page.
    Man,
}

/// `credmount check`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Exit codes: 0 all roles work, 1 one failed, 2 usage or configuration.")]
pub struct CheckArgs {
    /// The options that mounting, checking and rendering share.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `credmount status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// The mount; all mounts of this user if not given
    pub mountpoint: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Print the metrics of the daemon for Prometheus; with several daemons, name a mount of it
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

/// `credmount refresh`.
#[derive(Debug, Clone, Args)]
pub struct RefreshArgs {
    /// The mount; not needed when this user has only one
    pub mountpoint: Option<PathBuf>,

    /// Only this profile, or this token, by the name that readers see
    #[arg(short, long, value_name = "NAME")]
    pub role: Option<String>,
}

/// `credmount unmount`.
#[derive(Debug, Clone, Args)]
pub struct UnmountArgs {
    /// The mount
    pub mountpoint: PathBuf,
}

/// `credmount render`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example: eval \"$(credmount render --role prod --format env)\"")]
pub struct RenderArgs {
    /// The options that mounting, checking and rendering share.
    #[command(flatten)]
    pub common: CommonArgs,

    /// How credentials are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: RenderFormat,
}

/// The formats of `credmount render`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum RenderFormat {
    /// As in the credentials file
    #[default]
    Ini,
    /// As from a `credential_process`; one role
    Process,
    /// As shell variables; one role
    Env,
    /// A JSON object with one key per profile
    Json,
}

/// `credmount completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["credmount"].iter().chain(args))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mounting_is_the_command_without_a_name() {
        let cli = parse(&["--role", "prod", "--role", "x=dev", "-vv", "/mnt"]).expect("legal");
        assert!(cli.command.is_none());
        assert_eq!(cli.mount.mountpoint, Some("/mnt".into()));
        let flags = cli.mount.flags();
        assert_eq!(flags.roles, ["prod", "x=dev"]);
        assert_eq!(flags.verbose, 2);
    }

    #[test]
    fn the_process_that_stays_is_told_behind_the_command() {
        assert!(parse(&["--daemon-child", "/mnt"]).expect("legal").daemon_child);
        let cli = parse(&["mount", "--daemon-child", "a"]).expect("legal");
        assert!(cli.daemon_child);
        let Some(Command::Mount(mount)) = cli.command else { panic!("a mount") };
        assert_eq!(mount.names, ["a"]);
    }

    #[test]
    fn a_command_needs_no_mountpoint() {
        let cli = parse(&["check", "--role", "prod", "--json"]).expect("legal");
        let Some(Command::Check(check)) = cli.command else { panic!("a check") };
        assert!(check.json);
        assert_eq!(check.common.flags().roles, ["prod"]);
    }

    #[test]
    fn a_command_after_options_or_misspelt_is_no_directory() {
        let refused = |args| parse(args).expect_err("refused").to_string();
        assert!(refused(&["--role", "prod", "check"]).contains("write `credmount check`"));
        assert!(refused(&["statsu"]).contains("write `credmount status`"));
        assert!(parse(&["--role", "prod", "./check"]).is_ok());
        assert!(parse(&["--role", "prod", "live"]).is_ok());
    }

    #[test]
    fn a_negative_duration_reaches_the_configuration() {
        let cli = parse(&["--session-duration", "-1h", "/mnt"]).expect("config explains it");
        assert_eq!(cli.mount.flags().session_duration.as_deref(), Some("-1h"));
    }

    #[test]
    fn help_is_short_and_grouped() {
        // The text is fixed at 100 columns, whatever terminal the test runs in.
        let help = Cli::command().term_width(100).render_help().to_string();
        insta::assert_snapshot!("help", help);
    }
}
