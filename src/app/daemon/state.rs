//! What the next daemon has to know of this one and of its mounts, in files of the runtime directory.
//! No secrets: paths, sizes and counters.
//!
//! The files of a mount are removed when it is unmounted, that of a daemon at its clean end, so what
//! is found at a start was left by one that crashed, or that was stopped for another one to take its
//! place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::app::plan::Plan;
use crate::app::safe::Safe;
use crate::config::AddedMount;
use crate::os::paths;
use crate::publish::{Remember, Served};
use crate::tree::{Ino, Told};

/// What outlives a daemon of one mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct MountState {
    /// Where it is.
    pub(in crate::app) mountpoint: PathBuf,
    /// The systemd unit whose daemon serves it.
    #[serde(default)]
    pub(in crate::app) unit: Option<String>,
    /// What its readers know.
    #[serde(default)]
    pub(in crate::app) known: Known,
    /// Which daemon of this mount it was, counted up.
    #[serde(default)]
    epoch: u32,
    /// The largest size that readers were told of each file, by inode number.
    #[serde(default)]
    sizes: BTreeMap<u64, u64>,
    /// The latest modification time that they may have been told, in milliseconds since 1970.
    #[serde(default)]
    mtime: u64,
}

impl MountState {
    /// Whether the daemon of this systemd unit serves the mount, on this mount point.
    pub(in crate::app) fn is_of(&self, unit: &str, mountpoint: &Path) -> bool {
        self.unit.as_deref() == Some(unit) && self.mountpoint == mountpoint
    }
}

/// What readers know of a mount, and what a daemon goes on with that cannot read its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::app) struct Known {
    /// The name in the configuration.
    pub(in crate::app) name: Option<String>,
    /// The profile names of its roles, in their order.
    pub(in crate::app) roles: Vec<String>,
    /// Which of these is `[default]` too.
    pub(in crate::app) default: Option<String>,
    /// The names of its tokens, as in `github/OWNER`.
    pub(in crate::app) tokens: Vec<String>,
    /// Where keys are handed out over HTTP.
    pub(in crate::app) endpoint: Option<SocketAddr>,
}

impl Known {
    /// What readers of this mount know.
    pub(super) fn of(plan: &Plan) -> Self {
        let Served { roles, default, tokens, .. } = &plan.served;
        Self {
            name: plan.name.clone(),
            roles: roles.iter().map(|role| role.profile.to_string()).collect(),
            default: default.as_ref().map(ToString::to_string),
            tokens: tokens.iter().map(|grant| grant.name()).collect(),
            endpoint: plan.endpoint,
        }
    }
}

/// The state of one mount and its file.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    state: Mutex<MountState>,
}

impl StateFile {
    /// The state of a mount that is about to be served, following on that of an earlier daemon.
    pub(super) fn open(
        runtime_dir: &Path,
        mountpoint: &Path,
        unit: Option<&String>,
        now: SystemTime,
    ) -> Self {
        let path = path_of(runtime_dir, mountpoint);
        let earlier = read::<MountState>(&path).filter(|state| state.mountpoint == mountpoint);
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // By the clock too, for a runtime directory that was lost meanwhile.
        let by_clock = u32::try_from(seconds & 0x7fff_ffff).unwrap_or_default();
        let epoch =
            earlier.as_ref().map_or(by_clock, |state| state.epoch.wrapping_add(1).max(by_clock));
        let (sizes, mtime) = earlier.map(|state| (state.sizes, state.mtime)).unwrap_or_default();
        let (mountpoint, unit) = (mountpoint.to_owned(), unit.cloned());
        let (known, epoch) = (Known::default(), epoch & 0x7fff_ffff);
        let state = MountState { mountpoint, unit, known, epoch, sizes, mtime };
        Self { path, state: Mutex::new(state) }
    }

    /// The number of this daemon in the life of the mount; below 2^31.
    pub(super) fn epoch(&self) -> u32 {
        self.state.lock().epoch
    }

    /// This is what readers know from now on; written down with what is remembered next.
    pub(super) fn know(&self, known: Known) {
        self.state.lock().known = known;
    }

    /// What readers were told by earlier daemons.
    pub(super) fn told(&self) -> Told {
        let state = self.state.lock();
        // One that is out of all proportion was not written by us.
        let sizes = state.sizes.iter().filter(|(_, size)| **size <= LARGEST_FILE);
        let sizes = sizes.map(|(ino, size)| (Ino(*ino), *size)).collect();
        Told { sizes, mtime: UNIX_EPOCH + Duration::from_millis(state.mtime) }
    }

    /// The mount is gone.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Remember for StateFile {
    /// Failing that, readers of the next daemon may meet files larger than they were told; it is
    /// logged.
    fn remember(&self, told: &Told) {
        let mut state = self.state.lock();
        state.sizes = told.sizes.iter().map(|(ino, size)| (ino.0, *size)).collect();
        let mtime = told.mtime.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        state.mtime = state.mtime.max(u64::try_from(mtime).unwrap_or_default());
        write(&self.path, &*state);
    }
}

/// The states of all mounts that daemons of this user have left, or serve.
pub(in crate::app) fn all(runtime_dir: &Path) -> Vec<MountState> {
    let files = files(runtime_dir, OF_MOUNT);
    let mut states: Vec<MountState> = files.iter().filter_map(|path| read(path)).collect();
    states.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    states
}

fn files(runtime_dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(runtime_dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.to_str().is_some_and(|path| path.ends_with(suffix))).collect()
}

