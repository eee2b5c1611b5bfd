//! The records, as types. None has a field that a secret could be put into; see the module.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::request::Request;
use super::text::{Text, expiration, instant};
use crate::model::{Caller, Container, ServedKey};

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

/// One open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// When it was decided.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The mount's name, or where it has none its path.
    pub mount: Text,
    /// The file's path in the mount: `credentials`, `credmount/process/prod.json`.
    pub file: Text,
    /// Whether the reader got it.
    pub decision: Decision,
    /// What decided, as in `allow[2]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Text>,
    /// The roles that the file has, or had for a reader that is allowed to see them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleRead>,
    /// Who.
    #[serde(flatten)]
    pub reader: Reader,
    /// From the kernel's request to the record, in microseconds: how long the reader waited, but
    /// for the writing of this record.
    pub latency_us: u64,
}

/// The answer to one open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The file was opened.
    Allowed,
    /// The reader got an error.
    Refused,
}

/// One role of a file that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRead {
    /// The profile name that readers see; of a token its directory, as in `github/OWNER`.
    pub name: Text,
    /// The key handed out, or the SHA-256 of the token; absent where the reader was refused or the role had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Text>,
    /// When AWS stops accepting it.
    #[serde(default, with = "expiration", skip_serializing_if = "Option::is_none")]
    pub expiration: Option<SystemTime>,
}

impl RoleRead {
    /// A role of which no key was handed out.
    pub fn without_key(name: &str) -> Self {
        Self { name: Text::new(name), access_key_id: None, expiration: None }
    }
}

impl From<&ServedKey> for RoleRead {
    fn from(key: &ServedKey) -> Self {
        Self {
            name: Text::new(&key.name),
            access_key_id: Some(Text::new(&key.access_key_id)),
            expiration: Some(key.expiration),
        }
    }
}

/// The process behind an open, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// The file-system user id, as the host counts.
    pub uid: u32,
    /// The file-system group id, as the host counts.
    pub gid: u32,
    /// The id of the thread that opened; 0 if it is outside of the daemon's pid namespace.
    pub pid: u32,
    /// The id of its process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tgid: Option<u32>,
    /// When the thread started, in clock ticks since boot; with `pid` it names one thread for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<u64>,
    /// The thread's name. The caller chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comm: Option<Text>,
    /// The program's path. Best effort.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<Text>,
    /// The cgroup's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<Text>,
    /// What the cgroup's path tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerRecord>,
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        let process = caller.process.as_ref();
        Self {
            uid: caller.uid,
            gid: caller.gid,
            pid: caller.tid,
            tgid: process.map(|process| process.tgid),
            start_time: process.map(|process| process.start_time),
            comm: process.map(|process| Text::new(&process.comm)),
            exe: process.and_then(|process| process.exe.as_ref()).map(Text::from),
            cgroup: process.and_then(|process| process.cgroup.as_ref()).map(Text::from),
            container: process.and_then(|process| process.container.as_ref()).map(Into::into),
        }
    }
}

/// A container, pod or unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// `docker`, `podman`, `containerd`, `systemd`, …
    pub runtime: Text,
    /// The container id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Text>,
    /// The Kubernetes pod's uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<Text>,
    /// The innermost systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<Text>,
}

impl From<&Container> for ContainerRecord {
    fn from(container: &Container) -> Self {
        Self {
            runtime: Text::new(&container.runtime),
            id: container.id.as_ref().map(Text::from),
            pod_uid: container.pod_uid.as_ref().map(Text::from),
            unit: container.unit.as_ref().map(Text::from),
        }
    }
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
