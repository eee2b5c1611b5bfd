//! The rows of README's table of failures that are a matter of time: what is served meanwhile, and
//! when it is tried again. What each fault looks like to a reader is shown with a real mount.

use std::time::SystemTime;

use super::*;
use crate::clock::{CorrectedClock, DateHeard, Machine, Reading};
use crate::model::ClockSkew;

/// A role that has worked for a while, and from then on fails for `cause`; with what an open gets
/// in each of the next 90 minutes. No open may wait.
async fn fails_after_it_worked(cause: Cause) -> (Scene, Vec<String>) {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(cause)]);
    assert_eq!(scene.open().await, "KEY1");
    let mut seen = Vec::new();
    for _ in 0..90 {
        sleep(minutes(1)).await;
        let start = Instant::now();
        seen.push(scene.open().await);
        assert_eq!(start.elapsed(), Duration::ZERO, "{cause:?}: an open waited");
    }
    (scene, seen)
}

/// The keys of the hour are served to its end and not a minute longer, then the reason is told;
/// and the role comes back by itself within `limit`.
async fn is_survived(cause: Cause, limit: Duration) {
    let (scene, seen) = fails_after_it_worked(cause).await;
    let (valid, expired) = seen.split_at(59);
    assert!(valid.iter().all(|key| key == "KEY1"), "{cause:?}: {seen:?}");
    assert!(expired[1..].iter().all(|it| *it == format!("{cause:?}")), "{cause:?}: {seen:?}");
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(limit).await;
    assert!(scene.peek().starts_with("KEY"), "{cause:?} is not tried again in time");
    assert!(scene.broker.status(&scene.chain).failure.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_by_itself_leaves_old_keys_to_their_end_and_comes_back_soon() {
    for cause in [
        Cause::Network,
        Cause::TimedOut,
        Cause::ServiceUnavailable,
        Cause::Throttled,
        Cause::BadAnswer,
        Cause::BaseSourceFailed,
    ] {
        is_survived(cause, seconds(2 * 60 + 5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_has_to_mend_leaves_old_keys_to_their_end_and_comes_back_once_mended() {
    for cause in
        [Cause::AccessDenied, Cause::BaseExpired, Cause::BaseInvalid, Cause::NoBaseCredentials]
    {
        is_survived(cause, seconds(10 * 60 + 5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_network_at_the_start_readers_are_told_at_once_and_keys_come_with_it() {
    let scene = Scene::maintained(&[Answer::Fail(Cause::Network)]);
    assert_eq!(scene.open().await, "Network");
    for _ in 0..60 {
        sleep(seconds(10)).await;
        let start = Instant::now();
        assert_eq!(scene.open().await, "Network");
        assert_eq!(start.elapsed(), Duration::ZERO, "an open waited for a failing role");
    }
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(65)).await;
    assert!(scene.peek().starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn a_session_longer_than_asked_is_served_and_renewed_by_its_own_lifetime() {
    let scene = Scene::maintained(&[Answer::Session(12 * HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    sleep(4 * HOUR).await;
    assert_eq!(scene.open().await, "KEY1");
    sleep(5 * HOUR).await;
    assert_eq!(scene.open().await, "KEY2");
}

#[tokio::test(start_paused = true)]
async fn sessions_that_arrive_expired_are_never_served_and_asked_for_again() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Session(Duration::ZERO)]);
    for minute in 0..120 {
        let expected = if minute < 60 { "KEY1" } else { "BadAnswer" };
        assert_eq!(scene.open().await, expected, "minute {minute}");
        sleep(minutes(1)).await;
    }
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(65)).await;
    assert!(scene.peek().starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn after_a_suspend_expired_keys_are_not_served_though_sts_fails() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::Network)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.clock.jump(3 * HOUR);
    assert_eq!(scene.open().await, "Network");
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(65)).await;
    assert!(scene.peek().starts_with("KEY"));
}

// Wrong clocks.

/// A machine whose wall clock is some seconds ahead of the truth.
#[derive(Debug)]
struct WrongMachine {
    truth: Arc<TestClock>,
    ahead: Mutex<i64>,
}

impl Machine for Arc<WrongMachine> {
    fn read(&self) -> Reading {
        let truth = self.truth.now();
        // As seen from a clock that is behind, it is the other way round.
        let wall = ClockSkew::from_seconds(-*self.ahead.lock()).corrected(truth);
        Reading { wall, boot: truth.duration_since(SystemTime::UNIX_EPOCH).unwrap() }
    }
}

/// An STS that takes a second, refuses signatures more than 5 minutes off, and can fail.
#[derive(Debug)]
struct StrictSts {
    truth: Arc<TestClock>,
    clock: Arc<CorrectedClock>,
    is_down: Mutex<bool>,
    calls: AtomicUsize,
}

impl StrictSts {
    async fn answer(&self) -> Result<StsSession, SessionError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (signed, sent) = (self.clock.now(), self.clock.read());
        sleep(seconds(1)).await;
        if *self.is_down.lock() {
            return Err(SessionError::new("prod", Cause::Network, ""));
        }
        let date = self.truth.now();
        let refused = ClockSkew::between(signed, date).seconds().abs() > 300;
        self.clock.hear(&DateHeard { date, signed, sent, refused });
        if refused {
            return Err(SessionError::new("prod", Cause::ClockSkew, ""));
        }
        let issued = self.clock.now();
        Ok(StsSession {
            expiration: date + HOUR,
            ..session_of(&format!("KEY{number}"), issued, HOUR)
        })
    }
}

impl SessionSource for StrictSts {
    fn base<'a>(
        &'a self,
        _base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async { Ok(session_of("BASE", self.clock.now(), HOUR)) })
    }

    fn assume_role<'a>(
        &'a self,
        _hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async move {
            match self.answer().await {
                Err(error) if error.cause == Cause::ClockSkew => self.answer().await,
                outcome => outcome,
            }
        })
    }
}

struct WrongScene {
    machine: Arc<WrongMachine>,
    sts: Arc<StrictSts>,
    broker: Arc<Broker>,
    chain: Arc<RoleChain>,
}

impl WrongScene {
    /// A maintained role on a machine whose clock is `ahead` seconds ahead.
    fn ahead(ahead: i64) -> Self {
        let truth = Arc::new(TestClock::new());
        truth.jump(1000 * HOUR);
        let machine = Arc::new(WrongMachine { truth: truth.clone(), ahead: Mutex::new(ahead) });
        let clock = Arc::new(CorrectedClock::over(machine.clone()));
        let sts = StrictSts {
            truth,
            clock: clock.clone(),
            is_down: Mutex::new(false),
            calls: AtomicUsize::new(0),
        };
        let sts = Arc::new(sts);
        let broker = Broker::new(sts.clone(), clock, None, || Jitter::NONE);
        let chain = chain(&["prod"]);
        tokio::spawn(broker.clone().maintain(chain.clone()));
        Self { machine, sts, broker, chain }
    }

    fn set(&self, ahead: i64) {
        *self.machine.ahead.lock() = ahead;
    }

    fn is_down(&self, is_down: bool) {
        *self.sts.is_down.lock() = is_down;
    }

    /// What an open gets. Expired keys are never among it.
    #[track_caller]
    fn judge(&self) -> String {
        match self.broker.serving(&self.chain, self.sts.clock.now()) {
            Serving::Live(session, _) => {
                let truth = self.sts.truth.now();
                assert!(truth < session.expiration, "expired keys are served");
                session.access_key_id.clone()
            }
            Serving::Failing(error) => format!("{:?}", error.cause),
            Serving::Pending => "pending".to_owned(),
        }
    }

    async fn open(&self) -> String {
        self.broker.settled(&self.chain, DEADLINE).await;
        self.judge()
    }
}

const WRONG: [i64; 4] = [600, -600, 37 * 3600, -37 * 3600];

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_costs_one_call_and_sessions_are_renewed_in_time() {
    for ahead in WRONG {
        let scene = WrongScene::ahead(ahead);
        assert_eq!(scene.open().await, "KEY2", "{ahead}");
        for _ in 0..180 {
            sleep(minutes(1)).await;
            let start = Instant::now();
            assert!(scene.open().await.starts_with("KEY"), "{ahead}");
            assert_eq!(start.elapsed(), Duration::ZERO, "{ahead}: an open waited");
        }
        let calls = scene.sts.calls.load(Ordering::Relaxed);
        assert!((6..=11).contains(&calls), "{ahead}: {calls} calls in three hours");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_makes_no_key_outlive_its_end_and_none_die_early() {
    for ahead in WRONG {
        let scene = WrongScene::ahead(ahead);
        assert_eq!(scene.open().await, "KEY2");
        scene.is_down(true);
        for minute in 1..90 {
            sleep(minutes(1)).await;
            let expected = if minute < 60 { "KEY2" } else { "Network" };
            assert_eq!(scene.open().await, expected, "{ahead}: minute {minute}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_that_is_put_right_changes_nothing_for_readers() {
    for ahead in WRONG {
        let scene = WrongScene::ahead(ahead);
        assert_eq!(scene.open().await, "KEY2");
        scene.set(0);
        for down in [true, false] {
            scene.is_down(down);
            for _ in 0..45 {
                assert!(scene.open().await.starts_with("KEY"), "{ahead}");
                sleep(minutes(1)).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_makes_no_expired_key_valid_though_sts_fails() {
    let scene = WrongScene::ahead(0);
    assert_eq!(scene.open().await, "KEY1");
    scene.is_down(true);
    sleep(minutes(10)).await;
    scene.set(-5 * 3600);
    for minute in 10..120 {
        let expected = if minute < 60 { "KEY1" } else { "Network" };
        assert_eq!(scene.open().await, expected, "minute {minute}");
        sleep(minutes(1)).await;
    }
    scene.is_down(false);
    sleep(minutes(2)).await;
    assert!(scene.judge().starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_wrongly_costs_an_early_renewal() {
    let scene = WrongScene::ahead(0);
    assert_eq!(scene.open().await, "KEY1");
    scene.set(37 * 3600);
    // The first call is refused, and its answer puts the clock right.
    assert_eq!(scene.open().await, "KEY3");
}
