//! One flight: from the decision to ask for a session to its landing, with all its attempts. Must
//! not know who waits for it, save whether anybody does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::cache::{Broker, Entry};
use super::schedule::pause_in_flight;
use super::slot::Slot;
use super::{Cause, SessionError, SessionSource};
use crate::model::{RoleHop, StsSession};

impl Broker {
    /// Starts a flight if the slot `needs` one and none is under way; if one is, and this is
    /// `urgent`, it hastens. All is decided under one lock: between a look at the slot and the
    /// start, a flight may land that answers the need. The flight is a task of its own: a reader
    /// that gives up does not cancel what others wait for.
    pub(super) fn launch(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        urgent: bool,
        needs: impl FnOnce(&Slot) -> bool,
    ) {
        {
            let mut slot = entry.slot.lock();
            if !needs(&slot) {
                return;
            }
            if urgent {
                entry.urgent.send_if_modified(|urgent| !std::mem::replace(urgent, true));
            }
            if !slot.start() {
                return;
            }
        }
        let broker = self.clone();
        let entry = entry.clone();
        tokio::spawn(async move {
            let load = {
                let (broker, entry) = (broker.clone(), entry.clone());
                // A task of its own, so that a panic in it ends the flight as a failure.
                tokio::spawn(async move { broker.load(&entry).await })
            };
            let outcome = load.await.unwrap_or_else(|_| {
                let detail = "internal error while asking for a session";
                Err(SessionError::new(entry.subject(), Cause::BadAnswer, detail))
            });
            broker.land(&entry, outcome);
        });
    }

    async fn load(self: &Arc<Self>, entry: &Entry) -> Result<StsSession, SessionError> {
        let source = self.configured.read().source.clone();
        let chain = &entry.chain;
        let mut work = Work { left: FLIGHT_LIMIT };
        let Some(hop) = chain.hops.last() else {
            return work.spend(entry, source.base(&chain.base)).await;
        };
        let with = match chain.parent() {
            Some(parent) => {
                let urgent = entry.urgent.subscribe();
                let session = Box::pin(self.session(&Arc::new(parent), urgent)).await;
                session.map_err(SessionError::of_hop)?
            }
            None => Arc::new(work.spend(entry, source.base(&chain.base)).await?),
        };
        self.assume_role(entry, &*source, hop, &with, work).await
    }

    /// Calls AssumeRole until it answers with a session, or there is no point in another attempt.
    async fn assume_role(
        &self,
        entry: &Entry,
        source: &dyn SessionSource,
        hop: &RoleHop,
        with: &StsSession,
        mut work: Work,
    ) -> Result<StsSession, SessionError> {
        let mut attempt = 1;
        loop {
            entry.queued.store(true, Ordering::Relaxed);
            self.pacer.turn(entry.urgent.subscribe()).await;
            entry.queued.store(false, Ordering::Relaxed);
            let error = match work.spend(entry, source.assume_role(hop, with)).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let urgent = *entry.urgent.borrow();
            let pause = pause_in_flight(&error, attempt, urgent, (self.jitter)());
            let Some(pause) = pause.filter(|pause| *pause < work.left) else {
                return Err(error);
            };
            tracing::debug!(role = %entry.subject(), %error, attempt, "no session, asking again");
            sleep(pause).await;
            attempt += 1;
        }
    }

    fn land(&self, entry: &Entry, outcome: Result<StsSession, SessionError>) {
        let now = self.clock.now();
        let role = entry.subject();
        match &outcome {
            Ok(session) => tracing::info!(
                %role,
                access_key_id = %session.access_key_id,
                lifetime_seconds = session.lifetime().as_secs(),
                "session received"
            ),
            // Said once for all roles behind the sign-in, by those who looked.
            Err(error) if error.cause == Cause::LoginNeeded => {
                tracing::debug!(%role, %error, "no session");
            }
            Err(error) => tracing::warn!(%role, %error, "no session"),
        }
        let min_ttl = self.configured.read().min_ttl;
        {
            let mut slot = entry.slot.lock();
            slot.finish(outcome, min_ttl, now, (self.jitter)());
            entry.urgent.send_replace(false);
        }
        self.announce(entry);
    }
}

/// What is left of the time that the calls of one flight may take. Its turns in the queue do not
/// count, nor the session of the hop before, which is a flight of its own.
struct Work {
    left: Duration,
}

impl Work {
    /// Waits for `call`, as long as there is time left.
    async fn spend(
        &mut self,
        entry: &Entry,
        call: impl Future<Output = Result<StsSession, SessionError>>,
    ) -> Result<StsSession, SessionError> {
        let start = Instant::now();
        let outcome = timeout(self.left, call).await;
        self.left = self.left.saturating_sub(start.elapsed());
        outcome.unwrap_or_else(|_| Err(SessionError::new(entry.subject(), Cause::TimedOut, "")))
    }
}

/// The calls of a flight that have not ended by themselves are given up after this time.
const FLIGHT_LIMIT: Duration = Duration::from_mins(1);
