//! Advice that knows the hop: who called, which role, what was asked for. Pure.

use super::CallerIdentity;
use crate::broker::{Cause, SessionError};
use crate::model::RoleHop;

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
    match error.cause {
        Cause::AccessDenied => {
            let signer = match (caller, position) {
                (Some(caller), _) => caller.arn.as_str(),
                (None, 0) => "the identity of the base credentials",
                (None, _) => "the role assumed before",
            };
            let external_id = match hop.external_id {
                Some(_) => "credmount sends the external_id of this role, so compare it",
                None => "credmount sends no external id, so set external_id if one is asked for",
            };
            format!(
                "Three things to look at. (1) The trust policy of {role} must allow {signer} \
                 to call sts:AssumeRole. (2) The policies of {signer} must allow \
                 sts:AssumeRole on {role}. (3) The conditions of both must be met: sts:ExternalId \
                 ({external_id}), aws:MultiFactorAuthPresent (the base credentials must carry \
                 MFA). A role that does not exist gives the same answer."
            )
        }
        Cause::DurationTooLong => format!(
            "{asked} were asked for. Lower session_duration, or raise the maximum of {role}: \
             aws iam update-role --role-name NAME --max-session-duration SECONDS."
        ),
        Cause::ChainedDurationTooLong => {
            let signer = caller.map_or("its caller", |caller| caller.arn.as_str());
            format!(
                "{asked} were asked for, but {signer} is itself an assumed role, and AWS limits \
                 chained sessions to 1 hour. Set session_duration to 1h or less."
            )
        }
        Cause::WrongRegion => {
            format!("STS was called in {}. {}", hop.sts_region, error.cause.advice())
        }
        cause => cause.advice().to_owned(),
    }
}
