//! What observers are told of calls.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_http_client::test_util::NeverClient;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::client::{StsClient, StsOptions};
use super::client_tests::{
    FixedClock, ROLE, SECRET, base, error_answer, hop, now, options, replay, session_answer,
};
use super::http::capped;
use crate::broker::{
    BoxFuture, CallKind, Cause, FailedCall, GivenKey, ObserveCalls, SessionCall, SessionSource as _,
};
use crate::model::{RoleHop, SessionAttributes, TokenSource};

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Notebook(Mutex<Vec<SessionCall>>);

impl ObserveCalls for Notebook {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        Box::pin(async move { self.0.lock().push(call.clone()) })
    }
}

/// What an observer is told of one AssumeRole call of `hop` over `http`.
async fn observed(http: SharedHttpClient, hop: &RoleHop) -> SessionCall {
    observed_with(http, hop, None).await
}

/// The same of a call with a web identity token, if there is one.
async fn observed_with(
    http: SharedHttpClient,
    hop: &RoleHop,
    token: Option<&TokenSource>,
) -> SessionCall {
    let notebook = Arc::new(Notebook::default());
    let options =
        StsOptions { observer: notebook.clone(), ..options(Path::new("/nonexistent/config")) };
    let client = StsClient::with_http(options, Arc::new(FixedClock(now())), http).await;
    let outcome = match token {
        None => client.assume_role(hop, &base()).await,
        Some(token) => client.assume_role_with_web_identity(hop, token).await,
    };
    let calls: Vec<_> = notebook.0.lock().drain(..).collect();
    let [call] = calls.try_into().expect("one call, told once");
    assert_eq!(call.outcome.is_ok(), outcome.is_ok());
    call
}

#[tokio::test]
async fn an_observer_is_told_of_the_key() {
    let mut answer = session_answer("new", "2026-11-22T03:00:00Z");
    answer.headers_mut().insert("x-amzn-requestid", "req-1");
    let (http, _) = replay(vec![answer]);
    let attributes =
        SessionAttributes { source_identity: Some("run-7".to_owned()), ..Default::default() };
    let call = observed(http, &RoleHop { attributes, ..hop() }).await;
    assert_eq!(
        call,
        SessionCall {
            kind: CallKind::AssumeRole,
            subject: ROLE.to_owned(),
            session_name: Some("credmount-ann-web1-20261122T020000.000Z".to_owned()),
            source_identity: Some("run-7".to_owned()),
            started: now(),
            latency: call.latency,
            outcome: Ok(GivenKey {
                packed_percent: None,
                access_key_id: "ASIANEW".to_owned(),
                expiration: now() + Duration::from_hours(1),
                request_id: Some("req-1".to_owned()),
            }),
        }
    );
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_a_denial_without_secrets() {
    let message = format!("User may not, {SECRET}");
    let (http, _) = replay(vec![error_answer(403, "AccessDenied", &message)]);
    let call = observed(http, &hop()).await;
    assert_eq!(
        call.outcome,
        Err(FailedCall {
            cause: Cause::AccessDenied,
            code: Some("AccessDenied".to_owned()),
            detail: "AccessDenied: User may not, [redacted] (request id req-77)".to_owned(),
            request_id: Some("req-77".to_owned()),
        })
    );
}

#[tokio::test]
async fn an_observer_is_not_told_a_web_identity_token_wherever_it_comes_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, SECRET).unwrap();
    let source = TokenSource::File(file.path().to_owned());
    let (http, _) = replay(vec![error_answer(400, SECRET, &format!("no {SECRET}"))]);
    let call = observed_with(http, &hop(), Some(&source)).await;
    let failed = call.outcome.unwrap_err();
    assert_eq!(failed.code.as_deref(), Some("[redacted]"));
    assert!(!format!("{failed:?}").contains(SECRET), "{failed:?}");
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_each_request() {
    let throttled = || error_answer(400, "Throttling", "Rate exceeded");
    let (http, record) = replay(vec![throttled(), throttled()]);
    let failed = observed(http, &hop()).await.outcome.unwrap_err();
    assert_eq!((failed.cause, failed.code), (Cause::Throttled, Some("Throttling".to_owned())));
    assert_eq!(record.actual_requests().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_a_call_without_an_answer() {
    let start = Instant::now();
    let call = observed(capped(SharedHttpClient::new(NeverClient::new())), &hop()).await;
    assert_eq!(call.latency, start.elapsed());
    let failed = call.outcome.unwrap_err();
    assert_eq!((failed.cause, failed.code, failed.request_id), (Cause::TimedOut, None, None));
    assert!(failed.detail.starts_with("STS of eu-west-1: "), "{}", failed.detail);
}

#[tokio::test]
async fn an_observer_is_told_of_a_session_that_is_of_no_use() {
    let (http, _) = replay(vec![session_answer("new", "2026-11-22T01:59:59Z")]);
    let failed = observed(http, &hop()).await.outcome.unwrap_err();
    assert_eq!((failed.cause, failed.code), (Cause::BadAnswer, None));
}
