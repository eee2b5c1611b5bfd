//! One AssumeRole call in the SDK's types: the request of a hop, the session in an answer, and what
//! observers are told. Must not know how a call is sent or signed.

use std::time::SystemTime;

use aws_sdk_sts::operation::RequestId as _;
use aws_sdk_sts::operation::assume_role::AssumeRoleOutput;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::types::{PolicyDescriptorType, Tag};

use super::base::{LONGEST_LIFETIME, is_key_text};
use super::detail::{rfc3339, sanitised};
use crate::broker::{AssumedKey, Cause, FailedCall, SessionError};
use crate::model::{AccountId, RoleHop, Secret, SessionAttributes, StsSession};

/// `request` with every parameter of `hop`. What the hop does not have is not sent at all: an
/// empty list would be a parameter too.
pub(super) fn filled_in(
    request: AssumeRoleFluentBuilder,
    hop: &RoleHop,
    session_name: &str,
) -> AssumeRoleFluentBuilder {
    // Durations above 12 h are refused long before; STS would refuse this one as well.
    let seconds = i32::try_from(hop.session_duration.as_secs()).unwrap_or(i32::MAX);
    let SessionAttributes { source_identity, tags, transitive_tag_keys, policy, policy_arns } =
        &hop.attributes;
    let tags = tags.iter().map(|(key, value)| tag(key, value)).collect();
    let policies = policy_arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build());
    request
        .role_arn(hop.role_arn.as_str())
        .role_session_name(session_name)
        .duration_seconds(seconds)
        .set_external_id(hop.external_id.as_ref().map(|id| id.as_str().to_owned()))
        .set_source_identity(source_identity.clone())
        .set_tags(unless_empty(tags))
        .set_transitive_tag_keys(unless_empty(transitive_tag_keys.clone()))
        .set_policy(policy.clone())
        .set_policy_arns(unless_empty(policies.collect()))
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

type CallOutcome = Result<AssumedKey, FailedCall>;

/// The request id of an answer.
pub(super) fn request_id(output: &AssumeRoleOutput) -> Option<String> {
    output.request_id().map(|id| sanitised(id, None))
}

/// How full a session is, in percent. STS told it of policies and tags alone (`PackedPolicySize`)
/// before it told it of the whole token; the larger of the two is the one that matters.
pub(super) fn packed_percent(output: &AssumeRoleOutput) -> Option<u8> {
    #[expect(deprecated, reason = "older partitions and other implementations tell only this one")]
    let packed = output.packed_policy_size();
    let percent = packed.max(output.session_token_utilization())?;
    u8::try_from(percent).ok()
}

/// What observers are told of `outcome`, with what the answer says beside it.
pub(super) fn told(outcome: &Result<StsSession, SessionError>, said: Said) -> CallOutcome {
    let Said { code, request_id, packed_percent } = said;
    match outcome {
        Ok(session) => Ok(AssumedKey {
            access_key_id: session.access_key_id.clone(),
            expiration: session.expiration,
            request_id,
            packed_percent,
        }),
        Err(error) => {
            let detail = error.detail.strip_prefix(": ").unwrap_or(&error.detail).to_owned();
            Err(FailedCall { cause: error.cause, code, detail, request_id })
        }
    }
}

/// The session in an answer of AssumeRole, if it is whole and not expired at `now`.
pub(super) fn session_of(
    subject: &str,
    output: &AssumeRoleOutput,
    now: SystemTime,
) -> Result<StsSession, SessionError> {
    let bad = |detail: &str| SessionError::new(subject, Cause::BadAnswer, detail);
    let keys = output.credentials().ok_or_else(|| bad("it has no credentials"))?;
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
        account_id: output.assumed_role_user().and_then(|user| account_of(user.arn())),
        issued: now,
        expiration: expiration.min(now + LONGEST_LIFETIME),
    })
}

/// The account in an ARN: `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
fn account_of(arn: &str) -> Option<AccountId> {
    AccountId::parse(arn.split(':').nth(4)?).ok()
}
