//! `credmount [OPTIONS] MOUNTPOINT`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tracing::Level;

use super::serve::{NoRole, Plan, refuse_served, serve};
use super::surroundings::{Surroundings, runtime, start_logging};
use super::{background, exit_code, report};
use crate::cli::{MountArgs, MountNamedArgs};
use crate::clock::SystemClock;
use crate::config::{Selection, Settings};
use crate::fuse::mount as fuse_mount;
use crate::os::{hardening, paths};
use crate::publish::Served;
use crate::render::ReaderPath;

/// Mounts, in this process or in one that stays, which this one is if it is a `daemon_child`.
pub(super) fn run(args: &MountArgs, daemon_child: bool) -> Result<ExitCode> {
    // First of all, because files that hold keys are read soon.
    let memory = hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.common.log.config.as_deref());
    let selection = match args.mountpoint {
        Some(_) => Selection::CommandLine,
        None => Selection::Mounts(&[]),
    };
    let settings = surroundings.settings(&args.flags(), selection, &[])?;
    let Some(mountpoint) = args.mountpoint.as_deref() else { return serve_named() };
    let mountpoint = fuse_mount::absolute(mountpoint).map_err(|error| {
        let (path, reason) = (mountpoint.to_owned(), error.to_string());
        fuse_mount::MountError::Mountpoint { path, reason }
    })?;
    let runtime_dir = surroundings.runtime_dir()?;
    let log_file = runtime_dir.join(paths::mount_stem(&mountpoint)).with_extension("log");
    if daemon_child {
        return stay(&surroundings, &settings, mountpoint, runtime_dir, &log_file);
    }
    if settings.background {
        // Its log is still written to.
        refuse_served(&mountpoint, &runtime_dir)?;
        return background::launch(&log_file);
    }
    start_logging(&settings, Level::INFO);
    tracing::debug!(?memory, "process hardened");
    serve_settings(&surroundings, &settings, mountpoint, runtime_dir, None, || {})?;
    Ok(ExitCode::SUCCESS)
}

/// `credmount mount`.
pub(super) fn run_named(args: &MountNamedArgs) -> Result<ExitCode> {
    hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.log.config.as_deref());
    surroundings.settings(&args.flags(), Selection::Mounts(&args.names), &[])?;
    serve_named()
}

fn serve_named() -> Result<ExitCode> {
    bail!("this version serves one mount: name its MOUNTPOINT")
}

/// The commands that change what a daemon serves.
pub(super) fn change_served() -> Result<ExitCode> {
    bail!("daemons of this version serve what they were started with")
}

/// The process that stays: tells the one that launched it how it went.
fn stay(
    surroundings: &Surroundings,
    settings: &Settings,
    mountpoint: PathBuf,
    runtime_dir: PathBuf,
    log_file: &Path,
) -> Result<ExitCode> {
    background::detach()?;
    start_logging(settings, Level::INFO);
    let log_file = Some(log_file.display().to_string());
    let served = serve_settings(
        surroundings,
        settings,
        mountpoint,
        runtime_dir,
        log_file,
        background::ready,
    );
    match served {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            background::failed(&error);
            report(&error);
            Ok(exit_code(&error))
        }
    }
}

fn serve_settings(
    surroundings: &Surroundings,
    settings: &Settings,
    mountpoint: PathBuf,
    runtime_dir: PathBuf,
    log_file: Option<String>,
    ready: impl FnOnce(),
) -> Result<()> {
    let mount = settings.mounts.first().cloned().context("there is no mount to serve")?;
    let reader_path = mount.reader_path.as_deref().map(ReaderPath::parse).transpose()?;
    let clock = Arc::new(SystemClock);
    runtime()?
        .block_on(async {
            let sts = Arc::new(surroundings.sts(settings, clock.clone()).await);
            let plan = Plan {
                mountpoint,
                served: Served {
                    roles: mount.roles,
                    default: mount.default,
                    live_only: mount.live_only,
                },
                min_ttl: settings.min_ttl,
                open_deadline: settings.open_deadline,
                reader_path,
                base_files: surroundings.base_files(),
                runtime_dir,
                log_file,
            };
            serve(plan, sts, clock, ready).await
        })
        .map_err(with_advice)
}

/// The failures of all roles with what to do about each, as `check` says it.
fn with_advice(error: anyhow::Error) -> anyhow::Error {
    let Some(NoRole { failures }) = error.downcast_ref() else { return error };
    let advice =
        |failure: &crate::broker::SessionError| format!("{failure}\n  {}", failure.cause.advice());
    let told: Vec<_> = failures.iter().map(advice).collect();
    anyhow::anyhow!("no role can be had, so nothing was mounted\n{}", told.join("\n"))
}
