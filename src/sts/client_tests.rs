//! `StsClient` against recorded answers: what is sent, what is understood; that nothing is sent twice.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_smithy_http_client::test_util::{NeverClient, ReplayEvent, StaticReplayClient};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;

use tokio::time::Instant;

use super::client::{StsClient, StsOptions};
use super::http::{ANSWER_LIMIT, capped, https_client};
use crate::broker::{Cause, SessionSource as _};
use crate::clock::Clock;
use crate::model::{
    ExternalId, RegionName, RoleArn, RoleHop, RoleSessionName, Secret, SessionAttributes,
    StsSession,
};

pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/prod";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN";

#[derive(Debug)]
pub(super) struct FixedClock(pub(super) SystemTime);

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        self.0
    }
}

/// 2026-11-22T02:00:00Z
pub(super) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(498_698)
}

/// A client whose shared files do not exist.
async fn client(http: SharedHttpClient) -> StsClient {
    client_with_config(http, Path::new("/nonexistent/config")).await
}

async fn client_with_config(http: SharedHttpClient, config: &Path) -> StsClient {
    StsClient::with_http(options(config), Arc::new(FixedClock(now())), http).await
}

pub(super) fn options(config: &Path) -> StsOptions {
    StsOptions::new(config.into(), "/nonexistent/credentials".into(), "ann", "web1")
}

pub(super) fn hop() -> RoleHop {
    RoleHop {
        role_arn: RoleArn::parse(ROLE).unwrap(),
        sts_region: RegionName::parse("eu-west-1").unwrap(),
        session_duration: Duration::from_hours(1),
        external_id: None,
        session_name: None,
        attributes: SessionAttributes::default(),
    }
}

pub(super) fn base() -> StsSession {
    StsSession {
        access_key_id: "ASIABASE".to_owned(),
        secret_access_key: Secret::new(SECRET),
        session_token: Some(Secret::new(TOKEN)),
        account_id: None,
        issued: now(),
        expiration: now() + Duration::from_hours(1),
    }
}

fn answer(status: u16, body: impl Into<String>) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.into()))
}

pub(super) fn session_answer(secret: &str, expiration: &str) -> HttpResponse {
    answer(
        200,
        format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult><AssumedRoleUser>\
             <Arn>arn:aws:sts::210987654321:assumed-role/prod/x</Arn>\
             <AssumedRoleId>AROAX:x</AssumedRoleId></AssumedRoleUser>\
             <Credentials><AccessKeyId>ASIANEW</AccessKeyId>\
             <SecretAccessKey>{secret}</SecretAccessKey><SessionToken>tok+/==</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></AssumeRoleResponse>"
        ),
    )
}

pub(super) fn error_answer(status: u16, code: &str, message: &str) -> HttpResponse {
    let mut response = answer(
        status,
        format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
             <Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>req-77</RequestId></ErrorResponse>"
        ),
    );
    response.headers_mut().insert("x-amzn-requestid", "req-77");
    response
}

/// A client that gives `answers` in order, and the record of what it was asked.
pub(super) fn replay(answers: Vec<HttpResponse>) -> (SharedHttpClient, StaticReplayClient) {
    let events =
        answers.into_iter().map(|answer| ReplayEvent::new(HttpRequest::empty(), answer)).collect();
    let replay = StaticReplayClient::new(events);
    (capped(SharedHttpClient::new(replay.clone())), replay)
}

fn body_of(request: &HttpRequest) -> String {
    String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap()
}

/// The parameters of a request as sent, in the order of the alphabet.
fn parameters(request: &HttpRequest) -> Vec<String> {
    let mut parameters: Vec<_> = body_of(request).split('&').map(str::to_owned).collect();
    parameters.sort();
    parameters
}

#[tokio::test]
async fn assume_role_sends_every_parameter_signed() {
    let (http, record) = replay(vec![session_answer("new", "2026-11-22T03:00:00Z")]);
    let hop = RoleHop {
        external_id: Some(ExternalId::parse("ext-1").unwrap()),
        session_name: Some(RoleSessionName::parse("fixed").unwrap().into()),
        ..hop()
    };
    client(http).await.assume_role(&hop, &base()).await.unwrap();
    let request = record.actual_requests().next().unwrap();
    assert_eq!(request.uri(), "https://sts.eu-west-1.amazonaws.com/");
    let parameters = parameters(request);
    assert_eq!(
        parameters,
        [
            "Action=AssumeRole",
            "DurationSeconds=3600",
            "ExternalId=ext-1",
            "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fprod",
            "RoleSessionName=fixed",
            "Version=2011-06-15",
        ]
    );
    let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
    let authorization = header("authorization");
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=ASIABASE/"), "{authorization}");
    assert!(authorization.contains("/eu-west-1/sts/aws4_request"), "{authorization}");
    assert_eq!(header("x-amz-security-token"), TOKEN);
    let agent = header("user-agent");
    assert!(agent.contains(concat!("app/credmount-", env!("CARGO_PKG_VERSION"))), "{agent}");
}

