//! `credmount service`: the steps of a systemd unit.
//!
//! Mounting needs `fusermount3`, which a confined service may not use. So the mounts are made and
//! given into keeping before the service starts, and removed after it has stopped, by two steps that
//! are not confined; the service itself adopts what is kept.

use std::cell::LazyCell;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::geteuid;
use tracing::Level;

use super::blueprint::{Blueprint, Wanted};
use super::daemon::state::{self, MountState};
use super::lifeline::{self, Lifeline};
use super::mount::{absolute, serve, start_daemon_logging};
use super::plan::Plan;
use super::supervise::RESTART;
use super::surroundings::{Surroundings, start_logging};
use crate::cli::{ServiceArgs, ServiceStep};
use crate::config::Flags;
use crate::fuse::{Connections, mount};
use crate::os::manager::Manager;
use crate::os::{hardening, paths};

/// Runs one step.
pub(super) fn run(args: &ServiceArgs) -> Result<ExitCode> {
    // Before anything is opened.
    let lifeline = Lifeline::of_environment();
    hardening::harden().context("forbidding core dumps")?;
    let surroundings = Surroundings::read(args.mount.common.log.config.as_deref());
    let confined = match args.step {
        ServiceStep::Clean => return clean(&surroundings, &args.unit),
        ServiceStep::Prepare => false,
        ServiceStep::Run => true,
    };
    let blueprint = blueprint(surroundings, args, &lifeline)?;
    let settings = blueprint.settings(&[]);
    if confined && (settings.is_ok() || lifeline.is_in_use()) {
        start_daemon_logging(&settings);
        return serve(blueprint, settings, None, lifeline.of_unit(&args.unit), || {});
    }
    let settings = settings?;
    start_logging(&settings, Level::INFO);
    let plans = blueprint.plans(&settings)?;
    prepare(&blueprint, &plans, &lifeline, &args.unit)?;
    Ok(ExitCode::SUCCESS)
}

fn blueprint(
    surroundings: Surroundings,
    args: &ServiceArgs,
    lifeline: &Lifeline,
) -> Result<Blueprint> {
    let flags = args.mount.flags();
    let (flags, wanted) = match (&args.instance, &args.mount.mountpoint) {
        (Some(name), _) => instance(&surroundings, flags, name, lifeline)?,
        (None, Some(path)) => (flags, Wanted::Mountpoint(absolute(path)?)),
        (None, None) => (flags, Wanted::Mounts(Vec::new())),
    };
    Ok(Blueprint::new(surroundings, flags, wanted))
}

/// What an instance of a template unit stands for.
fn instance(
    surroundings: &Surroundings,
    flags: Flags,
    name: &str,
    lifeline: &Lifeline,
) -> Result<(Flags, Wanted)> {
    let is_configured = match surroundings.mount_names() {
        Ok(Some(names)) => names.iter().any(|mount| mount == name),
        // What cannot be read now was read by the daemon before.
        Ok(None) | Err(_) if lifeline.is_in_use() => was_configured(surroundings, name, lifeline),
        Ok(None) => false,
        Err(error) => return Err(error),
    };
    if is_configured {
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

/// Whether a mount that was kept has this name in the configuration.
fn was_configured(surroundings: &Surroundings, name: &str, lifeline: &Lifeline) -> bool {
    let kept = state::all(&surroundings.runtime_path())
        .into_iter()
        .filter(|state| lifeline.shape_of(&paths::mount_stem(&state.mountpoint)).is_some());
    kept.into_iter().any(|state| state.known.name.as_deref() == Some(name))
}

/// Mounts what is not mounted and has it kept. A failure takes back what was mounted here.
fn prepare(blueprint: &Blueprint, plans: &[Plan], lifeline: &Lifeline, unit: &str) -> Result<()> {
    let manager = lifeline.manager.as_ref();
    let manager = manager.context("NOTIFY_SOCKET is not set; systemd runs this step")?;
    let runtime_dir = blueprint.surroundings.runtime_dir()?;
    let base_files = blueprint.surroundings.base_files();
    let mut made: Vec<&Plan> = Vec::new();
    // Asked once, and only if something was left: to find out from a mount that nobody serves
    // whether it can be served again takes long, for each.
    let kept = LazyCell::new(|| keeps_descriptors(unit));
    let mount = |plan| -> Result<()> {
        let plan: &Plan = plan;
        let mounted = mount::mounted_at(&plan.mountpoint)?.is_some();
        if mounted && (*kept || !mount::is_dead(&plan.mountpoint)) {
            // Kept from an earlier start.
            return Ok(());
        }
        let left = |it: &MountState| it.is_of(unit, &plan.mountpoint);
        if !mounted && state::all(&runtime_dir).iter().any(left) && *kept {
            // Somebody has unmounted it while no daemon lived, which is for the daemon to find.
            return Ok(());
        }
        let _lock = plan.prepare(&runtime_dir, &base_files)?;
        let shape = plan.shape();
        let connections = Connections::make(&plan.mountpoint, shape)?;
        made.push(plan);
        // Of two connections of one name systemd would pass both on.
        release(manager, plan)?;
        for (name, descriptor) in lifeline::names(&plan.stem(), shape, &connections) {
            manager.keep(&name, &plan.mountpoint, descriptor).context("telling systemd")?;
        }
        Ok(())
    };
    let mounted = plans.iter().try_for_each(mount);
    // Until systemd has them, they live by this process alone.
    let kept = mounted.and_then(|()| manager.barrier(BARRIER).context("waiting for systemd"));
    kept.inspect_err(|_| {
        for plan in &made {
            if let Err(error) = mount::unmount(&plan.mountpoint) {
                tracing::warn!(%error, "the mount stays");
            }
            if let Err(error) = release(manager, plan) {
                tracing::warn!("{error:#}");
            }
        }
    })
}

/// Has systemd let go of all connections to a mount at this place.
fn release(manager: &Manager, plan: &Plan) -> Result<()> {
    let stem = plan.stem();
    let mut names = lifeline::all_names(&stem);
    names.try_for_each(|name| manager.release(&name)).context("telling systemd")
}

/// Unmounts what the daemon of the unit has left, unless it is to be started again.
fn clean(surroundings: &Surroundings, unit: &str) -> Result<ExitCode> {
    let variable = |name| surroundings.variable(name).unwrap_or_default();
    let ending = Ending {
        succeeded: variable("SERVICE_RESULT") == "success",
        exit_code: variable("EXIT_STATUS")
            .parse()
            .ok()
            .filter(|_| variable("EXIT_CODE") == "exited"),
        job: job_of(&systemctl(&["--no-legend", "--plain", "list-jobs"], unit), unit),
    };
    if ending.is_followed_by_a_start() {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime_dir = surroundings.runtime_path();
    let mut removed = Ok(());
    for left in state::all(&runtime_dir) {
        if left.is_of(unit, &left.mountpoint) {
            removed = removed.and(mount::unmount(&left.mountpoint));
            state::forget(&runtime_dir, &left.mountpoint);
        }
    }
    state::forget_daemon(&runtime_dir, unit);
    // Seen in the journal. The next start clears away what stays.
    Ok(removed.map(|()| ExitCode::SUCCESS)?)
}

/// How the daemon of a unit has ended (systemd.exec(5), `$SERVICE_RESULT`, `$EXIT_CODE`).
#[derive(Debug, Clone, Copy)]
struct Ending {
    succeeded: bool,
    /// If it was not killed.
    exit_code: Option<u8>,
    /// What systemd is doing with the unit because somebody has asked for it.
    job: Option<Job>,
}

/// A job of systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Stop,
    Restart,
}

impl Ending {
    /// Whether systemd starts the unit again by itself or as told, as the units that come with
    /// credmount have it. If it does not tell, it does not.
    fn is_followed_by_a_start(self) -> bool {
        match (self.job, self.exit_code) {
            (Some(job), _) => job == Job::Restart,
            (None, Some(code)) if code == RESTART => true,
            // A wrong configuration of a service with nothing to lose is not tried again.
            (None, Some(code)) if code == WRONG_CONFIGURATION => false,
            (None, _) => !self.succeeded,
        }
    }
}

/// The job on the unit in lines `ID UNIT TYPE STATE`. No other than these is of interest, such as
/// that of a start that fails.
fn job_of(jobs: &str, unit: &str) -> Option<Job> {
    jobs.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        match (fields.next()? == unit, fields.next()?) {
            (true, "stop") => Some(Job::Stop),
            (true, "restart" | "try-restart") => Some(Job::Restart),
            _ => None,
        }
    })
}

