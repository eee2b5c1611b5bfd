//! MFA codes, and roles that want them.

use aws_sdk_sts::Client;

use crate::emulator::RoleRules;
use crate::support::*;

const DEVICE: &str = "arn:aws:iam::123456789012:mfa/dev";

/// What GetSessionToken with a code of this device answers.
async fn with_code(
    client: &Client,
    serial: &str,
    code: &str,
) -> Result<aws_sdk_sts::types::Credentials, (u16, String, String)> {
    let call = client.get_session_token().serial_number(serial).token_code(code);
    let outcome = call.send().await;
    if outcome.is_err() {
        return Err(refusal(outcome));
    }
    Ok(outcome.expect("checked").credentials().expect("credentials").clone())
}

#[tokio::test]
async fn a_role_that_wants_mfa_is_for_sessions_of_a_code() {
    let sts = start();
    sts.set_role("prod", RoleRules { requires_mfa: true, ..RoleRules::default() });
    let base = base_client(&sts);
    let (status, code, _) = refusal(assume_prod(&base).send().await);
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    let plain = base.get_session_token().send().await.expect("a session");
    let plain = client(&sts, session_keys(plain.credentials().expect("credentials")));
    assert_eq!(refusal(assume_prod(&plain).send().await).1, "AccessDenied");
    let keys = with_code(&base, DEVICE, &sts.mfa_code(DEVICE)).await.expect("a session");
    assume_prod(&client(&sts, session_keys(&keys))).send().await.expect("a session");
}

#[tokio::test]
async fn a_code_is_good_once_and_for_its_device() {
    let sts = start();
    let base = base_client(&sts);
    let code = sts.mfa_code(DEVICE);
    with_code(&base, DEVICE, &code).await.expect("a session");
    let (status, name, message) = with_code(&base, DEVICE, &code).await.expect_err("replayed");
    assert_eq!((status, name.as_str()), (403, "AccessDenied"));
    assert_eq!(
        message.trim(),
        "MultiFactorAuthentication failed with invalid MFA one time pass code."
    );
    let other = "arn:aws:iam::123456789012:mfa/other";
    let next = sts.mfa_code(DEVICE);
    let (_, _, message) = with_code(&base, other, &next).await.expect_err("another device");
    assert!(message.contains("verify your MFA serial number"), "{message}");
    with_code(&base, DEVICE, &next).await.expect("it was not used up");
    let (_, _, message) = refusal(base.get_session_token().serial_number(DEVICE).send().await);
    assert!(message.contains("must provide both"), "{message}");
    assert_eq!(with_code(&base, DEVICE, "12345").await.expect_err("no code").1, "ValidationError");
}

#[tokio::test]
async fn the_control_interface_shows_codes() {
    let sts = start();
    let asked = format!("{{\"serial\":\"{DEVICE}\"}}");
    let answer = plain(&sts, "POST", "/_emulator/mfa", &[], &asked);
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
    let code = body["code"].as_str().expect("a code").to_owned();
    with_code(&base_client(&sts), DEVICE, &code).await.expect("a session");
}
