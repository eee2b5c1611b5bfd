//! Device authorizations (RFC 8628), whatever service grants them: codes, the pace of polls, and
//! what the person decides. Knows neither HTTP nor tokens.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::random;

/// What a client that is told `slow_down` adds to its interval (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// How much sooner than the interval a poll may come. A client that keeps the interval, and whose
/// clock is that of the machine, is never told to slow down.
const TOLERANCE: Duration = Duration::from_millis(50);

/// What the person at the verification page decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Approve,
    Deny,
}

/// The codes of an authorization that has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Codes {
    /// For the client, secret.
    pub(crate) device_code: String,
    /// For the person: `ABCD-EFGH`.
    pub(crate) user_code: String,
}

/// What a poll is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poll {
    /// The person has not decided.
    Pending,
    /// The client polls faster than it was told.
    SlowDown,
    /// The person decided against it.
    Denied,
    /// The codes are too old.
    Expired,
    /// The codes are good, once: whoever polls again is told that they are unknown.
    Approved,
    /// There is no such device code, or not of this client.
    Unknown,
}

struct Device {
    user_code: String,
    client_id: String,
    expiration: SystemTime,
    interval: Duration,
    last_poll: Option<SystemTime>,
    decision: Option<Decision>,
}

/// All authorizations under way, by device code.
#[derive(Default)]
pub(crate) struct Devices {
    by_code: HashMap<String, Device>,
    /// How many of the next polls are answered with `slow_down`, however slow they come.
    slow_downs: u32,
    /// Every device code given out.
    given: Vec<String>,
}

impl Devices {
    /// Begins one for a client.
    pub(crate) fn begin(
        &mut self,
        client_id: &str,
        expiration: SystemTime,
        interval: Duration,
    ) -> Codes {
        let codes = Codes { device_code: random::secret(), user_code: random::user_code() };
        let device = Device {
            user_code: codes.user_code.clone(),
            client_id: client_id.to_owned(),
            expiration,
            interval,
            last_poll: None,
            decision: None,
        };
        self.by_code.insert(codes.device_code.clone(), device);
        self.given.push(codes.device_code.clone());
        codes
    }

    /// A poll of a client at `now`.
    pub(crate) fn poll(&mut self, device_code: &str, client_id: &str, now: SystemTime) -> Poll {
        let Some(device) = self.by_code.get_mut(device_code) else { return Poll::Unknown };
        if device.client_id != client_id {
            return Poll::Unknown;
        }
        if device.expiration <= now {
            return Poll::Expired;
        }
        let last = device.last_poll.replace(now);
        let early = last.is_some_and(|last| now + TOLERANCE < last + device.interval);
        if early || self.slow_downs > 0 {
            self.slow_downs = self.slow_downs.saturating_sub(1);
            device.interval += SLOWER;
            return Poll::SlowDown;
        }
        match device.decision {
            None => Poll::Pending,
            Some(Decision::Deny) => Poll::Denied,
            Some(Decision::Approve) => {
                self.by_code.remove(device_code);
                Poll::Approved
            }
        }
    }

    /// What a person decides about a user code. Whether there is one under way.
    pub(crate) fn decide(&mut self, user_code: &str, decision: Decision) -> bool {
        let device = self.by_code.values_mut().find(|device| device.user_code == user_code);
        device.map(|device| device.decision = Some(decision)).is_some()
    }

    /// Makes all codes under way too old.
    pub(crate) fn expire(&mut self) {
        for device in self.by_code.values_mut() {
            device.expiration = SystemTime::UNIX_EPOCH;
        }
    }

    /// Answers the next `polls` polls with `slow_down`.
    pub(crate) fn slow_down(&mut self, polls: u32) {
        self.slow_downs = polls;
    }

    /// The user codes under way.
    pub(crate) fn user_codes(&self) -> Vec<String> {
        self.by_code.values().map(|device| device.user_code.clone()).collect()
    }

    /// Every device code given out so far; they are secrets.
    pub(crate) fn given(&self) -> &[String] {
        &self.given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        T0 + Duration::from_secs(seconds)
    }

    fn begun() -> (Devices, Codes) {
        let mut devices = Devices::default();
        let codes = devices.begin("client", after(60), Duration::from_secs(2));
        (devices, codes)
    }

    #[test]
    fn a_code_is_good_once_it_is_approved_and_only_once() {
        let (mut devices, codes) = begun();
        assert_eq!(devices.poll(&codes.device_code, "client", after(1)), Poll::Pending);
        assert!(devices.decide(&codes.user_code, Decision::Approve));
        assert_eq!(devices.poll(&codes.device_code, "client", after(3)), Poll::Approved);
        assert_eq!(devices.poll(&codes.device_code, "client", after(5)), Poll::Unknown);
        assert!(!devices.decide(&codes.user_code, Decision::Approve));
    }

    #[test]
    fn a_code_is_for_the_client_that_began() {
        let (mut devices, codes) = begun();
        assert_eq!(devices.poll(&codes.device_code, "other", after(1)), Poll::Unknown);
    }

    #[test]
    fn a_client_that_polls_too_fast_has_to_wait_five_seconds_longer() {
        let (mut devices, codes) = begun();
        let mut poll = |seconds| devices.poll(&codes.device_code, "client", after(seconds));
        assert_eq!(poll(1), Poll::Pending);
        assert_eq!(poll(2), Poll::SlowDown);
        assert_eq!(poll(8), Poll::SlowDown, "2 s and 5 s more were due");
        assert_eq!(poll(20), Poll::Pending);
    }

    #[test]
    fn a_client_can_be_slowed_down_at_will() {
        let (mut devices, codes) = begun();
        devices.slow_down(1);
        assert_eq!(devices.poll(&codes.device_code, "client", after(1)), Poll::SlowDown);
        assert_eq!(devices.poll(&codes.device_code, "client", after(8)), Poll::Pending);
    }

    #[test]
    fn a_denied_code_and_one_too_old_say_so() {
        let (mut devices, codes) = begun();
        devices.decide(&codes.user_code, Decision::Deny);
        assert_eq!(devices.poll(&codes.device_code, "client", after(1)), Poll::Denied);
        devices.expire();
        assert_eq!(devices.poll(&codes.device_code, "client", after(4)), Poll::Expired);
        let (mut devices, codes) = begun();
        assert_eq!(devices.poll(&codes.device_code, "client", after(60)), Poll::Expired);
    }
}
