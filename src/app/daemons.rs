//! What is asked of daemons that are running: `status`, `refresh`, `unmount`, `add`, `remove`,
//! `reload`, `restart`, `lock` and `unlock`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context, Result, bail, ensure};

use super::daemon::state;
use super::successor::{all_daemons, asked, daemon_of, named, status_of};
use super::surroundings::{Surroundings, shown_runtime_dir};
use super::{print, successor};
use crate::audit::AuditStatus;
use crate::cli::{AddArgs, DaemonCommandArgs, RefreshArgs, RemoveArgs, StatusArgs, UnmountArgs};
use crate::clock::{Clock, SystemClock};
use crate::config::AddedMount;
use crate::control::{ClientError, DaemonStatus, LeaseRequest, Request, Response, ask};
use crate::fuse::mount;
use crate::os::paths;
use crate::render::{MountStatus, RoleStatus, TokenStatus, status_text};

/// `credmount status [MOUNTPOINT] [--json]`.
pub(super) fn status(args: &StatusArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    if args.prometheus {
        return metrics(&runtime_dir, args.mountpoint.as_deref());
    }
    let now = SystemClock.now();
    if let Some(mountpoint) = &args.mountpoint {
        let path = absolute(mountpoint)?;
        let status = status_of(&runtime_dir, &path)?;
        let Some(mount) = status.mounts.first() else { bail!("{}", successor::told(&path)?) };
        let text =
            if args.json { serde_json::to_string(mount)? + "\n" } else { status_text(mount, now) };
        print(|out| out.write_all(text.as_bytes()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let (daemons, mut failed) = all_daemons(&runtime_dir)?;
    let mounts: Vec<&MountStatus> = daemons.iter().flat_map(|(_, it)| &it.mounts).collect();
    let text = if args.json {
        serde_json::to_string(&mounts)? + "\n"
    } else if mounts.is_empty() && failed.is_empty() {
        "no live mounts\n".to_owned()
    } else {
        mounts.iter().map(|status| status_text(status, now)).collect::<Vec<_>>().join("\n")
    };
    print(|out| out.write_all(text.as_bytes()))?;
    for path in successor::unserved(&runtime_dir, &daemons)? {
        if !mount::is_dead(&path) {
            continue;
        }
        failed.push(successor::told(&path)?);
    }
    ensure!(failed.is_empty(), failed.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// `credmount status --prometheus [MOUNTPOINT]`. The text of one daemon: families of two cannot stand
/// in one text.
fn metrics(runtime_dir: &Path, mountpoint: Option<&Path>) -> Result<ExitCode> {
    let answer = match mountpoint {
        Some(mountpoint) => asked(runtime_dir, &absolute(mountpoint)?, &Request::Metrics {})?,
        None => ask(&only_daemon(runtime_dir)?, &Request::Metrics {})?,
    };
    match answer {
        Response::Done(text) => print(|out| out.write_all(text.as_bytes()))?,
        Response::Failed(reason) => bail!(reason),
        _ => bail!("the daemon gave no metrics"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The socket of the only daemon of this user.
fn only_daemon(runtime_dir: &Path) -> Result<PathBuf> {
    let (mut daemons, failed) = all_daemons(runtime_dir)?;
    ensure!(failed.is_empty(), failed.join("\n"));
    match (daemons.pop(), daemons.len()) {
        (Some((socket, _)), 0) => Ok(socket),
        (None, _) => bail!("no daemon is running"),
        (Some(_), others) => {
            bail!("there are {} daemons; say which by one of its mounts", others + 1)
        }
    }
}

/// `credmount refresh [MOUNTPOINT] [--role NAME]`.
pub(super) fn refresh(args: &RefreshArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    let path = match &args.mountpoint {
        Some(mountpoint) => absolute(mountpoint)?,
        None => only_mount(&runtime_dir)?,
    };
    let request = Request::Refresh { mount: Some(named(&path)), profile: args.role.clone() };
    told(asked(&runtime_dir, &path, &request)?)
}

/// `credmount unmount MOUNTPOINT`.
pub(super) fn unmount(args: &UnmountArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    let path = absolute(&args.mountpoint)?;
    let request = Request::Unmount { mount: named(&path) };
    // A daemon that crashed may be about to be started again; it is to end, too.
    let answer = successor::ask_of(&runtime_dir, &path, &request)?;
    match answer {
        Ok(response) => told(response),
        Err(ClientError::NoDaemon(_)) if mount::mounted_at(&path)?.is_some() => {
            // As long as it is mounted, no other daemon can be about to listen there.
            let _ = fs::remove_file(paths::mount_socket(&runtime_dir, &path));
            mount::unmount(&path)?;
            state::forget(&runtime_dir, &path);
            Ok(ExitCode::SUCCESS)
        }
        Err(ClientError::NoDaemon(_)) => bail!("{}", successor::told(&path)?),
        Err(error) => Err(error.into()),
    }
}

/// `credmount reload`, `lock` and `unlock`: asks the daemon that is meant, else every daemon of this
/// user.
pub(super) fn command(args: &DaemonCommandArgs, request: &Request) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    if let Some(mountpoint) = &args.daemon.mountpoint {
        return told(asked(&runtime_dir, &absolute(mountpoint)?, request)?);
    }
    let (daemons, mut failed) = all_daemons(&runtime_dir)?;
    ensure!(!daemons.is_empty() || !failed.is_empty(), "no daemon is running");
    for (socket, status) in daemons {
        if let Err(error) = ask(&socket, request).map_err(Into::into).and_then(told) {
            failed.push(format!("daemon {}: {error:#}", status.pid));
        }
    }
    ensure!(failed.is_empty(), failed.join("\n"));
    Ok(ExitCode::SUCCESS)
}

/// `credmount restart`: returns when the next daemons serve.
pub(super) fn restart(args: &DaemonCommandArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    let before: Vec<PathBuf> = match &args.daemon.mountpoint {
        Some(mountpoint) => vec![absolute(mountpoint)?],
        None => of_mounts(|_| vec![()]).into_iter().map(|(mountpoint, ())| mountpoint).collect(),
    };
    command(args, &Request::Restart {})?;
    for mountpoint in before {
        let mut answer = status_of(&runtime_dir, &mountpoint);
        for _ in 0..RESTART_CHECKS {
            if answer.is_ok() || !successor::is_awaited(&mountpoint)? {
                break;
            }
            answer = status_of(&runtime_dir, &mountpoint);
        }
        answer?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How many times longer than others a restart waits for the next daemon.
const RESTART_CHECKS: u32 = 10;

/// `credmount add NAME --role ROLE --path PATH`.
pub(super) fn add(args: &AddArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    let socket = match &args.daemon.mountpoint {
        Some(mountpoint) => socket_of(&runtime_dir, mountpoint)?,
        None => only_of_configuration(&runtime_dir)?,
    };
    let for_seconds = args.for_.map(|duration| duration.as_secs().max(1));
    let while_pid = args.while_pid.map(i32::try_from).transpose().context("--while-pid")?;
    let added = args.added();
    let mount = Box::new(AddedMount { path: absolute(&added.path)?, ..added });
    told(ask(&socket, &Request::Add { mount, lease: LeaseRequest { for_seconds, while_pid } })?)
}

/// `credmount remove NAME`.
pub(super) fn remove(args: &RemoveArgs) -> Result<ExitCode> {
    let runtime_dir = runtime_dir()?;
    let request = Request::Remove { name: args.name.clone() };
    if let Some(mountpoint) = &args.daemon.mountpoint {
        return told(asked(&runtime_dir, &absolute(mountpoint)?, &request)?);
    }
    let (daemons, failed) = all_daemons(&runtime_dir)?;
    let has = |it: &DaemonStatus| it.mounts.iter().any(|it| it.name.as_ref() == Some(&args.name));
    let Some((socket, _)) = daemons.iter().find(|(_, it)| has(it)) else {
        let told = format!("there is no mount {}; credmount status lists all", args.name);
        bail!([vec![told], failed].concat().join("\n"));
    };
    told(ask(socket, &request)?)
}

/// The socket of the only daemon that serves mounts of a configuration.
fn only_of_configuration(runtime_dir: &Path) -> Result<PathBuf> {
    let (daemons, failed) = all_daemons(runtime_dir)?;
    let mut able = daemons.into_iter().filter(|(_, it)| it.config.is_some());
    match (able.next(), able.next()) {
        (Some((socket, _)), None) => Ok(socket),
        (Some(_), Some(_)) => bail!(
            "several daemons serve mounts of a configuration; say which by one of its mounts, with \
             --daemon MOUNTPOINT"
        ),
        (None, _) => {
            let told = "no daemon serves the mounts of a configuration, to which one could be \
                        added; start it with: credmount --config FILE";
            bail!([vec![told.to_owned()], failed].concat().join("\n"))
        }
    }
}

/// The socket of the daemon that serves a mount point.
pub(super) fn socket_of(runtime_dir: &Path, mountpoint: &Path) -> Result<PathBuf> {
    Ok(paths::mount_socket(runtime_dir, &absolute(mountpoint)?))
}

/// The roles that daemons of this user serve, each with its mount. Who cannot be asked serves none
/// that could be told of.
pub(super) fn roles() -> Vec<(PathBuf, RoleStatus)> {
    of_mounts(|mount| mount.roles)
}

/// The same of tokens.
pub(super) fn tokens() -> Vec<(PathBuf, TokenStatus)> {
    of_mounts(|mount| mount.tokens)
}

fn of_mounts<T>(all: impl Fn(MountStatus) -> Vec<T>) -> Vec<(PathBuf, T)> {
    let daemons = runtime_dir().and_then(|dir| all_daemons(&dir));
    let mounts = daemons.map(|(daemons, _)| daemons).unwrap_or_default();
    let mounts = mounts.into_iter().flat_map(|(_, daemon)| daemon.mounts);
    let of_mount = |mount: MountStatus| {
        let at = PathBuf::from(&mount.mountpoint);
        all(mount).into_iter().map(move |it| (at.clone(), it))
    };
    mounts.flat_map(of_mount).collect()
}

/// Has the daemon of a mount fetch a new session for one profile.
///
/// # Errors
/// Why it could not.
pub(super) fn renew(mountpoint: &Path, profile: &str) -> Result<()> {
    let request =
        Request::Refresh { mount: Some(named(mountpoint)), profile: Some(profile.to_owned()) };
    ask_daemon_of(mountpoint, &request).map(drop)
}

/// The process id of the daemon of a mount.
///
/// # Errors
/// If there is none.
pub(super) fn pid_of(mountpoint: &Path) -> Result<u32> {
    Ok(daemon_of(&runtime_dir()?, mountpoint)?.pid)
}

/// Asks the daemon of a mount.
///
/// # Errors
/// If it does not answer, or fails.
pub(super) fn ask_daemon_of(mountpoint: &Path, request: &Request) -> Result<Response> {
    match asked(&runtime_dir()?, mountpoint, request)? {
        Response::Failed(reason) => bail!(reason),
        answer => Ok(answer),
    }
}

/// The file that daemons of this user write their audit log to, if it is one file.
pub(super) fn audit_log() -> Result<Option<PathBuf>> {
    let (daemons, _) = all_daemons(&runtime_dir()?)?;
    let logs = daemons.iter().flat_map(|(_, it)| &it.mounts).filter_map(|it| it.audit.as_ref());
    let mut files: Vec<PathBuf> = logs.filter_map(AuditStatus::file).collect();
    files.sort();
    files.dedup();
    ensure!(
        files.len() < 2,
        "daemons write {} audit logs; name the FILE: {}",
        files.len(),
        files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    );
    Ok(files.pop())
}

/// The directory of sockets, if it exists. One that others can write to is not trusted: whoever
/// made it may answer in the place of a daemon.
pub(super) fn runtime_dir() -> Result<PathBuf> {
    let dir = Surroundings::read(None).runtime_path();
    match paths::check_private(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| shown_runtime_dir(&dir))
        }
        _ => Ok(dir),
    }
}

fn only_mount(runtime_dir: &Path) -> Result<PathBuf> {
    let (daemons, failed) = all_daemons(runtime_dir)?;
    ensure!(failed.is_empty(), failed.join("\n"));
    let mut mounts = daemons.iter().flat_map(|(_, it)| &it.mounts);
    match (mounts.next(), mounts.count()) {
        (Some(only), 0) => Ok(PathBuf::from(&only.mountpoint)),
        (None, _) => bail!("no live mounts"),
        (Some(_), others) => {
            bail!("there are {} live mounts; say which (see credmount status)", others + 1)
        }
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    mount::absolute(path).with_context(|| format!("mount point {}", path.display()))
}

/// Prints what a daemon has to tell.
pub(super) fn told(response: Response) -> Result<ExitCode> {
    match response {
        Response::Failed(reason) => bail!(reason),
        Response::Done(text) if !text.is_empty() => {
            print(|out| writeln!(out, "{text}"))?;
        }
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}
