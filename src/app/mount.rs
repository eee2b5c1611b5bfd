//! `credmount [OPTIONS] [MOUNTPOINT]` and `credmount mount [NAME…]`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tracing::Level;

use super::blueprint::{Blueprint, Wanted};
use super::daemon::{self, Ended, NoRole, with_advice};
use super::lifeline::Lifeline;
use super::plan::refuse_served;
use super::safe::Safe;
use super::supervise::{self, RESTART};
use super::surroundings::{Surroundings, runtime, start_logging};
use super::{background, exit_code, identity_login, mfa, report};
use crate::cli::{MountArgs, MountNamedArgs};
use crate::config::{Flags, Settings};
use crate::fuse::mount as fuse_mount;
use crate::os::hardening;

/// What was typed.
#[derive(Debug)]
struct Typed<'a> {
    /// `--config`.
    config: Option<&'a Path>,
    flags: Flags,
    /// Where to mount; `None` for the mounts of the configuration.
    mountpoint: Option<&'a Path>,
    /// The subcommand, if it was one.
    command: Option<&'static str>,
    /// Which mounts of the configuration; all if empty.
    names: &'a [String],
    /// What this process is, if it was not typed itself.
    child: Child,
}

/// What a process is that another one of ours has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Child {
    /// The one that stays in the background.
    pub(super) detached: bool,
    /// The daemon of a supervisor.
    pub(super) supervised: bool,
}

/// `credmount [OPTIONS] [MOUNTPOINT]`.
pub(super) fn run(args: &MountArgs, child: Child) -> Result<ExitCode> {
    serve_typed(Typed {
        config: args.common.log.config.as_deref(),
        flags: args.flags(),
        mountpoint: args.mountpoint.as_deref(),
        command: None,
        names: &[],
        child,
    })
}

/// `credmount mount [NAME…]`.
pub(super) fn run_named(args: &MountNamedArgs, child: Child) -> Result<ExitCode> {
    serve_typed(Typed {
        config: args.log.config.as_deref(),
        flags: args.flags(),
        mountpoint: None,
        command: Some("mount"),
        names: &args.names,
        child,
    })
}

/// Mounts, in this process or in one that stays.
fn serve_typed(typed: Typed<'_>) -> Result<ExitCode> {
    // Before anything is opened.
    let lifeline = if typed.child.supervised {
        Lifeline::of_supervisor()?
    } else {
        Lifeline::of_environment()
    };
    // First of all else, because files that hold keys are read soon.
    let memory = hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(typed.config);
    let wanted = match typed.mountpoint {
        None => Wanted::Mounts(typed.names.to_vec()),
        Some(path) => Wanted::Mountpoint(absolute(path)?),
    };
    let blueprint = Blueprint::new(surroundings, typed.flags, wanted);
    let configured = blueprint.settings(&[]).and_then(|settings| {
        let plans = blueprint.plans(&settings)?;
        Ok((settings, plans))
    });
    let (settings, plans) = match configured {
        Ok((settings, plans)) => (Ok(settings), plans),
        // The mounts that were kept are served all the same.
        Err(error) if lifeline.is_in_use() => (Err(error), Vec::new()),
        Err(error) => return Err(error),
    };
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let log_file = blueprint.log_file(&runtime_dir);
    let mountpoints: Vec<PathBuf> = plans.iter().map(|plan| plan.mountpoint.clone()).collect();
    let Child { detached, supervised } = typed.child;
    // Who keeps mounts has started the process that is to serve them.
    let wants = |is: fn(&Settings) -> bool| settings.as_ref().is_ok_and(is);
    let (background, supervise) = (wants(|it| it.background), wants(|it| it.supervise));
    if !detached && !supervised && (background || supervise) {
        // Told by this process, in the words of a command; the log is still written to.
        for plan in &plans {
            refuse_served(&plan.mountpoint, &runtime_dir)?;
        }
    }
    if background && !detached {
        let launched = background::launch(&log_file, typed.command)?;
        if let Ok(settings) = &settings
            && launched == ExitCode::SUCCESS
        {
            mfa::ask_after_start(settings, &blueprint.socket(&runtime_dir));
            identity_login::at_start(&mountpoints);
        }
        return Ok(launched);
    }
    start_daemon_logging(&settings);
    if supervise && !supervised {
        let directory = std::env::current_dir().context("finding this directory")?;
        if detached {
            background::detach()?;
        }
        let (program, args) = (background::own_path()?, daemon_args(typed.command));
        let state_file = blueprint.state_file(&runtime_dir);
        let given_up = || Safe::empty(&state_file);
        return supervise::run(&program, &args, &directory, detached, &given_up);
    }
    tracing::debug!(?memory, "process hardened");
    if !detached {
        let ready = || identity_login::beside(mountpoints);
        return serve(blueprint, settings, None, lifeline, ready);
    }
    if supervised {
        background::leave_directory()?;
    } else {
        background::detach()?;
    }
    let log_file = Some(log_file.display().to_string());
    serve(blueprint, settings, log_file, lifeline, background::ready).or_else(|error| {
        // The process that stays tells the one that launched it how it went.
        background::failed(&error);
        report(&error);
        Ok(exit_code(&error))
    })
}

/// The arguments of the daemon that a supervisor starts: its own, and what tells them apart.
fn daemon_args(command: Option<&str>) -> Vec<OsString> {
    let typed = std::env::args_os().skip(1 + command.iter().len());
    let head = command.into_iter().chain(["--supervised"]).map(OsString::from);
    head.chain(typed).collect()
}

/// Starts the log of a daemon; where its settings are wrong, as if they said nothing of it.
pub(super) fn start_daemon_logging(settings: &Result<Settings>) {
    start_logging(settings.as_ref().unwrap_or(&Settings::default()), Level::INFO);
}

/// Serves by these settings; where they are wrong, what `lifeline` has kept.
pub(super) fn serve(
    blueprint: Blueprint,
    settings: Result<Settings>,
    log_file: Option<String>,
    lifeline: Lifeline,
    ready: impl FnOnce(),
) -> Result<ExitCode> {
    let served = daemon::run(blueprint, settings, log_file, lifeline, ready);
    let runtime = runtime()?;
    let ended = runtime.block_on(served);
    // An open that still waits is asked once more of the next daemon. Dropping it, as the end of the
    // runtime would, answers EIO.
    std::mem::forget(runtime);
    match ended {
        Ok(Ended::Stopped) => Ok(ExitCode::SUCCESS),
        Ok(Ended::Restart) => Ok(ExitCode::from(RESTART)),
        Err(error) => Err(match error.downcast::<NoRole>() {
            Ok(no_role) => with_advice(&no_role),
            Err(error) => error,
        }),
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(fuse_mount::absolute(path).map_err(|error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        fuse_mount::MountError::Mountpoint { path, reason }
    })?)
}
