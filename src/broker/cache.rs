//! The shell around the slots: who waits for which flight, and the background renewal.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::pace::{DEFAULT_CALLS_PER_SECOND, Pacer};
use super::schedule::Jitter;
use super::slot::{Serving, Slot, SlotStatus};
use super::{Cause, SessionError, SessionSource, Sought};
use crate::clock::Clock;
use crate::model::RoleChain;

/// Keeps the sessions of all roles fresh, or what else is sought. See the module documentation for
/// its rules.
pub struct Broker<K: Sought = RoleChain> {
    pub(super) configured: RwLock<Configured<K>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) jitter: Box<dyn Fn() -> Jitter + Send + Sync>,
    pub(super) pacer: Pacer,
    entries: Mutex<HashMap<Arc<K>, Arc<Entry<K>>>>,
    changes: watch::Sender<u64>,
}

/// What a reload may replace.
#[derive(Debug)]
pub(super) struct Configured<K: Sought> {
    pub(super) source: Arc<K::Source>,
    pub(super) min_ttl: Option<Duration>,
}

#[derive(Debug)]
pub(super) struct Entry<K: Sought> {
    pub(super) chain: Arc<K>,
    pub(super) slot: Mutex<Slot<K::Grant>>,
    /// Whether somebody waits for the flight under way; changed under the lock of the slot.
    pub(super) urgent: watch::Sender<bool>,
    /// Whether the flight under way waits for its turn to call.
    pub(super) queued: AtomicBool,
    /// Counts the ends of flights, and deadlines missed.
    turn: watch::Sender<u64>,
}

impl Broker {
    /// A broker with no sessions yet, that makes at most [`DEFAULT_CALLS_PER_SECOND`]. `min_ttl` is
    /// the configured floor, `None` the default one; `jitter` is asked for each pause.
    pub fn new(
        source: Arc<dyn SessionSource>,
        clock: Arc<dyn Clock>,
        min_ttl: Option<Duration>,
        jitter: impl Fn() -> Jitter + Send + Sync + 'static,
    ) -> Arc<Self> {
        Self::asking(source, clock, min_ttl, jitter)
    }
}

