//! Whatever answers in the place of an issuer: what a login and a mount can use, or an error of one
//! short line that repeats nothing of what was sent.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use credmount::identity::{DeviceGrant, GivenToken, Issuer as _, IssuerError, LoginPrompt};
use credmount::identity::{PollAnswer, Tokens};
use credmount::model::{GithubGrant, GithubOwner, HostName, OidcIdentity, Secret, ServiceUrl};
use credmount::sts::OidcClient;
use credmount_fuzz::answer::{Canned, answer_all};
use credmount_fuzz::{PLANTED, StoppedClock, is_one_line, is_spoilt};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
});

static CLIENT: LazyLock<OidcClient> = LazyLock::new(|| {
    OidcClient::with_transport(Arc::new(StoppedClock), SharedHttpConnector::new(Canned))
});

fn url(path: &str) -> ServiceUrl {
    ServiceUrl::parse(&format!("https://issuer.example{path}")).expect("a URL")
}

static IDENTITY: LazyLock<Arc<OidcIdentity>> = LazyLock::new(|| {
    Arc::new(OidcIdentity {
        name: "work".to_owned(),
        issuer: url(""),
        client_id: "credmount".to_owned(),
        scope: "openid".to_owned(),
        audience: None,
        token_url: Some(url("/aws")),
    })
});

fuzz_target!(|text: &[u8]| {
    if is_spoilt(text) {
        return;
    }
    answer_all(text);
    let secret = Secret::new(PLANTED);
    RUNTIME.block_on(async {
        // The same answer is the discovery document and what its endpoint gives.
        if let Some(grant) = checked(CLIENT.begin(&IDENTITY).await) {
            let LoginPrompt { verification_uri, verification_uri_complete, user_code } =
                grant.prompt;
            for shown in [Some(verification_uri), verification_uri_complete, Some(user_code)] {
                assert!(shown.is_none_or(|shown| is_one_line(&shown)), "{text:?}");
            }
            assert!(is_safe(grant.token_endpoint.as_str()), "{}", grant.token_endpoint);
            assert!((1..=60).contains(&grant.interval.as_secs()), "{:?}", grant.interval);
            assert!(grant.lifetime <= Duration::from_hours(1), "{:?}", grant.lifetime);
        }
        let grant = DeviceGrant {
            prompt: LoginPrompt {
                verification_uri: "https://issuer.example/device".to_owned(),
                verification_uri_complete: None,
                user_code: "ABCD".to_owned(),
            },
            device_code: secret.clone(),
            token_endpoint: url("/token"),
            interval: Duration::from_secs(5),
            lifetime: Duration::from_mins(10),
        };
        if let Some(PollAnswer::Granted(tokens)) = checked(CLIENT.poll(&IDENTITY, &grant).await) {
            is_whole(&tokens);
        }
        if let Some(tokens) = checked(CLIENT.refresh(&IDENTITY, &secret).await) {
            is_whole(&tokens);
        }
        if let Some(given) = checked(CLIENT.token_for_aws(&url("/aws"), &secret).await) {
            assert!(!given.token.is(b""), "an empty token");
        }
        let github = GithubGrant {
            identity: IDENTITY.clone(),
            owner: GithubOwner::parse("acme").expect("an owner"),
            repositories: Vec::new(),
            token_url: url("/github"),
            host: HostName::parse("github.com").expect("a host"),
        };
        if let Some(given) = checked(CLIENT.github_token(&github, &secret).await) {
            let GivenToken { token, ends, lifetime } = given;
            assert!(!token.is(b""), "an empty token");
            assert!(ends.is_some() || lifetime.is_some(), "it would never end");
            assert_eq!(credmount::identity::Issuer::hash(&*CLIENT, &token).len(), 44);
        }
    });
});

fn is_whole(tokens: &Tokens) {
    assert!(!tokens.access.is(b""), "an empty token");
}

/// Whether a token may be sent there.
fn is_safe(url: &str) -> bool {
    let local = ["http://127.", "http://localhost", "http://[::1]"];
    url.starts_with("https://") || local.iter().any(|begin| url.starts_with(begin))
}

fn checked<T>(outcome: Result<T, IssuerError>) -> Option<T> {
    let error = match outcome {
        Ok(answer) => return Some(answer),
        Err(error) => error,
    };
    for told in [error.to_string(), format!("{error:?}")] {
        assert!(!told.contains(PLANTED), "a secret in {told:?}");
        assert!(told.chars().count() < 1000, "{told:?} is long");
        assert!(is_one_line(&told), "{told:?}");
    }
    None
}
