//! Mounts without a daemon: those that a killed one left, and those of which a supervisor or systemd
//! starts the next one. Commands wait for that, rather than tell that there is nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::daemon::state;
use crate::control::{ClientError, DaemonStatus, Request, Response, ask, live_sockets};
use crate::fuse::mount;
use crate::os::paths;

/// Asks the daemon of a mount; where it has crashed or restarts just now, the one that follows. That
/// also where the answer was cut off, if being asked twice makes no difference.
///
/// # Errors
/// If mountinfo cannot be read; the inner one is that of the last try.
pub(super) fn ask_of(
    runtime_dir: &Path,
    mountpoint: &Path,
    request: &Request,
) -> io::Result<Result<Response, ClientError>> {
    let socket = paths::mount_socket(runtime_dir, mountpoint);
    let mut answer = ask(&socket, request);
    for _ in 0..CHECKS {
        let is_gone = match &answer {
            Err(ClientError::NoDaemon(_)) => true,
            Err(error) => error.is_cut() && request.is_repeatable(),
            Ok(_) => false,
        };
        if !is_gone || !is_awaited(mountpoint)? {
            break;
        }
        sleep(PAUSE);
        answer = ask(&socket, request);
    }
    Ok(answer)
}

/// What the daemon of a mount says of that.
///
/// # Errors
/// If there is none, or it does not answer.
pub(super) fn status_of(runtime_dir: &Path, mountpoint: &Path) -> Result<DaemonStatus> {
    status(asked(runtime_dir, mountpoint, &Request::Status { mount: Some(named(mountpoint)) })?)
}

/// What the daemon of a mount says of all that it serves.
///
/// # Errors
/// If there is none, or it does not answer.
pub(super) fn daemon_of(runtime_dir: &Path, mountpoint: &Path) -> Result<DaemonStatus> {
    status(asked(runtime_dir, mountpoint, &Request::Status { mount: None })?)
}

/// What the daemon behind a socket says of all that it serves.
///
/// # Errors
/// If there is none, or it does not answer.
pub(super) fn status_at(socket: &Path) -> Result<DaemonStatus> {
    status(ask(socket, &Request::Status { mount: None })?)
}

fn status(answer: Response) -> Result<DaemonStatus> {
    match answer {
        Response::Status(status) => Ok(*status),
        Response::Failed(reason) => bail!(reason),
        _ => bail!("the daemon gave no status"),
    }
}

/// A mount point as daemons call it.
pub(super) fn named(path: &Path) -> String {
    path.display().to_string()
}

/// Whether the mount is there for a daemon that is about to be started.
///
/// # Errors
/// If mountinfo cannot be read.
pub(super) fn is_awaited(mountpoint: &Path) -> io::Result<bool> {
    Ok(mount::mounted_at(mountpoint)?.is_some() && !mount::is_dead(mountpoint))
}

/// Daemons by their sockets, and why others do not answer.
pub(super) type Daemons = (Vec<(PathBuf, DaemonStatus)>, Vec<String>);

/// All daemons of this user that answer, and why others do not. One that crashed or restarts just
/// now is waited for.
pub(super) fn all_daemons(runtime_dir: &Path) -> Result<Daemons> {
    for _ in 0..CHECKS {
        let found = answering(runtime_dir)?;
        // The mounts of a daemon that does not answer are not told from others.
        if !found.1.is_empty() || awaited(runtime_dir, &found.0)?.is_empty() {
            return Ok(found);
        }
        sleep(PAUSE);
    }
    let (serving, mut failed) = answering(runtime_dir)?;
    for path in awaited(runtime_dir, &serving)? {
        failed.push(told(&path)?);
    }
    Ok((serving, failed))
}

fn answering(runtime_dir: &Path) -> Result<Daemons> {
    let (mut serving, mut failed) = (Vec::new(), Vec::new());
    for socket in live_sockets(runtime_dir).context("looking for daemons")? {
        match status_at(&socket) {
            Ok(status) => serving.push((socket, status)),
            // It ended meanwhile.
            Err(error) if is_no_daemon(&error) => {}
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    Ok((serving, failed))
}

/// The mounts that a daemon is about to be started for.
fn awaited(runtime_dir: &Path, daemons: &[(PathBuf, DaemonStatus)]) -> Result<Vec<PathBuf>> {
    let mut unserved = unserved(runtime_dir, daemons)?;
    unserved.retain(|path| is_awaited(path).unwrap_or(false));
    Ok(unserved)
}

/// The mounts that daemons of this user have made and that none of these serves.
///
/// # Errors
/// If mountinfo cannot be read.
pub(super) fn unserved(
    runtime_dir: &Path,
    daemons: &[(PathBuf, DaemonStatus)],
) -> Result<Vec<PathBuf>> {
    let mounts = daemons.iter().flat_map(|(_, it)| &it.mounts);
    let served: Vec<&str> = mounts.map(|mount| mount.mountpoint.as_str()).collect();
    let mounted = mount::all_mounted().context("looking for mounts")?;
    let mut left: Vec<_> = state::all(runtime_dir).into_iter().map(|it| it.mountpoint).collect();
    left.retain(|path| mounted.contains(path) && !served.contains(&&*named(path)));
    Ok(left)
}

/// The answer of the daemon of a mount.
///
/// # Errors
/// If there is none, or it does not answer.
pub(super) fn asked(runtime_dir: &Path, mountpoint: &Path, request: &Request) -> Result<Response> {
    match ask_of(runtime_dir, mountpoint, request)? {
        Err(ClientError::NoDaemon(_)) => bail!("{}", told(mountpoint)?),
        answer => Ok(answer?),
    }
}

/// What to tell of a mount point for which no daemon answers.
///
/// # Errors
/// If mountinfo cannot be read.
pub(super) fn told(mountpoint: &Path) -> io::Result<String> {
    let at = mountpoint.display();
    Ok(if mount::mounted_at(mountpoint)?.is_none() {
        format!("nothing of credmount is mounted on {at}")
    } else if mount::is_dead(mountpoint) {
        format!("the daemon that served {at} is gone; credmount unmount {at} removes what it left")
    } else {
        format!(
            "{at} is mounted, but the daemon that is to serve it does not run at present: its \
             supervisor or systemd will start it again; to have it removed instead: credmount \
             unmount {at}"
        )
    })
}

fn is_no_daemon(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::NoDaemon(_)))
}

/// How often, and how often in all, a daemon is looked for that is about to be started again.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
pub(super) const CHECKS: u32 = 20;
