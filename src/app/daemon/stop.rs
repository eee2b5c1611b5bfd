//! How the daemon stops: mounts first, then whoever still reads or waits for an answer.

use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::control::Answer;
use super::{Daemon, observe};
use crate::audit::UnmountReason;
use crate::broker::Cause;
use crate::control::Conversations;

/// Why the daemon stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal.
    Signal(&'static str),
    /// The last mount was unmounted by command; the answer is still due.
    Asked(Answer),
    /// The last mount was removed by somebody else.
    Removed,
    /// The connection of the last mount to the kernel broke.
    Broken(io::Error),
}

impl Daemon {
    /// Unmounts everything. Errors are logged; the first one is returned.
    pub(super) fn unmount_all(&mut self) -> Result<()> {
        let mut first = Ok(());
        for it in &mut self.mounts {
            if let Err(error) = it.mount.unmount() {
                tracing::warn!(mount = it.mount.plan.label(), "{error:#}");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Unmounts, lets the last readers finish, and answers who asked for it.
    pub(super) async fn stop(
        mut self,
        stop: Stop,
        mut tasks: JoinSet<()>,
        mut conversations: Conversations,
    ) -> Result<()> {
        if let Stop::Signal(signal) = &stop {
            tracing::info!(signal, "stopping");
        }
        let unmounted = self.unmount_all();
        if unmounted.is_ok() {
            // Readers inside, and bind mounts in containers, may keep the connection open.
            for it in &mut self.mounts {
                it.mount.last_readers().await;
            }
        }
        for it in &self.mounts {
            // Whoever still holds the mount gets no keys that nobody records.
            it.mount.close(Some(Cause::Ended)).await;
            self.note(observe::unmounted(&it.mount.plan, UnmountReason::Stop, self.now()));
        }
        self.note(observe::stopped(self.now()));
        self.shared.recorder.replace(None).await;
        // Removes the socket: a daemon that has answered `unmount` is seen by nobody any more.
        tasks.shutdown().await;
        self.mounts.clear();
        match stop {
            Stop::Asked(answer) => {
                let done = unmounted.as_ref().map(|()| String::new());
                answer.give(done.map_err(|error| anyhow::anyhow!("{error:#}")));
                let _ = tokio::time::timeout(ANSWER_GRACE, conversations.ended()).await;
                unmounted
            }
            Stop::Broken(error) => Err(error).context("the connection to the kernel broke"),
            Stop::Removed => {
                tracing::info!("no mount is left; stopping");
                Ok(())
            }
            Stop::Signal(_) => unmounted,
        }
    }
}

/// How long the answer to `unmount` may take to be written; others may be talking, too.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
