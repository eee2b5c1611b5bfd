//! What is done before the first mount: mount points checked, what an earlier daemon left found
//! again, and first sessions fetched.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use super::broken::{Broken, KeptMounts};
use super::live::Ground;
use super::{Shared, state};
use crate::app::lifeline::Lifeline;
use crate::app::plan::Plan;
use crate::broker::{Broker, RetryClass, Serving, SessionError};
use crate::clock::Clock;
use crate::fuse::mount;
use crate::model::RoleChain;
use crate::os::paths;

/// Every role failed, and waiting will not help.
#[derive(Debug, thiserror::Error)]
#[error("no role can be assumed")]
pub(in crate::app) struct NoRole {
    /// The failure of each role.
    pub(in crate::app) failures: Vec<SessionError>,
}

/// Finds again what `lifeline` has kept of these mounts, and makes the mount points of all others
/// ready, or none. Those that cannot be used do not keep mounts that were kept from being served:
/// then they are left out, and told in the log.
///
/// # Errors
/// What is wrong with the first one that cannot be used. With several, all that is wrong.
pub(super) fn prepare(
    plans: Vec<Plan>,
    shared: &Shared,
    base_files: &[PathBuf],
    lifeline: &mut Lifeline,
) -> Result<Vec<(Plan, Ground)>> {
    let (mut ready, mut errors) = (Vec::new(), Vec::new());
    for mut plan in plans {
        match ground(&mut plan, shared, base_files, lifeline) {
            Ok(ground) => ready.push((plan, ground)),
            Err(error) => errors.push(error),
        }
    }
    if any_kept(&ready) {
        for error in errors {
            tracing::error!("a mount is not made: {error:#}");
        }
        return Ok(ready);
    }
    match errors.len() {
        0 => Ok(ready),
        1 => Err(errors.remove(0)),
        _ => {
            let all: Vec<String> = errors[1..].iter().map(|error| format!("{error:#}")).collect();
            // The first stays what it is, since the exit code depends on it.
            Err(errors.remove(0).context(all.join("\n")))
        }
    }
}

/// As [`prepare`]. Where that fails, the mounts that were kept, which are none of these, are not lost
/// for it: they fail until it is mended, as with any other configuration that is wrong.
///
/// # Errors
/// As [`prepare`], if no mount was kept.
pub(super) fn prepare_or_hold(
    plans: Vec<Plan>,
    shared: &mut Shared,
    base_files: &[PathBuf],
    lifeline: &mut Lifeline,
) -> Result<Vec<(Plan, Ground)>> {
    let error = match prepare(plans, shared, base_files, lifeline) {
        Err(error) if lifeline.is_in_use() => error,
        prepared => return prepared,
    };
    let broken = Broken::new(&error);
    let kept = KeptMounts { lifeline, runtime_dir: &shared.runtime_dir }.plans(&broken)?;
    if kept.is_empty() {
        return Err(error);
    }
    tracing::error!("the mounts that were kept fail until this is mended: {error:#}");
    shared.broken = Some(broken);
    prepare(kept, shared, base_files, lifeline)
}

/// Whether an earlier daemon has left any of these mounts.
pub(super) fn any_kept(mounts: &[(Plan, Ground)]) -> bool {
    mounts.iter().any(|(_, ground)| matches!(ground, Ground::Kept(..)))
}

fn ground(
    plan: &mut Plan,
    shared: &Shared,
    base_files: &[PathBuf],
    lifeline: &mut Lifeline,
) -> Result<Ground> {
    let Some((shape, connections)) = lifeline.take(&plan.stem()) else {
        return Ok(Ground::Free(plan.prepare(&shared.runtime_dir, base_files)?));
    };
    if let Some(note) = plan.bow_to(shape) {
        tracing::warn!("{note}");
    }
    Ok(Ground::Kept(shape, connections))
}

/// Whether the mount was kept, but somebody has unmounted it while no daemon lived: it is not to be
/// made again.
pub(super) fn was_removed(plan: &Plan, lifeline: &Lifeline) -> bool {
    let removed = lifeline.shape_of(&plan.stem()).is_some()
        && mount::mounted_at(&plan.mountpoint).is_ok_and(|mounted| mounted.is_none());
    if removed {
        let mountpoint = plan.mountpoint.display();
        tracing::info!(%mountpoint, "the mount was removed by somebody else");
    }
    removed
}

/// Lets go of what was kept of mounts that nobody wants any more.
pub(super) fn discard(shared: &Shared, lifeline: &mut Lifeline) {
    let names = lifeline.rest();
    for state in state::all(&shared.runtime_dir) {
        let stem = paths::mount_stem(&state.mountpoint);
        if !names.iter().any(|name| name.strip_prefix(&*stem).is_some_and(|it| it.starts_with('.')))
        {
            continue;
        }
        if mount::mounted_at(&state.mountpoint).is_ok_and(|mounted| mounted.is_some()) {
            let mountpoint = state.mountpoint.display();
            tracing::warn!(%mountpoint, "the mount is not configured any more and is removed");
            if let Err(error) = mount::unmount(&state.mountpoint) {
                tracing::warn!(%error, "it stays");
            }
        }
        state::forget(&shared.runtime_dir, &state.mountpoint);
    }
    shared.release(&names);
}

/// Refuses to go on when no role works and none will without somebody's help.
///
/// # Errors
/// [`NoRole`] with the failure of each role.
pub(super) fn some_role(
    broker: &Broker,
    clock: &dyn Clock,
    chains: &[Arc<RoleChain>],
) -> Result<(), NoRole> {
    let now = clock.now();
    let failures: Vec<SessionError> = chains
        .iter()
        .filter_map(|chain| match broker.serving(chain, now) {
            // Neither can a code be given nor a sign-in be noticed unless a daemon is there.
            Serving::Failing(error) if error.cause.needs_person() => None,
            Serving::Failing(error) if error.cause.retry() == RetryClass::Permanent => Some(error),
            _ => None,
        })
        .collect();
    if !chains.is_empty() && failures.len() == chains.len() {
        Err(NoRole { failures })
    } else {
        Ok(())
    }
}

/// The failures of all roles with what to do about each, as `check` says it.
pub(in crate::app) fn with_advice(error: &NoRole) -> anyhow::Error {
    let advice = |failure: &SessionError| format!("{failure}\n  {}", failure.cause.advice());
    let told: Vec<_> = error.failures.iter().map(advice).collect();
    anyhow::anyhow!("no role can be had, so nothing was mounted\n{}", told.join("\n"))
}
