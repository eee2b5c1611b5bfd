//! All records as one type, and those of the daemon and its mounts. None has a field that a secret
//! could be put into; see the module.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::open::{Decision, Open};
use super::request::Request;
use super::text::{Text, instant};

/// One record: what is written as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Somebody opened a file that holds keys, or was kept from it.
    Open(Box<Open>),
    /// Somebody asked the endpoint of a mount for keys.
    Request(Box<Request>),
    /// A role was assumed, or could not be.
    AssumeRole(Box<Call>),
    /// The same with a web identity token.
    AssumeRoleWithWebIdentity(Box<Call>),
    /// A session with MFA was asked for.
    GetSessionToken(Box<Call>),
    /// IAM Identity Center was asked for the keys of a role.
    GetRoleCredentials(Box<Call>),
    /// A token of a service other than AWS was asked for.
    Token(Box<Call>),
    /// A mount began to serve.
    Mount(MountRecord),
    /// A mount ended.
    Unmount(UnmountRecord),
    /// The configuration was read again.
    Reload(ReloadRecord),
    /// From here on no mount hands out keys.
    Lock(Moment),
    /// From here on mounts hand out keys again.
    Unlock(Moment),
    /// The daemon started.
    Start(StartRecord),
    /// The daemon stops; the last record of a daemon that was not killed.
    Stop(StopRecord),
}

/// A mount that serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountRecord {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The mount's name, or where it has none its path.
    pub mount: Text,
    /// The mount point.
    pub path: Text,
}

/// A mount that serves no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmountRecord {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The mount's name, or where it has none its path.
    pub mount: Text,
    /// The mount point.
    pub path: Text,
    /// Why.
    pub reason: UnmountReason,
}

/// Why a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnmountReason {
    /// The daemon stops by a signal.
    Stop,
    /// `credmount unmount` or `credmount remove`.
    Command,
    /// The configuration has it no more.
    Reload,
    /// The time given with `--for` is over.
    Expired,
    /// The process given with `--while-pid` has ended.
    ProcessEnded,
    /// Somebody else removed it.
    Foreign,
    /// The connection to the kernel broke.
    Broken,
}

/// The configuration, read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRecord {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// Whether it is in effect; if not, nothing has changed.
    pub result: Outcome,
    /// Mounts that appeared.
    pub added: u64,
    /// Mounts that changed and went on.
    pub changed: u64,
    /// Mounts that went.
    pub removed: u64,
    /// What was wrong with it; the words are in the daemon's log.
    pub errors: u64,
}

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As meant.
    Ok,
    /// Not at all.
    Failed,
}

/// Something of which only the time is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
}

/// A daemon that starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRecord {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// Of credmount.
    pub version: Text,
    /// The daemon's process id.
    pub pid: u32,
    /// The daemon's effective user id.
    pub uid: u32,
}

/// A daemon that stops.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRecord {
    /// When.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The daemon's process id.
    pub pid: u32,
}

impl Event {
    /// When it happened.
    pub fn time(&self) -> SystemTime {
        match self {
            Self::Open(open) => open.time,
            Self::Request(request) => request.time,
            Self::AssumeRole(call)
            | Self::AssumeRoleWithWebIdentity(call)
            | Self::GetSessionToken(call)
            | Self::GetRoleCredentials(call)
            | Self::Token(call) => call.time,
            Self::Mount(mounted) => mounted.time,
            Self::Unmount(unmounted) => unmounted.time,
            Self::Reload(reloaded) => reloaded.time,
            Self::Lock(moment) | Self::Unlock(moment) => moment.time,
            Self::Start(started) => started.time,
            Self::Stop(stopped) => stopped.time,
        }
    }

    /// The value of the field `event`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Request(_) => "request",
            Self::AssumeRole(_) => "assume_role",
            Self::AssumeRoleWithWebIdentity(_) => "assume_role_with_web_identity",
            Self::GetSessionToken(_) => "get_session_token",
            Self::GetRoleCredentials(_) => "get_role_credentials",
            Self::Token(_) => "token",
            Self::Mount(_) => "mount",
            Self::Unmount(_) => "unmount",
            Self::Reload(_) => "reload",
            Self::Lock(_) => "lock",
            Self::Unlock(_) => "unlock",
            Self::Start(_) => "start",
            Self::Stop(_) => "stop",
        }
    }

    /// Whether somebody was refused or something failed.
    pub fn is_failure(&self) -> bool {
        match self {
            Self::Open(open) => open.decision == Decision::Refused,
            Self::Request(request) => request.decision == Decision::Refused,
            Self::AssumeRole(call)
            | Self::AssumeRoleWithWebIdentity(call)
            | Self::GetSessionToken(call)
            | Self::GetRoleCredentials(call)
            | Self::Token(call) => !call.is_ok(),
            Self::Reload(reloaded) => reloaded.result == Outcome::Failed,
            Self::Unmount(unmounted) => unmounted.reason == UnmountReason::Broken,
            Self::Mount(_) | Self::Lock(_) | Self::Unlock(_) | Self::Start(_) | Self::Stop(_) => {
                false
            }
        }
    }
}