/// Whether systemd keeps descriptors for the unit: those of its mounts, as long as it has not been
/// stopped or given up.
fn keeps_descriptors(unit: &str) -> bool {
    let kept = systemctl(&["show", "--value", "--property=NFileDescriptorStore"], unit);
    kept.trim().parse::<u32>().is_ok_and(|kept| kept > 0)
}

/// What `systemctl ARGS -- UNIT` prints; nothing if systemd cannot be asked.
fn systemctl(args: &[&str], unit: &str) -> String {
    let mut command = Command::new("systemctl");
    command.args((!geteuid().is_root() || is_user_manager()).then_some("--user"));
    let output = command.args(args).args(["--", unit]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Whether the manager of a user runs this process, as its cgroup says.
fn is_user_manager() -> bool {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    cgroups.lines().any(|line| line.contains("/user@"))
}

/// The exit code for usage and configuration, see [`super::run`].
const WRONG_CONFIGURATION: u8 = 2;
/// systemd takes descriptors in as fast as it reads its socket.
const BARRIER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = "credmount.service";

    fn is_followed_by_a_start(succeeded: bool, exit_code: Option<u8>, jobs: &str) -> bool {
        Ending { succeeded, exit_code, job: job_of(jobs, UNIT) }.is_followed_by_a_start()
    }

    #[test]
    fn after_a_crash_and_for_a_restart_the_mounts_stay() {
        assert!(is_followed_by_a_start(false, None, "No jobs running.\n"));
        assert!(is_followed_by_a_start(false, Some(1), ""));
        assert!(is_followed_by_a_start(true, Some(RESTART), ""));
        assert!(is_followed_by_a_start(true, Some(0), "123 credmount.service restart running\n"));
        // One that had to be killed in the end.
        assert!(is_followed_by_a_start(false, None, "123 credmount.service restart running\n"));
    }

    #[test]
    fn after_a_stop_and_for_a_wrong_configuration_they_go() {
        assert!(!is_followed_by_a_start(true, Some(0), "123 credmount.service stop running\n"));
        assert!(!is_followed_by_a_start(false, None, "123 credmount.service stop running\n"));
        assert!(!is_followed_by_a_start(true, Some(0), ""));
        assert!(!is_followed_by_a_start(false, Some(WRONG_CONFIGURATION), ""));
        assert!(!is_followed_by_a_start(
            false,
            Some(WRONG_CONFIGURATION),
            "123 credmount.service start running\n"
        ));
    }

    #[test]
    fn jobs_of_other_units_tell_nothing() {
        assert_eq!(job_of("123 credmount@x.service restart running\n", UNIT), None);
        assert_eq!(
            job_of("1 a.service stop running\n2 credmount.service restart waiting\n", UNIT),
            Some(Job::Restart)
        );
    }
}
