//! Logins over time, at a scripted issuer, in paused time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::*;
use crate::broker::testing::TestClock;
use crate::broker::{BoxFuture, Cause, TokenGiver as _};
use crate::clock::Clock as _;
use crate::model::{
    GithubGrant, GithubOwner, HostName, OidcIdentity, Secret, ServiceUrl, SshCertificate, SshGrant,
    SshKey, SshName, Token, TokenContent, TokenGrant,
};

/// Answers polls by a script, whose end is `authorization_pending`, and counts tokens.
#[derive(Debug, Default)]
struct Scripted {
    polls: Mutex<VecDeque<Result<PollAnswer, IssuerError>>>,
    polled_at: Mutex<Vec<Instant>>,
    begun: Mutex<usize>,
    /// How refresh tokens are answered: with the next access token, or an error.
    refreshes: Mutex<VecDeque<Result<Tokens, IssuerError>>>,
    refreshed_with: Mutex<Vec<String>>,
    /// Access tokens that the token URL does not accept.
    refused: Mutex<Vec<String>>,
    /// From when until when certificates are valid.
    valid: Mutex<Option<(SystemTime, SystemTime)>>,
}

fn tokens(access: &str, minutes: u64, refresh: Option<&str>) -> Tokens {
    Tokens {
        access: Secret::new(access),
        lifetime: Some(Duration::from_mins(minutes)),
        refresh: refresh.map(Secret::new),
        id_token: None,
    }
}

impl Issuer for Scripted {
    fn begin<'a>(&'a self, _: &'a OidcIdentity) -> BoxFuture<'a, Result<DeviceGrant, IssuerError>> {
        *self.begun.lock() += 1;
        let prompt = LoginPrompt {
            verification_uri: "https://a.example/device".to_owned(),
            verification_uri_complete: None,
            user_code: format!("CODE-{}", self.begun.lock()),
        };
        let grant = DeviceGrant {
            prompt,
            device_code: Secret::new("device"),
            token_endpoint: url("https://a.example/token"),
            interval: Duration::from_secs(5),
            lifetime: Duration::from_mins(10),
        };
        Box::pin(async move { Ok(grant) })
    }

    fn poll<'a>(
        &'a self,
        _: &'a OidcIdentity,
        _: &'a DeviceGrant,
    ) -> BoxFuture<'a, Result<PollAnswer, IssuerError>> {
        self.polled_at.lock().push(Instant::now());
        let answer = self.polls.lock().pop_front().unwrap_or(Ok(PollAnswer::Pending));
        Box::pin(async move { answer })
    }

    fn refresh<'a>(
        &'a self,
        _: &'a OidcIdentity,
        refresh: &'a Secret,
    ) -> BoxFuture<'a, Result<Tokens, IssuerError>> {
        self.refreshed_with.lock().push(refresh.expose().to_owned());
        let answer = self.refreshes.lock().pop_front();
        let refused = || IssuerError::TokenRefused("invalid_grant".to_owned());
        Box::pin(async move {
            sleep(Duration::from_secs(1)).await;
            answer.unwrap_or_else(|| Err(refused()))
        })
    }

    fn token_for_aws<'a>(
        &'a self,
        _: &'a ServiceUrl,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<IdToken, IssuerError>> {
        let access = access.expose().to_owned();
        let refused = self.refused.lock().contains(&access);
        Box::pin(async move {
            if refused {
                return Err(IssuerError::TokenRefused("invalid_token".to_owned()));
            }
            Ok(IdToken { token: Secret::new(format!("aws-by-{access}")), expiration: None })
        })
    }

    fn github_token<'a>(
        &'a self,
        grant: &'a GithubGrant,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenToken, IssuerError>> {
        let (access, owner) = (access.expose().to_owned(), &grant.owner);
        let refused = self.refused.lock().contains(&access);
        Box::pin(async move {
            match (refused, owner.as_str()) {
                (true, _) => Err(IssuerError::TokenRefused("invalid_token".to_owned())),
                (_, "busy") => Err(IssuerError::Later("busy".to_owned(), Duration::from_secs(90))),
                (_, "down") => Err(IssuerError::Unreachable("down".to_owned())),
                (_, "denied") => Err(IssuerError::Unusable("denied".to_owned())),
                _ => Ok(GivenToken {
                    token: Secret::new(format!("ghs-by-{access}")),
                    ends: None,
                    lifetime: Some(Duration::from_hours(1)),
                }),
            }
        })
    }

    fn ssh_certificate<'a>(
        &'a self,
        _: &'a SshGrant,
        _: &'a SshKey,
        access: &'a Secret,
    ) -> BoxFuture<'a, Result<GivenCertificate, IssuerError>> {
        let (valid_after, valid_before) = self.valid.lock().unwrap();
        let certificate = SshCertificate {
            line: format!("by {}", access.expose()),
            key_id: "jane".to_owned(),
            serial: 7,
            principals: vec!["jane".to_owned()],
            valid_after,
            valid_before,
        };
        let lifetime = Some(Duration::from_hours(1));
        Box::pin(async move { Ok(GivenCertificate { certificate, lifetime }) })
    }

    fn hash(&self, token: &Secret) -> String {
        format!("hash of {}", token.expose())
    }
}

fn url(text: &str) -> ServiceUrl {
    ServiceUrl::parse(text).unwrap()
}

struct Scene {
    issuer: Arc<Scripted>,
    clock: Arc<TestClock>,
    logins: Arc<Logins>,
    identity: Arc<OidcIdentity>,
}

impl Scene {
    fn new(token_url: Option<&str>) -> Self {
        let (issuer, clock) = (Arc::<Scripted>::default(), Arc::new(TestClock::new()));
        let identity = OidcIdentity {
            name: "work".to_owned(),
            issuer: url("https://a.example"),
            client_id: "c".to_owned(),
            scope: "openid".to_owned(),
            audience: None,
            token_url: token_url.map(url),
        };
        let logins = Arc::new(Logins::new(issuer.clone(), clock.clone()));
        Self { issuer, clock, logins, identity: Arc::new(identity) }
    }

    /// One that is logged in with these tokens.
    async fn logged_in(tokens: Tokens) -> Self {
        let scene = Self::new(Some("https://a.example/aws"));
        scene.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(tokens)));
        scene.logins.begin(&scene.identity).await.unwrap();
        assert_eq!(scene.logins.ended(&scene.identity).await, Login::Done);
        scene
    }

    async fn token(&self) -> Result<String, TokenError> {
        let token = self.logins.token_for_aws(&self.identity).await;
        token.map(|token| token.expose().to_owned())
    }
}

fn needed(outcome: Result<String, TokenError>) -> String {
    match outcome {
        Err(TokenError::LoginNeeded(why)) => why,
        other => panic!("{other:?}"),
    }
}

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

    async fn logs_in(&self, tokens: Tokens) {
        self.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(tokens)));
        self.logins.begin(&self.identity).await.unwrap();
        assert_eq!(self.logins.ended(&self.identity).await, Login::Done);
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
