//! One mount as it is to be served, and the checks before anything is mounted there.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::config::MountSettings;
use crate::control::{self, ClientError, Request, Response};
use crate::fuse::Shape;
use crate::fuse::mount::{self, MountError};
use crate::os::paths;
use crate::policy::AllowRule;
use crate::publish::Served;
use crate::render::ReaderPath;

/// What one mount is to be. Two equal plans serve alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The name in the configuration; `None` for the mount of a command line.
    pub(super) name: Option<String>,
    /// Where: absolute, its parents free of symlinks.
    pub(super) mountpoint: PathBuf,
    /// What.
    pub(super) served: Served,
    /// For whom.
    pub(super) rules: Vec<AllowRule>,
    /// Where it hands out keys over HTTP, too.
    pub(super) endpoint: Option<SocketAddr>,
    /// Whether the kernel lets other users in.
    pub(super) allow_other: bool,
    /// Whether there are directories to write to; `None`: where they cost an open nothing.
    pub(super) writable_caches: Option<bool>,
    /// The directory of the mount as readers see it, if it is configured.
    pub(super) reader_path: Option<ReaderPath>,
    /// The same for readers of which nothing is known.
    pub(super) fallback_path: ReaderPath,
    /// How long an open waits for a session.
    pub(super) open_deadline: Duration,
}

impl Plan {
    /// The plan of checked settings; `mountpoint` is where the command line says, if it does.
    ///
    /// # Errors
    /// [`MountError::Mountpoint`] if the path cannot be used.
    pub(super) fn new(
        settings: &MountSettings,
        mountpoint: Option<&Path>,
        open_deadline: Duration,
    ) -> Result<Self, MountError> {
        let path = settings.path.as_deref().or(mountpoint).unwrap_or(Path::new("."));
        let refuse = |path: &Path, reason| MountError::Mountpoint { path: path.to_owned(), reason };
        let mountpoint = mount::absolute(path).map_err(|error| refuse(path, error.to_string()))?;
        let reader_path = settings.reader_path.as_deref().map(ReaderPath::parse).transpose();
        let reader_path = reader_path.map_err(|error| refuse(path, error.to_string()))?;
        let seen = match mountpoint.to_str() {
            Some(path) => ReaderPath::parse(path).map_err(|error| error.to_string()),
            None => Err(format!("{} is not UTF-8", mountpoint.display())),
        };
        let fallback_path = match (seen, &reader_path) {
            (Ok(path), _) => path,
            (Err(_), Some(path)) => path.clone(),
            (Err(reason), None) => {
                let remedy =
                    "mount elsewhere, or name the path that readers see with --reader-path";
                return Err(refuse(&mountpoint, format!("{reason}; {remedy}")));
            }
        };
        let roleless = settings.roles.is_empty();
        Ok(Self {
            name: settings.name.clone(),
            mountpoint,
            served: Served {
                roles: if roleless { Served::no_role() } else { settings.roles.clone() },
                roleless,
                default: settings.default.clone(),
                live_only: settings.live_only,
                include: settings.config_include.clone(),
                endpoint: settings.endpoint.is_some(),
                tokens: settings.tokens.clone(),
                views: Vec::new(),
                failing: None,
            },
            endpoint: settings.endpoint,
            rules: settings.allow.clone(),
            allow_other: settings.allow_other,
            writable_caches: settings.writable_caches,
            reader_path,
            fallback_path,
            open_deadline,
        })
    }

    /// What to call the mount: its name, else where it is.
    pub(super) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.mountpoint.display().to_string())
    }

    /// How the mount is to be made.
    pub(super) fn shape(&self) -> Shape {
        Shape { allow_other: self.allow_other, writable: self.writable_caches }
    }

    /// What is the same for this mount in every life of a daemon.
    pub(super) fn stem(&self) -> String {
        paths::mount_stem(&self.mountpoint)
    }

    /// Serves a mount of this shape, which cannot be changed, whatever was planned. Tells so if it
    /// differs.
    pub(super) fn bow_to(&mut self, present: Shape) -> Option<String> {
        if self.shape().resolved() == present.resolved() {
            return None;
        }
        (self.allow_other, self.writable_caches) = (present.allow_other, present.writable);
        let (label, path) = (self.label(), self.mountpoint.display());
        Some(format!(
            "{label}: allow_other and writable_caches belong to the mount itself and stay as they \
             are until it is made anew: credmount unmount {path}, then mount it"
        ))
    }

    /// Makes the mount point ready: refuses one that a live daemon serves or that would hide the
    /// base credentials, clears one that a killed daemon left, and takes its lock.
    ///
    /// # Errors
    /// If the mount point cannot be used.
    pub(super) fn prepare(&self, runtime_dir: &Path, base_files: &[PathBuf]) -> Result<OwnedFd> {
        let path = &self.mountpoint;
        refuse_served(path, runtime_dir)?;
        if mount::mounted_at(path)?.is_some() {
            let mountpoint = path.display();
            ensure!(
                mount::is_dead(path),
                "{mountpoint} is mounted, but the daemon that is to serve it does not run at \
                 present: its supervisor or systemd will start it again; to have it removed \
                 instead: credmount unmount {mountpoint}"
            );
            tracing::warn!(%mountpoint, "removing the mount that a killed daemon left");
            mount::unmount(path)?;
        }
        let path = mount::prepare_mountpoint(path)?;
        refuse_base_files(&path, base_files)?;
        Ok(mount::lock_mountpoint(&path)?)
    }
}

/// Refuses a mount point that a live daemon serves.
///
/// # Errors
/// If there is such a daemon, also if it does not answer.
pub(super) fn refuse_served(path: &Path, runtime_dir: &Path) -> Result<()> {
    let socket = paths::mount_socket(runtime_dir, path);
    let at = path.display();
    let request = Request::Status { mount: Some(path.display().to_string()) };
    let mut answer = control::ask(&socket, &request);
    for _ in 0..ASKED_AGAIN {
        // One that ends just now, perhaps killed, still has its socket and then cuts it.
        let Err(error) = &answer else { break };
        if !error.is_cut() {
            break;
        }
        thread::sleep(PAUSE);
        answer = control::ask(&socket, &request);
    }
    match answer {
        Err(ClientError::NoDaemon(_)) => Ok(()),
        Ok(Response::Status(status)) if status.mounts.is_empty() => Ok(()),
        Ok(Response::Status(status)) => bail!(
            "{at} is served by credmount already (pid {}); stop it with: credmount unmount {at}",
            status.pid,
        ),
        Ok(_) | Err(_) => bail!(
            "{at} is served by a credmount daemon that does not answer; end it, then try again"
        ),
    }
}

/// How often a daemon is asked again that ended while it was asked: for a second in all.
const ASKED_AGAIN: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// A mount over the files that base credentials are read from would make the daemon wait for
/// itself.
fn refuse_base_files(mountpoint: &Path, base_files: &[PathBuf]) -> Result<(), MountError> {
    for file in base_files {
        if paths::steps(file).iter().any(|step| step.starts_with(mountpoint)) {
            return Err(MountError::Mountpoint {
                path: mountpoint.to_owned(),
                reason: format!(
                    "the mount would hide {}, from which the base credentials are read; mount on a \
                     directory of its own, such as ~/.aws-live, or keep the base files elsewhere \
                     and name them in AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
                    file.display()
                ),
            });
        }
    }
    Ok(())
}
