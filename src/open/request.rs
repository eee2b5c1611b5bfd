//! The path of a request for the keys of one role that comes over the endpoint of the mount rather
//! than by way of the kernel. It obeys the rules of an open, but for who asks: a connection has no
//! process, so whoever shows the token counts as one who was let read it. Must not know HTTP.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::OpenService;
use crate::audit::{self, Decision, Event, RoleRead, Text};
use crate::broker::{Cause, RetryClass, SessionError};
use crate::metrics::RequestOutcome;
use crate::model::{ProfileName, RoleChain};
use crate::publish::key_of;
use crate::render::{self, ProfileState, container_json, failure_line};

/// Who asks over the endpoint, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// The user whose socket that is; `None` if nobody wants to know, or it could not be found out.
    pub uid: Option<u32>,
    /// When the request came.
    pub at: Instant,
}

/// What a request gets that has shown the token.
#[must_use]
pub enum Requested {
    /// The keys, as AWS SDKs read them.
    Keys(render::Text),
    /// There are none.
    Failing {
        /// One line for whoever asks, without the words of AWS.
        reason: String,
        /// Whether that may pass by itself.
        retry: RetryClass,
    },
    /// The mount has no profile of this name.
    Unknown,
    /// The request cannot be recorded, and must not be served unrecorded.
    Unrecorded,
}

impl fmt::Debug for Requested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keys(_) => "Keys(** redacted **)",
            Self::Failing { reason, .. } => reason,
            Self::Unknown => "Unknown",
            Self::Unrecorded => "Unrecorded",
        })
    }
}

impl OpenService {
    /// What somebody gets who asks for the keys of a profile and has shown the token. Waits for a
    /// session 1.5 s at most. Returns when it is recorded and counted.
    pub async fn request(self: &Arc<Self>, profile: &str, peer: &Peer) -> Requested {
        let Some((section, name, chain)) = self.publisher.named(profile) else {
            let recorded = self.turned_away(UNKNOWN_ROLE, peer).await;
            return if recorded { Requested::Unknown } else { Requested::Unrecorded };
        };
        let state = self.requested_state(section, chain).await;
        let keys = container_json(&state, chain.role_arn());
        let reason = keys.as_ref().err().map(|error| error.cause.name());
        let key = key_of(name, &state).filter(|_| keys.is_ok());
        let role =
            key.as_ref().map_or_else(|| RoleRead::without_key(name.as_str()), RoleRead::from);
        if !self.record_request(Decision::Allowed, reason, vec![role], peer).await {
            self.gate.metrics.requested(RequestOutcome::Refused);
            return Requested::Unrecorded;
        }
        match keys {
            Ok(keys) => {
                self.gate.metrics.requested(RequestOutcome::Served);
                Requested::Keys(keys)
            }
            Err(error) => {
                self.gate.metrics.requested(RequestOutcome::Failing);
                failing(name, &error)
            }
        }
    }

    /// Records and counts a request that was refused for this reason. False if it could not be
    /// recorded although it must be.
    pub async fn turned_away(&self, reason: &str, peer: &Peer) -> bool {
        self.gate.metrics.requested(RequestOutcome::Refused);
        self.record_request(Decision::Refused, Some(reason), Vec::new(), peer).await
    }

    /// Whether records of requests go anywhere.
    pub fn records_requests(&self) -> bool {
        self.gate.recorder.is_on()
    }

    async fn requested_state(&self, section: usize, chain: &Arc<RoleChain>) -> ProfileState {
        if let Some(state) = self.publisher.state_of(section, None) {
            return state;
        }
        let cause = match self.traffic.wait() {
            None => Cause::Busy,
            Some(_place) => {
                // Who gives up earlier than the deadline must not make the role count as failing.
                let settled = self.broker.settled(chain, self.options.deadline);
                let _ = timeout(self.options.deadline.min(PATIENCE), settled).await;
                Cause::TimedOut
            }
        };
        let state = self.publisher.state_of(section, Some(cause));
        state.unwrap_or_else(|| ProfileState::Failing(SessionError::new("", cause, "")))
    }

    async fn record_request(
        &self,
        decision: Decision,
        reason: Option<&str>,
        roles: Vec<RoleRead>,
        peer: &Peer,
    ) -> bool {
        if !self.gate.recorder.is_on() {
            return true;
        }
        let event = Event::Request(Box::new(audit::Request {
            time: self.clock.now(),
            mount: Text::new(&self.gate.label),
            decision,
            reason: reason.map(Text::new),
            roles,
            peer: Text::new(&peer.address.to_string()),
            uid: peer.uid,
            latency_us: u64::try_from(peer.at.elapsed().as_micros()).unwrap_or(u64::MAX),
        }));
        self.gate.write(event).await
    }
}

fn failing(name: &ProfileName, error: &SessionError) -> Requested {
    Requested::Failing { reason: failure_line(name, error), retry: error.cause.retry() }
}

/// How long a request waits for a session: SDKs hang up after 2 s (botocore), 5 s (Rust), or, being
/// patient themselves, make their program wait; all of them ask again when told that it may help.
const PATIENCE: Duration = Duration::from_millis(1500);

/// In records: the request named a profile that the mount does not have.
const UNKNOWN_ROLE: &str = "UnknownRole";
