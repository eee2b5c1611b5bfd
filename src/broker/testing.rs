//! What the tests of several modules share: a clock that tokio's paused time drives, and sessions
//! made by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::schedule::Jitter;
use super::{Broker, NoTokens};
use crate::clock::Clock;
use crate::model::{Secret, StsSession, TokenGrant};

/// A session with the given key id, received at `issued`.
pub(crate) fn session_of(key: &str, issued: SystemTime, lifetime: Duration) -> StsSession {
    StsSession {
        access_key_id: key.to_owned(),
        secret_access_key: Secret::new("secret"),
        session_token: Some(Secret::new("token")),
        account_id: None,
        issued,
        expiration: issued + lifetime,
    }
}

/// Wall clock = epoch + elapsed tokio time + skew. With `start_paused` one knob moves sleeps and
/// expirations together; `jump` moves only the wall clock, as suspend and NTP do.
#[derive(Debug)]
pub(crate) struct TestClock {
    start: Instant,
    skew: Mutex<(Duration, Duration)>,
}

impl TestClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), skew: Mutex::default() }
    }

    pub(crate) fn jump(&self, by: Duration) {
        self.skew.lock().0 += by;
    }

    pub(crate) fn jump_back(&self, by: Duration) {
        self.skew.lock().1 += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        let (ahead, behind) = *self.skew.lock();
        SystemTime::UNIX_EPOCH + Duration::from_hours(24) + self.start.elapsed() + ahead - behind
    }
}

/// A broker of tokens where there are none.
pub(crate) fn no_tokens(clock: Arc<dyn Clock>) -> Arc<Broker<TokenGrant>> {
    Broker::<TokenGrant>::asking(Arc::new(NoTokens), clock, None, || Jitter::NONE)
}
