//! What the next daemon has to know of this one's mounts, in files of the runtime directory. No
//! secrets: paths, sizes and counters.
//!
//! The files of a mount are removed when it is unmounted, so what is found at a start was left by a
//! daemon that crashed, or that was stopped for another one to take its place.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::AddedMount;
use crate::os::paths;
use crate::publish::Remember;
use crate::tree::{Ino, Told};

/// What outlives a daemon of one mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::app) struct MountState {
    /// Where it is.
    pub(in crate::app) mountpoint: PathBuf,
    /// The systemd unit whose daemon serves it.
    #[serde(default)]
    pub(in crate::app) unit: Option<String>,
    /// Which daemon of this mount it is, counted up.
    #[serde(default)]
    epoch: u32,
    /// The size that readers were told of each file, by inode number.
    #[serde(default)]
    sizes: BTreeMap<u64, u64>,
    /// The latest modification time that they were told, in milliseconds since 1970, rounded up.
    #[serde(default)]
    mtime: u64,
}

/// Where the state of one mount is kept.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    mountpoint: PathBuf,
    unit: Option<String>,
}

impl StateFile {
    /// The file for a mount that is about to be served at `now`, what an earlier daemon has told of
    /// it, and the number of this daemon in the life of the mount, below 2^31.
    pub(super) fn open(
        runtime_dir: &Path,
        mountpoint: &Path,
        unit: Option<&String>,
        now: SystemTime,
    ) -> (Self, Told, u32) {
        let path = path_of(runtime_dir, mountpoint);
        let earlier = read::<MountState>(&path).filter(|state| state.mountpoint == mountpoint);
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // By the clock too, for a runtime directory that was lost meanwhile.
        let by_clock = u32::try_from(seconds & EPOCHS).unwrap_or_default();
        let next = earlier.as_ref().map_or(0, |state| state.epoch.wrapping_add(1));
        let epoch = next.max(by_clock) & u32::try_from(EPOCHS).unwrap_or(u32::MAX);
        let told = earlier.map(|state| Told {
            sizes: state.sizes.into_iter().map(|(ino, size)| (Ino(ino), size)).collect(),
            mtime: UNIX_EPOCH + Duration::from_millis(state.mtime),
            epoch: state.epoch,
        });
        let file = Self { path, mountpoint: mountpoint.to_owned(), unit: unit.cloned() };
        (file, told.unwrap_or_default(), epoch)
    }

    /// The mount is gone.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Remember for StateFile {
    fn remember(&self, told: &Told) {
        let mtime = told.mtime.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() + 1;
        let state = MountState {
            mountpoint: self.mountpoint.clone(),
            unit: self.unit.clone(),
            epoch: told.epoch,
            sizes: told.sizes.iter().map(|(ino, size)| (ino.0, *size)).collect(),
            mtime: u64::try_from(mtime).unwrap_or(u64::MAX),
        };
        write(&self.path, &state);
    }
}

/// The states of all mounts that daemons of this user have left, or serve.
pub(in crate::app) fn all(runtime_dir: &Path) -> Vec<MountState> {
    let Ok(entries) = fs::read_dir(runtime_dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(SUFFIX));
    let mut states: Vec<MountState> = paths.filter(named).filter_map(|path| read(&path)).collect();
    states.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    states
}

/// Removes the state of a mount that is gone.
pub(in crate::app) fn forget(runtime_dir: &Path, mountpoint: &Path) {
    let _ = fs::remove_file(path_of(runtime_dir, mountpoint));
}

fn path_of(runtime_dir: &Path, mountpoint: &Path) -> PathBuf {
    runtime_dir.join(paths::mount_stem(mountpoint) + SUFFIX)
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

/// The mounts that were added to a daemon, as the file at `path` has them.
pub(super) fn added(path: &Path) -> Vec<AddedState> {
    read(path).unwrap_or_default()
}

/// Keeps the mounts that were added; with none, there is no file.
pub(super) fn keep_added(path: &Path, added: &[AddedState]) {
    if added.is_empty() {
        let _ = fs::remove_file(path);
    } else {
        write(path, &added);
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

const SUFFIX: &str = ".state.json";

/// Epochs are below 2^31.
const EPOCHS: u64 = 0x7fff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_hours(500_000)
    }

    fn told(epoch: u32) -> Told {
        Told { sizes: BTreeMap::from([(Ino(7), 512)]), mtime: now(), epoch }
    }

    #[test]
    fn a_daemon_follows_on_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let at = Path::new("/home/me/.aws-live");
        let (first, nothing, epoch) = StateFile::open(dir.path(), at, None, now());
        assert_eq!(nothing, Told::default());
        first.remember(&told(epoch));
        // In the same second.
        let (_, earlier, next) = StateFile::open(dir.path(), at, None, now());
        assert_eq!(earlier.sizes, told(epoch).sizes);
        assert!(earlier.mtime >= now() && earlier.epoch == epoch && next > epoch);
        let other = Path::new("/home/you/.aws-live");
        assert_eq!(StateFile::open(dir.path(), other, None, now()).1, Told::default());
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_missing() {
        let dir = tempfile::tempdir().unwrap();
        let at = Path::new("/a");
        fs::write(path_of(dir.path(), at), "{\"mountpoint\": 1}").unwrap();
        assert_eq!(StateFile::open(dir.path(), at, None, now()).1, Told::default());
        assert!(all(dir.path()).is_empty());
        assert!(added(&dir.path().join("none")).is_empty());
    }

    #[test]
    fn files_are_for_their_owner_only_and_go_with_the_mount() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let unit = "credmount.service".to_owned();
        let (file, _, epoch) = StateFile::open(dir.path(), Path::new("/a"), Some(&unit), now());
        file.remember(&told(epoch));
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
