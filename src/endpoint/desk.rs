//! One request from its head to its answer: admitted, counted against the limits, passed on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::answer::{self, Answer};
use super::guard::{Refusal, admit};
use super::limit::Bucket;
use crate::metrics::RequestOutcome;
use crate::model::Secret;
use crate::open::{CurrentService, Peer, Requested};
use crate::os::sockets;

/// What answers requests.
#[derive(Debug)]
pub(super) struct Desk {
    address: SocketAddr,
    token: Secret,
    service: Arc<CurrentService>,
    admitted: Mutex<Bucket>,
    refused: Mutex<Bucket>,
    /// Threads that may read the table of sockets.
    lookups: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(
        address: SocketAddr,
        token: Secret,
        service: Arc<CurrentService>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let admitted = Mutex::new(Bucket::new(MOST_REQUESTS, PACE_OF_REQUESTS, now));
        let refused = Mutex::new(Bucket::new(MOST_REFUSALS, PACE_OF_REFUSALS, now));
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        Arc::new(Self { address, token, service, admitted, refused, lookups })
    }

    /// What the program at the other end of a connection is answered.
    pub(super) async fn answer(&self, head: &Parts, from: SocketAddr) -> Answer {
        let at = Instant::now();
        let asked = admit(&head.method, &head.uri, &head.headers, self.address, &self.token);
        let bucket = if asked.is_ok() { &self.admitted } else { &self.refused };
        if !bucket.lock().take(at) {
            self.service.get().gate().metrics.requested(RequestOutcome::Limited);
            return answer::refusal(Refusal::Limited);
        }
        let service = self.service.get();
        let uid = if service.records_requests() { self.uid_of(from).await } else { None };
        let peer = Peer { address: from, uid, at };
        let profile = match asked {
            Ok(profile) => profile,
            Err(refusal) => {
                let (endpoint, code) = (self.address, refusal.code());
                tracing::warn!(%endpoint, peer = %from, code, "a request was refused");
                let recorded = service.turned_away(code, &peer).await;
                return answer::refusal(if recorded { refusal } else { Refusal::Unrecorded });
            }
        };
        match service.request(&profile, &peer).await {
            Requested::Keys(text) => {
                tracing::debug!(profile, peer = %from, "keys handed out");
                answer::keys(text)
            }
            Requested::Failing { reason, retry } => {
                tracing::debug!(profile, peer = %from, reason, "no keys to hand out");
                answer::failing(&reason, retry)
            }
            Requested::Unknown => {
                // Not which: whoever mixes up path and header has put the token there.
                tracing::warn!(peer = %from, "a profile was asked for that is not there");
                answer::refusal(Refusal::UnknownRole)
            }
            Requested::Unrecorded => answer::refusal(Refusal::Unrecorded),
        }
    }

    /// Whose socket it is, unless that takes too long to find out.
    async fn uid_of(&self, peer: SocketAddr) -> Option<u32> {
        let (address, lookups) = (self.address, self.lookups.clone());
        let found = async move {
            let place = lookups.acquire_owned().await.ok()?;
            let asked = tokio::task::spawn_blocking(move || {
                let _place = place;
                sockets::uid_of(peer, address)
            });
            asked.await.ok()?
        };
        timeout(UID_DEADLINE, found).await.ok()?
    }
}

/// Requests with the token: as many programs as may start at once, then 50 in a second. An SDK asks
/// once in minutes.
const MOST_REQUESTS: u32 = 500;

/// The time for one more of them.
const PACE_OF_REQUESTS: Duration = Duration::from_millis(20);

/// Refusals, of which each is logged and recorded. 256 random bits are not guessed at any pace.
const MOST_REFUSALS: u32 = 10;

/// The time for one more of them.
const PACE_OF_REFUSALS: Duration = Duration::from_secs(1);

/// Few, so that threads for other work are not used up where the table is long.
const LOOKUPS: usize = 2;

/// The table of sockets is read in microseconds, unless there are very many.
const UID_DEADLINE: Duration = Duration::from_millis(200);
