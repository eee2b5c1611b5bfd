//! Each way to fail, as a client sees it.

use std::time::{Duration, SystemTime};

use aws_sdk_sts::error::{ProvideErrorMetadata as _, SdkError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use tokio::time::timeout;

use crate::emulator::{Emulator, Fault, RoleRules};
use crate::support::*;

/// Long enough to tell a call that hangs, in real time: the emulator has a clock of its own.
const MOMENT: Duration = Duration::from_millis(100);

async fn refused(sts: &Emulator) -> (u16, String) {
    refusal_code(assume_prod(&base_client(sts)).send().await)
}

#[tokio::test]
async fn deny_refuses_one_role_for_some_calls() {
    let sts = start();
    sts.set_fault(Fault::Deny.for_role("prod").times(2));
    let dev = "arn:aws:iam::210987654321:role/dev";
    let other = base_client(&sts).assume_role().role_arn(dev).role_session_name("tests");
    other.send().await.expect("a session");
    for _ in 0..2 {
        let (status, code, message) = refusal(assume_prod(&base_client(&sts)).send().await);
        assert_eq!((status, code.as_str()), (403, "AccessDenied"));
        assert!(message.ends_with(&format!("sts:AssumeRole on resource: {PROD}")), "{message}");
    }
    prod_session(&sts).await;
}

#[tokio::test]
async fn echo_repeats_the_secrets_of_a_request_and_not_its_signature() {
    let sts = start();
    let session = prod_session(&sts).await;
    let token = session.session_token().expect("a token").to_owned();
    let secret = session.secret_access_key();
    let caller = client(&sts, keys(session.access_key_id(), secret, Some(&token)));
    sts.set_fault(Fault::Echo);
    let (status, code, message) = refusal(assume_prod(&caller).send().await);
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    assert_eq!(message, format!("refused: x-amz-security-token {token}"));
}

#[tokio::test]
async fn deny_still_verifies_the_signature_first() {
    let sts = start();
    sts.set_fault(Fault::Deny);
    let wrong = client(&sts, keys(sts.base_access_key_id(), "wrong", None));
    let outcome = assume_prod(&wrong).send().await;
    assert_eq!(refusal_code(outcome), (403, "SignatureDoesNotMatch".to_owned()));
}

#[tokio::test]
async fn throttle_is_known_to_the_sdk_as_throttling() {
    let sts = start();
    sts.set_fault(Fault::Throttle);
    let (status, code, message) = refusal(assume_prod(&base_client(&sts)).send().await);
    assert_eq!((status, code.as_str()), (400, "Throttling"));
    assert_eq!(message, "Rate exceeded");
}

#[tokio::test]
async fn throttle_can_say_when_to_come_back() {
    let sts = start();
    sts.set_fault(Fault::ThrottleRetryAfter { seconds: 7 });
    let error = assume_prod(&base_client(&sts)).send().await.expect_err("throttled");
    let headers = error.raw_response().expect("an answer").headers();
    assert_eq!(headers.get("retry-after"), Some("7"));
}

#[tokio::test]
async fn unavailability_can_say_when_to_come_back() {
    let sts = start();
    sts.set_fault(Fault::UnavailableRetryAfter { seconds: 9 });
    let error = assume_prod(&base_client(&sts)).send().await.expect_err("unavailable");
    let answer = error.raw_response().expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers().get("retry-after")), (503, Some("9")));
}

#[tokio::test]
async fn the_session_of_a_caller_can_be_expired() {
    let sts = start();
    sts.set_fault(Fault::ExpireCaller);
    assert_eq!(refused(&sts).await, (403, "ExpiredToken".to_owned()));
}

#[tokio::test]
async fn a_deleted_role_is_denied_as_one_that_does_not_trust_the_caller() {
    let sts = start();
    sts.set_role("prod", RoleRules { is_deleted: true, ..RoleRules::default() });
    let (status, code, message) = refusal(assume_prod(&base_client(&sts)).send().await);
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    assert!(message.ends_with(&format!("sts:AssumeRole on resource: {PROD}")), "{message}");
    sts.set_role("prod", RoleRules::default());
    prod_session(&sts).await;
}

#[tokio::test]
async fn an_answer_can_hang_amid_its_body() {
    let sts = start();
    sts.set_fault(Fault::HangMidAnswer);
    let hanging = tokio::spawn(assume_prod(&base_client(&sts)).send());
    while sts.issued_sessions().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(timeout(MOMENT, hanging).await.is_err(), "it did not hang");
    assert_eq!(last_call(&sts).result.as_deref(), Some("HangMidAnswer"));
}

/// The `Date` of an answer.
fn told_date(sts: &Emulator) -> SystemTime {
    let answer = plain(sts, "POST", "/", &[], "Action=GetCallerIdentity&Version=2011-06-15");
    let date = answer.head.lines().find_map(|line| line.strip_prefix("date: "));
    let date = DateTime::from_str(date.expect("a date"), Format::HttpDate).expect("a date");
    date.try_into().expect("an instant")
}

