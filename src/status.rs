//! What `status` tells of the roles of a mount.

use std::time::SystemTime;

use crate::broker::{Broker, Cause, Serving, SessionError, SlotStatus};
use crate::model::{BaseCredentials, Role};
use crate::publish::Publisher;
use crate::render::{RoleStatus, UNCONFIGURED, instant};
use crate::tree::View;

/// The state of each role that `view` shows at `now`, in the order of the mount.
pub fn role_statuses(
    publisher: &Publisher,
    view: View,
    broker: &Broker,
    now: SystemTime,
) -> Vec<RoleStatus> {
    let served = publisher.served();
    let status = |role: &Role| {
        let default = served.default.as_ref() == Some(&role.profile);
        if let (None, Some(error)) = (publisher.closed(), &served.failing) {
            return unconfigured(role, default, error);
        }
        let state = match (publisher.closed(), broker.serving(&role.chain, now)) {
            (Some(Cause::Locked), _) => "locked",
            (Some(_), _) => "ended",
            (None, Serving::Live(..)) => "live",
            (None, Serving::Failing(_)) => "failing",
            (None, Serving::Pending) => "pending",
        };
        role_status(role, default, state, &broker.status(&role.chain), now)
    };
    publisher.roles(view).map(status).collect()
}

/// A role of which nothing but the name is known.
fn unconfigured(role: &Role, default: bool, error: &SessionError) -> RoleStatus {
    RoleStatus {
        profile: role.profile.to_string(),
        default,
        state: UNCONFIGURED.to_owned(),
        role_arn: None,
        access_key_id: None,
        issued: None,
        expires: None,
        remaining_seconds: None,
        next_attempt: None,
        last_error: Some(error.to_string()),
        last_error_at: None,
        last_cause: Some(error.cause.name().to_owned()),
        source_profile: None,
        renewals: 0,
        failures: 0,
    }
}

fn role_status(
    role: &Role,
    default: bool,
    state: &str,
    slot: &SlotStatus,
    now: SystemTime,
) -> RoleStatus {
    let session = slot.session.as_ref();
    let failure = slot.failure.as_ref();
    RoleStatus {
        profile: role.profile.to_string(),
        default,
        state: state.to_owned(),
        role_arn: role.chain.role_arn().map(ToString::to_string),
        access_key_id: session.map(|session| session.access_key_id.clone()),
        issued: session.map(|session| instant(session.issued)),
        expires: session.map(|session| instant(session.expiration)),
        remaining_seconds: session.map(|session| session.remaining(now).as_secs()),
        next_attempt: slot.next_attempt.map(instant),
        last_error: failure.map(|failure| failure.error.to_string()),
        last_error_at: failure.map(|failure| instant(failure.at)),
        last_cause: failure.map(|failure| failure.error.cause.name().to_owned()),
        source_profile: match &role.chain.base {
            BaseCredentials::Profile(name) => Some(name.clone()),
            _ => None,
        },
        renewals: slot.renewals,
        failures: slot.failures,
    }
}
