//! Access tokens that end or are refused, and what follows them.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::testing::*;
use super::*;
use crate::clock::Clock as _;
use crate::model::Secret;

#[tokio::test(start_paused = true)]
async fn an_access_token_that_ends_is_renewed_once_for_all_who_need_it() {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    assert_eq!(scene.token().await.unwrap(), "aws-by-a1");
    sleep(Duration::from_hours(1)).await;
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, Some("r2"))));
    let (first, second) = tokio::join!(scene.token(), scene.token());
    assert_eq!((first.unwrap(), second.unwrap()), ("aws-by-a2".into(), "aws-by-a2".into()));
    sleep(Duration::from_hours(1)).await;
    // An issuer that gives no other refresh token means that the one before goes on.
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a3", 60, None)));
    assert_eq!(scene.token().await.unwrap(), "aws-by-a3");
    sleep(Duration::from_hours(1)).await;
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a4", 60, None)));
    assert_eq!(scene.token().await.unwrap(), "aws-by-a4");
    assert_eq!(*scene.issuer.refreshed_with.lock(), ["r1", "r2", "r2"]);
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_is_refused_is_renewed_once_and_then_the_login_is_over() {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    scene.issuer.refused.lock().push("a1".to_owned());
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, Some("r2"))));
    assert_eq!(scene.token().await.unwrap(), "aws-by-a2");
    scene.issuer.refused.lock().push("a2".to_owned());
    scene.issuer.refused.lock().push("a3".to_owned());
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a3", 60, Some("r3"))));
    assert!(needed(scene.token().await).contains("invalid_token"));
    assert_eq!(scene.logins.state(&scene.identity), Login::None);
    assert_eq!(needed(scene.token().await), "run credmount login work");
    assert_eq!(scene.issuer.refreshed_with.lock().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_token_that_is_refused_ends_the_login_and_one_that_cannot_be_sent_does_not() {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    sleep(Duration::from_hours(1)).await;
    let down = Err(IssuerError::Unreachable("down".to_owned()));
    scene.issuer.refreshes.lock().push_back(down);
    let failed = TokenError::Failed("identity work: down".to_owned());
    assert_eq!(scene.token().await, Err(failed));
    assert!(needed(scene.token().await).contains("invalid_grant"));
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_token_a_login_ends_with_its_access_token() {
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    assert_eq!(scene.token().await.unwrap(), "aws-by-a1");
    sleep(Duration::from_hours(1)).await;
    assert!(needed(scene.token().await).contains("no refresh token"));
}

#[tokio::test(start_paused = true)]
async fn an_id_token_serves_until_its_own_end() {
    let scene = Scene::new(None);
    let with_id = |access: &str, id: &str, minutes: u64| {
        let expiration = Some(scene.clock.now() + Duration::from_mins(minutes));
        let id_token = Some(IdToken { token: Secret::new(id), expiration });
        Tokens { id_token, ..tokens(access, 600, Some("r")) }
    };
    scene.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(with_id("a1", "id1", 5))));
    scene.logins.begin(&scene.identity).await.unwrap();
    scene.logins.ended(&scene.identity).await;
    assert_eq!(scene.token().await.unwrap(), "id1");
    sleep(Duration::from_mins(5)).await;
    scene.issuer.refreshes.lock().push_back(Ok(with_id("a2", "id2", 65)));
    assert_eq!(scene.token().await.unwrap(), "id2");
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_no_more_is_forgotten() {
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    scene.logins.retain(|_| true);
    assert!(scene.token().await.is_ok());
    scene.logins.retain(|_| false);
    assert_eq!(needed(scene.token().await), "run credmount login work");
}

/// One whose access token has ended, and whose next renewal gives `answer` after a second.
async fn due(answer: Result<Tokens, IssuerError>) -> Scene {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    sleep(Duration::from_hours(1)).await;
    scene.issuer.refreshes.lock().push_back(answer);
    scene
}

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_does_not_end_the_renewal_that_all_depend_on() {
    let scene = due(Ok(tokens("a2", 60, Some("r2")))).await;
    let given_up = timeout(Duration::from_millis(500), scene.token()).await;
    assert!(given_up.is_err());
    assert_eq!(scene.token().await.unwrap(), "aws-by-a2");
    assert_eq!(*scene.issuer.refreshed_with.lock(), ["r1"]);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_comes_during_a_renewal_stays() {
    for answer in [
        Ok(tokens("a2", 60, Some("r2"))),
        Err(IssuerError::TokenRefused("invalid_grant".to_owned())),
    ] {
        let scene = due(answer).await;
        let new = tokens("b1", 60, Some("r-of-b"));
        scene.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(new)));
        scene.logins.begin(&scene.identity).await.unwrap();
        // The issuer is polled after 5 s, and asked for a renewal from 4.5 s to 5.5 s.
        sleep(Duration::from_millis(4500)).await;
        assert_eq!(scene.token().await.unwrap(), "aws-by-b1");
        assert_eq!(*scene.issuer.refreshed_with.lock(), ["r1"]);
        assert_eq!(scene.logins.state(&scene.identity), Login::Done);
        assert_eq!(scene.token().await.unwrap(), "aws-by-b1");
    }
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_a_renewal_share_its_failure_and_later_ones_try_again() {
    let scene = due(Err(IssuerError::Unreachable("down".to_owned()))).await;
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, None)));
    let outcomes = tokio::join!(scene.token(), scene.token(), scene.token());
    let failed = || Err(TokenError::Failed("identity work: down".to_owned()));
    assert_eq!(outcomes, (failed(), failed(), failed()));
    assert_eq!(scene.issuer.refreshed_with.lock().len(), 1);
    assert_eq!(scene.token().await.unwrap(), "aws-by-a2");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_wants_to_be_left_alone_is_asked_by_nobody() {
    let (minute, words) = (Duration::from_mins(1), "busy".to_owned());
    let scene = due(Err(IssuerError::Later(words, minute))).await;
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, None)));
    let left = async || match scene.token().await {
        Err(TokenError::Later(_, left)) => left,
        other => panic!("{other:?}"),
    };
    assert_eq!(left().await, minute);
    sleep(minute / 2).await;
    assert_eq!(left().await, minute / 2);
    assert_eq!(scene.issuer.refreshed_with.lock().len(), 1);
    sleep(minute / 2).await;
    assert_eq!(scene.token().await.unwrap(), "aws-by-a2");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_can_wait_for_a_renewal_after_which_there_is_no_other() {
    let scene = due(Ok(tokens("a2", 0, Some("r2")))).await;
    let (logins, identity) = (scene.logins.clone(), scene.identity.clone());
    let asked = tokio::spawn(async move { logins.token_for_aws(&identity).await.is_ok() });
    sleep(Duration::from_millis(500)).await;
    let at_rest = scene.logins.at_rest().await;
    assert!(asked.await.unwrap());
    let another = timeout(Duration::from_mins(1), scene.token()).await;
    assert!(another.is_err(), "{another:?}");
    assert_eq!(scene.issuer.refreshed_with.lock().len(), 1);
    drop(at_rest);
    assert!(scene.token().await.is_err());
}
