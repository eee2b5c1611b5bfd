//! Who reads: what the kernel and `/proc` tell about the process behind one open.

use std::time::SystemTime;

/// The process that opens a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The file-system user id, in the initial user namespace. Told by the kernel with each
    /// request: it cannot be forged, but uid 1000 of a container may be uid 1000 of the host.
    pub uid: u32,
    /// The file-system group id, likewise.
    pub gid: u32,
    /// The thread id, in the daemon's pid namespace; 0 if the caller is outside of it.
    pub tid: u32,
    /// What `/proc` tells; `None` if nothing there can be trusted to be about this caller.
    pub process: Option<Process>,
}

impl Caller {
    /// A caller of whom only the kernel's words are known.
    pub fn unknown(uid: u32, gid: u32, tid: u32) -> Self {
        Self { uid, gid, tid, process: None }
    }
}

/// What `/proc/TID` tells about a caller that waits in open(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id (`Tgid` of `proc_pid_status(5)`).
    pub tgid: u32,
    /// When the thread started, in clock ticks since boot (field 22 of `proc_pid_stat(5)`). With the
    /// thread id it names one thread for ever.
    pub start_time: u64,
    /// The thread's name, at most 15 bytes; the caller can set it to anything.
    pub comm: String,
    /// The program's path as its own mount namespace has it; `None` where the daemon may not look
    /// (a process of another user, unless the daemon is root). The caller can make it lie.
    pub exe: Option<String>,
    /// The path in the unified hierarchy, or in that of systemd (cgroups(7)); `None` if there is
    /// neither. `/` says nothing: the container was made without a cgroup of its own.
    pub cgroup: Option<String>,
    /// What the cgroup's path tells of a container, pod or unit.
    pub container: Option<Container>,
}

/// A container, pod or unit, as far as the path of a cgroup names one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Container {
    /// Who runs it: `docker`, `podman`, `containerd`, `cri-o`, `systemd`, …
    pub runtime: String,
    /// The container id, 64 hexadecimal digits.
    pub id: Option<String>,
    /// The Kubernetes pod's uid.
    pub pod_uid: Option<String>,
    /// The innermost systemd unit, such as `backup.service`.
    pub unit: Option<String>,
}

/// A key that an open handed out, by names that are not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedKey {
    /// The profile name that readers see, or the name of a token.
    pub name: String,
    /// As in `CloudTrail`; of a token its SHA-256.
    pub access_key_id: String,
    /// When it is accepted no more.
    pub expiration: SystemTime,
}
