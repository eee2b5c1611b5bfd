//! When sessions are renewed, and what an open waits for.

use super::*;

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
async fn refresh_replaces_a_session_that_is_still_good() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "KEY1");
    scene.broker.refresh(&scene.chain).await.unwrap();
    assert_eq!(scene.peek(), "KEY2");
}

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
