//! The actions of STS. Knows no HTTP.

use std::time::Duration;

use http::StatusCode;

use super::answer::{ApiError, Success, element, parent};
use super::attributes::SessionAttributes;
use super::clock;
use super::echo;
use super::faults::Fault;
use super::keys::{Principal, PrincipalKind};
use super::params::{ApiRequest, Params};
use super::signature::authenticate;
use super::state::{IssuedSession, State};
use super::trust;
use super::validate::{self, RoleArn};
use super::web_identity::WebIdentity;

const API_VERSION: &str = "2011-06-15";

/// Performs the action that `request` names. A `fault` that is an answer of the service comes
/// after the signature has been verified, as it would there.
///
/// # Errors
/// What STS answers to a request it refuses.
pub(crate) fn perform(
    state: &mut State,
    request: &ApiRequest,
    fault: Option<&Fault>,
) -> Result<Success, ApiError> {
    let params = &request.params;
    let action = params.get("Action").ok_or_else(|| {
        let message = "The request is missing an action or a required parameter.";
        ApiError::bad_request("MissingAction", message)
    })?;
    let version = params.get("Version").unwrap_or("NO_VERSION_SPECIFIED");
    let is_known =
        matches!(action, "AssumeRole" | "GetSessionToken" | "GetCallerIdentity" | WEB_IDENTITY);
    if version != API_VERSION || !is_known {
        let message = format!("Could not find operation {action} for version {version}");
        return Err(ApiError::bad_request("InvalidAction", message));
    }
    if action == WEB_IDENTITY {
        refuse(fault, request, web_identity_denied)?;
        return assume_role_with_web_identity(state, params, fault);
    }

    let now = state.now();
    let caller = authenticate(request, &state.keys, now)?;
    let denial = || ApiError::access_denied(&caller.arn, action, params.get("RoleArn"));
    refuse(fault, request, denial)?;
    match action {
        "AssumeRole" => assume_role(state, params, &caller, fault),
        "GetSessionToken" => session_token(state, params, caller, fault),
        _ => Ok(caller_identity(&caller)),
    }
}

const WEB_IDENTITY: &str = "AssumeRoleWithWebIdentity";

fn web_identity_denied() -> ApiError {
    let message = format!("Not authorized to perform sts:{WEB_IDENTITY}");
    ApiError::forbidden("AccessDenied", message)
}

/// The refusal that `fault` asks for.
fn refuse(
    fault: Option<&Fault>,
    request: &ApiRequest,
    denial: impl FnOnce() -> ApiError,
) -> Result<(), ApiError> {
    match fault {
        Some(Fault::Echo) => Err(ApiError::forbidden("AccessDenied", echo::of(request))),
        Some(Fault::Deny) => Err(denial()),
        Some(Fault::Throttle) => Err(ApiError::throttling(None)),
        Some(Fault::ThrottleRetryAfter { seconds }) => Err(ApiError::throttling(Some(*seconds))),
        Some(Fault::UnavailableRetryAfter { seconds }) => Err(ApiError::unavailable(*seconds)),
        Some(Fault::ExpireCaller) => Err(ApiError::expired_token()),
        Some(Fault::ServerError { status }) => {
            let status = StatusCode::from_u16(*status).ok().filter(StatusCode::is_server_error);
            Err(ApiError::server(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)))
        }
        _ => Ok(()),
    }
}

fn assume_role(
    state: &mut State,
    params: &Params,
    caller: &Principal,
    fault: Option<&Fault>,
) -> Result<Success, ApiError> {
    let role = validate::role_arn(params)?;
    let session_name = validate::session_name(params)?;
    let external_id = validate::external_id(params)?;
    let seconds = validate::duration_seconds(params, 3_600, 43_200)?;
    let attributes = SessionAttributes::sent(params);
    attributes.check()?;
    let rules = state.settings.roles.get(role.name).cloned().unwrap_or_default();
    let denied = |action| ApiError::access_denied(&caller.arn, action, Some(role.text));
    if rules.is_deleted || !trust::admits(&rules, caller) {
        return Err(denied("AssumeRole"));
    }
    if rules.external_id.is_some() && rules.external_id.as_deref() != external_id {
        return Err(denied("AssumeRole"));
    }
    let attributes = attributes.chained(&caller.attributes)?;
    if attributes.source_identity.is_some() && !rules.allows_set_source_identity {
        return Err(denied("SetSourceIdentity"));
    }
    if !attributes.tags.is_empty() && !rules.allows_tag_session {
        return Err(denied("TagSession"));
    }
    let is_chained = caller.kind == PrincipalKind::AssumedRole;
    validate::check_role_limit(seconds, rules.max_session_duration_seconds, is_chained)?;

    let assumed = Principal { attributes, ..assumed_role(state, &role, session_name) };
    let assumed_xml = assumed_role_user(&assumed);
    let session = state.issue(assumed, Duration::from_secs(seconds), fault);
    let identity = session.attributes.source_identity.as_deref();
    let identity_xml = identity.map(|identity| element("SourceIdentity", identity));
    let packed = session.attributes.packed_percent();
    let packed_xml = packed.map(|percent| {
        let percent = percent.to_string();
        element("PackedPolicySize", &percent) + &element("SessionTokenUtilization", &percent)
    });
    Ok(Success {
        action: "AssumeRole",
        result_xml: assumed_xml
            + &credentials(&session)
            + &packed_xml.unwrap_or_default()
            + &identity_xml.unwrap_or_default(),
        issued_access_key_id: Some(session.access_key_id),
    })
}

