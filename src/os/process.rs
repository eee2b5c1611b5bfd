//! Who waits in open(2): the facts of `/proc/TID`, or none of them. Must not know what they decide.
//!
//! The kernel names the thread that opens. Until it is answered that thread cannot leave open(2),
//! not even by SIGKILL (`request_wait_answer` in fs/fuse/dev.c), and no other thread of its process
//! can complete an execve(2), which waits for it to die (`de_thread` in fs/exec.c). So what stands
//! in `/proc/TID` until the reply is about the caller, provided that the request was not resent and
//! the connection not aborted. Nothing here relies on that alone:
//!
//! - All files are opened below one descriptor of the thread's directory, which stays bound to that
//!   thread: a later one of the same number cannot be read through it (`get_proc_task` in
//!   fs/proc/internal.h).
//! - The thread must be alive after the last fact was read, and have the name that it had before
//!   the first: execve(2) changes it along with the program.
//! - Its file-system uid and gid must be those of the request. They differ where somebody opens in
//!   the name of another, as overlayfs and `io_uring(7)` can.

use std::borrow::Cow;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat_raw};
use rustix::io;

use crate::model::{Caller, Process};
use crate::policy::container;

/// Who opens: the kernel's words about one request, and what `/proc` tells of that thread. Must be
/// called before the reply. Reads four small files, none of which waits for the memory map of the
/// caller (`mmap_lock`), as `cmdline` would.
///
/// `resent`: the request was made to a daemon before this one (`FUSE_UNIQUE_RESEND` in
/// uapi/linux/fuse.h), and the thread may have gone since.
pub fn caller(uid: u32, gid: u32, tid: u32, resent: bool) -> Caller {
    let is_told = tid != 0 && !resent;
    let thread = is_told.then(|| Thread::open(tid).ok()).flatten();
    let process = thread.and_then(|thread| thread.process(uid, gid));
    Caller { uid, gid, tid, process }
}

/// A directory `/proc/TID/task/TID`, bound to its thread. Its `stat` is about the one thread, while
/// that of `/proc/TID` adds up the times of all of them: 130 µs at 500 threads, instead of 8 µs.
#[derive(Debug)]
struct Thread(OwnedFd);

impl Thread {
    fn open(tid: u32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(CWD, format!("/proc/{tid}/task/{tid}"), flags, Mode::empty()).map(Self)
    }

    /// The facts, if they are those of one living thread with these file-system ids.
    fn process(&self, uid: u32, gid: u32) -> Option<Process> {
        let mut buffer = Vec::with_capacity(BUFFER);
        self.read("status", &mut buffer).ok()?;
        let status = Status::parse(&buffer)?;
        if (status.uid, status.gid) != (uid, gid) {
            return None;
        }
        // What may not be read is no fact. Kernel threads have no program, nor have the dying.
        let exe = match self.read_exe(&mut buffer) {
            Err(io::Errno::NOENT) => return None,
            exe => exe.ok(),
        };
        let cgroup = self.read("cgroup", &mut buffer).ok().and_then(|()| cgroup(&buffer));
        self.read("stat", &mut buffer).ok()?;
        let stat = Stat::parse(&buffer)?;
        if stat.is_dead || !status.is_called(stat.name) {
            return None;
        }
        Some(Process {
            tgid: status.tgid,
            start_time: stat.start_time,
            comm: lossy(&unescape(&status.name)),
            exe,
            container: cgroup.as_deref().and_then(container::of_cgroup),
            cgroup,
        })
    }

    /// A whole file. The kernel gives all that fits at once, so a short read is the last one
    /// (`single_open` in `fs/seq_file.c`).
    fn read(&self, name: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        buffer.clear();
        loop {
            let length = io::read(&file, spare_capacity(buffer))?;
            if length == 0 || buffer.len() < buffer.capacity() {
                return Ok(());
            }
            buffer.reserve(BUFFER);
        }
    }

    /// What the link `exe` says, ` (deleted)` included.
    fn read_exe(&self, buffer: &mut Vec<u8>) -> io::Result<String> {
        buffer.clear();
        readlinkat_raw(&self.0, "exe", spare_capacity(buffer))?;
        Ok(lossy(buffer))
    }
}

/// What `proc_pid_status(5)` tells.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    /// As it is written, escaped.
    name: Vec<u8>,
    tgid: u32,
    /// The file-system ids, which open(2) goes by.
    uid: u32,
    gid: u32,
}

impl Status {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut lines = text.split(|byte| *byte == b'\n');
        // In the order in which the kernel writes them.
        let mut value = |key: &[u8]| lines.find_map(|line| line.strip_prefix(key));
        let name = value(b"Name:\t")?.to_vec();
        let tgid = number(value(b"Tgid:\t")?)?;
        // Real, effective, saved, file system.
        let mut fourth = |key| number(value(key)?.split(|byte| *byte == b'\t').nth(3)?);
        Some(Self { name, tgid, uid: fourth(b"Uid:\t")?, gid: fourth(b"Gid:\t")? })
    }

    /// Whether `stat` tells the same name. Some kernels escape it there too, some do not.
    fn is_called(&self, name: &[u8]) -> bool {
        self.name == name || *unescape(&self.name) == *name
    }
}

/// What `proc_pid_stat(5)` tells.
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    name: &'a [u8],
    is_dead: bool,
    start_time: u64,
}

impl<'a> Stat<'a> {
    /// `1 (name) S …`. The name may hold anything, `) S 1` and newlines included, but no field
    /// after it holds a parenthesis.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let mut fields = text.get(close + 2..)?.split(|byte| *byte == b' ');
        let is_dead = matches!(fields.next()?, b"Z" | b"X" | b"x");
        // `state` was field 3, `starttime` is field 22.
        let start_time = number(fields.nth(22 - 3 - 1)?)?;
        Some(Self { name: text.get(open + 1..close)?, is_dead, start_time })
    }
}

/// When a process started, in ticks since the boot (`starttime` of proc(5)): with its number this
/// tells it apart from every other. `None` if there is no such process.
pub fn start_time(pid: i32) -> Option<u64> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    Stat::parse(&text).map(|stat| stat.start_time)
}

/// The path in the hierarchy that tells containers apart.
///
/// That is the unified one, or on hosts with cgroups v1 that of systemd: there old runtimes leave
/// their containers in the unified one where they found them (cgroups(7)). A hierarchy of systemd in
/// which nobody made cgroups tells nothing.
fn cgroup(text: &[u8]) -> Option<String> {
    let path = |start: &[u8]| {
        // `ID:controllers:path`; paths hold no newline.
        let mut lines = text.split(|byte| *byte == b'\n');
        lines.find_map(|line| {
            let controllers = line.iter().position(|byte| *byte == b':')? + 1;
            line.get(controllers..)?.strip_prefix(start)
        })
    };
    let systemd = path(b"name=systemd:");
    let unified = path(b":");
    systemd.filter(|path| *path != b"/").or(unified).or(systemd).map(lossy)
}

/// In names the kernel writes newline as `\n` and backslash as `\\`.
fn unescape(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'\\', [b'n', after @ ..]) => (b'\n', after),
            (b'\\', [b'\\', after @ ..]) => (b'\\', after),
            plain => plain,
        };
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(bytes)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Bytes that each file here fits in, save long lists of groups and deep cgroups; as a link at most
/// (`PATH_MAX`).
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests;
