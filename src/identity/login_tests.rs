//! Logins from their beginning to their end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::testing::*;
use super::*;

#[tokio::test(start_paused = true)]
async fn the_issuer_is_polled_at_its_pace_and_slower_after_slow_down() {
    let scene = Scene::new(None);
    scene.issuer.polls.lock().extend([
        Ok(PollAnswer::Pending),
        Ok(PollAnswer::SlowDown),
        Err(IssuerError::Unreachable("down".to_owned())),
        Ok(PollAnswer::Pending),
        Ok(PollAnswer::Denied),
    ]);
    let start = Instant::now();
    scene.logins.begin(&scene.identity).await.unwrap();
    let end = scene.logins.ended(&scene.identity).await;
    assert_eq!(end, Login::Over(LoginEnd::Denied));
    let at: Vec<u64> =
        scene.issuer.polled_at.lock().iter().map(|at| (*at - start).as_secs()).collect();
    assert_eq!(at, [5, 10, 20, 40, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_login_under_way_is_joined_and_one_that_is_over_is_not() {
    let scene = Scene::new(None);
    let first = scene.logins.begin(&scene.identity).await.unwrap();
    assert_eq!(scene.logins.begin(&scene.identity).await.unwrap(), first);
    let end = scene.logins.ended(&scene.identity).await;
    assert_eq!(end, Login::Over(LoginEnd::Expired));
    assert_ne!(scene.logins.begin(&scene.identity).await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn without_a_login_nobody_is_asked() {
    let scene = Scene::new(Some("https://a.example/aws"));
    assert_eq!(needed(scene.token().await), "run credmount login work");
    assert!(scene.issuer.refreshed_with.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_login_hears_of_it() {
    let scene = Scene::new(None);
    let (logins, identity) = (scene.logins.clone(), scene.identity.clone());
    let waits = tokio::spawn(async move { logins.logged_in(&identity).await });
    sleep(Duration::from_mins(1)).await;
    assert!(!waits.is_finished());
    scene.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(tokens("a", 60, None))));
    scene.logins.begin(&scene.identity).await.unwrap();
    waits.await.unwrap();
}
