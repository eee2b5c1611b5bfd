//! Wrong clocks and wrong dates, as `StsClient` meets them on the wire.

use std::path::Path;
use std::time::Duration;

use aws_smithy_http_client::test_util::StaticReplayClient;
use aws_smithy_types::body::SdkBody;
use parking_lot::Mutex;

use super::super::client::{StsClient, StsOptions};
use super::super::client_tests::{base, error_answer, hop, now, options, replay, session_answer};
use super::*;
use crate::broker::{BoxFuture, ObserveCalls, SessionCall, SessionError, SessionSource as _};
use crate::clock::Machine;
use crate::model::{BaseCredentials, Perishable as _, StsSession, TokenSource};

/// A machine on which no time passes.
#[derive(Debug)]
struct Still(Reading);

impl Machine for Still {
    fn read(&self) -> Reading {
        self.0
    }
}

/// Remembers the outcome of each call, and the last skew.
#[derive(Debug, Default)]
struct Notebook(Mutex<(Vec<Option<Cause>>, Option<i64>)>);

impl ObserveCalls for Notebook {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        let cause = call.outcome.as_ref().err().map(|failed| failed.cause);
        Box::pin(async move { self.0.lock().0.push(cause) })
    }

    fn clock_skew(&self, seconds: i64) {
        self.0.lock().1 = Some(seconds);
    }
}

/// What became of a call.
struct Called {
    outcome: Result<StsSession, SessionError>,
    record: StaticReplayClient,
    told: (Vec<Option<Cause>>, Option<i64>),
    clock: Arc<CorrectedClock>,
}

/// One AssumeRole call on a machine whose clock is `ahead` seconds ahead.
async fn call(ahead: i64, answers: Vec<HttpResponse>) -> Called {
    called(ahead, answers, async |client| client.assume_role(&hop(), &base()).await).await
}

async fn called(
    ahead: i64,
    answers: Vec<HttpResponse>,
    call: impl AsyncFnOnce(&StsClient) -> Result<StsSession, SessionError>,
) -> Called {
    let by = Duration::from_secs(ahead.unsigned_abs());
    let wall = if ahead < 0 { now() - by } else { now() + by };
    let machine = Still(Reading { wall, boot: Duration::from_hours(1) });
    let clock = Arc::new(CorrectedClock::over(machine));
    let (http, record) = replay(answers);
    let notebook = Arc::new(Notebook::default());
    let options =
        StsOptions { observer: notebook.clone(), ..options(Path::new("/nonexistent/config")) };
    let client = StsClient::with_http(options, clock.clone(), http).await;
    let outcome = call(&client).await;
    let told = std::mem::take(&mut *notebook.0.lock());
    Called { outcome, record, told, clock }
}

/// What a client on a machine whose clock is `ahead` seconds ahead makes of base credentials that
/// end at 02:30.
async fn base_until_half_past(ahead: u64, answers: Vec<HttpResponse>) -> (Option<Cause>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    let json = r#"{"Version":1,"AccessKeyId":"ASIA1","SecretAccessKey":"s","SessionToken":"t","Expiration":"2026-11-22T02:30:00Z"}"#;
    std::fs::write(&file, format!("[profile p]\ncredential_process = echo '{json}'\n")).unwrap();
    let wall = now() + Duration::from_secs(ahead);
    let machine = Still(Reading { wall, boot: Duration::from_hours(1) });
    let (http, record) = replay(answers);
    let clock = Arc::new(CorrectedClock::over(machine));
    let client = StsClient::with_http(options(&file), clock, http).await;
    let outcome = client.base(&BaseCredentials::Profile("p".to_owned())).await;
    (outcome.err().map(|error| error.cause), record.actual_requests().count())
}

#[tokio::test]
async fn base_credentials_are_called_expired_only_when_the_time_is_known() {
    let days = DAYS.unsigned_abs();
    assert_eq!(base_until_half_past(0, vec![]).await, (None, 0));
    assert_eq!(base_until_half_past(days, vec![refusal(TWO)]).await, (None, 1));
    // The clock is right, and they are expired.
    let message = "The security token included in the request is expired";
    let late = "Mon, 23 Nov 2026 15:00:00 GMT";
    let expired = dated(error_answer(403, "ExpiredToken", message), late);
    assert_eq!(base_until_half_past(days, vec![expired]).await, (Some(Cause::BaseExpired), 1));
}

/// What STS answers at 02:00 to a signature of another time.
fn refusal(date: &str) -> HttpResponse {
    let message = "Signature expired: A is now earlier than 20261122T015500Z";
    dated(error_answer(403, "SignatureDoesNotMatch", message), date)
}

fn dated(mut answer: HttpResponse, date: &str) -> HttpResponse {
    answer.headers_mut().insert("date", date.to_owned());
    answer.headers_mut().insert("x-amzn-requestid", "req-1");
    answer
}

fn session() -> HttpResponse {
    dated(session_answer("new", "2026-11-22T03:00:00Z"), TWO)
}

const TWO: &str = "Sun, 22 Nov 2026 02:00:00 GMT";
const DAYS: i64 = 37 * 3600;

