//! The record of an open: who got which keys, or was kept from them. Must not know other records.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::text::{Text, expiration, instant};
use crate::model::{Caller, Container, ServedKey};

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
