//! IAM Identity Center: the OIDC service and the portal. AWS API Reference, "IAM Identity Center
//! OIDC" and "IAM Identity Center Portal": JSON in and out, errors with their name in a header.
//!
//! Every person of every start URL exists; every account has every permission set, unless the
//! rules of a role of that name say that it is deleted. Knows no HTTP beyond method, path, header
//! and status.

mod handle;
mod oidc;
mod portal;
mod tokens;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::echo;
use super::faults::Fault;
use super::params::ApiRequest;
use super::state::State;

pub(crate) use handle::{SignIn, SsoChange};
pub(crate) use tokens::{Sso, SsoSettings};

/// What is asked, by method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    RegisterClient,
    StartDeviceAuthorization,
    CreateToken,
    GetRoleCredentials,
}

impl Operation {
    /// `None` for what is no request to IAM Identity Center.
    pub(crate) fn of(request: &ApiRequest) -> Option<Self> {
        match (&request.method, request.uri.path()) {
            (&Method::POST, "/client/register") => Some(Self::RegisterClient),
            (&Method::POST, "/device_authorization") => Some(Self::StartDeviceAuthorization),
            (&Method::POST, "/token") => Some(Self::CreateToken),
            (&Method::GET, "/federation/credentials") => Some(Self::GetRoleCredentials),
            _ => None,
        }
    }

    /// Its name in the API, by which faults and records call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RegisterClient => "RegisterClient",
            Self::StartDeviceAuthorization => "StartDeviceAuthorization",
            Self::CreateToken => "CreateToken",
            Self::GetRoleCredentials => "GetRoleCredentials",
        }
    }
}

/// An answer that grants something.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) json: Value,
    /// Access key id of the session that was issued.
    pub(crate) issued_access_key_id: Option<String>,
}

impl From<Value> for Granted {
    fn from(json: Value) -> Self {
        Self { json, issued_access_key_id: None }
    }
}

/// A refusal, as the two services answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// The name of the exception, for the header `x-amzn-ErrorType`.
    pub(crate) exception: &'static str,
    pub(crate) json: Value,
    /// Content of the `Retry-After` header, in seconds.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl Refusal {
    /// An error of the OIDC service: with the code of RFC 6749 or RFC 8628 in the body.
    fn oidc(exception: &'static str, error: &str, description: &str) -> Self {
        let status = match exception {
            "InvalidClientException" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        let json = json!({ "error": error, "error_description": description });
        Self { status, exception, json, retry_after_seconds: None }
    }

    /// An error of the portal.
    fn portal(status: StatusCode, exception: &'static str, message: &str) -> Self {
        Self { status, exception, json: json!({ "message": message }), retry_after_seconds: None }
    }

    /// What `fault` makes the services answer; `None` for faults of the transport.
    fn by_fault(operation: Operation, request: &ApiRequest, fault: Option<&Fault>) -> Option<Self> {
        let is_portal = operation == Operation::GetRoleCredentials;
        let throttled = |retry_after_seconds| {
            let message = "HTTP 429 Unknown Code";
            let status = StatusCode::TOO_MANY_REQUESTS;
            let refusal = Self::portal(status, "TooManyRequestsException", message);
            Some(Self { retry_after_seconds, ..refusal })
        };
        let unavailable = |status: StatusCode, retry_after_seconds| {
            let exception =
                if is_portal { "ServiceUnavailableException" } else { "InternalServerException" };
            let refusal = Self::portal(status, exception, "Something went wrong.");
            Some(Self { retry_after_seconds, ..refusal })
        };
        match fault? {
            Fault::Echo if is_portal => {
                let message = echo::of(request);
                Some(Self::portal(StatusCode::BAD_REQUEST, "InvalidRequestException", &message))
            }
            Fault::Echo => {
                let description = echo::of(request);
                Some(Self::oidc("InvalidScopeException", "invalid_scope", &description))
            }
            Fault::Deny if is_portal => Some(portal::no_access()),
            Fault::Deny => Some(oidc::invalid_grant()),
            Fault::ExpireCaller => Some(portal::unauthorized()),
            Fault::Throttle => throttled(None),
            Fault::ThrottleRetryAfter { seconds } => throttled(Some(*seconds)),
            Fault::UnavailableRetryAfter { seconds } => {
                unavailable(StatusCode::SERVICE_UNAVAILABLE, Some(*seconds))
            }
            Fault::ServerError { status } => {
                let status = StatusCode::from_u16(*status).ok().filter(StatusCode::is_server_error);
                unavailable(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), None)
            }
            _ => None,
        }
    }
}

/// Performs an operation. `endpoint` is where this emulator listens, for the verification page.
///
/// # Errors
/// What the service answers to a request it refuses.
pub(crate) fn perform(
    state: &mut State,
    operation: Operation,
    request: &ApiRequest,
    endpoint: &str,
    fault: Option<&Fault>,
) -> Result<Granted, Refusal> {
    if let Some(refusal) = Refusal::by_fault(operation, request, fault) {
        return Err(refusal);
    }
    if operation == Operation::GetRoleCredentials {
        return portal::role_credentials(state, request, fault);
    }
    let sent: Value = serde_json::from_slice(&request.body).map_err(|_| oidc::invalid_request())?;
    match operation {
        Operation::RegisterClient => oidc::register(state, &sent),
        Operation::StartDeviceAuthorization => oidc::start_device(state, &sent, endpoint),
        _ => oidc::create_token(state, &sent),
    }
    .map(Granted::from)
}
