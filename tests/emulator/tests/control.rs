//! The control interface over HTTP.

use std::time::Duration;

use serde_json::Value;

use crate::emulator::{Emulator, Fault};
use crate::support::*;

fn post(sts: &Emulator, name: &str, body: &str) -> PlainAnswer {
    plain(sts, "POST", &format!("/_emulator/{name}"), &[], body)
}

#[test]
fn health_answers_and_is_no_call() {
    let sts = start();
    assert_eq!(plain(&sts, "GET", "/_emulator/health", &[], "").status, 200);
    assert!(sts.calls().is_empty());
}

#[tokio::test]
async fn faults_are_set_and_cleared() {
    let sts = start();
    let rule = r#"{"fault": {"server-error": {"status": 502}}, "role": "prod", "times": 5}"#;
    assert_eq!(post(&sts, "faults", rule).status, 200);
    let outcome = assume_prod(&base_client(&sts)).send().await;
    assert_eq!(refusal_code(outcome), (502, "InternalFailure".to_owned()));
    assert_eq!(plain(&sts, "DELETE", "/_emulator/faults", &[], "").status, 200);
    prod_session(&sts).await;
}

#[test]
fn every_fault_has_the_name_that_the_documentation_gives() {
    let sts = start();
    for fault in [
        r#""deny""#,
        r#""throttle""#,
        r#"{"throttle-retry-after": {"seconds": 1}}"#,
        r#"{"server-error": {"status": 503}}"#,
        r#"{"unavailable-retry-after": {"seconds": 1}}"#,
        r#""expire-caller""#,
        r#""hang-mid-answer""#,
        r#"{"wrong-date": {"seconds": -600}}"#,
        r#""hang""#,
        r#"{"slow": {"delay_ms": 500}}"#,
        r#""drop-connection""#,
        r#""drop-mid-answer""#,
        r#""malformed-xml""#,
        r#""truncated-xml""#,
        r#"{"huge-answer": {"bytes": 50000000}}"#,
        r#""expired-session""#,
    ] {
        let answer = post(&sts, "faults", &format!("{{\"fault\": {fault}}}"));
        assert_eq!(answer.status, 200, "{fault}: {}", answer.body);
        assert!(include_str!("../mod.rs").contains(fault.trim_matches('"')), "{fault}");
    }
}

#[tokio::test]
async fn settings_change_what_is_given_and_keep_the_rest() {
    let sts = start();
    let both = r#"{"session_lifetime_seconds": 90.5, "token_length": [50, 50],
                   "roles": {"prod": {"external_id": "e-1"}}}"#;
    assert_eq!(post(&sts, "settings", both).status, 200);
    assert_eq!(post(&sts, "settings", r#"{"clock_offset_seconds": 5}"#).status, 200);

    let base = base_client(&sts);
    assert_eq!(refusal_code(assume_prod(&base).send().await).1, "AccessDenied");
    assume_prod(&base).external_id("e-1").send().await.expect("a session");
    let issued = &sts.issued_sessions()[0];
    assert_eq!(issued.session_token.len(), 50);
    let left = issued.expiration.duration_since(machine_time()).expect("a moment ahead");
    assert!((Duration::from_secs(80)..Duration::from_secs(96)).contains(&left), "{left:?}");

    assert_eq!(post(&sts, "settings", r#"{"session_lifetime_seconds": 0}"#).status, 200);
    assume_prod(&base).external_id("e-1").send().await.expect("a session");
    let left = sts.issued_sessions()[1].expiration.duration_since(machine_time());
    assert!(left.expect("a moment ahead") > Duration::from_mins(50));
}

#[tokio::test]
async fn a_lifetime_beyond_all_dates_is_cut() {
    let sts = start();
    assert_eq!(post(&sts, "settings", r#"{"session_lifetime_seconds": 1e15}"#).status, 200);
    identity(&client(&sts, prod_session(&sts).await)).await;
}

#[test]
fn wrong_requests_are_explained_and_change_nothing() {
    let sts = start();
    for (name, body, expected) in [
        ("faults", r#"{"fault": "oops"}"#, "unknown variant `oops`"),
        ("faults", r#"{"fault": "deny", "roles": "prod"}"#, "unknown field `roles`"),
        ("settings", r#"{"token_length": [5, 4]}"#, "MIN..MAX"),
        ("settings", r#"{"token_length": [5, 5000]}"#, "MIN..MAX"),
        ("settings", r#"{"session_lifetime_seconds": -1}"#, "session_lifetime_seconds"),
        (
            "settings",
            r#"{"clock_offset_seconds": 900, "roles": {"a": {"max_session_duration_seconds": 1}}}"#,
            "3600 to 43200",
        ),
    ] {
        let answer = post(&sts, name, body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.body.contains(expected), "{}", answer.body);
    }
    assert!(sts.now().duration_since(machine_time()).unwrap_or_default() < Duration::from_mins(1));
    assert_eq!(post(&sts, "nothing", "").status, 404);
}

#[tokio::test]
async fn the_calls_show_no_secret() {
    let sts = start();
    sts.set_fault(Fault::Throttle.for_role("prod").times(1));
    assume_prod(&base_client(&sts)).send().await.expect_err("throttled");
    let session = prod_session(&sts).await;
    identity(&client(&sts, session.clone())).await;

    let text = plain(&sts, "GET", "/_emulator/calls", &[], "").body;
    let calls: Value = serde_json::from_str(&text).expect("JSON");
    let results: Vec<_> = (0..3).map(|index| calls["calls"][index]["result"].as_str()).collect();
    assert_eq!(results, [Some("Throttling"), Some("OK"), Some("OK")]);
    assert_eq!(calls["calls"][1]["issued_access_key_id"], session.access_key_id());
    let token = session.session_token().expect("a token");
    for secret in [session.secret_access_key(), token, sts.base_secret_access_key()] {
        assert!(!text.contains(secret));
        assert!(sts.calls().iter().all(|call| !call.to_string().contains(secret)));
    }
}
