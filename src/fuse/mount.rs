//! Mounts and unmounts by way of `fusermount3`, which root and ordinary users have alike.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock, statfs};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use rustix::process::geteuid;

use super::fusermount::fusermount;
use crate::os::mountinfo::{self, MountEntry};

/// Why a mount could not be made or removed.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount point cannot be used.
    #[error("{} cannot be the mount point: {reason}", path.display())]
    Mountpoint {
        /// The path.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// `fusermount3` is not installed.
    #[error("fusermount3 was not found; install the package fuse3")]
    NoFusermount,
    /// The device is missing, as in most containers.
    #[error(
        "/dev/fuse cannot be opened ({0}); is the kernel module fuse loaded, and is the device passed to this container?"
    )]
    NoDevice(io::Error),
    /// An ordinary user may not let other users in.
    #[error(
        "{} cannot be opened to other users: an ordinary user may do that only where {FUSE_CONF} \
         allows it; have root add the line `{USER_ALLOW_OTHER}` to {FUSE_CONF}, or leave out \
         allow_other",
        path.display()
    )]
    OtherUsers {
        /// The path.
        path: PathBuf,
    },
    /// `fusermount3` refused.
    #[error("fusermount3 failed for {}: {message}", path.display())]
    Refused {
        /// The path.
        path: PathBuf,
        /// Its words.
        message: String,
    },
    /// Another daemon is about to mount there.
    #[error("another credmount is starting on {}", path.display())]
    Starting {
        /// The path.
        path: PathBuf,
    },
    /// Something else is mounted where our mount is, or was.
    #[error("{} is covered by a mount that is not credmount's; unmount that first", path.display())]
    Covered {
        /// The path.
        path: PathBuf,
    },
    /// Anything else of the system.
    #[error("mounting {} failed", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

/// What a mount is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether the kernel refuses writers itself. An open of a read-write mount costs one GETATTR
    /// more, because the kernel keeps access times there; `noatime` does not help
    /// (`fuse_invalidate_atime` in the kernel's `fs/fuse/dir.c`).
    pub read_only: bool,
    /// Whether the kernel lets others than the mounting user in, root included. Whoever serves the
    /// mount then has to decide who may do what.
    pub allow_other: bool,
}

impl MountOptions {
    /// Whether a mount may be put upon a file or directory of a mount with these options.
    ///
    /// `fusermount3` looks at the new mount point with an effective user of root, whoever called
    /// it. To the kernel that is another user (`fuse_permissible_uidgid` in `fs/fuse/dir.c`), so
    /// the outer mount has to be root's own or to let others in.
    pub fn takes_mounts_below(self) -> bool {
        self.allow_other || geteuid().is_root()
    }

    /// `nosuid`, `nodev` and `noexec`, because nothing here is a program. No
    /// `default_permissions`: uids differ in containers.
    fn as_text(self) -> String {
        let access = if self.read_only { "ro" } else { "rw" };
        let others = if self.allow_other { ",allow_other" } else { "" };
        format!("{access},nosuid,nodev,noexec,fsname=credmount,subtype=credmount{others}")
    }
}

/// Makes the mount point (0700) if it is missing, checks that it may be mounted upon, and returns
/// its path free of symlinks in its parents.
///
/// # Errors
/// [`MountError::Mountpoint`] if it is a symlink, no directory, not empty, not ours, or open to
/// others: somebody could have it open, or put something there while nothing is mounted.
pub fn prepare_mountpoint(path: &Path) -> Result<PathBuf, MountError> {
    let refuse = |reason: String| MountError::Mountpoint { path: path.to_owned(), reason };
    let path = absolute(path).map_err(|error| refuse(error.to_string()))?;
    match fs::DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => return Ok(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refuse(format!("it cannot be created ({error})"))),
    }
    let meta = fs::symlink_metadata(&path).map_err(|error| refuse(error.to_string()))?;
    if meta.is_symlink() {
        return Err(refuse("it is a symlink; name the directory it points to".to_owned()));
    }
    if !meta.is_dir() {
        return Err(refuse("it is not a directory".to_owned()));
    }
    if meta.uid() != geteuid().as_raw() {
        return Err(refuse(format!("it belongs to uid {}, not to you", meta.uid())));
    }
    let mut entries = fs::read_dir(&path).map_err(|error| refuse(error.to_string()))?;
    if entries.next().is_some() {
        let reason = "it is not empty, and the mount would hide what is in it; use a directory of \
                      its own, such as ~/.aws-live";
        return Err(refuse(reason.to_owned()));
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let at = path.display();
        let reason = format!(
            "its mode is {mode:04o}, so that others can look into it while nothing is mounted; \
             chmod 700 {at}"
        );
        return Err(refuse(reason));
    }
    Ok(path)
}

/// The absolute path with symlinks in its parents resolved; the last component is left alone, so
/// that an unserved mount there is not touched.
///
/// # Errors
/// If a parent does not exist, or the path has no last component.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "/ cannot be a mount point"));
    };
    let parent = parent
        .canonicalize()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", parent.display())))?;
    Ok(parent.join(name))
}

/// Takes the lock of a mount point, a directory that nothing is mounted on. It is held until the
/// descriptor is closed, also by a crash, so of two daemons that start at once only one goes on.
///
/// # Errors
/// [`MountError::Starting`] if another daemon holds it.
pub fn lock_mountpoint(path: &Path) -> Result<OwnedFd, MountError> {
    let failed = |source: io::Error| MountError::Io { path: path.to_owned(), source };
    let directory = OwnedFd::from(fs::File::open(path).map_err(failed)?);
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(MountError::Starting { path: path.to_owned() }),
        Err(error) => return Err(failed(error.into())),
    }
    match mounted_at(path).map_err(failed)? {
        // It was mounted after the look at the directory, and the lock is on what it hides.
        Some(_) => Err(MountError::Starting { path: path.to_owned() }),
        None => Ok(directory),
    }
}