impl<K: Sought> Broker<K> {
    /// As [`Broker::new`], for whatever is sought.
    pub fn asking(
        source: Arc<K::Source>,
        clock: Arc<dyn Clock>,
        min_ttl: Option<Duration>,
        jitter: impl Fn() -> Jitter + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            configured: RwLock::new(Configured { source, min_ttl }),
            clock,
            jitter: Box::new(jitter),
            pacer: Pacer::new(DEFAULT_CALLS_PER_SECOND),
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
        })
    }

    /// From now on asks `source`, with this floor. Sessions held are kept.
    pub fn configure(&self, source: Arc<K::Source>, min_ttl: Option<Duration>) {
        *self.configured.write() = Configured { source, min_ttl };
    }

    /// From now on makes at most so many AssumeRole calls in any second; `None`:
    /// [`DEFAULT_CALLS_PER_SECOND`].
    pub fn limit_calls(&self, per_second: Option<NonZeroU8>) {
        self.pacer.limit(per_second.unwrap_or(DEFAULT_CALLS_PER_SECOND));
    }

    /// Forgets the sessions of all chains but these and those that lead to them. A flight under
    /// way for another ends unheard.
    pub fn retain(&self, chains: &HashSet<Arc<K>>) {
        let mut wanted: HashSet<Arc<K>> = chains.clone();
        for chain in chains {
            let parents = std::iter::successors(chain.parent(), K::parent);
            wanted.extend(parents.map(Arc::new));
        }
        self.entries.lock().retain(|chain, _| wanted.contains(chain));
    }

    /// What an open at `now` may serve of this role. Never waits.
    pub fn serving(&self, chain: &Arc<K>, now: SystemTime) -> Serving<K::Grant> {
        self.entry(chain).slot.lock().serving(now)
    }

    /// For `status`.
    pub fn status(&self, chain: &Arc<K>) -> SlotStatus<K::Grant> {
        self.entry(chain).slot.lock().status()
    }

    /// Returns a receiver that sees a change each time what can be served of any role may differ.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Waits until [`Broker::serving`] is no longer pending, starting a flight if none is under
    /// way, and with more haste than those that nobody waits for; at most until `deadline`, after
    /// which the role counts as failing.
    pub async fn settled(self: &Arc<Self>, chain: &Arc<K>, deadline: Duration) {
        let entry = self.entry(chain);
        if timeout(deadline, self.wait_settled(&entry)).await.is_err() {
            let late = self.late_hop(&entry);
            let at = late.as_ref().unwrap_or(&entry);
            let detail = if at.queued.load(Ordering::Relaxed) { STILL_QUEUED } else { "" };
            let error = SessionError::new(at.subject(), Cause::TimedOut, detail);
            let error = if late.is_some() { error.of_hop() } else { error };
            entry.slot.lock().overdue(error, self.clock.now());
            self.announce(&entry);
        }
    }

    /// Fetches a new session now, even if the current one is valid; joins a flight under way.
    ///
    /// # Errors
    /// Why the flight failed. The session held before is kept.
    pub async fn refresh(self: &Arc<Self>, chain: &Arc<K>) -> Result<(), SessionError> {
        let entry = self.entry(chain);
        let mut turn = entry.turn.subscribe();
        self.launch(&entry, true, |_| true);
        while entry.slot.lock().in_flight() && turn.changed().await.is_ok() {}
        match entry.slot.lock().status().failure {
            Some(failure) => Err(failure.error),
            None => Ok(()),
        }
    }

    /// Keeps this role's session fresh for ever: starts each flight when it is due. The wall
    /// clock is read again at least every [`CLOCK_CHECK`], because timers stop during suspend and
    /// know nothing of clock steps.
    pub async fn maintain(self: Arc<Self>, chain: Arc<K>) {
        let entry = self.entry(&chain);
        let mut turn = entry.turn.subscribe();
        loop {
            let now = self.clock.now();
            self.launch(&entry, false, |slot| slot.is_due(now));
            let due_at = entry.slot.lock().due_at();
            let until_due = due_at.and_then(|at| at.duration_since(now).ok());
            let awaits_login = entry.slot.lock().awaits_login();
            let source = self.configured.read().source.clone();
            tokio::select! {
                () = sleep(until_due.unwrap_or(CLOCK_CHECK).min(CLOCK_CHECK)) => {}
                _ = turn.changed() => {}
                () = chain.signed_in(&source), if awaits_login => {
                    self.launch(&entry, false, Slot::awaits_login);
                }
            }
        }
    }

    fn entry(&self, chain: &Arc<K>) -> Arc<Entry<K>> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(chain.clone()).or_insert_with(|| {
            Arc::new(Entry {
                chain: chain.clone(),
                slot: Mutex::new(Slot::renewed(chain.renewal())),
                urgent: watch::Sender::new(false),
                queued: AtomicBool::new(false),
                turn: watch::Sender::new(0),
            })
        });
        entry.clone()
    }

    /// The hop on the way to this one whose session is waited for, if it is not this one's.
    fn late_hop(&self, entry: &Entry<K>) -> Option<Arc<Entry<K>>> {
        let now = self.clock.now();
        let entries = self.entries.lock();
        std::iter::successors(entry.chain.parent(), K::parent)
            .filter_map(|chain| entries.get(&chain))
            .filter(|hop| matches!(hop.slot.lock().serving(now), Serving::Pending))
            .last()
            .cloned()
    }

    async fn wait_settled(self: &Arc<Self>, entry: &Arc<Entry<K>>) {
        let mut turn = entry.turn.subscribe();
        loop {
            let now = self.clock.now();
            self.launch(entry, true, |slot| matches!(slot.serving(now), Serving::Pending));
            if !matches!(entry.slot.lock().serving(now), Serving::Pending) {
                return;
            }
            if turn.changed().await.is_err() {
                return;
            }
        }
    }

    /// A session to sign the next hop with, as `urgent` as the flight that asks for it. Unlike an
    /// open it waits for a retry that is due: it is asked by a flight, never by a reader.
    pub(super) async fn session(
        self: &Arc<Self>,
        chain: &Arc<K>,
        mut urgent: watch::Receiver<bool>,
    ) -> Result<Arc<K::Grant>, SessionError> {
        let entry = self.entry(chain);
        let mut turn = entry.turn.subscribe();
        // Whoever has signed in meanwhile is heard of here first.
        self.launch(&entry, *urgent.borrow(), Slot::awaits_login);
        loop {
            let now = self.clock.now();
            let hurry = *urgent.borrow_and_update();
            self.launch(&entry, hurry, |slot| slot.in_flight() || slot.is_due(now));
            {
                let slot = entry.slot.lock();
                if let Serving::Live(session, _) = slot.serving(now) {
                    return Ok(session);
                }
                if !slot.in_flight() {
                    return match (slot.serving(now), slot.valid(now)) {
                        (_, Some(session)) => Ok(session),
                        (Serving::Failing(error), None) => Err(error),
                        (_, None) => Err(SessionError::new(entry.subject(), Cause::BadAnswer, "")),
                    };
                }
            }
            tokio::select! {
                changed = turn.changed() => if changed.is_err() {
                    return Err(SessionError::new(entry.subject(), Cause::TimedOut, ""));
                },
                Ok(()) = urgent.changed() => {}
            }
        }
    }

    pub(super) fn announce(&self, entry: &Entry<K>) {
        entry.turn.send_modify(|turn| *turn += 1);
        self.changes.send_modify(|change| *change += 1);
    }
}

impl<K: Sought> fmt::Debug for Broker<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl<K: Sought> Entry<K> {
    pub(super) fn subject(&self) -> String {
        self.chain.subject()
    }
}

/// The longest time between two looks at the wall clock.
pub const CLOCK_CHECK: Duration = Duration::from_secs(30);

const STILL_QUEUED: &str =
    "AWS was not asked yet: more calls wait than sts_calls_per_second lets go in that time";
