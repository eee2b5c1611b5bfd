//! What was typed. Knows no default of the domain and reads nothing: options come out as texts,
//! which [`crate::config`] checks together with environment and files.

#![forbid(unsafe_code)]

mod audit;
mod documents;

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::{self, Flags};

pub use audit::AuditArgs;
pub use documents::{write_completions, write_man_page};

const EXAMPLES: &str = "\
Examples:
  credmount --role prod ~/.aws-live
  credmount --role prod=arn:aws:iam::123456789012:role/admin --role dev --background ~/.aws-live
  docker run -v ~/.aws-live:/root/.aws:ro IMAGE
  credmount check --role prod
  credmount unmount ~/.aws-live

Options can also stand in the configuration file (session_duration = \"1h\") and in the
environment (CREDMOUNT_SESSION_DURATION=1h). Flags win over environment, environment over file.

Exit codes: 0 ok, 1 failed, 2 usage or configuration.";

const CONFIG_HELP: &str =
    "The configuration file [default: $XDG_CONFIG_HOME/credmount/config.toml]";

/// Where the mount's own options stand in a group that they share with common ones.
const AFTER_COMMON: usize = 100;

const ROLES: &str = "Roles";
const SESSIONS: &str = "Sessions";
const MOUNT: &str = "Mount";
const LOGGING: &str = "Configuration and logging";

/// Mounts a live ~/.aws: its keys are fresh each time a program reads them.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "credmount",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
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
}

/// Everything but mounting.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Assume each role once and say who one becomes, or what is wrong and what to do.
    Check(CheckArgs),
    /// Show the roles of a live mount, or of all live mounts of this user.
    Status(StatusArgs),
    /// Make a mount fetch new sessions now, even when the current ones are valid.
    Refresh(RefreshArgs),
    /// Stop the daemon behind a mount cleanly, or remove what a killed one left.
    Unmount(UnmountArgs),
    /// Print credentials once, without mounting.
    Render(RenderArgs),
    /// Show who read which keys, from the audit log.
    Audit(AuditArgs),
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Print the man page.
    Man,
}

/// `credmount [OPTIONS] MOUNTPOINT`.
#[derive(Debug, Clone, Args)]
pub struct MountArgs {
    /// The role that is also `[default]`, or `none`; the first one if not given
    #[arg(long, value_name = "NAME", help_heading = ROLES, display_order = AFTER_COMMON)]
    pub default: Option<String>,

    /// Never serve less remaining lifetime without waiting for a renewal, as in 20m
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub min_ttl: Option<String>,

    /// How long one open waits for AWS, as in 10s
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(help_heading = SESSIONS, display_order = AFTER_COMMON)]
    pub open_deadline: Option<String>,

    /// Return to the shell once the mount serves
    #[arg(long, help_heading = MOUNT)]
    pub background: bool,

    /// The mount as readers see it, as in /root/.aws; found out for each reader if not given
    #[arg(long, value_name = "PATH", help_heading = MOUNT)]
    pub reader_path: Option<String>,

    /// Give plain profiles `credential_process` too, and leave static keys out
    #[arg(long, help_heading = MOUNT)]
    pub live_only: bool,

    /// The options that mounting, checking and rendering share. They stand behind the others so
    /// that `--help` shows its groups in a good order.
    #[command(flatten)]
    pub common: CommonArgs,

    /// Set by `--background` for the process that stays.
    #[arg(long, hide = true)]
    pub daemon_child: bool,

    /// The directory to mount on; created if missing
    #[arg(
        value_name = "MOUNTPOINT",
        required = true,
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
        Flags {
            default: self.default.clone(),
            min_ttl: self.min_ttl.clone(),
            open_deadline: self.open_deadline.clone(),
            reader_path: self.reader_path.clone(),
            live_only: self.live_only,
            background: self.background,
            ..self.common.flags()
        }
    }
}

/// The options that mounting, checking and rendering share.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// A configured role, an AWS profile or a role ARN, and the name that readers see; repeats
    #[arg(short, long = "role", value_name = "[NAME=]ROLE", help_heading = ROLES)]
    pub roles: Vec<String>,

    /// The AWS profile that assumes roles which name none
    #[arg(long, value_name = "PROFILE", help_heading = ROLES)]
    pub source_profile: Option<String>,

    /// The region for readers and for STS
    #[arg(long, help_heading = ROLES)]
    pub region: Option<String>,

    /// How long sessions last, 15m to 12h
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub session_duration: Option<String>,

    /// The external id that the trust policy asks for
    #[arg(long, value_name = "ID", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub external_id: Option<String>,

    /// The role session name; unique for each call if not given
    #[arg(long, value_name = "NAME", allow_hyphen_values = true, help_heading = SESSIONS)]
    pub session_name: Option<String>,

    /// The configuration file.
    #[arg(long, value_name = "FILE", help_heading = LOGGING, help = CONFIG_HELP)]
    pub config: Option<PathBuf>,

    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT", help_heading = LOGGING)]
    pub log_format: Option<String>,

    /// Log more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = LOGGING)]
    pub verbose: u8,

    /// Log errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = LOGGING)]
    pub quiet: bool,
}

impl CommonArgs {
    /// The flags for [`crate::config::resolve`].
    pub fn flags(&self) -> Flags {
        Flags {
            roles: self.roles.clone(),
            source_profile: self.source_profile.clone(),
            region: self.region.clone(),
            session_duration: self.session_duration.clone(),
            external_id: self.external_id.clone(),
            session_name: self.session_name.clone(),
            log_format: self.log_format.clone(),
            verbose: self.verbose,
            quiet: self.quiet,
            ..Flags::default()
        }
    }
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
    /// The mount; all live mounts of this user if not given
    pub mountpoint: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `credmount refresh`.
#[derive(Debug, Clone, Args)]
pub struct RefreshArgs {
    /// The mount; not needed when this user has only one
    pub mountpoint: Option<PathBuf>,

    /// Only this profile, by the name that readers see
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
    fn a_mount_needs_its_mountpoint_and_a_command_does_not() {
        assert_eq!(parse(&["--role", "prod"]).expect_err("refused").exit_code(), 2);
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
