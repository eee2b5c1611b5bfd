//! How commands such as `status` and `unmount` reach a daemon: one JSON object per line over a Unix
//! socket in a directory that only the user can enter.

mod client;
mod code;
mod server;

pub use client::{ClientError, ask, live_sockets};
pub use server::{Controlled, Conversations, Server};

use serde::{Deserialize, Serialize};

use crate::config::AddedMount;
use crate::model::MfaCode;
use crate::render::MountStatus;

/// What a command asks of a daemon. Mounts are named by their mount points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Tell the state of one mount, or of all.
    Status {
        /// Of this mount only.
        mount: Option<String>,
    },
    /// Fetch new sessions now; answered when they are served.
    Refresh {
        /// Of this mount only.
        mount: Option<String>,
        /// Of this profile only.
        profile: Option<String>,
    },
    /// Use an MFA code for the roles behind its device; answered when they have sessions.
    Mfa {
        /// The device.
        device: String,
        /// The code.
        #[serde(with = "code")]
        code: MfaCode,
    },
    /// Unmount, and end with the last mount; answered when the mount is gone.
    Unmount {
        /// This mount.
        mount: String,
    },
    /// Tell counts and durations in the text format of Prometheus.
    Metrics {},
    /// End, and be started again with the same mounts.
    Restart {},
    /// Read the configuration anew.
    Reload {},
    /// Serve one mount more.
    Add {
        /// What it is to be.
        mount: Box<AddedMount>,
        /// How long.
        lease: LeaseRequest,
    },
    /// End a mount that was added.
    Remove {
        /// Its name.
        name: String,
    },
    /// Serve no keys until unlocked.
    Lock {},
    /// Serve keys again.
    Unlock {},
    /// Begin a login, or join the one under way; answered with what the person needs to know.
    Login {
        /// The name of the identity.
        identity: String,
    },
    /// Tell how a login ended, or after some seconds that it has not.
    #[serde(rename = "await-login")]
    AwaitLogin {
        /// The name of the identity.
        identity: String,
    },
}

impl Request {
    /// Whether it makes no difference if it is obeyed twice.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::Status { .. }
            | Self::Refresh { .. }
            | Self::Unmount { .. }
            | Self::Metrics {}
            | Self::Reload {}
            | Self::Lock {}
            | Self::Unlock {}
            | Self::AwaitLogin { .. } => true,
            Self::Mfa { .. }
            | Self::Restart {}
            | Self::Add { .. }
            | Self::Remove { .. }
            | Self::Login { .. } => false,
        }
    }
}

/// How long a mount that is added lasts: with neither, until it is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// Seconds from now.
    pub for_seconds: Option<u64>,
    /// The process that the mount is for, as the daemon numbers processes.
    pub while_pid: Option<i32>,
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Response {
    /// Done; with what there is to tell, if anything.
    Done(String),
    /// The state of the daemon.
    Status(Box<DaemonStatus>),
    /// Not done, and why.
    Failed(String),
    /// What a person needs to log in.
    Login(LoginAnswer),
    /// The login is still under way.
    Waiting,
}

/// What a person needs to log in: nothing of it is a secret of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoginAnswer {
    /// The page to open.
    pub page: String,
    /// The same with the code in it, if there is one.
    pub page_with_code: Option<String>,
    /// The code to type or compare.
    pub code: String,
}

/// A daemon and those of its mounts that were asked about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// The configuration file whose `[mounts]` it serves; `None` for the mount of a command line.
    pub config: Option<String>,
    /// Whether it is locked.
    pub locked: bool,
    /// The mounts.
    pub mounts: Vec<MountStatus>,
}

/// No request or answer is longer than this: 1 MiB holds the status of a thousand roles.
const LONGEST_LINE: u64 = 1 << 20;
