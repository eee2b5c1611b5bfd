//! Exchanges of refresh tokens, during which somebody gives up, signs in, waits or fails.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::cache::{Refresh, Registration, Token};
use super::*;
use crate::broker::testing::TestClock;
use crate::model::{RegionName, Secret};
use crate::sts::StsOptions;

/// Gives one answer after the other, each after a second.
#[derive(Debug, Clone, Default)]
struct Slow(Arc<Mutex<Script>>);

#[derive(Debug, Default)]
struct Script {
    answers: VecDeque<(u16, &'static str)>,
    asked: usize,
}

impl HttpConnector for Slow {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let mut script = self.0.lock();
        script.asked += 1;
        let (status, body) = script.answers.pop_front().unwrap();
        HttpConnectorFuture::new(async move {
            sleep(Duration::from_secs(1)).await;
            Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
        })
    }
}

const NEXT: (u16, &str) =
    (200, r#"{"accessToken":"b","expiresIn":3600,"refreshToken":"r-of-b","tokenType":"Bearer"}"#);

struct Scene {
    home: TempDir,
    slow: Slow,
    clock: Arc<TestClock>,
    options: StsOptions,
    center: Arc<IdentityCenter>,
}

impl Scene {
    /// Somebody has signed in; the token is good for a minute more and can be exchanged.
    fn new(answers: impl Into<VecDeque<(u16, &'static str)>>) -> Self {
        let (home, slow, clock) =
            (tempfile::tempdir().unwrap(), Slow::default(), Arc::new(TestClock::new()));
        slow.0.lock().answers = answers.into();
        let nowhere = Path::new("/nonexistent");
        let mut options = StsOptions::new(nowhere.into(), nowhere.into(), "ann", "web1");
        options.sso_cache = Some(home.path().join("cache"));
        let center = Self::center(&options, &slow, &clock);
        let scene = Self { home, slow, clock, options, center };
        scene.signs_in("a", Duration::from_mins(1));
        scene
    }

    fn center(options: &StsOptions, slow: &Slow, clock: &Arc<TestClock>) -> Arc<IdentityCenter> {
        let connector = SharedHttpConnector::new(slow.clone());
        let http = http_client_fn(move |_, _| connector.clone());
        Arc::new(IdentityCenter::new(options, http, clock.clone()))
    }

    /// Another program writes a sign-in.
    fn signs_in(&self, access: &str, lifetime: Duration) {
        let client = Registration {
            id: "c".to_owned(),
            secret: Secret::new("client-secret"),
            expires_at: self.clock.now() + Duration::from_hours(24),
        };
        let refresh = Refresh { token: Secret::new(format!("r-of-{access}")), client };
        let token = Token {
            access: Secret::new(access),
            expires_at: self.clock.now() + lifetime,
            refresh: Some(refresh.clone()),
        };
        let others = Self::center(&self.options_of_another(), &self.slow, &self.clock);
        let sign_in = others.sign_in("", &profile().session).unwrap();
        sign_in.store(&profile().session, &token, &refresh.client).unwrap();
    }

    fn options_of_another(&self) -> StsOptions {
        StsOptions { sign_ins: SignIns::default(), ..self.options.clone() }
    }

    async fn token_by(center: Arc<IdentityCenter>) -> Result<String, Cause> {
        let sign_in = center.sign_in("me", &profile().session).unwrap();
        let token = sign_in.token(&center, "me", &profile()).await;
        token.map(|token| token.expose().to_owned()).map_err(|error| error.cause)
    }

    async fn token(&self) -> Result<String, Cause> {
        Self::token_by(self.center.clone()).await
    }

    fn asked(&self) -> usize {
        self.slow.0.lock().asked
    }
}

fn profile() -> SsoProfile {
    let session = SsoSession {
        name: Some("corp".to_owned()),
        start_url: "https://s".to_owned(),
        region: RegionName::parse("eu-west-1").unwrap(),
        scopes: Vec::new(),
    };
    let (account_id, role_name) = ("123456789012".to_owned(), "Admin".to_owned());
    SsoProfile { name: "p".to_owned(), session, account_id, role_name }
}

const HALF: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn whoever_gives_up_does_not_end_the_exchange() {
    let scene = Scene::new([NEXT]);
    assert!(timeout(HALF, scene.token()).await.is_err());
    assert_eq!(scene.token().await, Ok("b".into()));
    assert_eq!(scene.asked(), 1);
    let another = Scene::center(&scene.options_of_another(), &scene.slow, &scene.clock);
    assert_eq!(Scene::token_by(another).await, Ok("b".into()), "it stands in the file");
}

#[tokio::test(start_paused = true)]
async fn a_sign_in_that_comes_during_an_exchange_stays() {
    let scene = Scene::new([NEXT]);
    let asked = tokio::spawn(Scene::token_by(scene.center.clone()));
    sleep(HALF).await;
    scene.signs_in("c", Duration::from_hours(8));
    assert_eq!(asked.await.unwrap(), Ok("c".into()));
    let another = Scene::center(&scene.options_of_another(), &scene.slow, &scene.clock);
    assert_eq!(Scene::token_by(another).await, Ok("c".into()));
    assert_eq!(scene.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_for_an_exchange_share_its_failure() {
    let scene = Scene::new([(503, "{}"), (503, "{}"), NEXT]);
    let outcomes = tokio::join!(scene.token(), scene.token(), scene.token());
    assert_eq!(outcomes, (Ok("a".into()), Ok("a".into()), Ok("a".into())), "that is still good");
    assert_eq!(scene.asked(), 1);
    sleep(Duration::from_mins(1)).await;
    let outcomes = tokio::join!(scene.token(), scene.token(), scene.token());
    let failed = || Err(Cause::ServiceUnavailable);
    assert_eq!(outcomes, (failed(), failed(), failed()));
    assert_eq!(scene.asked(), 2);
    assert_eq!(scene.token().await, Ok("b".into()), "who comes later tries again");
}

#[tokio::test(start_paused = true)]
async fn the_client_after_a_reload_has_the_token_that_could_not_be_written() {
    let scene = Scene::new([NEXT]);
    let asked = tokio::spawn(Scene::token_by(scene.center.clone()));
    sleep(HALF).await;
    // No directory can be where a file is.
    fs::rename(scene.home.path().join("cache"), scene.home.path().join("aside")).unwrap();
    fs::write(scene.home.path().join("cache"), "").unwrap();
    assert_eq!(asked.await.unwrap(), Ok("b".into()));
    let after = Scene::center(&scene.options, &scene.slow, &scene.clock);
    assert_eq!(Scene::token_by(after).await, Ok("b".into()));
    let another = Scene::center(&scene.options_of_another(), &scene.slow, &scene.clock);
    assert_eq!(Scene::token_by(another).await, Err(Cause::LoginNeeded), "it is nowhere else");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_ends_can_wait_for_an_exchange_after_which_there_is_no_other() {
    let scene = Scene::new([NEXT]);
    let asked = tokio::spawn(Scene::token_by(scene.center.clone()));
    sleep(HALF).await;
    let at_rest = scene.options.sign_ins.at_rest().await;
    assert_eq!(asked.await.unwrap(), Ok("b".into()));
    assert!(timeout(HALF, scene.token()).await.is_err());
    drop(at_rest);
    assert_eq!(scene.token().await, Ok("b".into()));
}
