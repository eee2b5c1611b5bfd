//! What the daemon hears: orders over the control socket, signals, and what happens to its mounts
//! by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::control::{Asked, Order};
use super::signals::{Heard, Signals};
use super::stop::Stop;
use super::{Daemon, Happening, Served, broken, observe};
use crate::audit::UnmountReason;
use crate::fuse::is_panic;
use crate::os::manager::Manager;

impl Daemon {
    /// Does what is asked and what happens, one after the other, until it is time to stop.
    pub(super) async fn serve(
        &mut self,
        signals: &mut Signals,
        mut asked: mpsc::Receiver<Asked>,
    ) -> Stop {
        let mut tries = broken::tries();
        loop {
            tokio::select! {
                heard = signals.heard() => match heard {
                    Heard::Stop(signal) => return Stop::Signal(signal),
                    Heard::Reload => {
                        tracing::info!("reloading after SIGHUP");
                        self.shared.recorder.reopen();
                        if let Err(error) = self.reload().await {
                            tracing::error!("nothing is changed: {error:#}");
                        }
                    }
                },
                _ = tries.tick(), if self.shared.broken.is_some() => self.try_again().await,
                Some(asked) = asked.recv() => {
                    if let Some(stop) = self.obey(asked).await {
                        return stop;
                    }
                }
                Some(happening) = self.happenings.recv() => {
                    if let Some(stop) = self.happened(happening).await {
                        return stop;
                    }
                }
            }
        }
    }

    /// Whether somebody keeps the mounts and starts a daemon anew. Of a unit that is not ours it is
    /// not known what it does.
    fn is_kept(&self) -> bool {
        let hears = |supervisor: &Arc<Manager>| supervisor.barrier(SUPERVISOR_DEADLINE).is_ok();
        self.mounts_stay || self.supervisor().is_some_and(hears)
    }

    fn supervisor(&self) -> Option<&Arc<Manager>> {
        self.shared.manager.as_ref().filter(|it| it.is_supervisor())
    }

    /// Whether a daemon in the place of this one would serve as well.
    fn may_restart(&self) -> Result<()> {
        let supervisor = self.supervisor();
        anyhow::ensure!(
            self.mounts_stay || supervisor.is_some(),
            "nothing keeps the mounts of this daemon while it restarts; start it with --supervise \
             or as a systemd service"
        );
        if let Some(supervisor) = supervisor {
            // One that was killed keeps nothing any more.
            supervisor.barrier(SUPERVISOR_DEADLINE).context(
                "the supervisor of this daemon is gone, and nothing else would keep the mounts; \
                 unmount them and start again with --supervise",
            )?;
        }
        if self.shared.broken.is_none() {
            let settings = self.blueprint.settings(&self.added());
            settings.context(
                "the next daemon would have no keys to serve, since the configuration is broken \
                 now; mend it first",
            )?;
        }
        Ok(())
    }

    async fn obey(&mut self, asked: Asked) -> Option<Stop> {
        let (order, answer) = asked.split();
        let done = match order {
            Order::Unmount(mountpoint) => {
                let is = |it: &Served| it.mount.plan.mountpoint.display().to_string() == mountpoint;
                let at = self.mounts.iter().position(is);
                match at {
                    Some(at) if self.mounts.len() == 1 && self.ends_with_last => {
                        match self.mounts[at].mount.unmount(&self.shared).await {
                            // The answer is given when nothing of the daemon is left.
                            Ok(()) => return Some(Stop::Asked(answer)),
                            // Who reads it reads on.
                            Err(error) => Err(error),
                        }
                    }
                    Some(at) => self.end(at, UnmountReason::Command).await.map(|()| String::new()),
                    None => self.unmount_ended(&mountpoint).await.map(|()| String::new()),
                }
            }
            Order::Restart => match self.may_restart() {
                Ok(()) => return Some(Stop::Restart(answer)),
                Err(error) => Err(error),
            },
            Order::Reload => self.reload().await,
            Order::Add(added, lease) => self.add(*added, lease).await,
            Order::Remove(name) => self.remove(&name).await.map(|()| String::new()),
            Order::Lock => self.lock(true).await,
            Order::Unlock => self.lock(false).await,
        };
        answer.give(done);
        None
    }

    async fn happened(&mut self, happening: Happening) -> Option<Stop> {
        match happening {
            // It is whole: another daemon can serve it, and all that are bound to it live on.
            Happening::Gone(_, Err(error)) if is_panic(&error) && self.is_kept() => {
                Some(Stop::GaveUp(error))
            }
            Happening::Gone(number, end) => {
                for mut it in self.ended.extract_if(.., |it| it.number == number) {
                    it.mount.let_go(&self.shared).await;
                }
                let at = self.mounts.iter().position(|it| it.number == number)?;
                let mut gone = self.mounts.remove(at);
                self.remember();
                let mountpoint = gone.mount.plan.mountpoint.display().to_string();
                let reason =
                    if end.is_ok() { UnmountReason::Foreign } else { UnmountReason::Broken };
                self.note(observe::unmounted(&gone.mount.plan, reason, self.now()));
                self.changed();
                match end {
                    Ok(()) if gone.mount.is_dead() => {
                        tracing::error!(mountpoint, "the connection to the kernel was aborted");
                        if let Err(error) = gone.mount.unmount(&self.shared).await {
                            tracing::warn!("the dead mount stays: {error:#}");
                        }
                    }
                    Ok(()) => {
                        gone.mount.let_go(&self.shared).await;
                        tracing::info!(mountpoint, "the mount was removed by somebody else");
                    }
                    Err(error) => {
                        tracing::error!(mountpoint, %error, "the connection to the kernel broke");
                        if let Err(error) = gone.mount.unmount(&self.shared).await {
                            tracing::warn!(%error, "the broken mount stays");
                        }
                        if self.mounts.is_empty() && self.ends_with_last {
                            return Some(Stop::Broken(error));
                        }
                    }
                }
                (self.mounts.is_empty() && self.ends_with_last).then_some(Stop::Removed)
            }
            Happening::LeaseOver(number, reason) => {
                let at = self.mounts.iter().position(|it| it.number == number)?;
                let name = self.mounts[at].mount.plan.label();
                tracing::info!(name, ?reason, "the time of the mount is over");
                if let Err(error) = self.end(at, reason).await {
                    tracing::warn!(name, "{error:#}");
                }
                None
            }
        }
    }
}

/// How long our supervisor, which does next to nothing, may take to answer.
const SUPERVISOR_DEADLINE: Duration = Duration::from_secs(5);
