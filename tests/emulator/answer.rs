//! Answers: in the XML of the AWS Query protocol, results and errors; in JSON. Knows no HTTP beyond the
//! status code.

use http::StatusCode;
use serde_json::Value;

use super::sso::{Granted, Refusal};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The result of an action.
#[derive(Debug)]
pub(crate) struct Success {
    /// Name of the action; the elements of the answer are derived from it.
    pub(crate) action: &'static str,
    /// What stands inside the result element.
    pub(crate) result_xml: String,
    /// Access key id of the session that the action issued.
    pub(crate) issued_access_key_id: Option<String>,
}

impl Success {
    /// The whole answer.
    pub(crate) fn to_xml(&self, request_id: &str) -> String {
        let Self { action, result_xml, .. } = self;
        format!(
            "<{action}Response xmlns=\"{NAMESPACE}\">\n  <{action}Result>\n{result_xml}  \
             </{action}Result>\n  <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  \
             </ResponseMetadata>\n</{action}Response>\n"
        )
    }
}

/// An error as STS answers it: code, message and HTTP status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    /// Content of the `Retry-After` header, in seconds.
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after_seconds: None }
    }

    /// A request that is wrong in itself (400).
    pub(crate) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A caller that may not do this or is not who it says (403).
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// `ValidationError` (400).
    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::bad_request("ValidationError", message)
    }

    /// `InvalidClientTokenId` (403): unknown access key, or a session token that is not its own.
    pub(crate) fn invalid_client_token() -> Self {
        Self::forbidden(
            "InvalidClientTokenId",
            "The security token included in the request is invalid.",
        )
    }

    /// `ExpiredToken` (403): the session of the caller is over.
    pub(crate) fn expired_token() -> Self {
        Self::forbidden("ExpiredToken", "The security token included in the request is expired")
    }

    /// `AccessDenied` (403) for `caller`, in the text of the policy evaluation.
    pub(crate) fn access_denied(caller_arn: &str, action: &str, resource: Option<&str>) -> Self {
        let resource = resource.map(|arn| format!(" on resource: {arn}")).unwrap_or_default();
        let message =
            format!("User: {caller_arn} is not authorized to perform: sts:{action}{resource}");
        Self::forbidden("AccessDenied", message)
    }

    /// `Throttling` (400), optionally with a `Retry-After` header.
    pub(crate) fn throttling(retry_after_seconds: Option<u64>) -> Self {
        Self { retry_after_seconds, ..Self::bad_request("Throttling", "Rate exceeded") }
    }

    /// `ServiceUnavailable` (503) with a `Retry-After` header.
    pub(crate) fn unavailable(retry_after_seconds: u64) -> Self {
        let retry_after_seconds = Some(retry_after_seconds);
        Self { retry_after_seconds, ..Self::server(StatusCode::SERVICE_UNAVAILABLE) }
    }

    /// A failure of the service: 503 is `ServiceUnavailable`, any other status `InternalFailure`.
    pub(crate) fn server(status: StatusCode) -> Self {
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let message = "The request has failed due to a temporary failure of the server.";
            return Self::new(status, "ServiceUnavailable", message);
        }
        let message = "The request processing has failed because of an unknown error, exception \
                       or failure.";
        Self::new(status, "InternalFailure", message)
    }

    /// The whole answer.
    pub(crate) fn to_xml(&self, request_id: &str) -> String {
        let kind = if self.status.is_server_error() { "Receiver" } else { "Sender" };
        let (code, message) = (self.code, escape(&self.message));
        format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{kind}</Type>\n    \
             <Code>{code}</Code>\n    <Message>{message}</Message>\n  </Error>\n  \
             <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n"
        )
    }
}

/// An answer, whatever service gave it, as it goes out.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) text: String,
    /// The code of an error; `None` for what was asked for.
    pub(crate) error: Option<&'static str>,
    /// Content of the `Retry-After` header, in seconds.
    pub(crate) retry_after_seconds: Option<u64>,
    /// Access key id of the session that was issued.
    pub(crate) issued_access_key_id: Option<String>,
}

impl Reply {
    /// An answer of the Query protocol.
    pub(crate) fn of_query(outcome: Result<Success, ApiError>, request_id: &str) -> Self {
        let reply = |status, text| Self {
            status,
            content_type: "text/xml",
            text,
            error: None,
            retry_after_seconds: None,
            issued_access_key_id: None,
        };
        match outcome {
            Ok(success) => Self {
                issued_access_key_id: success.issued_access_key_id.clone(),
                ..reply(StatusCode::OK, success.to_xml(request_id))
            },
            Err(error) => Self {
                error: Some(error.code),
                retry_after_seconds: error.retry_after_seconds,
                ..reply(error.status, error.to_xml(request_id))
            },
        }
    }

    /// An answer in JSON that grants something.
    pub(crate) fn of_json(json: &Value, issued_access_key_id: Option<String>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            text: json.to_string(),
            error: None,
            retry_after_seconds: None,
            issued_access_key_id,
        }
    }
}

impl From<Result<Granted, Refusal>> for Reply {
    fn from(outcome: Result<Granted, Refusal>) -> Self {
        match outcome {
            Ok(granted) => Self::of_json(&granted.json, granted.issued_access_key_id),
            Err(refusal) => Self {
                status: refusal.status,
                error: Some(refusal.exception),
                retry_after_seconds: refusal.retry_after_seconds,
                ..Self::of_json(&refusal.json, None)
            },
        }
    }
}

/// One element with text, on a line of its own.
pub(crate) fn element(name: &str, text: &str) -> String {
    format!("    <{name}>{}</{name}>\n", escape(text))
}

/// One element with others inside.
pub(crate) fn parent(name: &str, children: &str) -> String {
    format!("    <{name}>\n{children}    </{name}>\n")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
