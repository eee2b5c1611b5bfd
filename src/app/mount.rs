//! `credmount [OPTIONS] [MOUNTPOINT]` and `credmount mount [NAME…]`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tracing::Level;

use super::blueprint::{Blueprint, Wanted};
use super::daemon::{self, NoRole, with_advice};
use super::plan::refuse_served;
use super::surroundings::{Surroundings, runtime, start_logging};
use super::{background, exit_code, report};
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
    /// Whether this is the process that stays.
    daemon_child: bool,
}

/// `credmount [OPTIONS] [MOUNTPOINT]`.
pub(super) fn run(args: &MountArgs, daemon_child: bool) -> Result<ExitCode> {
    serve_typed(Typed {
        config: args.common.log.config.as_deref(),
        flags: args.flags(),
        mountpoint: args.mountpoint.as_deref(),
        command: None,
        names: &[],
        daemon_child,
    })
}

/// `credmount mount [NAME…]`.
pub(super) fn run_named(args: &MountNamedArgs, daemon_child: bool) -> Result<ExitCode> {
    serve_typed(Typed {
        config: args.log.config.as_deref(),
        flags: args.flags(),
        mountpoint: None,
        command: Some("mount"),
        names: &args.names,
        daemon_child,
    })
}

/// Mounts, in this process or in one that stays.
fn serve_typed(typed: Typed<'_>) -> Result<ExitCode> {
    // First of all, because files that hold keys are read soon.
    let memory = hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(typed.config);
    let wanted = match typed.mountpoint {
        None => Wanted::Mounts(typed.names.to_vec()),
        Some(path) => Wanted::Mountpoint(absolute(path)?),
    };
    let blueprint = Blueprint::new(surroundings, typed.flags, wanted);
    let settings = blueprint.settings(&[])?;
    let plans = blueprint.plans(&settings)?;
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let log_file = blueprint.log_file(&runtime_dir);
    if typed.daemon_child {
        return stay(blueprint, settings, &log_file);
    }
    if settings.background {
        // Its log is still written to.
        for plan in &plans {
            refuse_served(&plan.mountpoint, &runtime_dir)?;
        }
        return background::launch(&log_file, typed.command);
    }
    start_logging(&settings, Level::INFO);
    tracing::debug!(?memory, "process hardened");
    serve(blueprint, settings, None, || {})?;
    Ok(ExitCode::SUCCESS)
}

/// The process that stays: tells the one that launched it how it went.
fn stay(blueprint: Blueprint, settings: Settings, log_file: &Path) -> Result<ExitCode> {
    background::detach()?;
    start_logging(&settings, Level::INFO);
    let log_file = Some(log_file.display().to_string());
    match serve(blueprint, settings, log_file, background::ready) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            background::failed(&error);
            report(&error);
            Ok(exit_code(&error))
        }
    }
}

fn serve(
    blueprint: Blueprint,
    settings: Settings,
    log_file: Option<String>,
    ready: impl FnOnce(),
) -> Result<()> {
    let served = runtime()?.block_on(daemon::run(blueprint, settings, log_file, ready));
    served.map_err(|error| match error.downcast::<NoRole>() {
        Ok(no_role) => with_advice(&no_role),
        Err(error) => error,
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    Ok(fuse_mount::absolute(path).map_err(|error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        fuse_mount::MountError::Mountpoint { path, reason }
    })?)
}
