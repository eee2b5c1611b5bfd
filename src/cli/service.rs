//! `credmount service`: the steps of a systemd unit.

use clap::{Args, ValueEnum};

use super::MountArgs;

/// `credmount service STEP [MOUNTPOINT]`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "The units that come with credmount run it; see their comments.")]
pub struct ServiceArgs {
    /// Which step of the unit this is
    #[arg(value_enum)]
    pub step: ServiceStep,

    /// The unit, %n in its file
    #[arg(long, value_name = "UNIT")]
    pub unit: String,

    /// Serve the mount of this name, or if the configuration has none, the role of this name on
    /// ~/.aws-live/NAME
    #[arg(long, value_name = "NAME", conflicts_with = "mountpoint")]
    pub instance: Option<String>,

    /// The options of the mount.
    #[command(flatten)]
    pub mount: MountArgs,
}

/// The steps of a unit, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServiceStep {
    /// ExecStartPre=+: mount, and have systemd keep the mounts; needs fusermount3
    Prepare,
    /// ExecStart=: serve what is kept; needs no privileges
    Run,
    /// ExecStopPost=+: unmount, unless the service is to start again; needs fusermount3
    Clean,
}