fn assume_role_with_web_identity(
    state: &mut State,
    params: &Params,
    fault: Option<&Fault>,
) -> Result<Success, ApiError> {
    let role = validate::role_arn(params)?;
    let session_name = validate::session_name(params)?;
    let seconds = validate::duration_seconds(params, 3_600, 43_200)?;
    let token = validate::required(params, "WebIdentityToken", "webIdentityToken")?;
    validate::check_length(token, "webIdentityToken", 4, 20_000)?;
    let identity = WebIdentity::read(token, state.now())?;
    let rules = state.settings.roles.get(role.name).cloned().unwrap_or_default();
    let trusts = rules.web_identity.as_ref().is_none_or(|trust| identity.satisfies(trust));
    if rules.is_deleted || !trusts {
        return Err(web_identity_denied());
    }
    validate::check_role_limit(seconds, rules.max_session_duration_seconds, false)?;

    let assumed = assumed_role(state, &role, session_name);
    let assumed_xml = assumed_role_user(&assumed);
    let session = state.issue(assumed, Duration::from_secs(seconds), fault);
    let subject_xml = element("SubjectFromWebIdentityToken", &identity.subject)
        + &element("Audience", &identity.audience)
        + &element("Provider", &identity.issuer);
    Ok(Success {
        action: WEB_IDENTITY,
        result_xml: subject_xml + &assumed_xml + &credentials(&session),
        issued_access_key_id: Some(session.access_key_id),
    })
}

fn session_token(
    state: &mut State,
    params: &Params,
    caller: Principal,
    fault: Option<&Fault>,
) -> Result<Success, ApiError> {
    if caller.kind != PrincipalKind::User {
        let message = "Cannot call GetSessionToken with session credentials";
        return Err(ApiError::forbidden("AccessDenied", message));
    }
    let seconds = validate::duration_seconds(params, 43_200, 129_600)?;
    let has_mfa = state.mfa.check(params)?;
    let principal = Principal { kind: PrincipalKind::UserSession, has_mfa, ..caller };
    let session = state.issue(principal, Duration::from_secs(seconds), fault);
    Ok(Success {
        action: "GetSessionToken",
        result_xml: credentials(&session),
        issued_access_key_id: Some(session.access_key_id),
    })
}

fn caller_identity(caller: &Principal) -> Success {
    let result_xml = element("Arn", &caller.arn)
        + &element("UserId", &caller.user_id)
        + &element("Account", &caller.account_id);
    Success { action: "GetCallerIdentity", result_xml, issued_access_key_id: None }
}

fn assumed_role(state: &mut State, role: &RoleArn<'_>, session_name: &str) -> Principal {
    let RoleArn { partition, account_id, name, .. } = role;
    let role_id = state.role_id(account_id, name);
    Principal {
        kind: PrincipalKind::AssumedRole,
        account_id: (*account_id).to_owned(),
        arn: format!("arn:{partition}:sts::{account_id}:assumed-role/{name}/{session_name}"),
        user_id: format!("{role_id}:{session_name}"),
        attributes: SessionAttributes::default(),
        has_mfa: false,
    }
}

fn assumed_role_user(assumed: &Principal) -> String {
    let children = element("AssumedRoleId", &assumed.user_id) + &element("Arn", &assumed.arn);
    parent("AssumedRoleUser", &children)
}

fn credentials(session: &IssuedSession) -> String {
    let children = element("AccessKeyId", &session.access_key_id)
        + &element("SecretAccessKey", &session.secret_access_key)
        + &element("SessionToken", &session.session_token)
        + &element("Expiration", &clock::rfc3339(session.expiration));
    parent("Credentials", &children)
}
