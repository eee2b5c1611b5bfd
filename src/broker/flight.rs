//! One flight: from the decision to ask for a session to its landing, with all its attempts. Must
//! not know who waits for it, save whether anybody does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::cache::{Broker, Entry};
use super::schedule::pause_in_flight;
use super::slot::Slot;
use super::{BoxFuture, Cause, Flight, SessionError, SessionSource, Sought};
use crate::model::{BaseCredentials, Perishable as _, RoleChain, RoleHop, StsSession, TokenSource};

impl<K: Sought> Broker<K> {
    /// Starts a flight if the slot `needs` one and none is under way; if one is, and this is
    /// `urgent`, it hastens. All is decided under one lock: between a look at the slot and the
    /// start, a flight may land that answers the need. The flight is a task of its own: a reader
    /// that gives up does not cancel what others wait for.
    pub(super) fn launch(
        self: &Arc<Self>,
        entry: &Arc<Entry<K>>,
        urgent: bool,
        needs: impl FnOnce(&Slot<K::Grant>) -> bool,
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
                let flight = Flight { broker: broker.clone(), entry: entry.clone() };
                // A task of its own, so that a panic in it ends the flight as a failure.
                tokio::spawn(K::load(flight))
            };
            let outcome = load.await.unwrap_or_else(|_| {
                let detail = "internal error while asking for a session";
                Err(SessionError::new(entry.subject(), Cause::BadAnswer, detail))
            });
            broker.land(&entry, outcome);
        });
    }

    /// Makes calls until one answers, or there is no point in another attempt.
    pub(super) async fn attempts<'a>(
        &self,
        entry: &Entry<K>,
        mut work: Work,
        call: impl Fn() -> BoxFuture<'a, Result<K::Grant, SessionError>>,
    ) -> Result<K::Grant, SessionError> {
        let mut attempt = 1;
        loop {
            self.turn(entry).await;
            let error = match work.spend(entry, call()).await {
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

    /// Whether it is known already that a person has to do something, which is told once for all that
    /// is behind it: of a sign-in by those who looked for it.
    fn is_told(entry: &Entry<K>, error: &SessionError) -> bool {
        if error.cause == Cause::LoginNeeded {
            return true;
        }
        let known = entry.slot.lock().status().failure.map(|failure| failure.error.cause);
        let is_known = entry.chain.is_behind_code() || known == Some(Cause::MfaCodeNeeded);
        error.cause == Cause::MfaCodeNeeded && is_known
    }

    /// Waits until one more call may be made.
    async fn turn(&self, entry: &Entry<K>) {
        entry.queued.store(true, Ordering::Relaxed);
        self.pacer.turn(entry.urgent.subscribe()).await;
        entry.queued.store(false, Ordering::Relaxed);
    }

    fn land(&self, entry: &Entry<K>, outcome: Result<K::Grant, SessionError>) {
        let now = self.clock.now();
        let role = entry.subject();
        match &outcome {
            Ok(session) => tracing::info!(
                %role,
                access_key_id = session.key_id(),
                lifetime_seconds = session.lifetime().as_secs(),
                "session received"
            ),
            Err(error) if Self::is_told(entry, error) => {
                tracing::debug!(%role, %error, "still no session");
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

impl Broker {
    pub(super) async fn load(
        self: &Arc<Self>,
        entry: &Entry<RoleChain>,
    ) -> Result<StsSession, SessionError> {
        let source = self.configured.read().source.clone();
        let chain = &entry.chain;
        let mut work = Work::of_flight();
        let Some(hop) = chain.hops.last() else {
            if chain.mfa().is_some() {
                // GetSessionToken counts for STS as AssumeRole does.
                self.turn(entry).await;
            }
            let served = async {
                let session = source.base(&chain.base).await?;
                source.know_the_time(&session).await;
                Ok(session)
            };
            return work.spend(entry, served).await;
        };
        let with = match (chain.parent(), &chain.base) {
            (Some(parent), _) => {
                let urgent = entry.urgent.subscribe();
                let session = Box::pin(self.session(&Arc::new(parent), urgent)).await;
                With::Session(session.map_err(SessionError::of_hop)?)
            }
            (None, BaseCredentials::WebIdentity(token)) => With::Token(token),
            (None, base) => With::Session(Arc::new(work.spend(entry, source.base(base)).await?)),
        };
        self.assume_role(entry, &*source, hop, &with, work).await
    }

    /// Calls AssumeRole until it answers with a session, or there is no point in another attempt.
    async fn assume_role(
        &self,
        entry: &Entry<RoleChain>,
        source: &dyn SessionSource,
        hop: &RoleHop,
        with: &With<'_>,
        work: Work,
    ) -> Result<StsSession, SessionError> {
        let call = || match with {
            With::Session(session) => source.assume_role(hop, session),
            With::Token(token) => source.assume_role_with_web_identity(hop, token),
        };
        self.attempts(entry, work, call).await
    }
}

/// What the last role of a chain is assumed with.
enum With<'a> {
    Session(Arc<StsSession>),
    Token(&'a TokenSource),
}

/// What is left of the time that the calls of one flight may take. Its turns in the queue do not
/// count, nor the session of the hop before, which is a flight of its own.
pub(super) struct Work {
    left: Duration,
}

impl Work {
    /// That of a flight which begins.
    pub(super) fn of_flight() -> Self {
        Self { left: FLIGHT_LIMIT }
    }

    /// Waits for `call`, as long as there is time left.
    async fn spend<K: Sought>(
        &mut self,
        entry: &Entry<K>,
        call: impl Future<Output = Result<K::Grant, SessionError>>,
    ) -> Result<K::Grant, SessionError> {
        let start = Instant::now();
        let outcome = timeout(self.left, call).await;
        self.left = self.left.saturating_sub(start.elapsed());
        outcome.unwrap_or_else(|_| Err(SessionError::new(entry.subject(), Cause::TimedOut, "")))
    }
}

/// The calls of a flight that have not ended by themselves are given up after this time.
const FLIGHT_LIMIT: Duration = Duration::from_mins(1);
