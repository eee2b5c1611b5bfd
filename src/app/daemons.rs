//! `status`, `refresh` and `unmount`: what is asked of daemons that are running.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::print;
use super::surroundings::Surroundings;
use crate::cli::{RefreshArgs, StatusArgs, UnmountArgs};
use crate::clock::{Clock, SystemClock};
use crate::control::{ClientError, Request, Response, ask, live_sockets};
use crate::fuse::mount;
use crate::os::paths;
use crate::render::{MountStatus, status_text};

/// `credmount status [MOUNTPOINT] [--json]`.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode> {
    let runtime_dir = Surroundings::read(None).runtime_path();
    if let Some(mountpoint) = &args.mountpoint {
        let path = absolute(mountpoint)?;
        let status = match status_of(&socket_of(&runtime_dir, &path)) {
            Err(error) if is_no_daemon(&error) => bail!("{}", nobody_serves(&path)?),
            status => status?,
        };
        let text = if args.json {
            serde_json::to_string(&status)? + "\n"
        } else {
            status_text(&status, SystemClock.now())
        };
        print(|out| out.write_all(text.as_bytes()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let all = live_sockets(&runtime_dir).context("looking for live mounts")?;
    let all = all.iter().map(|socket| status_of(socket)).collect::<Result<Vec<_>>>()?;
    let text = if args.json {
        serde_json::to_string(&all)? + "\n"
    } else if all.is_empty() {
        "no live mounts\n".to_owned()
    } else {
        let now = SystemClock.now();
        all.iter().map(|status| status_text(status, now)).collect::<Vec<_>>().join("\n")
    };
    print(|out| out.write_all(text.as_bytes()))?;
    Ok(ExitCode::SUCCESS)
}

/// `credmount refresh [MOUNTPOINT] [--role NAME]`.
pub(super) fn refresh(args: &RefreshArgs) -> Result<ExitCode> {
    let runtime_dir = Surroundings::read(None).runtime_path();
    let socket = match &args.mountpoint {
        Some(mountpoint) => socket_of(&runtime_dir, &absolute(mountpoint)?),
        None => only_mount(&runtime_dir)?,
    };
    expect_done(ask(&socket, &Request::Refresh { profile: args.role.clone() })?)?;
    Ok(ExitCode::SUCCESS)
}

/// `credmount unmount MOUNTPOINT`.
pub(super) fn unmount(args: &UnmountArgs) -> Result<ExitCode> {
    let runtime_dir = Surroundings::read(None).runtime_path();
    let path = absolute(&args.mountpoint)?;
    match ask(&socket_of(&runtime_dir, &path), &Request::Unmount {}) {
        Ok(response) => expect_done(response)?,
        Err(ClientError::NoDaemon(_)) if mount::mounted_at(&path)?.is_some() => {
            mount::unmount(&path)?;
        }
        Err(ClientError::NoDaemon(_)) => bail!("{}", nobody_serves(&path)?),
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn only_mount(runtime_dir: &Path) -> Result<PathBuf> {
    let mut live = live_sockets(runtime_dir).context("looking for live mounts")?;
    match (live.pop(), live.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => bail!("no live mounts"),
        (Some(_), others) => {
            bail!("there are {} live mounts; say which (see credmount status)", others + 1)
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    mount::absolute(path).with_context(|| format!("mount point {}", path.display()))
}

fn socket_of(runtime_dir: &Path, mountpoint: &Path) -> PathBuf {
    runtime_dir.join(paths::mount_stem(mountpoint)).with_extension("sock")
}

fn status_of(socket: &Path) -> Result<MountStatus> {
    match ask(socket, &Request::Status {})? {
        Response::Status(status) => Ok(*status),
        Response::Failed(reason) => bail!(reason),
        Response::Done => bail!("the daemon at {} gave no status", socket.display()),
    }
}

fn expect_done(response: Response) -> Result<()> {
    match response {
        Response::Failed(reason) => bail!(reason),
        Response::Done | Response::Status(_) => Ok(()),
    }
}

fn is_no_daemon(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ClientError::NoDaemon(_)))
}

fn nobody_serves(path: &Path) -> Result<String> {
    let path_text = path.display();
    Ok(match mount::mounted_at(path)? {
        Some(_) => format!(
            "the daemon that served {path_text} is gone; credmount unmount {path_text} removes \
             what it left"
        ),
        None => format!("nothing of credmount is mounted on {path_text}"),
    })
}
