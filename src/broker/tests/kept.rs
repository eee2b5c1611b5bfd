//! Which sessions are kept, and what happens to those that are not.

use super::*;
use crate::broker::Keeper;

#[tokio::test(start_paused = true)]
async fn a_chain_that_many_mounts_name_is_kept_once() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let mut keeper = Keeper::new(scene.broker.clone());
    keeper.keep([chain(&["prod"]), chain(&["prod"]), chain(&["prod"])]);
    sleep(minutes(5)).await;
    keeper.keep([chain(&["prod"]), chain(&["dev"])]);
    sleep(minutes(5)).await;
    assert_eq!(scene.sts.calls_of("prod"), 1, "a session that is still needed is kept");
    assert_eq!(scene.sts.calls_of("dev"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_nobody_names_any_more_is_forgotten_and_not_renewed() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let mut keeper = Keeper::new(scene.broker.clone());
    keeper.keep([scene.chain.clone()]);
    sleep(minutes(5)).await;
    assert_eq!(scene.peek(), "KEY1");
    keeper.keep([]);
    assert_eq!(scene.peek(), "pending");
    sleep(HOUR).await;
    assert_eq!(scene.sts.calls(), 1);
    // Named again it is fetched anew.
    keeper.keep([scene.chain.clone()]);
    sleep(minutes(1)).await;
    assert_eq!(scene.peek(), "KEY2");
}

#[tokio::test(start_paused = true)]
async fn the_hops_on_the_way_are_kept_with_the_chain_behind_them() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let mut keeper = Keeper::new(scene.broker.clone());
    keeper.keep([chain(&["hub", "prod"])]);
    sleep(minutes(1)).await;
    keeper.keep([chain(&["hub", "dev"])]);
    sleep(minutes(1)).await;
    assert_eq!(scene.sts.calls_of("hub"), 1, "the hub leads to both");
    assert_eq!(scene.sts.calls_of("dev"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flight_that_lands_after_its_chain_was_forgotten_leaves_no_session() {
    let scene = Scene::new(&[Answer::Session(HOUR)]);
    let mut keeper = Keeper::new(scene.broker.clone());
    keeper.keep([scene.chain.clone()]);
    // The answer takes a second.
    sleep(Duration::from_millis(500)).await;
    keeper.keep([]);
    sleep(minutes(1)).await;
    assert_eq!(scene.sts.calls(), 1);
    assert_eq!(scene.peek(), "pending");
}