/// Removes the state of a mount that is gone.
pub(in crate::app) fn forget(runtime_dir: &Path, mountpoint: &Path) {
    let _ = fs::remove_file(path_of(runtime_dir, mountpoint));
}

fn path_of(runtime_dir: &Path, mountpoint: &Path) -> PathBuf {
    runtime_dir.join(paths::mount_stem(mountpoint) + OF_MOUNT)
}

/// A mount of `credmount add` and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AddedState {
    pub(super) mount: AddedMount,
    /// Seconds since 1970.
    pub(super) until: Option<u64>,
    /// A process, and when it started, by which another one of its number is told apart.
    pub(super) process: Option<(i32, u64)>,
}

/// What outlives a daemon beside its mounts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct DaemonState {
    /// The systemd unit.
    pub(super) unit: Option<String>,
    /// Whether it hands out no keys until it is unlocked.
    pub(super) locked: bool,
    /// Whether logins lie in the safe.
    pub(super) keeps_logins: bool,
    /// The mounts that were added.
    pub(super) added: Vec<AddedState>,
}

impl DaemonState {
    /// What the daemon of this file has left.
    pub(super) fn read(path: &Path) -> Self {
        read(path).unwrap_or_default()
    }

    /// Keeps it. There is no file while there is nothing to know.
    pub(super) fn keep(&self, path: &Path) {
        if self.locked || self.keeps_logins || !self.added.is_empty() {
            write(path, self);
        } else {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes what daemons of this unit have left beside their mounts.
pub(in crate::app) fn forget_daemon(runtime_dir: &Path, unit: &str) {
    for path in files(runtime_dir, OF_DAEMON) {
        let state = DaemonState::read(&path);
        if state.unit.as_deref() == Some(unit) {
            if state.keeps_logins {
                Safe::empty(&path);
            }
            let _ = fs::remove_file(path);
        }
    }
}

/// What the file says; `None` if it is missing or from a version that wrote it otherwise.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = fs::read_to_string(path).ok()?;
    serde_json::from_str(&text)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "state is not read"))
        .ok()
}

/// Replaces the file in one step, so that a crash leaves the one before or the new one.
fn write(path: &Path, content: &impl Serialize) {
    let beside = path.with_extension("new");
    let written = || -> io::Result<()> {
        let text = serde_json::to_string(content)?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file: File = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    if let Err(error) = written() {
        let path = path.display();
        tracing::warn!(%path, %error, "what a later daemon has to know could not be kept");
    }
}

/// A thousand roles with long tokens need a twentieth of it.
const LARGEST_FILE: u64 = 64 << 20;

/// How the names of files end.
const OF_MOUNT: &str = ".state.json";
pub(in crate::app) const OF_DAEMON: &str = ".daemon.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    #[test]
    fn a_daemon_follows_on_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = Path::new("/home/me/.aws-live");
        let first = StateFile::open(dir.path(), at, None, now());
        let sizes = BTreeMap::from([(Ino(7), 512)]);
        let told = Told { sizes, mtime: now() + Duration::from_secs(5) };
        let known = Known { roles: vec!["prod".to_owned()], ..Known::default() };
        first.know(known.clone());
        first.remember(&told);
        assert_eq!(all(dir.path())[0].known, known);
        // In the same second.
        let second = StateFile::open(dir.path(), at, None, now());
        assert!(second.epoch() > first.epoch());
        assert_eq!(second.told(), told);
        let other = StateFile::open(dir.path(), Path::new("/x/.aws-live"), None, now());
        assert_eq!(other.told(), Told::default());
    }

    #[test]
    fn a_time_that_readers_were_told_is_never_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let file = StateFile::open(dir.path(), Path::new("/a"), None, now());
        for mtime in [now(), now() - Duration::from_hours(1)] {
            file.remember(&Told { mtime, ..Told::default() });
        }
        assert_eq!(file.told().mtime, now());
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_missing() {
        let dir = tempfile::tempdir().unwrap();
        let at = Path::new("/a");
        fs::write(path_of(dir.path(), at), "{\"mountpoint\": 1}").unwrap();
        assert_eq!(StateFile::open(dir.path(), at, None, now()).told(), Told::default());
        assert!(all(dir.path()).is_empty());
        assert_eq!(DaemonState::read(&dir.path().join("none")), DaemonState::default());
    }

    #[test]
    fn a_daemon_leaves_what_there_is_to_know_until_its_unit_is_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("config{OF_DAEMON}"));
        let unit = Some("credmount.service".to_owned());
        let locked = DaemonState { unit, locked: true, ..DaemonState::default() };
        locked.keep(&path);
        assert_eq!(DaemonState::read(&path), locked);
        forget_daemon(dir.path(), "credmount@other.service");
        assert_eq!(DaemonState::read(&path), locked);
        forget_daemon(dir.path(), "credmount.service");
        assert!(!path.exists());
        locked.keep(&path);
        DaemonState { locked: false, ..locked }.keep(&path);
        assert!(!path.exists());
    }

    #[test]
    fn files_are_for_their_owner_only_and_go_with_the_mount() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let unit = "credmount.service".to_owned();
        let file = StateFile::open(dir.path(), Path::new("/a"), Some(&unit), now());
        file.remember(&Told { mtime: now(), ..Told::default() });
        assert_eq!(
            fs::metadata(path_of(dir.path(), Path::new("/a"))).unwrap().mode() & 0o777,
            0o600
        );
        let [state] = &all(dir.path())[..] else { panic!("one state") };
        assert_eq!((&*state.mountpoint, state.unit.as_ref()), (Path::new("/a"), Some(&unit)));
        file.remove();
        assert!(all(dir.path()).is_empty());
    }
}
