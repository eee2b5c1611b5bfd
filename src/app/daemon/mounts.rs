//! What is done to mounts while the daemon serves: one is made, added at run time, removed, ended,
//! or all are locked.

use anyhow::{Context, Result};

use super::lease::Lease;
use super::live::{Ground, LiveMount};
use super::needs::Needs;
use super::state::{self, DaemonState};
use super::{Daemon, Happening, Served, Shared, observe, start, with_advice};
use crate::app::plan::Plan;
use crate::audit::{Event, Moment, UnmountReason};
use crate::broker::Cause;
use crate::config::AddedMount;
use crate::control::LeaseRequest;

impl Daemon {
    /// Makes one mount. Its sessions are under way already.
    pub(super) async fn mount(
        &mut self,
        plan: Plan,
        ground: Ground,
        added: Option<(AddedMount, Lease)>,
    ) -> Result<()> {
        self.next_number += 1;
        let number = self.next_number;
        let happen = self.happen.clone();
        let gone = move |end| drop(happen.send(Happening::Gone(number, end)));
        let (path, is_new) = (plan.mountpoint.clone(), matches!(ground, Ground::Free(_)));
        let started = LiveMount::start(plan, ground, &self.shared, gone).await;
        let mount = started.inspect_err(|_| {
            if is_new {
                state::forget(&self.shared.runtime_dir, &path);
            }
        })?;
        if let Some((_, lease)) = &added {
            let happen = self.happen.clone();
            let over = move |reason| drop(happen.send(Happening::LeaseOver(number, reason)));
            lease.watch(self.shared.clock.clone(), over);
        }
        self.note(observe::mounted(&mount.plan, self.now()));
        self.mounts.push(Served { number, mount, added });
        self.changed();
        Ok(())
    }

    /// Makes the mounts that the daemon begins with, all or none; if it `takes_over` what was kept,
    /// those at least.
    pub(super) async fn mount_all(
        &mut self,
        mounts: Vec<(Plan, Ground)>,
        mut added: Vec<(AddedMount, Lease)>,
        takes_over: bool,
    ) -> Result<()> {
        for (plan, ground) in mounts {
            let own = added.iter().position(|(mount, _)| Some(&mount.name) == plan.name.as_ref());
            let own = own.map(|at| added.swap_remove(at));
            let kept = matches!(ground, Ground::Kept(..));
            match self.mount(plan, ground, own).await {
                Ok(()) => {}
                // It stays kept: a later daemon may serve it.
                Err(error) if kept => return Err(error),
                Err(error) if takes_over => tracing::error!("a mount is not made: {error:#}"),
                Err(error) => {
                    // The error that led here is the one to tell; others are in the log.
                    let _ = self.unmount_all().await;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Adds a mount at run time.
    pub(super) async fn add(&mut self, added: AddedMount, asked: LeaseRequest) -> Result<String> {
        let lease = Lease::new(&asked, self.shared.clock.now())?;
        let name = added.name.clone();
        let mut all = self.added();
        all.push(added.clone());
        let settings = self.blueprint.settings(&all)?;
        let plans = self.blueprint.plans(&settings)?;
        let plan = plans.into_iter().find(|plan| plan.name.as_ref() == Some(&name));
        let plan = plan.with_context(|| format!("the mount {name} was not understood"))?;
        let base_files = self.blueprint.surroundings.base_files();
        let ground = Ground::Free(plan.prepare(&self.shared.runtime_dir, &base_files)?);
        if !self.shared.locked {
            let needs = Needs::of([&plan]);
            needs.fetch(&self.shared, plan.open_deadline).await;
            start::some_role(&self.shared.broker, &*self.shared.clock, &needs.chains)
                .map_err(|error| with_advice(&error))?;
        }
        let made = self.mount(plan, ground, Some((added, lease))).await;
        if made.is_err() {
            // Sessions of a mount that was not made are forgotten.
            self.changed();
        }
        self.remember();
        made.map(|()| String::new())
    }

    /// The mounts that were added.
    pub(super) fn added(&self) -> Vec<AddedMount> {
        let added = self.mounts.iter().filter_map(|it| it.added.as_ref());
        added.map(|(mount, _)| mount.clone()).collect()
    }

    pub(super) async fn remove(&mut self, name: &str) -> Result<()> {
        let named = |it: &Served| it.added.as_ref().is_some_and(|(added, _)| added.name == name);
        let Some(at) = self.mounts.iter().position(named) else {
            let configured =
                self.mounts.iter().any(|it| it.mount.plan.name.as_deref() == Some(name));
            anyhow::ensure!(
                !configured,
                "mount {name} is of the configuration: take it out of the file, then credmount \
                 reload"
            );
            anyhow::bail!("this daemon has no mount {name}; credmount status lists its mounts");
        };
        self.end(at, UnmountReason::Command).await
    }

    /// Ends one mount; the daemon goes on.
    pub(super) async fn end(&mut self, at: usize, reason: UnmountReason) -> Result<()> {
        let mut ended = self.mounts.remove(at);
        if let Some((_, lease)) = &ended.added {
            lease.cancel();
        }
        // Readers are told first, then nobody lists it and its sessions are forgotten, and only then
        // is its mount point free.
        ended.mount.close(Some(Cause::Ended)).await;
        ended.mount.offer.close().await;
        self.remember();
        self.changed();
        let done = ended.mount.unmount(&self.shared).await;
        self.note(observe::unmounted(&ended.mount.plan, reason, self.now()));
        self.ended.push(ended);
        done
    }

    /// Unmounts what has ended, if that could not be done then.
    ///
    /// # Errors
    /// If there is no such mount, or it still cannot be unmounted.
    pub(super) async fn unmount_ended(&mut self, mountpoint: &str) -> Result<()> {
        let mut ended = self.ended.iter_mut().map(|it| &mut it.mount);
        let left = ended
            .find(|it| it.is_mounted() && it.plan.mountpoint.display().to_string() == mountpoint);
        let left = left.with_context(|| format!("{mountpoint} is not a mount of this daemon"))?;
        left.unmount(&self.shared).await
    }

    /// Has a later daemon know what this one would; tells whether that could be done.
    pub(super) fn remember(&self) -> bool {
        let added = self.mounts.iter().filter_map(|it| it.added.as_ref());
        let added = added.map(|(mount, lease)| lease.state(mount.clone())).collect();
        let Shared { unit, locked, keeps_logins, .. } = &self.shared;
        let (unit, locked, keeps_logins) = (unit.clone(), *locked, *keeps_logins);
        DaemonState { unit, locked, keeps_logins, added }.keep(&self.state_file)
    }

    pub(super) async fn lock(&mut self, locked: bool) -> Result<String> {
        self.shared.locked = locked;
        let is_kept = self.remember();
        // First no new session, so that none is rendered after the lock was answered.
        self.changed();
        self.fill_safe();
        for it in &self.mounts {
            it.mount.close(locked.then_some(Cause::Locked)).await;
        }
        tracing::info!("{}", if locked { "locked" } else { "unlocked" });
        let moment = Moment { time: self.now() };
        self.note(if locked { Event::Lock(moment) } else { Event::Unlock(moment) });
        if is_kept {
            return Ok(String::new());
        }
        let until = if locked {
            "locked, but only until this daemon ends"
        } else {
            "unlocked, but a daemon in the place of this one would be locked"
        };
        Ok(format!("{until}: it could not be written down, as the log of the daemon tells"))
    }
}