#[tokio::test]
async fn a_call_refused_for_its_time_is_made_once_more_with_the_time_of_aws() {
    for ahead in [600, -600, DAYS, -DAYS] {
        let called = call(ahead, vec![refusal(TWO), session()]).await;
        let session = called.outcome.unwrap();
        assert!((3598..3600).contains(&session.lifetime().as_secs()), "{ahead}");
        let requests: Vec<_> = called.record.actual_requests().collect();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[1].headers().get("x-amz-date"), Some("20261122T020001Z"));
        let body = String::from_utf8(requests[1].body().bytes().unwrap().to_vec()).unwrap();
        assert!(body.contains("credmount-ann-web1-20261122T020001."), "{body}");
        let (calls, skew) = called.told;
        assert_eq!(calls, [Some(Cause::ClockSkew), None]);
        assert!((skew.unwrap() - ahead).abs() <= 1, "{skew:?}");
    }
}

/// One AssumeRoleWithWebIdentity call on a machine whose clock is `ahead` seconds ahead.
async fn call_with_token(ahead: i64, answers: Vec<HttpResponse>) -> Called {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "a.b.c").unwrap();
    let source = TokenSource::File(file);
    called(ahead, answers, async |client| {
        client.assume_role_with_web_identity(&hop(), &source).await
    })
    .await
}

fn session_by_token() -> HttpResponse {
    let answer = session_answer("new", "2026-11-22T03:00:00Z");
    let text = String::from_utf8(answer.body().bytes().unwrap().to_vec()).unwrap();
    let text = text.replace("AssumeRole", "AssumeRoleWithWebIdentity");
    dated(HttpResponse::new(200.try_into().unwrap(), SdkBody::from(text)), TWO)
}

#[tokio::test]
async fn after_a_call_that_is_not_signed_the_time_is_asked_for_before_the_session_is_judged() {
    for ahead in [600, -600, DAYS, -DAYS] {
        let called = call_with_token(ahead, vec![session_by_token(), refusal(TWO)]).await;
        let session = called.outcome.unwrap();
        assert!((3598..3600).contains(&session.lifetime().as_secs()), "{ahead}");
        let requests: Vec<_> = called.record.actual_requests().collect();
        assert_eq!(requests.len(), 2);
        let body = requests[1].body().bytes().unwrap();
        assert!(body.starts_with(b"Action=GetCallerIdentity"), "{ahead}");
        assert!(requests[1].headers().get("authorization").unwrap().contains("ASIANEW/"));
        let (calls, skew) = called.told;
        assert_eq!(calls, [None], "the question is no call for a session");
        assert!((skew.unwrap() - ahead).abs() <= 1, "{skew:?}");
    }
}

#[tokio::test]
async fn where_nobody_tells_the_time_a_session_is_judged_by_the_clock_there_is() {
    let silent = || error_answer(503, "ServiceUnavailable", "");
    let called = call_with_token(0, vec![session_by_token(), silent()]).await;
    assert_eq!(called.outcome.unwrap().lifetime(), Duration::from_hours(1));
    let called = call_with_token(DAYS, vec![session_by_token(), silent()]).await;
    assert_eq!(called.outcome.unwrap_err().cause, Cause::BadAnswer);
}

#[tokio::test]
async fn a_call_refused_twice_for_its_time_is_given_up_and_the_date_no_longer_believed() {
    let called = call(-DAYS, vec![refusal(TWO), refusal(TWO), session()]).await;
    assert_eq!(called.outcome.unwrap_err().cause, Cause::ClockSkew);
    assert_eq!(called.record.actual_requests().count(), 2);
    assert_eq!(called.clock.skew(), None);
}

#[tokio::test]
async fn what_sts_did_not_answer_now_tells_no_time() {
    let without_id = {
        let mut answer = refusal(TWO);
        answer.headers_mut().remove("x-amzn-requestid");
        answer
    };
    let cached = {
        let mut answer = refusal(TWO);
        answer.headers_mut().insert("age", "3");
        answer
    };
    for answer in [without_id, cached, refusal("yesterday")] {
        let called = call(DAYS, vec![answer, session()]).await;
        assert_eq!(called.outcome.unwrap_err().cause, Cause::ClockSkew);
        assert_eq!(called.record.actual_requests().count(), 1);
        assert_eq!(called.clock.skew(), None);
    }
}

#[tokio::test]
async fn every_answer_of_sts_tells_the_time() {
    for answer in [
        dated(session_answer("new", "2026-11-22T03:00:00Z"), TWO),
        dated(error_answer(403, "AccessDenied", "no"), TWO),
        dated(error_answer(400, "Throttling", "Rate exceeded"), TWO),
        dated(error_answer(500, "InternalFailure", ""), TWO),
    ] {
        let called = call(-270, vec![answer]).await;
        assert_eq!(called.clock.skew().unwrap().seconds(), -270);
        assert_eq!(called.told.1, Some(-270));
    }
}

#[tokio::test]
async fn a_date_that_a_proxy_wrote_moves_nothing() {
    let lie = "Mon, 23 Nov 2026 15:00:00 GMT";
    for answer in [
        dated(session_answer("new", "2026-11-22T03:00:00Z"), lie),
        dated(error_answer(403, "AccessDenied", "no"), lie),
    ] {
        let called = call(0, vec![answer]).await;
        assert_eq!((called.clock.now(), called.clock.skew()), (now(), None));
    }
}
