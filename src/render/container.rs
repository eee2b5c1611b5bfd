//! What programs get that ask an endpoint for keys rather than reading a file.

use super::process::is_representable;
use super::{ProfileState, Text, instant};
use crate::broker::{Cause, SessionError};
use crate::model::{AccountId, RoleArn, Secret, StsSession};

/// Renders the answer of a container-credentials endpoint (AWS SDKs and Tools Reference Guide,
/// "Container credential provider"; Amazon ECS Developer Guide, "Task IAM role").
///
/// # Errors
/// Why the profile has no keys.
pub fn container_json(
    state: &ProfileState,
    role_arn: Option<&RoleArn>,
) -> Result<Text, SessionError> {
    match state {
        ProfileState::Live(session) if is_representable(session) => Ok(live(session, role_arn)),
        ProfileState::Live(_) => Err(SessionError::new("", Cause::BadAnswer, "")),
        ProfileState::Failing(error) => Err(error.clone()),
    }
}

/// Renders `credmount/endpoint/token`. SDKs send along what stands in the file, and refuse a newline
/// in it, so there is nothing but the token.
pub fn endpoint_token(token: &Secret) -> Text {
    Text::new(token.expose().to_owned())
}

fn live(session: &StsSession, role_arn: Option<&RoleArn>) -> Text {
    // By hand, because a serializer would leave copies of the keys in its buffers.
    // `is_representable` leaves nothing to escape, and the names of the others have nothing that
    // would have to be. SDKs want all of the first four; without a session the token is empty.
    let token = session.session_token.as_ref().map_or("", |token| token.expose());
    let (expiration, role_arn) = (instant(session.expiration), role_arn.map(ToString::to_string));
    let fields = [
        ("AccessKeyId", Some(session.access_key_id.as_str())),
        ("SecretAccessKey", Some(session.secret_access_key.expose())),
        ("Token", Some(token)),
        ("Expiration", Some(expiration.as_str())),
        ("AccountId", session.account_id.as_ref().map(AccountId::as_str)),
        ("RoleArn", role_arn.as_deref()),
    ];
    let mut text = Text::new(String::with_capacity(token.len() + 1024));
    let known = fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
    for ((name, value), before) in known.zip(std::iter::once("{").chain(std::iter::repeat(","))) {
        for part in [before, "\"", name, "\":\"", value, "\""] {
            text.push_str(part);
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use super::*;
    use crate::broker::testing::session_of;

    fn session() -> StsSession {
        session_of("ASIA1", SystemTime::UNIX_EPOCH, Duration::from_hours(1))
    }

    fn rendered(session: StsSession, role_arn: Option<&RoleArn>) -> Value {
        let text = container_json(&ProfileState::Live(Arc::new(session)), role_arn).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_session_has_all_that_sdks_look_for() {
        let arn = RoleArn::parse("arn:aws:iam::123456789012:role/team/prod").unwrap();
        let account_id = AccountId::parse("123456789012").ok();
        let session =
            StsSession { session_token: Some(Secret::new("to/ken+==")), account_id, ..session() };
        let secret = session.secret_access_key.expose().to_owned();
        let expected = json!({
            "AccessKeyId": "ASIA1",
            "SecretAccessKey": secret,
            "Token": "to/ken+==",
            "Expiration": "1970-01-01T01:00:00Z",
            "AccountId": "123456789012",
            "RoleArn": "arn:aws:iam::123456789012:role/team/prod",
        });
        assert_eq!(rendered(session, Some(&arn)), expected);
    }

    #[test]
    fn keys_without_a_session_have_an_empty_token() {
        let session = StsSession { session_token: None, account_id: None, ..session() };
        let value = rendered(session, None);
        assert_eq!(value["Token"], "");
        let names: BTreeSet<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = BTreeSet::from(["AccessKeyId", "Expiration", "SecretAccessKey", "Token"]);
        assert_eq!(names, expected);
    }

    #[test]
    fn what_would_have_to_be_quoted_is_a_failure() {
        let session = StsSession { session_token: Some(Secret::new("a\"b")), ..session() };
        let error = container_json(&ProfileState::Live(Arc::new(session)), None).unwrap_err();
        assert_eq!(error.cause, Cause::BadAnswer);
    }
}
