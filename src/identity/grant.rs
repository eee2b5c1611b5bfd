//! When to ask for the tokens of a login under way, and when it is over. Pure: it is told the time
//! and the answers.

use std::time::Duration;

use tokio::time::Instant;

use super::{DeviceGrant, IssuerError, PollAnswer, Tokens};

/// What `slow_down` adds to the interval, for this and all later polls (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);

/// The longest pause between two polls of an issuer that cannot be reached.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// How a login ended without tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginEnd {
    /// The person said no.
    #[error("the login was denied")]
    Denied,
    /// Nobody agreed in time.
    #[error("the code has expired before anybody agreed; log in again")]
    Expired,
    /// The issuer refused.
    #[error("the issuer refused: {0}")]
    Failed(String),
}

/// What to do after an answer.
#[derive(Debug, Clone)]
pub enum Next {
    /// Ask again after this time.
    Wait(Duration),
    /// These are the tokens.
    Granted(Tokens),
    /// There will be none.
    Over(LoginEnd),
}

/// The pace of one login.
#[derive(Debug)]
pub struct Polling {
    interval: Duration,
    pause: Duration,
    deadline: Instant,
}

impl Polling {
    /// A login that begins `now`; the first poll is due after [`Polling::pause`].
    pub fn new(grant: &DeviceGrant, now: Instant) -> Self {
        let deadline = now + grant.lifetime;
        Self { interval: grant.interval, pause: grant.interval, deadline }
    }

    /// The time until the next poll.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// What to do at `now` after a poll.
    pub fn after(&mut self, answer: Result<PollAnswer, IssuerError>, now: Instant) -> Next {
        self.pause = match answer {
            Ok(PollAnswer::Granted(tokens)) => return Next::Granted(tokens),
            Ok(PollAnswer::Denied) => return Next::Over(LoginEnd::Denied),
            Ok(PollAnswer::Expired) => return Next::Over(LoginEnd::Expired),
            Err(IssuerError::TokenRefused(why) | IssuerError::Unusable(why)) => {
                return Next::Over(LoginEnd::Failed(why));
            }
            Ok(PollAnswer::Pending) => self.interval,
            Ok(PollAnswer::SlowDown) => {
                self.interval += SLOWER;
                self.interval
            }
            Err(IssuerError::Unreachable(_)) => self.longer(),
            Err(IssuerError::Later(_, asked)) => self.longer().max(asked),
        };
        if now.checked_add(self.pause).is_none_or(|next| next >= self.deadline) {
            // The codes are good for nothing by then.
            return Next::Over(LoginEnd::Expired);
        }
        Next::Wait(self.pause)
    }
}

impl Polling {
    /// The next pause where the issuer has trouble.
    fn longer(&self) -> Duration {
        (self.pause * 2).min(LONGEST_PAUSE).max(self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LoginPrompt;
    use crate::model::{Secret, ServiceUrl};

    fn begun(interval: u64, lifetime: u64) -> (Polling, Instant) {
        let grant = DeviceGrant {
            prompt: LoginPrompt {
                verification_uri: "https://a.example/device".to_owned(),
                verification_uri_complete: None,
                user_code: "ABCD".to_owned(),
            },
            device_code: Secret::new("device"),
            token_endpoint: ServiceUrl::parse("https://a.example/token").unwrap(),
            interval: Duration::from_secs(interval),
            lifetime: Duration::from_secs(lifetime),
        };
        let now = Instant::now();
        (Polling::new(&grant, now), now)
    }

    fn unreachable() -> Result<PollAnswer, IssuerError> {
        Err(IssuerError::Unreachable("down".to_owned()))
    }

    fn waits(next: &Next) -> u64 {
        match next {
            Next::Wait(pause) => pause.as_secs(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_down_adds_five_seconds_for_good() {
        let (mut polling, now) = begun(5, 600);
        assert_eq!(polling.pause().as_secs(), 5);
        assert_eq!(waits(&polling.after(Ok(PollAnswer::Pending), now)), 5);
        assert_eq!(waits(&polling.after(Ok(PollAnswer::SlowDown), now)), 10);
        assert_eq!(waits(&polling.after(Ok(PollAnswer::Pending), now)), 10);
        assert_eq!(waits(&polling.after(Ok(PollAnswer::SlowDown), now)), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_cannot_be_reached_is_asked_ever_more_slowly_and_then_as_before() {
        let (mut polling, now) = begun(5, 600);
        let pauses = [10, 20, 40, 60, 60];
        for pause in pauses {
            assert_eq!(waits(&polling.after(unreachable(), now)), pause);
        }
        assert_eq!(waits(&polling.after(Ok(PollAnswer::Pending), now)), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_issuer_that_says_when_to_come_back_is_not_asked_before() {
        let (mut polling, now) = begun(5, 600);
        let later =
            |seconds| Err(IssuerError::Later("busy".to_owned(), Duration::from_secs(seconds)));
        assert_eq!(waits(&polling.after(later(90), now)), 90);
        assert_eq!(waits(&polling.after(Ok(PollAnswer::Pending), now)), 5);
        assert_eq!(waits(&polling.after(later(1), now)), 10, "nor sooner than without it");
        for too_late in [900, u64::MAX] {
            let next = polling.after(later(too_late), now);
            assert!(matches!(next, Next::Over(LoginEnd::Expired)), "{next:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_codes_are_whatever_is_answered() {
        for answer in [Ok(PollAnswer::Pending), Ok(PollAnswer::SlowDown), unreachable()] {
            let (mut polling, now) = begun(5, 600);
            let next = polling.after(answer, now + Duration::from_secs(596));
            assert!(matches!(next, Next::Over(LoginEnd::Expired)), "{next:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn denial_expiry_and_refusal_end_it() {
        let refused = || Err(IssuerError::Unusable("invalid_client".to_owned()));
        for (answer, end) in [
            (Ok(PollAnswer::Denied), LoginEnd::Denied),
            (Ok(PollAnswer::Expired), LoginEnd::Expired),
            (refused(), LoginEnd::Failed("invalid_client".to_owned())),
        ] {
            let (mut polling, now) = begun(5, 600);
            match polling.after(answer, now) {
                Next::Over(found) => assert_eq!(found, end),
                other => panic!("{other:?}"),
            }
        }
    }
}
