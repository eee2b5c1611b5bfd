//! What AWS answered → why it failed and what to do: one table, tested row by row.

use std::error::Error;
use std::io;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::detail::{Signer, chain, innermost, sanitised};
use super::http::AnswerTooLarge;
use super::http_date::http_date;
use super::process::ProcessError;
use super::retry_after::retry_after;
use crate::broker::{Cause, SessionError};

/// One call to STS, as errors tell about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// What the error is about: the role ARN or the base credentials.
    pub(super) subject: &'a str,
    /// The region called, if we chose it.
    pub(super) region: Option<&'a str>,
    /// What the call carried; its secrets are kept out of the error.
    pub(super) signed_by: Signer<'a>,
    /// The wall clock when the answer came.
    pub(super) now: SystemTime,
}

/// The cause of an error answer: its HTTP status, and the code and message of its body, empty
/// where the body has none. The first row that fits counts.
pub(super) fn cause_of_answer(status: u16, code: &str, message: &str) -> Cause {
    let message = message.to_ascii_lowercase();
    let says = |text: &str| message.contains(text);
    match code {
        // The same code stands for a wrong secret, a wrong clock and a wrong region.
        "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "RequestExpired"
        | "AuthFailure"
            if says("signature expired")
                || says("not yet current")
                || says("request has expired") =>
        {
            Cause::ClockSkew
        }
        "RequestTimeTooSkewed" | "RequestInTheFuture" | "RequestExpired" => Cause::ClockSkew,
        "SignatureDoesNotMatch" | "InvalidSignatureException" if says("valid region") => {
            Cause::WrongRegion
        }
        "AccessDenied" | "AccessDeniedException" if says("multifactorauthentication failed") => {
            Cause::MfaCodeRejected
        }
        "AccessDenied" | "AccessDeniedException" if says("sts:tagsession") => {
            Cause::SessionTagsDenied
        }
        "AccessDenied" | "AccessDeniedException" if says("sts:setsourceidentity") => {
            Cause::SourceIdentityDenied
        }
        "AccessDenied" | "AccessDeniedException" if says("sts:assumerolewithwebidentity") => {
            Cause::WebIdentityDenied
        }
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => Cause::AccessDenied,
        "ValidationError" if says("source identity is already set") => Cause::SourceIdentityDenied,
        "MalformedPolicyDocument" | "MalformedPolicyDocumentException" => Cause::MalformedPolicy,
        "PackedPolicyTooLarge" | "PackedPolicyTooLargeException" => Cause::PolicyTooLarge,
        "ValidationError" if says("role chaining") => Cause::ChainedDurationTooLong,
        "ValidationError" if says("maxsessionduration") => Cause::DurationTooLong,
        // The same code stands for keys; the words are those of a web identity token.
        "ExpiredTokenException" if says("must be before the expiration") => Cause::TokenExpired,
        "ExpiredToken" | "ExpiredTokenException" => Cause::BaseExpired,
        "InvalidIdentityToken"
        | "InvalidIdentityTokenException"
        | "IDPRejectedClaim"
        | "IDPRejectedClaimException" => Cause::TokenInvalid,
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "AuthFailure" => Cause::BaseInvalid,
        "RegionDisabledException" | "OptInRequired" => Cause::WrongRegion,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown" => Cause::Throttled,
        "InternalFailure" | "InternalError" | "ServiceUnavailable" | "IDPCommunicationError" => {
            Cause::ServiceUnavailable
        }
        "RequestTimeout" | "RequestTimeoutException" => Cause::TimedOut,
        _ if status == 429 => Cause::Throttled,
        _ if status >= 500 => Cause::ServiceUnavailable,
        // Without a code it is no answer of STS: a proxy, a captive portal, another service.
        "" => Cause::BadAnswer,
        _ => Cause::Rejected,
    }
}

/// The request id of an error answer, from its body or its head.
pub(super) fn request_id<E: ProvideErrorMetadata>(
    error: &SdkError<E, HttpResponse>,
) -> Option<String> {
    let in_body = error.as_service_error().and_then(|answer| answer.meta().request_id());
    in_body.or_else(|| error.request_id()).map(|id| sanitised(id, Signer::Nobody))
}

