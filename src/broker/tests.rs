//! Scenarios in paused time: one knob moves sleeps and expirations together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::schedule::Jitter;
use super::testing::{TestClock, session_of};
use super::{BoxFuture, Broker, Cause, Serving, SessionError, SessionSource};
use crate::clock::{Clock, SystemClock};
use crate::model::{
    BaseCredentials, ProfileName, RegionName, RoleArn, RoleChain, RoleHop, StsSession,
};

/// What the scripted STS does with one call.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Session(Duration),
    Fail(Cause),
    Hang,
    Panic,
}

/// An STS that takes a second for each answer, follows a script, then repeats its last line.
#[derive(Debug)]
struct ScriptedSts {
    clock: Arc<TestClock>,
    script: Mutex<VecDeque<Answer>>,
    calls: Mutex<Vec<(String, Instant)>>,
}

impl ScriptedSts {
    fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    fn calls_of(&self, subject: &str) -> usize {
        self.calls.lock().iter().filter(|(called, _)| called == subject).count()
    }

    fn now_answers(&self, script: &[Answer]) {
        *self.script.lock() = script.iter().copied().collect();
    }

    async fn answer(&self, subject: &str) -> Result<StsSession, SessionError> {
        self.calls.lock().push((subject.to_owned(), Instant::now()));
        let number = self.calls();
        let answer = {
            let mut script = self.script.lock();
            if script.len() > 1 { script.pop_front().unwrap() } else { script[0] }
        };
        sleep(Duration::from_secs(1)).await;
        match answer {
            Answer::Session(lifetime) => {
                Ok(session_of(&format!("KEY{number}"), self.clock.now(), lifetime))
            }
            Answer::Fail(cause) => Err(SessionError::new(subject, cause, "")),
            Answer::Hang => std::future::pending().await,
            Answer::Panic => panic!("scripted"),
        }
    }
}

impl SessionSource for ScriptedSts {
    fn base<'a>(
        &'a self,
        base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async move {
            match base {
                BaseCredentials::Profile(_) => self.answer("base").await,
                _ => Ok(session_of("BASE", self.clock.now(), HOUR)),
            }
        })
    }

    fn assume_role<'a>(
        &'a self,
        hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(
            async move { self.answer(hop.role_arn.as_str().rsplit('/').next().unwrap()).await },
        )
    }
}

struct Scene {
    sts: Arc<ScriptedSts>,
    clock: Arc<TestClock>,
    broker: Arc<Broker>,
    chain: Arc<RoleChain>,
}

impl Scene {
    fn new(script: &[Answer]) -> Self {
        Self::with_min_ttl(script, None)
    }

    fn with_min_ttl(script: &[Answer], min_ttl: Option<Duration>) -> Self {
        let clock = Arc::new(TestClock::new());
        let script = Mutex::new(script.iter().copied().collect());
        let sts = Arc::new(ScriptedSts { clock: clock.clone(), script, calls: Mutex::default() });
        let broker = Broker::new(sts.clone(), clock.clone(), min_ttl, || Jitter::NONE);
        Self { sts, clock, broker, chain: chain(&["prod"]) }
    }

    fn maintained(script: &[Answer]) -> Self {
        let scene = Self::new(script);
        tokio::spawn(scene.broker.clone().maintain(scene.chain.clone()));
        scene
    }

    /// What an open gets that waits up to ten seconds.
    async fn open(&self) -> String {
        self.broker.settled(&self.chain, DEADLINE).await;
        self.peek()
    }

    fn peek(&self) -> String {
        match self.broker.serving(&self.chain, self.clock.now()) {
            Serving::Live(session, _) => session.access_key_id.clone(),
            Serving::Failing(error) => format!("{:?}", error.cause),
            Serving::Pending => "pending".to_owned(),
        }
    }
}

fn chain(roles: &[&str]) -> Arc<RoleChain> {
    let hop = |name: &&str| RoleHop {
        role_arn: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: HOUR,
        external_id: None,
        session_name: None,
    };
    Arc::new(RoleChain {
        base: BaseCredentials::DefaultChain,
        hops: roles.iter().map(hop).collect(),
    })
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn minutes(n: u64) -> Duration {
    Duration::from_mins(n)
}

#[tokio::test(start_paused = true)]
async fn fifty_waiters_share_one_flight() {
    let scene = Arc::new(Scene::new(&[Answer::Session(HOUR)]));
    let opens: Vec<_> = (0..50)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.open().await })
        })
        .collect();
    for open in opens {
        assert_eq!(open.await.unwrap(), "KEY1");
    }
    assert_eq!(scene.sts.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn fifty_waiters_share_one_failure() {
    let scene = Arc::new(Scene::new(&[Answer::Fail(Cause::AccessDenied)]));
    let start = Instant::now();
    let opens: Vec<_> = (0..50)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { scene.open().await })
        })
        .collect();
    for open in opens {
        assert_eq!(open.await.unwrap(), "AccessDenied");
    }
    assert_eq!(scene.sts.calls(), 1);
    assert_eq!(start.elapsed(), seconds(1));
}

