//! `credmount service`: the steps of a systemd unit.
//!
//! Mounting needs `fusermount3`, which a confined service may not use. So the mounts are made and
//! given into keeping before the service starts, and removed after it has stopped, by two steps that
//! are not confined; the service itself adopts what is kept.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use tracing::Level;

use super::blueprint::{Blueprint, Wanted};
use super::daemon::state;
use super::lifeline::{self, Lifeline};
use super::mount::{absolute, serve};
use super::plan::Plan;
use super::surroundings::{Surroundings, start_logging};
use crate::cli::{ServiceArgs, ServiceStep};
use crate::config::Flags;
use crate::fuse::{Connections, mount};
use crate::os::hardening;

/// Runs one step.
pub(super) fn run(args: &ServiceArgs) -> Result<ExitCode> {
    // Before anything is opened.
    let lifeline = Lifeline::of_environment();
    hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.mount.common.log.config.as_deref());
    if args.step == ServiceStep::Clean {
        return clean(&surroundings, &args.unit);
    }
    let blueprint = blueprint(surroundings, args)?;
    let settings = blueprint.settings(&[])?;
    start_logging(&settings, Level::INFO);
    match args.step {
        ServiceStep::Prepare => {
            let plans = blueprint.plans(&settings)?;
            prepare(&blueprint, &plans, &lifeline)?;
            Ok(ExitCode::SUCCESS)
        }
        ServiceStep::Run | ServiceStep::Clean => {
            serve(blueprint, settings, None, lifeline.of_unit(&args.unit), || {})
        }
    }
}

fn blueprint(surroundings: Surroundings, args: &ServiceArgs) -> Result<Blueprint> {
    let flags = args.mount.flags();
    let (flags, wanted) = match (&args.instance, &args.mount.mountpoint) {
        (Some(name), _) => instance(&surroundings, flags, name)?,
        (None, Some(path)) => (flags, Wanted::Mountpoint(absolute(path)?)),
        (None, None) => (flags, Wanted::Mounts(Vec::new())),
    };
    Ok(Blueprint::new(surroundings, flags, wanted))
}

/// What an instance of a template unit stands for.
fn instance(surroundings: &Surroundings, flags: Flags, name: &str) -> Result<(Flags, Wanted)> {
    if surroundings.mount_names()?.iter().any(|mount| mount == name) {
        return Ok((flags, Wanted::Mounts(vec![name.to_owned()])));
    }
    let home = surroundings.home().context("HOME is not set, below which to mount")?;
    let live = Path::new(home).join(".aws-live");
    let made = DirBuilder::new().mode(0o700).recursive(true).create(&live);
    made.with_context(|| format!("making {}", live.display()))?;
    let roles = if flags.roles.is_empty() && !surroundings.names_roles() {
        vec![name.to_owned()]
    } else {
        flags.roles.clone()
    };
    Ok((Flags { roles, ..flags }, Wanted::Mountpoint(absolute(&live.join(name))?)))
}

/// Mounts what is not mounted and has it kept. A failure takes back what was mounted here.
fn prepare(blueprint: &Blueprint, plans: &[Plan], lifeline: &Lifeline) -> Result<()> {
    let manager = lifeline.manager.as_ref();
    let manager = manager.context("NOTIFY_SOCKET is not set; systemd runs this step")?;
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let base_files = blueprint.surroundings.base_files();
    let mut made = Vec::new();
    let mount = |plan: &Plan| -> Result<()> {
        if mount::mounted_at(&plan.mountpoint)?.is_some() && !mount::is_dead(&plan.mountpoint) {
            // Kept from an earlier start.
            return Ok(());
        }
        let _lock = plan.prepare(&runtime_dir, &base_files)?;
        let shape = plan.shape();
        let connections = Connections::make(&plan.mountpoint, shape)?;
        made.push(plan.mountpoint.clone());
        for (name, descriptor) in lifeline::names(&plan.stem(), shape, &connections) {
            manager.keep(&name, &plan.mountpoint, descriptor).context("telling systemd")?;
        }
        Ok(())
    };
    let mounted = plans.iter().try_for_each(mount);
    // Until systemd has them, they live by this process alone.
    let kept = mounted.and_then(|()| manager.barrier(BARRIER).context("waiting for systemd"));
    kept.inspect_err(|_| {
        for path in &made {
            if let Err(error) = mount::unmount(path) {
                tracing::warn!(%error, "the mount stays");
            }
        }
    })
}

/// Unmounts what the daemon of the unit has left, unless it is to be started again.
fn clean(surroundings: &Surroundings, unit: &str) -> Result<ExitCode> {
    if surroundings.variable("SERVICE_RESULT").is_some_and(|result| result != "success")
        || is_restarting(unit)
    {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime_dir = surroundings.runtime_path();
    let mut removed = Ok(());
    for left in state::all(&runtime_dir) {
        if left.unit.as_deref() == Some(unit) {
            removed = removed.and(mount::unmount(&left.mountpoint));
            state::forget(&runtime_dir, &left.mountpoint);
        }
    }
    // Seen in the journal. The next start clears away what stays.
    Ok(removed.map(|()| ExitCode::SUCCESS)?)
}

/// Whether systemd stops the unit in order to start it again. If it does not tell, it is not.
fn is_restarting(unit: &str) -> bool {
    let mut command = Command::new("systemctl");
    command.args((!geteuid().is_root() || is_user_manager()).then_some("--user"));
    let jobs = command.args(["--no-legend", "--plain", "list-jobs", "--", unit]).output();
    jobs.is_ok_and(|jobs| has_restart(&String::from_utf8_lossy(&jobs.stdout), unit))
}

/// Whether a line `ID UNIT TYPE STATE` of systemctl's list-jobs is about a restart of the unit.
fn has_restart(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(unit) && fields.next() == Some("restart")
    })
}

/// Whether the manager of a user runs this process, as its cgroup says.
fn is_user_manager() -> bool {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cgroups.lines().any(|line| line.contains("/user@"))
}

/// systemd takes descriptors in as fast as it reads its socket.
const BARRIER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_restart_of_the_unit_itself_keeps_its_mounts() {
        let unit = "credmount.service";
        assert!(has_restart("123 credmount.service restart running\n", unit));
        assert!(!has_restart("123 credmount.service stop running\n", unit));
        assert!(!has_restart("123 credmount@x.service restart running\n", unit));
        assert!(!has_restart("No jobs running.\n", unit));
        assert!(!has_restart("", unit));
    }
}