#[tokio::test]
async fn session_attributes_are_parameters_of_the_call() {
    let (http, record) = replay(vec![session_answer("new", "2026-11-22T03:00:00Z")]);
    let attributes = SessionAttributes {
        source_identity: Some("run-7".to_owned()),
        tags: vec![
            ("team".to_owned(), "search & find".to_owned()),
            ("run".to_owned(), String::new()),
        ],
        transitive_tag_keys: vec!["team".to_owned()],
        policy: Some("{\"Version\":\"2012-10-17\"}".to_owned()),
        policy_arns: vec!["arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned()],
    };
    let session_name = Some(RoleSessionName::parse("fixed").unwrap().into());
    let hop = RoleHop { session_name, attributes, ..hop() };
    client(http).await.assume_role(&hop, &base()).await.unwrap();
    assert_eq!(
        parameters(record.actual_requests().next().unwrap()),
        [
            "Action=AssumeRole",
            "DurationSeconds=3600",
            "Policy=%7B%22Version%22%3A%222012-10-17%22%7D",
            "PolicyArns.member.1.arn=arn%3Aaws%3Aiam%3A%3Aaws%3Apolicy%2FReadOnlyAccess",
            "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fprod",
            "RoleSessionName=fixed",
            "SourceIdentity=run-7",
            "Tags.member.1.Key=team",
            "Tags.member.1.Value=search%20%26%20find",
            "Tags.member.2.Key=run",
            "Tags.member.2.Value=",
            "TransitiveTagKeys.member.1=team",
            "Version=2011-06-15",
        ]
    );
}

#[tokio::test]
async fn without_a_configured_name_the_session_name_tells_who_and_where() {
    let (http, record) = replay(vec![session_answer("new", "2026-11-22T03:00:00Z")]);
    client(http).await.assume_role(&hop(), &base()).await.unwrap();
    let body = body_of(record.actual_requests().next().unwrap());
    assert!(body.contains("RoleSessionName=credmount-ann-web1-20261122T020000.000Z"), "{body}");
    assert!(!body.contains("ExternalId"), "{body}");
}

#[tokio::test]
async fn the_session_is_what_sts_answered() {
    let (http, _) = replay(vec![session_answer("new/secret", "2026-11-22T02:00:10Z")]);
    let session = client(http).await.assume_role(&hop(), &base()).await.unwrap();
    assert_eq!(session.access_key_id, "ASIANEW");
    assert_eq!(session.secret_access_key.expose(), "new/secret");
    assert_eq!(session.session_token.unwrap().expose(), "tok+/==");
    assert_eq!(session.account_id.unwrap().as_str(), "210987654321");
    assert_eq!(session.issued, now());
    assert_eq!(session.expiration, now() + Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_told_in_the_words_of_sts_and_not_retried() {
    let (http, record) = replay(vec![error_answer(403, "AccessDenied", "User x may not")]);
    let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::AccessDenied);
    assert_eq!(
        error.to_string(),
        format!("{ROLE}: AWS denied AssumeRole: AccessDenied: User x may not (request id req-77)")
    );
    assert_eq!(record.actual_requests().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_one_request_even_if_another_one_would_do() {
    let good = || session_answer("new", "2026-11-22T03:00:00Z");
    for (bad, cause) in [
        (error_answer(400, "Throttling", "Rate exceeded"), Cause::Throttled),
        (answer(503, ""), Cause::ServiceUnavailable),
    ] {
        let (http, record) = replay(vec![bad, good()]);
        let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
        assert_eq!((error.cause, error.retry_after), (cause, None));
        assert_eq!(record.actual_requests().count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_throttles_says_when_to_ask_again() {
    let told = |mut answer: HttpResponse| {
        answer.headers_mut().insert("retry-after", "7");
        replay(vec![answer]).0
    };
    for (http, heeded) in [
        (told(error_answer(400, "Throttling", "Rate exceeded")), Some(7)),
        (told(answer(429, "")), Some(7)),
        (told(answer(503, "<html>busy</html>")), Some(7)),
        (told(error_answer(403, "AccessDenied", "no")), None),
    ] {
        let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
        assert_eq!(error.retry_after, heeded.map(Duration::from_secs), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_error_is_unavailability() {
    let html = || answer(502, "<html>Bad Gateway</html>");
    let (http, _) = replay(vec![html()]);
    let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::ServiceUnavailable, "{error}");
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_session_are_bad_answers() {
    let later = "2026-11-22T03:00:00Z";
    let empty = "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>";
    for (name, bad) in [
        ("malformed XML", answer(200, "<AssumeRoleResponse><Assume")),
        ("no XML", answer(200, "sign in to the hotel network")),
        ("no body", answer(200, "")),
        ("no credentials", answer(200, empty)),
        ("empty secret", session_answer("", later)),
        ("line break in the secret", session_answer("a&#10;b", later)),
        ("expired on arrival", session_answer("new", "2026-11-22T01:59:59Z")),
        ("before 1970", session_answer("new", "1960-01-01T00:00:00Z")),
        ("expiration that is none", session_answer("new", "tomorrow")),
        ("client error of something else", answer(404, "<html>Not Found</html>")),
    ] {
        let (http, _) = replay(vec![bad]);
        let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
        assert_eq!(error.cause, Cause::BadAnswer, "{name}: {error}");
    }
}

#[tokio::test]
async fn an_expiration_in_a_far_future_is_bounded() {
    let (http, _) = replay(vec![session_answer("new", "9999-12-31T00:00:00Z")]);
    let session = client(http).await.assume_role(&hop(), &base()).await.unwrap();
    assert_eq!(session.expiration, now() + Duration::from_hours(7 * 24));
}

#[tokio::test(start_paused = true)]
async fn a_huge_answer_is_refused_once() {
    let huge = answer(200, "x".repeat(ANSWER_LIMIT + 1));
    let (http, record) = replay(vec![huge]);
    let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::BadAnswer);
    assert!(error.detail.contains("larger than 1048576 bytes"), "{error}");
    assert_eq!(record.actual_requests().count(), 1);
}

/// Over a real socket, through `endpoint_url` of the config file.
#[tokio::test]
async fn an_endless_answer_is_dropped_at_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // An answer before the request would count as a broken connection.
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\n\r\n").unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        let mut sent = 0_usize;
        while stream.write_all(&chunk).is_ok() {
            sent += chunk.len();
        }
        sent
    });
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config");
    std::fs::write(&config, format!("[default]\nendpoint_url = http://{address}\n")).unwrap();
    let client = client_with_config(https_client(), &config).await;
    let error = client.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::BadAnswer, "{error}");
    // The socket buffers of both ends come on top of what was read.
    let sent = sent.await.unwrap();
    assert!(sent < 16 * ANSWER_LIMIT, "{sent} bytes were taken");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_sts_costs_eight_seconds() {
    let client = client(capped(SharedHttpClient::new(NeverClient::new()))).await;
    let start = Instant::now();
    let error = client.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::TimedOut, "{error}");
    let took = start.elapsed().as_secs();
    assert!((8..=9).contains(&took), "{took} s");
}

#[tokio::test]
async fn secrets_that_an_answer_repeats_stay_out_of_the_error() {
    let message = format!("bad {SECRET} and {TOKEN}&#10;&#10;Canonical String {TOKEN}");
    let (http, _) = replay(vec![error_answer(403, "SignatureDoesNotMatch", &message)]);
    let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::BaseInvalid);
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(SECRET) && !text.contains(TOKEN), "{text}");
        assert!(text.contains("bad [redacted] and [redacted] (request id req-77)"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_cannot_be_told_the_time_is_an_error_with_the_size_of_the_skew() {
    let message = "Signature expired: 20261122T020000Z is now earlier than 20261122T021500Z";
    let mut skewed = error_answer(403, "SignatureDoesNotMatch", message);
    skewed.headers_mut().insert("date", "Sun, 22 Nov 2026 02:20:00 GMT");
    let (http, record) = replay(vec![skewed]);
    let error = client(http).await.assume_role(&hop(), &base()).await.unwrap_err();
    assert_eq!(error.cause, Cause::ClockSkew);
    assert!(
        error.detail.ends_with("the clock of AWS is 1200 s ahead of the clock of this machine"),
        "{error}"
    );
    assert_eq!(record.actual_requests().count(), 1);
}

#[tokio::test]
async fn caller_identity_tells_who_one_is() {
    let body = "<GetCallerIdentityResponse><GetCallerIdentityResult>\
                <Arn>arn:aws:sts::1:assumed-role/r/s</Arn><UserId>AROA:s</UserId>\
                <Account>123456789012</Account></GetCallerIdentityResult>\
                </GetCallerIdentityResponse>";
    let (http, record) = replay(vec![answer(200, body)]);
    let region = RegionName::parse("cn-north-1").unwrap();
    let identity = client(http).await.caller_identity(&base(), &region).await.unwrap();
    assert_eq!(identity.arn, "arn:aws:sts::1:assumed-role/r/s");
    assert_eq!(identity.account, "123456789012");
    assert_eq!(identity.user_id, "AROA:s");
    let request = record.actual_requests().next().unwrap();
    assert_eq!(request.uri(), "https://sts.cn-north-1.amazonaws.com.cn/");
}
