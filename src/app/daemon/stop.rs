//! How the daemon stops: mounts first, then whoever still reads or waits for an answer.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::control::Answer;
use super::state::DaemonState;
use super::{Daemon, observe};
use crate::audit::UnmountReason;
use crate::control::Conversations;

/// Why the daemon stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal.
    Signal(&'static str),
    /// The last mount was unmounted by command; the answer is still due.
    Asked(Answer),
    /// Another daemon is to take this one's place; the answer is still due.
    Restart(Answer),
    /// The last mount was removed by somebody else.
    Removed,
    /// The connection of the last mount to the kernel broke.
    Broken(io::Error),
    /// Requests panicked over and over; another daemon is to try its luck with the same mounts.
    GaveUp(io::Error),
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::app) enum Ended {
    /// For good.
    Stopped,
    /// To be started again; its mounts are kept.
    Restart,
}

impl Daemon {
    /// Unmounts everything. Errors are logged; the first one is returned.
    pub(super) fn unmount_all(&mut self) -> Result<()> {
        let mut first = Ok(());
        // Of those that have ended, the ones that could not be unmounted then.
        for it in self.mounts.iter_mut().chain(&mut self.ended) {
            if let Err(error) = it.mount.unmount(&self.shared) {
                tracing::warn!(mount = it.mount.plan.label(), "{error:#}");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Unmounts, unless the mounts are for a later daemon, lets the last readers finish, and answers
    /// who asked for it.
    pub(super) async fn stop(
        mut self,
        stop: Stop,
        mut tasks: JoinSet<()>,
        mut conversations: Conversations,
    ) -> Result<Ended> {
        self.shared.tell("STOPPING=1");
        let mounts_stay = match &stop {
            Stop::Signal(signal) => {
                tracing::info!(signal, mounts_stay = self.mounts_stay, "stopping");
                self.mounts_stay
            }
            Stop::Restart(_) => {
                tracing::info!("stopping for another daemon to take over");
                true
            }
            Stop::GaveUp(_) => true,
            Stop::Asked(_) | Stop::Removed | Stop::Broken(_) => false,
        };
        if mounts_stay {
            // What is asked from now on waits in the kernel.
            self.note(observe::stopped(self.now()));
            self.shared.recorder.finish().await;
            tasks.shutdown().await;
            return match stop {
                Stop::Restart(answer) => {
                    answer.give(Ok(String::new()));
                    let _ = tokio::time::timeout(ANSWER_GRACE, conversations.ended()).await;
                    Ok(Ended::Restart)
                }
                Stop::GaveUp(error) => Err(error).context("requests panic over and over"),
                _ => Ok(Ended::Stopped),
            };
        }
        // Whoever ends it for good ends the logins.
        self.shared.safe.set_open(false);
        let reason = match &stop {
            Stop::Asked(_) => UnmountReason::Command,
            _ => UnmountReason::Stop,
        };
        let unmounted = self.unmount_all();
        if unmounted.is_ok() {
            DaemonState::default().keep(&self.state_file);
            // Readers inside, and bind mounts in containers, may keep the connection open.
            for it in &mut self.mounts {
                it.mount.last_readers().await;
            }
        }
        for it in &self.mounts {
            self.note(observe::unmounted(&it.mount.plan, reason, self.now()));
        }
        self.note(observe::stopped(self.now()));
        self.shared.recorder.finish().await;
        // Removes the socket: a daemon that has answered `unmount` is seen by nobody any more.
        tasks.shutdown().await;
        self.mounts.clear();
        match stop {
            Stop::Asked(answer) => {
                let done = unmounted.as_ref().map(|()| String::new());
                answer.give(done.map_err(|error| anyhow::anyhow!("{error:#}")));
                let _ = tokio::time::timeout(ANSWER_GRACE, conversations.ended()).await;
                unmounted?;
            }
            Stop::Broken(error) => return Err(error).context("the connection to the kernel broke"),
            Stop::Removed => tracing::info!("no mount is left; stopping"),
            Stop::Signal(_) | Stop::Restart(_) | Stop::GaveUp(_) => unmounted?,
        }
        Ok(Ended::Stopped)
    }
}

/// How long the answer to `unmount` may take to be written; others may be talking, too.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