#[tokio::test]
async fn a_wrong_date_changes_the_header_and_nothing_else() {
    let sts = start();
    sts.set_fault(Fault::WrongDate { seconds: 86_400 });
    let ahead = told_date(&sts).duration_since(machine_time()).expect("ahead");
    assert!((86_000..=86_400).contains(&ahead.as_secs()), "{ahead:?}");
    prod_session(&sts).await;
}

#[tokio::test]
async fn server_errors_have_their_status() {
    let sts = start();
    for (status, code) in [(503, "ServiceUnavailable"), (500, "InternalFailure")] {
        sts.set_fault(Fault::ServerError { status }.times(1));
        assert_eq!(refused(&sts).await, (status, code.to_owned()));
    }
    prod_session(&sts).await;
}

#[tokio::test]
async fn hang_answers_once_the_faults_are_cleared() {
    let sts = start();
    sts.set_fault(Fault::Hang);
    let hanging = tokio::spawn(assume_prod(&base_client(&sts)).send());
    let mut hanging = std::pin::pin!(hanging);
    while sts.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(timeout(MOMENT, &mut hanging).await.is_err(), "it did not hang");
    assert_eq!(last_call(&sts).result, None);
    sts.clear_faults();
    hanging.await.expect("no panic").expect("a session");
    assert_eq!(last_call(&sts).result.as_deref(), Some("OK"));
}

#[tokio::test]
async fn dropping_the_emulator_ends_calls_that_hang() {
    let sts = start();
    let address = sts.address();
    sts.set_fault(Fault::Hang);
    let hanging = tokio::spawn(assume_prod(&base_client(&sts)).send());
    while sts.calls().is_empty() {
        tokio::task::yield_now().await;
    }
    drop(sts);
    let error = hanging.await.expect("no panic").expect_err("the connection is closed");
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert!(std::net::TcpStream::connect(address).is_err(), "the port is still open");
}

#[tokio::test]
async fn slow_answers_later() {
    let sts = start();
    sts.set_fault(Fault::Slow { delay_ms: 150 });
    let before = machine_time();
    prod_session(&sts).await;
    let took = machine_time().duration_since(before).expect("a steady clock");
    assert!(took >= Duration::from_millis(150), "{took:?}");
}

#[tokio::test]
async fn a_dropped_connection_is_no_answer_and_issues_nothing() {
    let sts = start();
    sts.set_fault(Fault::DropConnection);
    let error = assume_prod(&base_client(&sts)).send().await.expect_err("no answer");
    assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
    assert!(sts.issued_sessions().is_empty());
    assert_eq!(last_call(&sts).result.as_deref(), Some("DropConnection"));
}

#[tokio::test]
async fn spoilt_answers_issue_a_session_that_the_client_cannot_read() {
    let sts = start();
    for fault in [Fault::DropMidAnswer, Fault::MalformedXml] {
        sts.set_fault(fault.clone().times(1));
        let error = assume_prod(&base_client(&sts)).send().await.expect_err("no session");
        // The SDK calls an answer of status 200 that it cannot parse a service error, too.
        assert_eq!(error.code(), None, "{error:?}");
        assert_eq!(last_call(&sts).result, Some(format!("{fault:?}")));
    }
    assert_eq!(sts.issued_sessions().len(), 2);
}

/// An unsigned call that issues a session: its answer, and the length it promised.
fn plain_answer(sts: &Emulator) -> (PlainAnswer, usize) {
    let body = format!(
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={PROD}&\
         RoleSessionName=tests&WebIdentityToken=e30.e30.e30"
    );
    let answer = plain(sts, "POST", "/", &[], &body);
    assert_eq!(answer.status, 200);
    let length = answer.head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.expect("a length").parse().expect("a number");
    (answer, length)
}

#[test]
fn a_connection_dropped_mid_answer_has_sent_half_of_it() {
    let sts = start();
    sts.set_fault(Fault::DropMidAnswer);
    let (answer, promised) = plain_answer(&sts);
    assert_eq!(answer.body.len(), promised / 2);
}

// No test with the SDK: of such an answer it makes a session with half a token, which expired in
// 1970.
#[test]
fn truncated_xml_ends_amid_the_session_token_of_a_complete_message() {
    let sts = start();
    sts.set_fault(Fault::TruncatedXml);
    let (answer, promised) = plain_answer(&sts);
    assert_eq!(answer.body.len(), promised);
    let (_, token) = answer.body.split_once("<SessionToken>").expect("the start of a token");
    let issued = &sts.issued_sessions()[0].session_token;
    assert!(token.len() < issued.len() && issued.starts_with(token));
}

#[tokio::test]
async fn a_huge_answer_is_a_valid_one_with_a_filling() {
    let sts = start();
    sts.set_fault(Fault::HugeAnswer { bytes: 3_000_000 });
    let answer = assume_prod(&base_client(&sts)).send().await.expect("a session");
    assert!(answer.credentials().is_some());
    assert_eq!(last_call(&sts).result.as_deref(), Some("HugeAnswer"));
}

#[tokio::test]
async fn a_fault_for_one_action_leaves_the_others_alone() {
    let sts = start();
    sts.set_fault(Fault::Throttle.for_action("GetCallerIdentity"));
    prod_session(&sts).await;
    let outcome = base_client(&sts).get_caller_identity().send().await;
    assert_eq!(refusal_code(outcome), (400, "Throttling".to_owned()));
}
