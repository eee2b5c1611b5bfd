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
    /// Lets renewals of logins end that are under way, and none begin as long as what is returned is
    /// held. Each refresh token may be good only once: whoever comes after us would find one that is
    /// spent. An issuer that does not answer now, hardly will.
    async fn renewals_end(&self, mounts_stay: bool) -> impl Sized + use<> {
        let logins = self.shared.logins.clone();
        let sign_ins = self.blueprint.surroundings.sign_ins().clone();
        let outlive_us = mounts_stay && self.shared.keeps_logins;
        let at_rest = async move {
            let logins = if outlive_us { Some(logins.at_rest().await) } else { None };
            (logins, sign_ins.at_rest().await)
        };
        tokio::time::timeout(RENEWAL_GRACE, at_rest).await
    }

    /// Unmounts everything. Errors are logged; the first one is returned.
    pub(super) async fn unmount_all(&mut self) -> Result<()> {
        let mut first = Ok(());
        // Of those that have ended, the ones that could not be unmounted then.
        for it in self.mounts.iter_mut().chain(&mut self.ended) {
            if let Err(error) = it.mount.unmount(&self.shared).await {
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
        let _at_rest = self.renewals_end(mounts_stay).await;
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
        let unmounted = self.unmount_all().await;
        if unmounted.is_ok() {
            DaemonState::default().keep(&self.state_file);
            // Readers inside, and bind mounts in containers, may keep the connection open.
            let last_readers = async {
                for it in &mut self.mounts {
                    it.mount.last_readers().await;
                }
            };
            let _ = tokio::time::timeout(LAST_READERS, last_readers).await;
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

/// How long a renewal of a login may take that is under way.
const RENEWAL_GRACE: Duration = Duration::from_secs(5);

/// How long a stopping daemon still answers those who read while it unmounts, of all its mounts.
const LAST_READERS: Duration = Duration::from_secs(1);

/// How long the answer to `unmount` may take to be written; others may be talking, too.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
