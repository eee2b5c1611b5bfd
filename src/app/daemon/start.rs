//! What is done before the first mount: mount points checked and first sessions fetched.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;

use crate::app::plan::Plan;
use crate::broker::{Broker, RetryClass, Serving, SessionError};
use crate::clock::Clock;
use crate::model::RoleChain;

/// Every role failed, and waiting will not help.
#[derive(Debug, thiserror::Error)]
#[error("no role can be assumed")]
pub(in crate::app) struct NoRole {
    /// The failure of each role.
    pub(in crate::app) failures: Vec<SessionError>,
}

/// Makes all mount points ready, or none.
///
/// # Errors
/// What is wrong with the first one that cannot be used. With several, all that is wrong.
pub(super) fn prepare(
    plans: &[Plan],
    runtime_dir: &Path,
    base_files: &[PathBuf],
) -> Result<Vec<OwnedFd>> {
    let (mut locks, mut errors) = (Vec::new(), Vec::new());
    for plan in plans {
        match plan.prepare(runtime_dir, base_files) {
            Ok(lock) => locks.push(lock),
            Err(error) => errors.push(error),
        }
    }
    match errors.len() {
        0 => Ok(locks),
        1 => Err(errors.remove(0)),
        _ => {
            let all: Vec<String> = errors[1..].iter().map(|error| format!("{error:#}")).collect();
            // The first stays what it is, since the exit code depends on it.
            Err(errors.remove(0).context(all.join("\n")))
        }
    }
}

/// Fetches all roles at once. A role that fails for now is kept; the mount shows its failure.
pub(super) async fn first_sessions(
    broker: &Arc<Broker>,
    chains: &[Arc<RoleChain>],
    deadline: Duration,
) {
    let mut waits = JoinSet::new();
    for chain in chains {
        let (broker, chain) = (broker.clone(), chain.clone());
        waits.spawn(async move { broker.settled(&chain, deadline).await });
    }
    waits.join_all().await;
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
