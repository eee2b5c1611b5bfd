//! What `status` tells of the roles of a mount.

use std::sync::Arc;
use std::time::SystemTime;

use crate::broker::{Broker, Cause, Serving, SessionError, SlotStatus};
use crate::model::{BaseCredentials, Perishable as _, Role, Token, TokenContent, TokenGrant};
use crate::publish::Publisher;
use crate::render::{
    CertificateStatus, MfaStatus, RoleStatus, TokenStatus, UNCONFIGURED, instant, mfa_command,
};
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
        let state = state_name(publisher, &broker.serving(&role.chain, now));
        let status = role_status(role, default, state, &broker.status(&role.chain), now);
        RoleStatus { mfa: mfa_status(role, broker), ..status }
    };
    publisher.roles(view).map(status).collect()
}

/// The state of each token of `view` at `now`.
pub fn token_statuses(publisher: &Publisher, view: View, now: SystemTime) -> Vec<TokenStatus> {
    let broker = publisher.token_broker();
    let failing = publisher.served().failing.as_ref().filter(|_| publisher.closed().is_none());
    let status = |grant: &Arc<TokenGrant>| {
        if let Some(error) = failing {
            let status = token_status(grant, UNCONFIGURED, &broker.status(grant), now);
            let cause = Some(error.cause.name().to_owned());
            return TokenStatus {
                last_error: Some(error.to_string()),
                last_cause: cause,
                ..status
            };
        }
        let state = state_name(publisher, &broker.serving(grant, now));
        token_status(grant, state, &broker.status(grant), now)
    };
    publisher.tokens(view).map(status).collect()
}

fn state_name<V>(publisher: &Publisher, serving: &Serving<V>) -> &'static str {
    match (publisher.closed(), serving) {
        (Some(Cause::Locked), _) => "locked",
        (Some(_), _) => "ended",
        (None, Serving::Live(..)) => "live",
        (None, Serving::Failing(_)) => "failing",
        (None, Serving::Pending) => "pending",
    }
}

fn token_status(
    grant: &TokenGrant,
    state: &str,
    slot: &SlotStatus<Token>,
    now: SystemTime,
) -> TokenStatus {
    let (token, failure) = (slot.session.as_ref(), slot.failure.as_ref());
    let repositories = match grant {
        TokenGrant::Github(github) => &github.repositories[..],
        TokenGrant::Ssh(_) | TokenGrant::WebIdentity(_) => &[],
    };
    let certificate = token.and_then(|token| match &token.content {
        TokenContent::Ssh { certificate, .. } => Some(certificate),
        TokenContent::Text(_) => None,
    });
    TokenStatus {
        name: grant.name(),
        identity: grant.identity().name.clone(),
        repositories: repositories.iter().map(ToString::to_string).collect(),
        state: state.to_owned(),
        hash: token.filter(|_| certificate.is_none()).map(|token| token.id.clone()),
        certificate: certificate.map(|it| CertificateStatus {
            key_id: it.key_id.clone(),
            serial: it.serial,
            principals: it.principals.clone(),
        }),
        issued: token.map(|token| instant(token.issued)),
        expires: token.map(|token| instant(token.expiration)),
        remaining_seconds: token.map(|token| token.remaining(now).as_secs()),
        next_attempt: slot.next_attempt.map(instant),
        last_error: failure.map(|failure| failure.error.to_string()),
        last_error_at: failure.map(|failure| instant(failure.at)),
        last_cause: failure.map(|failure| failure.error.cause.name().to_owned()),
        renewals: slot.renewals,
        failures: slot.failures,
    }
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
        identity: None,
        renewals: 0,
        failures: 0,
        mfa: None,
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
        identity: role.chain.identity().map(|identity| identity.name.clone()),
        renewals: slot.renewals,
        failures: slot.failures,
        mfa: None,
    }
}

/// The session with MFA that the role is behind.
fn mfa_status(role: &Role, broker: &Broker) -> Option<MfaStatus> {
    let device = role.chain.mfa()?.device.to_string();
    let SlotStatus { session, failure, .. } = broker.status(&Arc::new(role.chain.mfa_chain()?));
    let is_needed = failure.is_some_and(|failure| failure.error.cause.ends_by_mfa_code());
    Some(MfaStatus {
        device,
        expires: session.map(|session| instant(session.expiration)),
        command: is_needed.then(|| mfa_command(&role.profile)),
    })
}
