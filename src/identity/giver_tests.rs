//! Tokens of services other than AWS.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;

use super::testing::*;
use super::*;
use crate::broker::{BoxFuture, Cause, ObserveCalls, SessionCall, TokenGiver as _};
use crate::clock::Clock as _;
use crate::model::{
    GithubGrant, GithubOwner, HostName, SshCertificate, SshGrant, SshKey, SshName, Token,
    TokenContent, TokenGrant,
};

fn text(token: &Token) -> &str {
    match &token.content {
        TokenContent::Text(text) => text.expose(),
        TokenContent::Ssh { .. } => panic!("{token:?}"),
    }
}

fn github(scene: &Scene, owner: &str) -> TokenGrant {
    TokenGrant::Github(GithubGrant {
        identity: scene.identity.clone(),
        owner: GithubOwner::parse(owner).unwrap(),
        repositories: Vec::new(),
        token_url: url("https://a.example/github"),
        host: HostName::parse("github.com").unwrap(),
    })
}

#[tokio::test(start_paused = true)]
async fn a_token_for_github_is_asked_again_with_a_renewed_access_token() {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    let grant = github(&scene, "acme");
    let token = scene.logins.token(&grant).await.unwrap();
    assert_eq!((text(&token), &*token.id), ("ghs-by-a1", "hash of ghs-by-a1"));
    assert_eq!(token.issued, scene.clock.now());
    assert_eq!(token.expiration, token.issued + Duration::from_hours(1));
    scene.issuer.refused.lock().push("a1".to_owned());
    scene.issuer.refreshes.lock().push_back(Ok(tokens("a2", 60, None)));
    assert_eq!(text(&scene.logins.token(&grant).await.unwrap()), "ghs-by-a2");
    scene.issuer.refused.lock().push("a2".to_owned());
    let error = scene.logins.token(&grant).await.unwrap_err();
    assert_eq!((&*error.subject, error.cause), ("github/acme", Cause::LoginNeeded));
}

#[tokio::test(start_paused = true)]
async fn what_an_issuer_says_of_a_token_decides_who_has_to_do_something() {
    let scene = Scene::new(None);
    let cause = async |scene: &Scene, owner| {
        scene.logins.token(&github(scene, owner)).await.unwrap_err().cause
    };
    assert_eq!(cause(&scene, "acme").await, Cause::LoginNeeded);
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    assert_eq!(cause(&scene, "down").await, Cause::IssuerUnavailable);
    assert_eq!(cause(&scene, "denied").await, Cause::TokenDenied);
}

#[tokio::test(start_paused = true)]
async fn what_an_issuer_asks_for_by_retry_after_is_kept() {
    let scene = Scene::logged_in(tokens("a1", 60, Some("r1"))).await;
    let error = scene.logins.token(&github(&scene, "busy")).await.unwrap_err();
    let wait = Duration::from_secs(90);
    let asked = Some(wait);
    assert_eq!((error.cause, error.retry_after), (Cause::IssuerUnavailable, asked));
    // Not only where the token comes from: on the way to it too.
    sleep(Duration::from_hours(1)).await;
    let later = || Err(IssuerError::Later("busy".to_owned(), Duration::from_secs(90)));
    scene.issuer.refreshes.lock().extend([later(), later()]);
    let error = scene.logins.token(&github(&scene, "acme")).await.unwrap_err();
    assert_eq!((error.cause, error.retry_after), (Cause::IssuerUnavailable, asked));
    let why = "identity work: busy; it wants to be asked again in 1m 30s";
    assert_eq!(scene.token().await, Err(TokenError::Later(why.to_owned(), wait)));
}

#[tokio::test(start_paused = true)]
async fn the_token_of_an_identity_without_an_end_is_asked_for_again_soon() {
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    let grant = TokenGrant::WebIdentity(scene.identity.clone());
    let token = scene.logins.token(&grant).await.unwrap();
    assert_eq!(text(&token), "aws-by-a1");
    assert_eq!(token.expiration, token.issued + Duration::from_mins(5));
}

/// A certificate for `prod` and the pair that it is of.
fn pair(token: &Token) -> (&Arc<SshKey>, &SshCertificate) {
    match &token.content {
        TokenContent::Ssh { key, certificate } => (key, certificate),
        TokenContent::Text(_) => panic!("{token:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn certificates_that_follow_one_another_are_of_one_key_and_later_ones_of_another() {
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    let grant = ssh(&scene);
    let now = scene.clock.now();
    *scene.issuer.valid.lock() = Some((now, now + Duration::from_mins(30)));
    let first = scene.logins.token(&grant).await.unwrap();
    assert_eq!((&*pair(&first).1.line, &*first.id), ("by a1", "jane (serial 7)"));
    assert_eq!((first.issued, first.expiration), (now, now + Duration::from_mins(30)));
    *scene.issuer.valid.lock() = Some((now, now + Duration::from_hours(8)));
    let second = scene.logins.token(&grant).await.unwrap();
    assert_eq!(second.expiration, now + Duration::from_hours(1));
    assert!(Arc::ptr_eq(pair(&first).0, pair(&second).0));
    let before = pair(&second).0.public().to_vec();
    drop((first, second));
    let third = scene.logins.token(&grant).await.unwrap();
    assert_ne!(pair(&third).0.public(), before);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_no_server_would_take_now_is_refused() {
    let scene = Scene::logged_in(tokens("a1", 60, None)).await;
    let (now, grant, second) = (scene.clock.now(), ssh(&scene), Duration::from_secs(1));
    let (hour, tolerance) = (Duration::from_hours(1), Duration::from_mins(5));
    for (from, until, is_taken) in [
        (now - hour, now + second, true),
        (now + tolerance, now + hour, true),
        (now - hour, now, false),
        (now + tolerance + second, now + hour, false),
    ] {
        *scene.issuer.valid.lock() = Some((from, until));
        let given = scene.logins.token(&grant).await;
        assert_eq!(given.is_ok(), is_taken, "{given:?}");
        if let Err(error) = given {
            assert_eq!((&*error.subject, error.cause), ("ssh/prod", Cause::TokenDenied));
        }
    }
}

fn ssh(scene: &Scene) -> TokenGrant {
    TokenGrant::Ssh(SshGrant {
        identity: scene.identity.clone(),
        name: SshName::parse("prod").unwrap(),
        certificate_url: url("https://a.example/ssh"),
    })
}

/// Remembers which calls were told, and whether they gave a token.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<bool>>);

impl ObserveCalls for Told {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        self.0.lock().push(call.outcome.is_ok());
        Box::pin(async {})
    }
}

#[tokio::test(start_paused = true)]
async fn each_call_is_told_also_while_somebody_logs_in_again_or_has_failed_to() {
    let told = Arc::<Told>::default();
    let scene = Scene::new(Some("https://a.example/aws"));
    let logins = Logins::new(scene.issuer.clone(), scene.clock.clone());
    let scene = Scene { logins: Arc::new(logins.observed_by(told.clone())), ..scene };
    let grant = github(&scene, "acme");
    assert!(scene.logins.token(&grant).await.is_err());
    assert_eq!(*told.0.lock(), [false; 0], "nobody was asked");
    scene.logs_in(tokens("a1", 60, None)).await;
    assert!(scene.logins.token(&grant).await.is_ok());
    scene.logins.begin(&scene.identity).await.unwrap();
    assert!(scene.logins.token(&grant).await.is_ok());
    assert!(matches!(scene.logins.ended(&scene.identity).await, Login::Over(_)));
    assert!(scene.logins.token(&grant).await.is_ok());
    assert_eq!(*told.0.lock(), [true; 3]);
}
