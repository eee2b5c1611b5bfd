//! The portal: role credentials for a signed-in person.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::super::attributes::SessionAttributes;
use super::super::clock;
use super::super::faults::Fault;
use super::super::keys::{Principal, PrincipalKind};
use super::super::params::ApiRequest;
use super::super::state::State;
use super::{Granted, Refusal};

/// Who signs in, whoever approves: the session name of the sessions issued.
const USER: &str = "dev@example.com";

/// The session duration of a permission set that says nothing else.
const SESSION_DURATION: Duration = Duration::from_hours(1);

/// `GetRoleCredentials`.
pub(super) fn role_credentials(
    state: &mut State,
    request: &ApiRequest,
    fault: Option<&Fault>,
) -> Result<Granted, Refusal> {
    let invalid =
        |message| Refusal::portal(StatusCode::BAD_REQUEST, "InvalidRequestException", message);
    let param = |name: &str| request.params.get(name).filter(|value| !value.is_empty());
    let Some(role) = param("role_name") else { return Err(invalid("Role name is missing")) };
    let Some(account) = param("account_id") else { return Err(invalid("Account is missing")) };
    let token = request.header("x-amz-sso_bearer_token").unwrap_or_default();
    if !state.sso.accepts(token, state.now()) {
        return Err(unauthorized());
    }
    if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "The specified resource doesn't exist.";
        return Err(Refusal::portal(StatusCode::NOT_FOUND, "ResourceNotFoundException", message));
    }
    if state.settings.roles.get(role).is_some_and(|rules| rules.is_deleted) {
        return Err(no_access());
    }
    let role_id = state.role_id(account, &format!("AWSReservedSSO_{role}"));
    // What Identity Center appends to the name of a permission set is of the account, too.
    let role = format!("AWSReservedSSO_{role}_{}", role_id[4..20].to_ascii_lowercase());
    let principal = Principal {
        kind: PrincipalKind::AssumedRole,
        account_id: account.to_owned(),
        arn: format!("arn:aws:sts::{account}:assumed-role/{role}/{USER}"),
        user_id: format!("{role_id}:{USER}"),
        has_mfa: false,
        attributes: SessionAttributes::default(),
    };
    let session = state.issue(principal, SESSION_DURATION, fault);
    Ok(Granted {
        json: json!({ "roleCredentials": {
            "accessKeyId": session.access_key_id,
            "secretAccessKey": session.secret_access_key,
            "sessionToken": session.session_token,
            "expiration": clock::unix_seconds(session.expiration) * 1000,
        }}),
        issued_access_key_id: Some(session.access_key_id),
    })
}

pub(super) fn unauthorized() -> Refusal {
    let message = "Session token not found or invalid";
    Refusal::portal(StatusCode::UNAUTHORIZED, "UnauthorizedException", message)
}

pub(super) fn no_access() -> Refusal {
    Refusal::portal(StatusCode::FORBIDDEN, "ForbiddenException", "No access")
}
