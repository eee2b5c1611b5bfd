//! What settings are made of, at the start and at each reload: what was typed, the environment of
//! the start, and the files as they are.

use std::path::{Path, PathBuf};

use anyhow::Result;
use rustix::process::getpid;

use super::daemon::state::OF_DAEMON;
use super::plan::Plan;
use super::surroundings::Surroundings;
use crate::config::{AddedMount, Flags, Selection, Settings};
use crate::fuse::mount::MountError;
use crate::os::paths;

/// What a daemon was started with.
#[derive(Debug)]
pub(super) struct Blueprint {
    pub(super) surroundings: Surroundings,
    flags: Flags,
    wanted: Wanted,
}

/// Which mounts were asked for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// One, here; absolute.
    Mountpoint(PathBuf),
    /// Those of the configuration: all, or these.
    Mounts(Vec<String>),
}

impl Blueprint {
    pub(super) fn new(surroundings: Surroundings, flags: Flags, wanted: Wanted) -> Self {
        Self { surroundings, flags, wanted }
    }

    /// The settings as of now, with mounts that were added at run time.
    ///
    /// # Errors
    /// All that is wrong with them; a file that exists but cannot be read.
    pub(super) fn settings(&self, added: &[AddedMount]) -> Result<Settings> {
        let selection = match &self.wanted {
            Wanted::Mountpoint(path) => Selection::CommandLine(path),
            Wanted::Mounts(names) => Selection::Mounts(names),
        };
        self.surroundings.settings(&self.flags, selection, added)
    }

    /// The mounts of these settings.
    ///
    /// # Errors
    /// If a mount point cannot be one.
    pub(super) fn plans(&self, settings: &Settings) -> Result<Vec<Plan>, MountError> {
        let mountpoint = match &self.wanted {
            Wanted::Mountpoint(path) => Some(path.as_path()),
            Wanted::Mounts(_) => None,
        };
        let plan = |mount| Plan::new(mount, mountpoint, settings.open_deadline);
        settings.mounts.iter().map(plan).collect()
    }

    /// The configuration file whose mounts are served; `None` for the mount of a command line.
    pub(super) fn config_file(&self) -> Option<PathBuf> {
        match &self.wanted {
            Wanted::Mountpoint(_) => None,
            Wanted::Mounts(_) => self.surroundings.config_file().map(Path::to_owned),
        }
    }

    /// Where the daemon's control socket is: named after its only mount, or after the configuration
    /// and, since two daemons may each serve some mounts of one file, its process.
    pub(super) fn socket(&self, runtime_dir: &Path) -> PathBuf {
        runtime_dir.join(self.stem() + ".sock")
    }

    /// Where the log of a daemon in the background is.
    pub(super) fn log_file(&self, runtime_dir: &Path) -> PathBuf {
        match &self.wanted {
            Wanted::Mountpoint(path) => runtime_dir.join(paths::mount_stem(path) + ".log"),
            Wanted::Mounts(names) => {
                let file = paths::mount_stem(&self.config_file().unwrap_or_default());
                runtime_dir.join([&[file][..], names].concat().join("-") + ".log")
            }
        }
    }

    /// Where it is written down what the next daemon has to know of this one.
    pub(super) fn state_file(&self, runtime_dir: &Path) -> PathBuf {
        let mut path = self.log_file(runtime_dir).with_extension("").into_os_string();
        path.push(OF_DAEMON);
        path.into()
    }

    fn stem(&self) -> String {
        match &self.wanted {
            Wanted::Mountpoint(path) => paths::mount_stem(path),
            Wanted::Mounts(_) => {
                let file = paths::mount_stem(&self.config_file().unwrap_or_default());
                format!("{file}-{}", getpid().as_raw_nonzero())
            }
        }
    }
}