#[tokio::test(start_paused = true)]
async fn an_hour_is_renewed_every_half_hour_however_many_opens_there_are() {
    let scene = Scene::maintained(&[Answer::Session(HOUR)]);
    for _ in 0..24 * 60 {
        sleep(minutes(1)).await;
        assert!(scene.open().await.starts_with("KEY"));
    }
    let calls = scene.sts.calls();
    assert!((47..=49).contains(&calls), "{calls} calls in a day");
}

#[tokio::test(start_paused = true)]
async fn no_open_is_served_less_than_the_floor() {
    // Nobody renews in the background here: each open is on its own.
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    sleep(minutes(39)).await;
    assert_eq!(scene.open().await, "KEY1");
    sleep(minutes(2)).await;
    assert_eq!(scene.peek(), "pending");
    assert_eq!(scene.open().await, "KEY2");
}

#[tokio::test(start_paused = true)]
async fn a_configured_min_ttl_is_the_floor() {
    let scene = Scene::with_min_ttl(&[Answer::Session(HOUR)], Some(minutes(45)));
    assert_eq!(scene.open().await, "KEY1");
    sleep(minutes(14)).await;
    assert_eq!(scene.open().await, "KEY1");
    sleep(minutes(2)).await;
    assert_eq!(scene.open().await, "KEY2");
}

#[tokio::test(start_paused = true)]
async fn sessions_of_ten_seconds_follow_the_same_rules() {
    let scene = Scene::maintained(&[Answer::Session(seconds(10))]);
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        let key = scene.open().await;
        assert!(key.starts_with("KEY"), "{key}");
    }
    assert!((9..=14).contains(&scene.sts.calls()), "{} calls in a minute", scene.sts.calls());
}