/// The error code that STS answered, if STS answered.
pub(super) fn code<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let code = sanitised(error.as_service_error()?.code()?, Signer::Nobody);
    Some(code).filter(|code| !code.is_empty())
}

/// The error of one call to STS.
pub(super) fn sts_error<E>(call: Call<'_>, error: &SdkError<E, HttpResponse>) -> SessionError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (cause, text) = match error {
        SdkError::ServiceError(answer) => {
            let metadata = answer.err().meta();
            let code = metadata.code().unwrap_or_default();
            let message = metadata.message().unwrap_or_default();
            let status = answer.raw().status().as_u16();
            let cause = cause_of_answer(status, code, message);
            let mut text = answer_text(status, code, &sanitised(message, call.signed_by));
            if let Some(id) = request_id(error) {
                text = format!("{text} (request id {id})");
            }
            if cause == Cause::ClockSkew
                && let Some(skew) = answer.raw().headers().get("date").and_then(http_date)
            {
                text.push_str(&skew_text(skew, call.now));
            }
            (cause, text)
        }
        SdkError::TimeoutError(_) => (Cause::TimedOut, "no answer within the time limit".into()),
        SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
            Some(error) => connector_error(error),
            None => (Cause::Network, String::new()),
        },
        SdkError::ResponseError(_) => (Cause::BadAnswer, "the answer broke off".into()),
        // Nothing was sent: an endpoint URL that is none, a region without an endpoint.
        SdkError::ConstructionFailure(_) => (Cause::Misconfigured, innermost(error)),
        _ => (Cause::BadAnswer, "unknown kind of failure".into()),
    };
    let text = match (call.region, cause) {
        (Some(region), Cause::Network | Cause::TimedOut | Cause::Misconfigured) => {
            format!("STS of {region}: {text}")
        }
        _ => text,
    };
    let asked = error.raw_response().filter(|_| cause.is_overload());
    SessionError::new(call.subject, cause, &sanitised(&text, call.signed_by))
        .with_retry_after(asked.and_then(|answer| retry_after(answer.headers(), Some(call.now))))
}

fn answer_text(status: u16, code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => format!("HTTP status {status} without an error that STS would send"),
        (code, "") => code.to_owned(),
        ("", message) => format!("HTTP status {status}: {message}"),
        (code, message) => format!("{code}: {message}"),
    }
}

fn connector_error(error: &ConnectorError) -> (Cause, String) {
    if let Some(too_large) = chain(error).find_map(|e| e.downcast_ref::<AnswerTooLarge>()) {
        return (Cause::BadAnswer, too_large.to_string());
    }
    let text = format!("{error}: {}", innermost(error));
    let cause = if error.is_timeout() {
        Cause::TimedOut
    } else if error.is_user() {
        Cause::Misconfigured
    } else if error.is_io() || error.as_other().is_some() {
        Cause::Network
    } else {
        Cause::BadAnswer
    };
    (cause, text)
}

fn skew_text(server: SystemTime, now: SystemTime) -> String {
    let (seconds, direction) = match server.duration_since(now) {
        Ok(ahead) => (ahead.as_secs(), "ahead of"),
        Err(behind) => (behind.duration().as_secs(), "behind"),
    };
    format!("; the clock of AWS is {seconds} s {direction} the clock of this machine")
}

/// The error of resolving base credentials.
pub(super) fn base_error(call: Call<'_>, error: &CredentialsError) -> SessionError {
    for source in chain(error) {
        if let Some(error) = source.downcast_ref::<SdkError<AssumeRoleError, HttpResponse>>() {
            return sts_error(call, error);
        }
        if let Some(error) =
            source.downcast_ref::<SdkError<AssumeRoleWithWebIdentityError, HttpResponse>>()
        {
            return sts_error(call, error);
        }
    }
    // Providers wrap one another; the innermost knows what happened.
    let error = chain(error)
        .filter_map(|source| source.downcast_ref::<CredentialsError>())
        .last()
        .unwrap_or(error);
    let (cause, text) = provider_error(error);
    SessionError::new(call.subject, cause, &sanitised(&text, call.signed_by))
}

