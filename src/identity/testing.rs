//! An issuer that answers by a script, and somebody who is logged in there, in paused time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::*;
use crate::broker::BoxFuture;
use crate::broker::testing::TestClock;
use crate::model::{
    GithubGrant, OidcIdentity, Secret, ServiceUrl, SshCertificate, SshGrant, SshKey,
};

/// Answers polls by a script, whose end is `authorization_pending`, and counts tokens.
#[derive(Debug, Default)]
pub(super) struct Scripted {
    pub(super) polls: Mutex<VecDeque<Result<PollAnswer, IssuerError>>>,
    pub(super) polled_at: Mutex<Vec<Instant>>,
    pub(super) begun: Mutex<usize>,
    /// How refresh tokens are answered: with the next access token, or an error.
    pub(super) refreshes: Mutex<VecDeque<Result<Tokens, IssuerError>>>,
    pub(super) refreshed_with: Mutex<Vec<String>>,
    /// Access tokens that the token URL does not accept.
    pub(super) refused: Mutex<Vec<String>>,
    /// From when until when certificates are valid.
    pub(super) valid: Mutex<Option<(SystemTime, SystemTime)>>,
}

pub(super) fn tokens(access: &str, minutes: u64, refresh: Option<&str>) -> Tokens {
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

pub(super) fn url(text: &str) -> ServiceUrl {
    ServiceUrl::parse(text).unwrap()
}

pub(super) struct Scene {
    pub(super) issuer: Arc<Scripted>,
    pub(super) clock: Arc<TestClock>,
    pub(super) logins: Arc<Logins>,
    pub(super) identity: Arc<OidcIdentity>,
}

impl Scene {
    pub(super) fn new(token_url: Option<&str>) -> Self {
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

    pub(super) async fn logs_in(&self, tokens: Tokens) {
        self.issuer.polls.lock().push_back(Ok(PollAnswer::Granted(tokens)));
        self.logins.begin(&self.identity).await.unwrap();
        assert_eq!(self.logins.ended(&self.identity).await, Login::Done);
    }

    /// One that is logged in with these tokens.
    pub(super) async fn logged_in(tokens: Tokens) -> Self {
        let scene = Self::new(Some("https://a.example/aws"));
        scene.logs_in(tokens).await;
        scene
    }

    pub(super) async fn token(&self) -> Result<String, TokenError> {
        let token = self.logins.token_for_aws(&self.identity).await;
        token.map(|token| token.expose().to_owned())
    }
}

pub(super) fn needed(outcome: Result<String, TokenError>) -> String {
    match outcome {
        Err(TokenError::LoginNeeded(why)) => why,
        other => panic!("{other:?}"),
    }
}