/// Mounts an empty FUSE file system and returns its descriptor. Nobody serves it yet. Its root is
/// what is mounted upon: a directory, or a regular file for a file system that is one file.
///
/// # Errors
/// See [`MountError`].
pub fn mount(path: &Path, options: MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |source: io::Error| MountError::Io { path: path.to_owned(), source };
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Err(MountError::NoDevice(error));
    }
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|error| failed(error.into()))?;
    // fusermount3 finds its end of the pair by number. As its stdin the end survives the exec
    // without ever being inheritable here, where a credential process may be started meanwhile.
    let child = fusermount(true)
        .args(["-o", &options.as_text(), "--"])
        .arg(path)
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| no_fusermount(error, path))?;
    let received = receive_fd(ours.as_fd());
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(refused(path, &output.stderr));
    }
    received.map_err(failed)
}

/// Removes the mount, also one that is in use or that nobody serves any more. One that is gone
/// already is no error.
///
/// # Errors
/// See [`MountError`]; [`MountError::Covered`] if something else is mounted there.
pub fn unmount(path: &Path) -> Result<(), MountError> {
    // Root's fusermount3 would take away whatever is there.
    if mountinfo::at(path).is_ok_and(|entry| entry.is_some_and(|entry| !entry.is_ours())) {
        return Err(MountError::Covered { path: path.to_owned() });
    }
    // Lazy: with readers inside, the mount point is free at once and the rest goes with them.
    let output = fusermount(false)
        .args(["-u", "-z", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| no_fusermount(error, path))?;
    if output.status.success() || matches!(mountinfo::at(path), Ok(None)) {
        Ok(())
    } else {
        Err(refused(path, &output.stderr))
    }
}

/// Our mount at this path, served or not.
///
/// # Errors
/// If mountinfo cannot be read.
pub fn mounted_at(path: &Path) -> io::Result<Option<MountEntry>> {
    Ok(mountinfo::at(path)?.filter(MountEntry::is_ours))
}

/// Where our mounts are, served or not.
///
/// # Errors
/// If mountinfo cannot be read.
pub fn all_mounted() -> io::Result<BTreeSet<PathBuf>> {
    let ours = mountinfo::own()?.into_iter().filter(MountEntry::is_ours);
    Ok(ours.map(|entry| entry.path()).collect())
}

/// Whether the mount at this path is left over: its connection is gone, so that nobody can ever
/// serve it again. One that nobody serves at present does not answer, and is not.
pub fn is_dead(path: &Path) -> bool {
    let (tell, told) = mpsc::channel();
    let path = path.to_owned();
    // A thread of its own: it may wait until somebody serves.
    thread::spawn(move || tell.send(statfs(&path).err()));
    let gone = [Errno::NOTCONN, Errno::CONNABORTED, Errno::CONNREFUSED];
    matches!(told.recv_timeout(PROBE), Ok(Some(error)) if gone.contains(&error))
}

/// A connection that is gone is told at once.
const PROBE: Duration = Duration::from_millis(250);

fn receive_fd(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut rights = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fd = rights.next().and_then(|mut fds| fds.next());
    fd.ok_or_else(|| io::Error::other("fusermount3 passed no descriptor"))
}

fn refused(path: &Path, stderr: &[u8]) -> MountError {
    let message = String::from_utf8_lossy(stderr);
    let message = message.trim().trim_start_matches("fusermount3: ").to_owned();
    let path = path.to_owned();
    // The one place where fusermount3 names the line is its refusal of `allow_other`.
    if message.contains(USER_ALLOW_OTHER) {
        return MountError::OtherUsers { path };
    }
    let message = if message.is_empty() { "no reason given".to_owned() } else { message };
    MountError::Refused { path, message }
}

fn no_fusermount(error: io::Error, path: &Path) -> MountError {
    match error.kind() {
        io::ErrorKind::NotFound => MountError::NoFusermount,
        _ => MountError::Io { path: path.to_owned(), source: error },
    }
}

/// Where an administrator says what ordinary users may do (fusermount3(1)).
const FUSE_CONF: &str = "/etc/fuse.conf";
const USER_ALLOW_OTHER: &str = "user_allow_other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_as_fusermount_reads_them() {
        let text = |read_only, allow_other| MountOptions { read_only, allow_other }.as_text();
        let fixed = "nosuid,nodev,noexec,fsname=credmount,subtype=credmount";
        assert_eq!(text(true, false), format!("ro,{fixed}"));
        assert_eq!(text(false, true), format!("rw,{fixed},allow_other"));
    }

    #[test]
    fn a_missing_user_allow_other_names_the_line_to_add() {
        // As fusermount3 3.14 writes it.
        let stderr = b"fusermount3: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\n";
        let error = refused(Path::new("/home/me/.aws-live"), stderr);
        assert!(matches!(error, MountError::OtherUsers { .. }));
        let text = error.to_string();
        assert!(text.contains("add the line `user_allow_other` to /etc/fuse.conf"), "{text}");
        assert!(text.starts_with("/home/me/.aws-live cannot be opened to other users"), "{text}");
    }

    #[test]
    fn other_words_of_fusermount_are_passed_on() {
        let error = refused(Path::new("/x"), b"fusermount3: too many FUSE filesystems mounted\n");
        assert_eq!(
            error.to_string(),
            "fusermount3 failed for /x: too many FUSE filesystems mounted"
        );
        assert!(refused(Path::new("/x"), b"").to_string().ends_with("no reason given"));
    }
}