fn provider_error(error: &CredentialsError) -> (Cause, String) {
    let source = error.source();
    // The texts of these two kinds name settings, files, lines and variables, never a value.
    let source_text = || source.map(ToString::to_string).unwrap_or_default();
    match error {
        CredentialsError::CredentialsNotLoaded(_) => {
            (Cause::NoBaseCredentials, not_loaded_text(&source_text()))
        }
        CredentialsError::InvalidConfiguration(_) => {
            (Cause::Misconfigured, configuration_text(source_text()))
        }
        CredentialsError::ProviderTimedOut(_) => (Cause::TimedOut, error.to_string()),
        _ => failed_source(error),
    }
}

/// What is wrong in the configuration; of the instance metadata service its code alone, for it may
/// repeat the token that it was sent.
fn configuration_text(text: String) -> String {
    let of_instance = text.strip_prefix("Incorrect IMDS/IAM configuration: [");
    match of_instance.and_then(|rest| rest.split(']').next()) {
        Some(code) => format!(
            "the instance metadata service answered {code}: the role of the instance has to trust \
             ec2.amazonaws.com"
        ),
        None => text,
    }
}

/// A chain of providers gives a heading and a line for each of them; `text` of others is one line.
fn not_loaded_text(text: &str) -> String {
    let text = text.replace(": the credential provider was not enabled", "");
    match text.split_once('\n') {
        None => text,
        Some((_heading, tried)) => {
            format!("tried {}", tried.lines().map(str::trim).collect::<Vec<_>>().join("; "))
        }
    }
}

/// A source of base credentials that is configured and failed. Most of these texts may hold what
/// a process printed or a file contains, so only known ones are repeated.
fn failed_source(error: &CredentialsError) -> (Cause, String) {
    for source in chain(error) {
        if let Some(error) = source.downcast_ref::<ConnectorError>() {
            return connector_error(error);
        }
        if let Some(error) = source.downcast_ref::<ProcessError>() {
            return (Cause::BaseSourceFailed, error.to_string());
        }
        if let Some(error) = source.downcast_ref::<io::Error>() {
            return (Cause::BaseSourceFailed, error.to_string());
        }
        let text = source.to_string();
        for (mark, cause, known, repeated) in KNOWN_TEXTS {
            if let Some(from) = text.find(mark) {
                let rest = text[from + mark.len()..].split(". Stderr:").next().unwrap_or_default();
                let rest = match repeated {
                    Repeated::Nothing => "",
                    Repeated::Word => rest.split_whitespace().next().unwrap_or_default(),
                    Repeated::Rest => rest.trim(),
                };
                return (*cause, format!("{known}{rest}"));
            }
        }
    }
    (Cause::BaseSourceFailed, String::new())
}

/// How much of the original follows what we say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeated {
    Nothing,
    /// The code, without the message behind it: whoever answers may repeat the token that it was
    /// sent, which is known to aws-config alone.
    Word,
    Rest,
}

/// What aws-config says, what it means, how we say it.
const KNOWN_TEXTS: &[(&str, Cause, &str, Repeated)] = &[
    (
        "external process exited with code",
        Cause::BaseSourceFailed,
        "its credential_process ended with ",
        Repeated::Rest,
    ),
    (
        "external process, could not parse response",
        Cause::BaseSourceFailed,
        "its credential_process printed no credential JSON with Version 1",
        Repeated::Nothing,
    ),
    ("external process: ", Cause::BaseSourceFailed, "its credential_process: ", Repeated::Rest),
    ("SSO token has expired", Cause::BaseExpired, "the SSO sign-in is expired", Repeated::Nothing),
    ("cached SSO token", Cause::BaseExpired, "there is no usable SSO sign-in", Repeated::Nothing),
    (
        "UnauthorizedException",
        Cause::BaseExpired,
        "the SSO sign-in is no longer accepted",
        Repeated::Nothing,
    ),
    (
        "credentials from IMDS: ",
        Cause::BaseSourceFailed,
        "the instance metadata service answered ",
        Repeated::Word,
    ),
    (
        "failed to load IMDS session token",
        Cause::BaseSourceFailed,
        "the instance metadata service gave no token",
        Repeated::Nothing,
    ),
];

#[cfg(test)]
mod tests;
