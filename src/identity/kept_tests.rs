//! Logins that outlive the process.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::testing::*;
use super::*;
use crate::model::{OidcIdentity, Secret};

/// Keeps logins for the next process, by their access and refresh tokens.
#[derive(Debug, Default)]
struct Shelf(Mutex<Option<KeptLogin>>);

impl Shelf {
    fn tokens(&self) -> Option<(String, Option<String>)> {
        let kept = self.0.lock().clone()?;
        let text = |secret: Secret| secret.expose().to_owned();
        Some((text(kept.access), kept.refresh.map(text)))
    }
}

impl KeepLogins for Shelf {
    fn keep(&self, _: &OidcIdentity, login: &KeptLogin) {
        *self.0.lock() = Some(login.clone());
    }

    fn kept(&self, _: &OidcIdentity) -> Option<KeptLogin> {
        self.0.lock().clone()
    }

    fn forget(&self, _: &OidcIdentity) {
        *self.0.lock() = None;
    }
}

impl Scene {
    /// The process that follows on this one, with what was `kept`.
    fn next(&self, kept: &Arc<Shelf>) -> Self {
        let logins = Logins::new(self.issuer.clone(), self.clock.clone()).keeping(kept.clone());
        let (issuer, clock) = (self.issuer.clone(), self.clock.clone());
        Self { issuer, clock, logins: Arc::new(logins), identity: self.identity.clone() }
    }
}

fn both(access: &str, refresh: &str) -> (String, Option<String>) {
    (access.to_owned(), Some(refresh.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_what_is_held_until_the_login_is_over() {
    let shelf = Arc::<Shelf>::default();
    let scene = Scene::new(Some("https://a.example/aws")).next(&shelf);
    scene.logs_in(tokens("a1", 60, Some("r1"))).await;
    assert_eq!(shelf.tokens(), Some(both("a1", "r1")));

    let next = scene.next(&shelf);
    assert_eq!(next.token().await.unwrap(), "aws-by-a1");
    next.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, Some("r2"))));
    next.issuer.refused.lock().push("a1".to_owned());
    assert_eq!(next.token().await.unwrap(), "aws-by-a2");
    assert_eq!(shelf.tokens(), Some(both("a2", "r2")));
    assert_eq!(next.logins.state(&next.identity), Login::Done);

    next.issuer.refused.lock().push("a2".to_owned());
    needed(next.token().await);
    assert_eq!(shelf.tokens(), None);
    needed(next.next(&shelf).token().await);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_kept_without_its_id_token_is_renewed_to_get_one() {
    let shelf = Arc::<Shelf>::default();
    let scene = Scene::new(None).next(&shelf);
    let with_id = |access: &str, refresh| Tokens {
        id_token: Some(IdToken { token: Secret::new(format!("id-{access}")), expiration: None }),
        ..tokens(access, 60, refresh)
    };
    scene.logs_in(with_id("a0", Some("r0"))).await;
    scene.logs_in(with_id("a0", None)).await;
    assert_eq!(shelf.tokens(), None, "it would be good for nothing");
    scene.logs_in(with_id("a1", Some("r1"))).await;
    let next = scene.next(&shelf);
    next.issuer.refreshes.lock().push_back(Ok(with_id("a2", Some("r2"))));
    assert_eq!(next.token().await.unwrap(), "id-a2");
    assert_eq!(*next.issuer.refreshed_with.lock(), ["r1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_no_more_is_not_kept_and_what_was_not_kept_can_be() {
    let shelf = Arc::<Shelf>::default();
    let scene = Scene::new(Some("https://a.example/aws")).next(&shelf);
    scene.logs_in(tokens("a1", 60, Some("r1"))).await;
    shelf.forget(&scene.identity);
    scene.logins.keep_all();
    assert_eq!(shelf.tokens(), Some(both("a1", "r1")));
    scene.logins.retain(|_| false);
    assert_eq!(shelf.tokens(), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_for_an_identity_that_is_configured_no_more_is_not_kept() {
    let shelf = Arc::<Shelf>::default();
    let scene = Scene::new(Some("https://a.example/aws")).next(&shelf);
    scene.logins.begin(&scene.identity).await.unwrap();
    scene.logins.retain(|_| false);
    scene.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(tokens("a1", 60, Some("r1")))));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(shelf.tokens(), None);
    assert!(scene.issuer.polled_at.lock().is_empty(), "nobody needs to know");

    scene.issuer.polls.lock().clear();
    scene.logs_in(tokens("a1", 1, Some("r1"))).await;
    sleep(Duration::from_mins(1)).await;
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, Some("r2"))));
    let (logins, identity) = (scene.logins.clone(), scene.identity.clone());
    let renewal = tokio::spawn(async move { logins.token_for_aws(&identity).await });
    sleep(Duration::from_millis(500)).await;
    scene.logins.retain(|_| false);
    assert!(matches!(renewal.await.unwrap(), Err(TokenError::LoginNeeded(_))));
    assert_eq!(shelf.tokens(), None);
}
