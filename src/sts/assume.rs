//! One AssumeRole call in the SDK's types: the request of a hop, the session in an answer, and what
//! observers are told. Must not know how a call is sent or signed.

use std::time::SystemTime;

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::operation::assume_role_with_web_identity::builders::AssumeRoleWithWebIdentityFluentBuilder;
use aws_sdk_sts::types::{AssumedRoleUser, Credentials, PolicyDescriptorType, Tag};

use super::base::{LONGEST_LIFETIME, is_key_text};
use super::classify;
use super::detail::{Signer, rfc3339, sanitised};
use crate::broker::{Cause, FailedCall, GivenKey, SessionError};
use crate::model::{AccountId, RoleHop, Secret, SessionAttributes, StsSession};

/// `request` with every parameter of `hop`. What the hop does not have is not sent at all: an
/// empty list would be a parameter too.
pub(super) fn filled_in(
    request: AssumeRoleFluentBuilder,
    hop: &RoleHop,
    session_name: &str,
) -> AssumeRoleFluentBuilder {
    let SessionAttributes { source_identity, tags, transitive_tag_keys, policy, policy_arns } =
        &hop.attributes;
    let tags = tags.iter().map(|(key, value)| tag(key, value)).collect();
    request
        .role_arn(hop.role_arn.as_str())
        .role_session_name(session_name)
        .duration_seconds(seconds(hop))
        .set_external_id(hop.external_id.as_ref().map(|id| id.as_str().to_owned()))
        .set_source_identity(source_identity.clone())
        .set_tags(unless_empty(tags))
        .set_transitive_tag_keys(unless_empty(transitive_tag_keys.clone()))
        .set_policy(policy.clone())
        .set_policy_arns(unless_empty(policies(policy_arns)))
}

/// The same for the call that brings `token` along. What it has no parameter for, the configuration
/// has refused: tags and source identity come from the claims of the token.
pub(super) fn filled_in_with_token(
    request: AssumeRoleWithWebIdentityFluentBuilder,
    hop: &RoleHop,
    session_name: &str,
    token: &Secret,
) -> AssumeRoleWithWebIdentityFluentBuilder {
    request
        .role_arn(hop.role_arn.as_str())
        .role_session_name(session_name)
        .duration_seconds(seconds(hop))
        .web_identity_token(token.expose())
        .set_policy(hop.attributes.policy.clone())
        .set_policy_arns(unless_empty(policies(&hop.attributes.policy_arns)))
}

fn seconds(hop: &RoleHop) -> i32 {
    // Durations above 12 h are refused long before; STS would refuse this one as well.
    i32::try_from(hop.session_duration.as_secs()).unwrap_or(i32::MAX)
}

fn policies(arns: &[String]) -> Vec<PolicyDescriptorType> {
    arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build()).collect()
}

fn unless_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[expect(clippy::expect_used, reason = "the builder wants a key and a value, and gets both")]
fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().expect("a whole tag")
}

/// What an answer says beside its session.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The error code.
    pub(super) code: Option<String>,
    pub(super) request_id: Option<String>,
    /// See [`packed_percent`].
    pub(super) packed_percent: Option<u8>,
}

impl Said {
    /// What a good answer says, whose session is so full.
    pub(super) fn with(answer: &impl RequestId, packed_percent: Option<u8>) -> Self {
        Self { code: None, request_id: request_id(answer), packed_percent }
    }

    /// What a refusal says, or a failure without an answer.
    pub(super) fn by<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let (code, request_id) = (classify::code(error), classify::request_id(error));
        Self { code, request_id, packed_percent: None }
    }

    /// The same without `secret`, which was sent and may come back.
    pub(super) fn without(self, secret: &str) -> Self {
        let clean = |text: Option<String>| text.map(|it| it.replace(secret, "[redacted]"));
        Self { code: clean(self.code), request_id: clean(self.request_id), ..self }
    }
}

/// As in [`crate::broker::SessionCall`].
pub(super) type CallOutcome = Result<GivenKey, FailedCall>;

/// The request id of an answer.
fn request_id(output: &impl RequestId) -> Option<String> {
    output.request_id().map(|id| sanitised(id, Signer::Nobody))
}

/// How full a session is, in percent. STS told it of `policies` and tags alone (`PackedPolicySize`)
/// before it told it of the whole `token` (`SessionTokenUtilization`); the larger of the two is the
/// one that matters.
pub(super) fn packed_percent(policies: Option<i32>, token: Option<i32>) -> Option<u8> {
    u8::try_from(policies.max(token)?).ok()
}

/// What observers are told of `outcome`, a key id and its end, with what the answer says beside it.
pub(super) fn told(outcome: Result<(&str, SystemTime), &SessionError>, said: Said) -> CallOutcome {
    let Said { code, request_id, packed_percent } = said;
    match outcome {
        Ok((access_key_id, expiration)) => Ok(GivenKey {
            access_key_id: access_key_id.to_owned(),
            expiration,
            request_id,
            packed_percent,
        }),
        Err(error) => {
            let detail = error.detail.strip_prefix(": ").unwrap_or(&error.detail).to_owned();
            Err(FailedCall { cause: error.cause, code, detail, request_id })
        }
    }
}

/// The session in an answer that holds `keys` for `user`, if it is whole and not expired at `now`.
pub(super) fn session_of(
    subject: &str,
    keys: Option<&Credentials>,
    user: Option<&AssumedRoleUser>,
    now: SystemTime,
) -> Result<StsSession, SessionError> {
    let session = session_in(subject, keys, now)?;
    Ok(StsSession { account_id: user.and_then(|user| account_of(user.arn())), ..session })
}

/// The session in the credentials of an answer, if it is whole and not expired at `now`; without
/// its account.
pub(super) fn session_in(
    subject: &str,
    keys: Option<&Credentials>,
    now: SystemTime,
) -> Result<StsSession, SessionError> {
    let bad = |detail: &str| SessionError::new(subject, Cause::BadAnswer, detail);
    let keys = keys.ok_or_else(|| bad("it has no credentials"))?;
    let parts = [
        ("AccessKeyId", keys.access_key_id()),
        ("SecretAccessKey", keys.secret_access_key()),
        ("SessionToken", keys.session_token()),
    ];
    if let Some((name, _)) = parts.iter().find(|(_, part)| !is_key_text(part)) {
        return Err(bad(&format!("its {name} is empty or malformed")));
    }
    let expiration = SystemTime::try_from(*keys.expiration())
        .map_err(|_| bad("its Expiration is out of range"))?;
    if expiration <= now {
        let (then, now) = (rfc3339(expiration), rfc3339(now));
        return Err(bad(&format!("the session expired at {then}, and the clock here says {now}")));
    }
    Ok(StsSession {
        access_key_id: keys.access_key_id().to_owned(),
        secret_access_key: Secret::new(keys.secret_access_key()),
        session_token: Some(Secret::new(keys.session_token())),
        account_id: None,
        issued: now,
        expiration: expiration.min(now + LONGEST_LIFETIME),
    })
}

/// The account in an ARN: `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
fn account_of(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(4)?).ok()
}
