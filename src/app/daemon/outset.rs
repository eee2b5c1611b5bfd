//! What a daemon begins with: what is configured, the mounts that were added to an earlier daemon,
//! and, where the configuration is wrong, what is known of the mounts that one has left.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Result;

use super::broken::{Broken, KeptMounts};
use super::lease::Lease;
use super::observe::{self, NextLog};
use super::state::AddedState;
use crate::app::blueprint::Blueprint;
use crate::app::plan::Plan;
use crate::audit::Recorder;
use crate::config::{AddedMount, Settings};

/// What a daemon begins with.
#[derive(Debug)]
pub(super) struct Outset {
    pub(super) settings: Settings,
    pub(super) plans: Vec<Plan>,
    /// The mounts among these that were added, and are not over.
    pub(super) added: Vec<(AddedMount, Lease)>,
    pub(super) log: NextLog,
    pub(super) broken: Option<Broken>,
}

/// What a configuration comes to that is right.
struct Configured {
    settings: Settings,
    plans: Vec<Plan>,
    log: NextLog,
    /// Why the mounts that were added are not among these plans, if so.
    left_out: Option<anyhow::Error>,
}

impl Outset {
    /// That of these settings with the mounts that were `added` to an earlier daemon. Where the
    /// settings are wrong, or the added mounts do not fit them, what was kept of the mounts concerned
    /// is served as failing.
    ///
    /// # Errors
    /// What is wrong with the settings, if nothing was kept.
    pub(super) fn new(
        blueprint: &Blueprint,
        settings: Result<Settings>,
        added: Vec<AddedState>,
        recorder: &Recorder,
        kept: KeptMounts<'_>,
        now: SystemTime,
    ) -> Result<Self> {
        let paths = |added: &[(AddedMount, Lease)]| -> Vec<PathBuf> {
            added.iter().map(|(mount, _)| mount.path.clone()).collect()
        };
        let once_added: Vec<PathBuf> = added.iter().map(|it| it.mount.path.clone()).collect();
        let resume = |it: AddedState| Some((it.mount.clone(), Lease::resume(&it, now)?));
        let added: Vec<_> = added.into_iter().filter_map(resume).collect();
        let made = settings.and_then(|settings| configured(blueprint, settings, &added, recorder));
        match made {
            Ok(Configured { settings, plans, log, left_out: None }) => {
                Ok(Self { settings, plans, added, log, broken: None })
            }
            Ok(Configured { settings, mut plans, log, left_out: Some(error) }) => {
                if !kept.are_any() {
                    tracing::error!("mounts that were added are not served any more: {error:#}");
                    return Ok(Self { settings, plans, added: Vec::new(), log, broken: None });
                }
                tracing::error!("mounts that were added fail until this is mended: {error:#}");
                let (broken, paths) = (Broken::new(&error), paths(&added));
                let failing = kept.plans(&broken)?;
                plans.extend(failing.into_iter().filter(|plan| paths.contains(&plan.mountpoint)));
                Ok(Self { settings, plans, added, log, broken: Some(broken) })
            }
            Err(error) if kept.are_any() => {
                tracing::error!(
                    "the configuration is broken; every mount that was kept tells its readers so, \
                     until this is mended: {error:#}"
                );
                let (broken, paths) = (Broken::new(&error), paths(&added));
                let mut plans = kept.plans(&broken)?;
                // The time of these was over while no daemon lived.
                let is_over = |path: &PathBuf| once_added.contains(path) && !paths.contains(path);
                plans.retain(|plan| !is_over(&plan.mountpoint));
                let (settings, log) = (Settings::default(), NextLog::Another(None));
                Ok(Self { settings, plans, added, log, broken: Some(broken) })
            }
            Err(error) => Err(error),
        }
    }
}

fn configured(
    blueprint: &Blueprint,
    settings: Settings,
    added: &[(AddedMount, Lease)],
    recorder: &Recorder,
) -> Result<Configured> {
    let mounts: Vec<AddedMount> = added.iter().map(|(mount, _)| mount.clone()).collect();
    let (settings, left_out) = if mounts.is_empty() {
        (settings, None)
    } else {
        match blueprint.settings(&mounts) {
            Ok(settings) => (settings, None),
            Err(error) => (settings, Some(error)),
        }
    };
    let plans = blueprint.plans(&settings)?;
    let log = observe::next_log(&settings, recorder)?;
    Ok(Configured { settings, plans, log, left_out })
}