#[tokio::test(start_paused = true)]
async fn sessions_of_a_millisecond_cause_no_busy_loop() {
    let scene = Scene::maintained(&[Answer::Session(Duration::from_millis(1))]);
    sleep(minutes(1)).await;
    assert!(scene.sts.calls() <= 31, "{} calls in a minute", scene.sts.calls());
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_served_until_they_expire_and_expired_ones_never() {
    let scene =
        Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::ServiceUnavailable)]);
    assert_eq!(scene.open().await, "KEY1");
    for _ in 0..59 {
        sleep(minutes(1)).await;
        let start = Instant::now();
        assert_eq!(scene.open().await, "KEY1");
        assert_eq!(start.elapsed(), Duration::ZERO, "an open waited for a failing role");
    }
    sleep(minutes(2)).await;
    assert_eq!(scene.open().await, "ServiceUnavailable");
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(minutes(2)).await;
    assert!(scene.open().await.starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_role_costs_one_deadline_once() {
    let scene = Scene::maintained(&[Answer::Hang]);
    let start = Instant::now();
    assert_eq!(scene.open().await, "TimedOut");
    assert_eq!(start.elapsed(), DEADLINE);
    for _ in 0..300 {
        sleep(seconds(1)).await;
        let start = Instant::now();
        assert_eq!(scene.open().await, "TimedOut");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(minutes(3)).await;
    assert!(scene.open().await.starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_below_the_floor_serves_the_old_keys() {
    let scene = Scene::new(&[Answer::Session(HOUR), Answer::Hang]);
    assert_eq!(scene.open().await, "KEY1");
    sleep(minutes(45)).await;
    let start = Instant::now();
    assert_eq!(scene.open().await, "KEY1");
    assert_eq!(start.elapsed(), DEADLINE);
    assert_eq!(scene.open().await, "KEY1");
    assert_eq!(start.elapsed(), DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_soon_and_permanent_ones_rarely() {
    let transient = Scene::maintained(&[Answer::Fail(Cause::Network)]);
    sleep(minutes(10)).await;
    let calls = transient.sts.calls();
    assert!((12..=25).contains(&calls), "{calls} calls");
    let permanent = Scene::maintained(&[Answer::Fail(Cause::AccessDenied)]);
    sleep(minutes(10)).await;
    let calls = permanent.sts.calls();
    assert!((3..=6).contains(&calls), "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_suspend_of_three_hours_is_noticed_at_the_next_open() {
    let scene = Scene::maintained(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.clock.jump(3 * HOUR);
    assert_eq!(scene.peek(), "pending");
    assert_eq!(scene.open().await, "KEY2");
}

#[tokio::test(start_paused = true)]
async fn a_suspend_is_noticed_within_thirty_seconds_without_any_open() {
    let scene = Scene::maintained(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.clock.jump(3 * HOUR);
    sleep(seconds(32)).await;
    assert_eq!(scene.peek(), "KEY2");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_leads_to_a_new_session() {
    let scene = Scene::maintained(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.clock.jump_back(5 * HOUR);
    sleep(seconds(32)).await;
    assert_eq!(scene.peek(), "KEY2");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_does_not_postpone_a_retry_for_hours() {
    let scene = Scene::maintained(&[Answer::Fail(Cause::Network)]);
    sleep(minutes(1)).await;
    scene.clock.jump_back(5 * HOUR);
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(minutes(2)).await;
    assert!(scene.peek().starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn refresh_replaces_a_session_that_is_still_good() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.broker.refresh(&scene.chain).await.unwrap();
    assert_eq!(scene.peek(), "KEY2");
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_session_and_tells_why() {
    let scene = Scene::new(&[Answer::Session(HOUR), Answer::Fail(Cause::AccessDenied)]);
    assert_eq!(scene.open().await, "KEY1");
    let error = scene.broker.refresh(&scene.chain).await.unwrap_err();
    assert_eq!(error.cause, Cause::AccessDenied);
    assert_eq!(scene.peek(), "KEY1");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_arrives_expired_is_a_failure() {
    let scene = Scene::new(&[Answer::Session(Duration::ZERO)]);
    assert_eq!(scene.open().await, "BadAnswer");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_flight_is_a_failure_and_not_the_end() {
    let scene = Scene::maintained(&[Answer::Panic, Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "BadAnswer");
    sleep(seconds(5)).await;
    assert_eq!(scene.open().await, "KEY2");
}

#[tokio::test(start_paused = true)]
async fn hops_of_a_chain_have_sessions_of_their_own_shared_by_the_roles_behind_them() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let (left, right) = (chain(&["hub", "left"]), chain(&["hub", "right"]));
    tokio::join!(scene.broker.settled(&left, DEADLINE), scene.broker.settled(&right, DEADLINE));
    assert_eq!(scene.sts.calls_of("hub"), 1);
    assert_eq!((scene.sts.calls_of("left"), scene.sts.calls_of("right")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_hop_names_the_hop_and_is_retried() {
    let scene = Scene::new(&[Answer::Fail(Cause::AccessDenied), Answer::Session(HOUR)]);
    let behind = chain(&["hub", "left"]);
    tokio::spawn(scene.broker.clone().maintain(behind.clone()));
    sleep(seconds(5)).await;
    match scene.broker.serving(&behind, scene.clock.now()) {
        Serving::Failing(error) => assert_eq!(error.subject, "hub"),
        other => panic!("{other:?}"),
    }
    sleep(minutes(2)).await;
    assert!(matches!(scene.broker.serving(&behind, scene.clock.now()), Serving::Live(..)));
}

/// A source that caches (`credential_process`, SSO) hands out the keys it handed out before.
#[tokio::test(start_paused = true)]
async fn unchanged_base_keys_are_served_to_their_end_without_making_readers_wait() {
    #[derive(Debug)]
    struct Unchanging(StsSession, Mutex<u32>);
    impl SessionSource for Unchanging {
        fn base<'a>(
            &'a self,
            _: &'a BaseCredentials,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            *self.1.lock() += 1;
            Box::pin(async { Ok(self.0.clone()) })
        }
        fn assume_role<'a>(
            &'a self,
            _: &'a RoleHop,
            _: &'a StsSession,
        ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
            unreachable!("the chain has no hop")
        }
    }
    let clock = Arc::new(TestClock::new());
    let keys = session_of("SAME", clock.now(), HOUR);
    let source = Arc::new(Unchanging(keys, Mutex::new(0)));
    let broker = Broker::new(source.clone(), clock.clone(), None, || Jitter::NONE);
    let base = BaseCredentials::Profile(ProfileName::parse("sso").unwrap().to_string());
    let chain = Arc::new(RoleChain { base, hops: vec![] });
    tokio::spawn(broker.clone().maintain(chain.clone()));
    for _ in 0..3590 {
        sleep(seconds(1)).await;
        assert!(matches!(broker.serving(&chain, clock.now()), Serving::Live(..)));
    }
    let asked = *source.1.lock();
    assert!(asked < 60, "asked {asked} times");
    sleep(seconds(20)).await;
    assert!(!matches!(broker.serving(&chain, clock.now()), Serving::Live(..)));
}

const HOUR: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(10);

/// An STS that answers in no time, so that flights land while others look.
#[derive(Debug)]
struct InstantSts(AtomicUsize);

impl SessionSource for InstantSts {
    fn base<'a>(
        &'a self,
        _base: &'a BaseCredentials,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        Box::pin(async { Ok(session_of("BASE", SystemClock.now(), HOUR)) })
    }

    fn assume_role<'a>(
        &'a self,
        _hop: &'a RoleHop,
        _with: &'a StsSession,
    ) -> BoxFuture<'a, Result<StsSession, SessionError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(session_of("KEY", SystemClock.now(), HOUR)) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flight_that_lands_while_a_reader_looks_is_not_flown_again() {
    for _ in 0..500 {
        let sts = Arc::new(InstantSts(AtomicUsize::new(0)));
        let broker = Broker::new(sts.clone(), Arc::new(SystemClock), None, || Jitter::NONE);
        let chain = chain(&["prod"]);
        let mut readers = JoinSet::new();
        for _ in 0..8 {
            let (broker, chain) = (broker.clone(), chain.clone());
            readers.spawn(async move { broker.settled(&chain, DEADLINE).await });
        }
        readers.join_all().await;
        assert_eq!(sts.0.load(Ordering::Relaxed), 1);
    }
}
