//! STS in trouble: attempts in a flight, throttling, outages; and clocks that are set meanwhile.

use std::num::NonZeroU8;

use super::*;

fn throttled(retry_after: Option<u64>) -> Answer {
    Answer::FailFor(Cause::Throttled, retry_after.map(seconds))
}

impl Scene {
    /// When STS was called, in whole seconds since `start`.
    fn called_at(&self, start: Instant) -> Vec<u64> {
        let calls = self.sts.calls.lock();
        calls.iter().map(|(_, at)| at.duration_since(start).as_secs()).collect()
    }

    /// What is left, in whole minutes, of the keys that are served.
    fn minutes_left(&self) -> u64 {
        match self.broker.serving(&self.chain, self.clock.now()) {
            Serving::Live(session, _) => session.remaining(self.clock.now()).as_secs() / 60,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hiccup_at_the_first_open_is_not_told_as_failure() {
    for cause in [Cause::Network, Cause::BadAnswer, Cause::ServiceUnavailable, Cause::Throttled] {
        let fail = Answer::Fail(cause);
        let scene = Scene::new(&[fail, fail, Answer::Session(HOUR)]);
        assert_eq!(scene.open().await, "KEY3", "{cause:?}");
        assert_eq!(scene.broker.status(&scene.chain).failures, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flight_has_three_attempts() {
    let scene = Scene::new(&[Answer::Fail(Cause::Network)]);
    let start = Instant::now();
    assert_eq!(scene.open().await, "Network");
    assert_eq!(scene.sts.calls(), 3);
    let took = start.elapsed();
    assert!((seconds(3)..seconds(5)).contains(&took), "{took:?}");
    assert_eq!(scene.broker.status(&scene.chain).failures, 1);
}

#[tokio::test(start_paused = true)]
async fn attempts_stop_at_a_cause_that_does_not_pass_by_itself() {
    let script = [Answer::Fail(Cause::Network), Answer::Fail(Cause::AccessDenied)];
    let scene = Scene::new(&script);
    assert_eq!(scene.open().await, "AccessDenied");
    assert_eq!(scene.sts.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_that_hang_end_with_their_flight() {
    let scene = Scene::new(&[Answer::Hang, Answer::Session(HOUR)]);
    assert_eq!(scene.open().await, "TimedOut");
    sleep(minutes(1)).await;
    assert_eq!(scene.sts.calls(), 1, "its time is used up");
    assert!(!scene.broker.status(&scene.chain).failure.unwrap().error.subject.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_nobody_waits_for_does_not_press_an_sts_in_trouble() {
    for cause in [Cause::Throttled, Cause::ServiceUnavailable] {
        let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(cause)]);
        sleep(seconds(30 * 60 + 5)).await;
        assert_eq!(scene.sts.calls(), 2, "{cause:?}: one for the session, one for its renewal");
        sleep(seconds(29 * 60 + 50)).await;
        let calls = scene.sts.calls();
        assert!((6..=14).contains(&calls), "{cause:?}: {calls} calls in the life of a session");
    }
}

#[tokio::test(start_paused = true)]
async fn throttling_is_retried_ever_more_slowly() {
    let scene = Scene::maintained(&[throttled(None)]);
    let start = Instant::now();
    sleep(minutes(10)).await;
    // The pauses after the first answer; nobody waits, so a flight has one attempt.
    let calls = scene.called_at(start);
    let pauses: Vec<u64> = calls.windows(2).map(|pair| pair[1] - pair[0] - 1).take(6).collect();
    for (pause, expected) in pauses.iter().zip([3, 7, 15, 30, 60, 90]) {
        assert!(pause.abs_diff(expected) <= 1, "{pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_sts_asks_for_is_kept() {
    let scene = Scene::maintained(&[throttled(Some(100)), Answer::Session(HOUR)]);
    let start = Instant::now();
    assert_eq!(scene.open().await, "Throttled");
    assert_eq!(start.elapsed(), seconds(1), "a reader is told at once, not after a pause of 100 s");
    sleep(seconds(99)).await;
    assert_eq!((scene.sts.calls(), scene.open().await.as_str()), (1, "Throttled"));
    sleep(seconds(55)).await;
    assert_eq!(scene.open().await, "KEY2");
    // Beside the 100 s there is jitter, here a quarter.
    assert_eq!(scene.called_at(start), [0, 126]);
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_that_sts_asks_for_is_a_pause_in_the_flight() {
    let scene = Scene::new(&[throttled(Some(4)), Answer::Session(HOUR)]);
    let start = Instant::now();
    assert_eq!(scene.open().await, "KEY2");
    assert_eq!(scene.called_at(start), [0, 5]);
}

#[tokio::test(start_paused = true)]
async fn nobody_who_answers_can_send_a_role_away_for_long() {
    let a_year = Some(365 * 24 * 3600);
    let scene = Scene::maintained(&[throttled(a_year), Answer::Session(HOUR)]);
    sleep(minutes(15)).await;
    assert_eq!(scene.peek(), "KEY2");
}

#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_session_is_not_seen_by_readers() {
    let scene =
        Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::ServiceUnavailable)]);
    assert_eq!(scene.open().await, "KEY1");
    for minute in 0..50 {
        if minute == 48 {
            scene.sts.now_answers(&[Answer::Session(HOUR)]);
        }
        let start = Instant::now();
        assert!(scene.open().await.starts_with("KEY"));
        assert_eq!(start.elapsed(), Duration::ZERO, "an open waited in minute {minute}");
        sleep(minutes(1)).await;
    }
    sleep(minutes(5)).await;
    assert!(scene.minutes_left() > 50, "renewed before the old keys had expired");
}

#[tokio::test(start_paused = true)]
async fn the_less_is_left_the_sooner_a_retry_comes() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::Network)]);
    let start = Instant::now();
    sleep(minutes(58)).await;
    let calls = scene.called_at(start);
    let late: Vec<u64> = calls.iter().copied().filter(|at| *at > 45 * 60).collect();
    let widest = |calls: &[u64]| calls.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(widest(&calls[1..]) > 180, "{calls:?}");
    assert!(widest(&late[late.len() / 2..]) < 120, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn readers_go_before_renewals() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    scene.broker.limit_calls(Some(NonZeroU8::MIN));
    let background: Vec<_> = ["a", "b", "c", "d"].map(|name| chain(&[name])).into();
    for chain in &background {
        tokio::spawn(scene.broker.clone().maintain(chain.clone()));
        sleep(Duration::from_millis(10)).await;
    }
    // One that nobody has asked for yet, and one that waits in the queue already.
    let (new, queued) = (chain(&["reader"]), chain(&["hub", "d"]));
    tokio::spawn(scene.broker.clone().maintain(queued.clone()));
    sleep(Duration::from_millis(10)).await;
    let settled = |chain: &Arc<RoleChain>| {
        let (broker, chain) = (scene.broker.clone(), chain.clone());
        tokio::spawn(async move { broker.settled(&chain, DEADLINE).await })
    };
    let waits = [settled(&queued), settled(&new)];
    for wait in waits {
        wait.await.unwrap();
    }
    let order: Vec<String> = scene.sts.calls.lock().iter().map(|(name, _)| name.clone()).collect();
    // The haste of a role is that of the hops before it.
    assert_eq!(order[..3], ["a", "hub", "reader"], "{order:?}");
    assert_eq!(order[3], "d");
    sleep(seconds(10)).await;
    assert_eq!(scene.sts.calls(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_role_is_still_in_the_queue_is_told_so() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    scene.broker.limit_calls(Some(NonZeroU8::MIN));
    let chains: Vec<_> = (0..20).map(|number| chain(&[&format!("r{number}")])).collect();
    let mut waits = JoinSet::new();
    for chain in &chains {
        let (broker, chain) = (scene.broker.clone(), chain.clone());
        waits.spawn(async move { broker.settled(&chain, DEADLINE).await });
    }
    waits.join_all().await;
    let Serving::Failing(error) = scene.broker.serving(&chains[19], scene.clock.now()) else {
        panic!("it could not be asked for in time");
    };
    assert_eq!(error.cause, Cause::TimedOut);
    assert!(error.detail.contains("sts_calls_per_second"), "{error}");
    sleep(seconds(15)).await;
    assert!(matches!(scene.broker.serving(&chains[19], scene.clock.now()), Serving::Live(..)));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_does_not_use_up_the_time_of_a_call() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    scene.broker.limit_calls(Some(NonZeroU8::MIN));
    let chains: Vec<_> = (0..100).map(|number| chain(&[&format!("r{number}")])).collect();
    let start = Instant::now();
    for chain in &chains {
        tokio::spawn(scene.broker.clone().maintain(chain.clone()));
    }
    sleep(seconds(102)).await;
    assert_eq!(scene.sts.calls(), 100, "each was called once");
    assert_eq!(scene.called_at(start), (0..100).collect::<Vec<_>>());
    for chain in &chains {
        assert!(matches!(scene.broker.serving(chain, scene.clock.now()), Serving::Live(..)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_hours_postpones_no_retry() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::Network)]);
    sleep(minutes(31)).await;
    scene.clock.jump_back(5 * HOUR);
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(40)).await;
    let status = scene.broker.status(&scene.chain);
    assert!(status.failure.is_none());
    assert!(scene.minutes_left() < 60, "the keys are those of the new time");
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_by_37_hours_serves_nothing_that_it_takes_for_expired() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::Network)]);
    sleep(minutes(31)).await;
    scene.clock.jump(37 * HOUR);
    assert_eq!(scene.peek(), "Network");
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(35)).await;
    assert!(scene.peek().starts_with("KEY"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_does_not_outlive_a_suspend_of_three_hours() {
    let scene = Scene::maintained(&[Answer::Session(HOUR), Answer::Fail(Cause::Throttled)]);
    sleep(minutes(31)).await;
    scene.clock.jump(3 * HOUR);
    assert_eq!(scene.peek(), "Throttled", "keys that expired in the night are not served");
    scene.sts.now_answers(&[Answer::Session(HOUR)]);
    sleep(seconds(35)).await;
    assert!(scene.peek().starts_with("KEY"));
}
