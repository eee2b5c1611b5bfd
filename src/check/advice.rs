//! Advice that knows the hop: who called, which role, what was asked for. Pure.

use super::CallerIdentity;
use crate::broker::{Cause, SessionError};
use crate::model::{RoleHop, SessionAttributes};

/// What to do about `error`, which assuming `hop` gave. `position` is 0 for the hop that the base
/// credentials sign; `caller` is who signed it, if AWS told.
pub(super) fn for_hop(
    error: &SessionError,
    hop: &RoleHop,
    position: usize,
    caller: Option<&CallerIdentity>,
) -> String {
    let role = &hop.role_arn;
    let asked = humantime::format_duration(hop.session_duration);
    let signer = match (caller, position) {
        (Some(caller), _) => caller.arn.as_str(),
        (None, 0) => "the identity of the base credentials",
        (None, _) => "the role assumed before",
    };
    match error.cause {
        Cause::AccessDenied => {
            let external_id = match hop.external_id {
                Some(_) => "credmount sends the external_id of this role, so compare it",
                None => "credmount sends no external id, so set external_id if one is asked for",
            };
            format!(
                "Three things to look at. (1) The trust policy of {role} must allow {signer} \
                 to call sts:AssumeRole. (2) The policies of {signer} must allow \
                 sts:AssumeRole on {role}. (3) The conditions of both must be met: sts:ExternalId \
                 ({external_id}), aws:MultiFactorAuthPresent (the base credentials must carry \
                 MFA, see mfa_serial). A role that does not exist gives the same answer."
            )
        }
        Cause::SessionTagsDenied => format!(
            "{}. Two policies must allow sts:TagSession beside sts:AssumeRole: the trust policy of \
             {role}, for {signer}, and the policies of {signer}, on {role}. Conditions on \
             aws:RequestTag and aws:TagKeys must admit these tags. Or send none (tags).",
            tags_sent(&hop.attributes)
        ),
        Cause::SourceIdentityDenied => {
            let sent = match &hop.attributes.source_identity {
                Some(sent) => format!("credmount sends the source identity {sent}"),
                None => format!("credmount sends none, so the session of {signer} has one"),
            };
            format!(
                "{sent}. Two policies must allow sts:SetSourceIdentity beside sts:AssumeRole: the \
                 trust policy of {role}, for {signer}, and the policies of {signer}, on {role}. \
                 Conditions on sts:SourceIdentity must admit it. It stays for the whole role \
                 chain: where the session before has one, set source_identity to the same or \
                 leave it out."
            )
        }
        Cause::PolicyTooLarge => {
            let SessionAttributes { tags, policy, policy_arns, .. } = &hop.attributes;
            format!(
                "credmount sends a policy of {} characters, {} policy_arns and {} tags. {}",
                policy.as_ref().map_or(0, |policy| policy.chars().count()),
                policy_arns.len(),
                tags.len(),
                error.cause.advice()
            )
        }
        Cause::DurationTooLong => format!(
            "{asked} were asked for. Lower session_duration, or raise the maximum of {role}: \
             aws iam update-role --role-name NAME --max-session-duration SECONDS."
        ),
        Cause::ChainedDurationTooLong => format!(
            "{asked} were asked for, but {signer} is itself an assumed role, and AWS limits \
             chained sessions to 1 hour. Set session_duration to 1h or less."
        ),
        Cause::WrongRegion => {
            format!("STS was called in {}. {}", hop.sts_region, error.cause.advice())
        }
        cause => cause.advice().to_owned(),
    }
}

/// Keys only: their values are for CloudTrail and conditions.
fn tags_sent(attributes: &SessionAttributes) -> String {
    let keys: Vec<&str> = attributes.tags.iter().map(|(key, _)| key.as_str()).collect();
    match &keys[..] {
        [] => "credmount sends no tags, so they come along from the session before (transitive \
               tags)"
            .to_owned(),
        keys => format!("credmount sends the tags {}", keys.join(", ")),
    }
}
