//! How `status`, `refresh` and `unmount` reach a daemon: one JSON object per line over a Unix
//! socket in a directory that only the user can enter.

mod client;
mod server;

pub use client::{ClientError, ask, live_sockets};
pub use server::{Controlled, Conversations, Server};

use serde::{Deserialize, Serialize};

use crate::render::MountStatus;

/// What a command asks of a daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Tell the state of the mount.
    Status {},
    /// Fetch new sessions now; answered when they are served.
    Refresh {
        /// Of this profile only.
        profile: Option<String>,
    },
    /// Unmount and end; answered when the mount is gone.
    Unmount {},
}

/// What the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Response {
    /// Done.
    Done,
    /// Done, with the state of the mount.
    Status(Box<MountStatus>),
    /// Not done, and why.
    Failed(String),
}

/// No request or answer is longer than this: 1 MiB holds the status of a thousand roles.
const LONGEST_LINE: u64 = 1 << 20;
