//! What is shared, what is served while renewals fail, and when they are tried again.

use super::*;

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
    // Two calls for each flight.
    let calls = transient.sts.calls();
    assert!((24..=45).contains(&calls), "{calls} calls");
    let permanent = Scene::maintained(&[Answer::Fail(Cause::AccessDenied)]);
    sleep(minutes(10)).await;
    let calls = permanent.sts.calls();
    assert!((3..=6).contains(&calls), "{calls} calls");
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
