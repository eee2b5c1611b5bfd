//! Each row of the tables: what was answered, and its cause.

use super::*;

const BASE: Call<'_> =
    Call { subject: "base", region: None, signed_by: Signer::Nobody, now: SystemTime::UNIX_EPOCH };

#[test]
fn a_code_that_is_not_accepted_is_no_denial_of_a_role() {
    for message in [
        "MultiFactorAuthentication failed with invalid MFA one time pass code.",
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA \
         serial number is valid and associated with this user.",
    ] {
        assert_eq!(cause_of_answer(403, "AccessDenied", message), Cause::MfaCodeRejected);
    }
}

#[test]
fn each_answer_has_its_cause() {
    for (status, code, message, cause) in [
        (403, "AccessDenied", "User: x is not authorized", Cause::AccessDenied),
        (403, "AccessDeniedException", "", Cause::AccessDenied),
        (
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            Cause::DurationTooLong,
        ),
        (
            400,
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles \
             assumed by role chaining.",
            Cause::ChainedDurationTooLong,
        ),
        (400, "ValidationError", "1 validation error detected", Cause::Rejected),
        (403, "ExpiredToken", "", Cause::BaseExpired),
        (400, "ExpiredTokenException", "", Cause::BaseExpired),
        (403, "InvalidClientTokenId", "", Cause::BaseInvalid),
        (403, "UnrecognizedClientException", "", Cause::BaseInvalid),
        (403, "SignatureDoesNotMatch", "The request signature we", Cause::BaseInvalid),
        (403, "SignatureDoesNotMatch", "Signature expired: a is now", Cause::ClockSkew),
        (403, "SignatureDoesNotMatch", "Signature not yet current: a", Cause::ClockSkew),
        (403, "InvalidSignatureException", "Signature expired: a", Cause::ClockSkew),
        (400, "RequestExpired", "", Cause::ClockSkew),
        (403, "RequestTimeTooSkewed", "", Cause::ClockSkew),
        (
            403,
            "SignatureDoesNotMatch",
            "Credential should be scoped to a valid region.",
            Cause::WrongRegion,
        ),
        (400, "IncompleteSignature", "", Cause::BaseInvalid),
        (403, "MissingAuthenticationToken", "", Cause::BaseInvalid),
        (400, "InvalidIdentityToken", "", Cause::TokenInvalid),
        (403, "IDPRejectedClaim", "", Cause::TokenInvalid),
        (
            400,
            "ExpiredTokenException",
            "Token expired: current date/time 2 must be before the expiration date/time 1",
            Cause::TokenExpired,
        ),
        (
            403,
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
            Cause::WebIdentityDenied,
        ),
        (403, "RegionDisabledException", "", Cause::WrongRegion),
        (403, "OptInRequired", "", Cause::WrongRegion),
        (400, "Throttling", "Rate exceeded", Cause::Throttled),
        (400, "ThrottlingException", "", Cause::Throttled),
        (400, "RequestLimitExceeded", "", Cause::Throttled),
        (400, "TooManyRequestsException", "", Cause::Throttled),
        (503, "SlowDown", "", Cause::Throttled),
        (429, "", "", Cause::Throttled),
        (500, "InternalFailure", "", Cause::ServiceUnavailable),
        (503, "ServiceUnavailable", "", Cause::ServiceUnavailable),
        (400, "IDPCommunicationError", "", Cause::ServiceUnavailable),
        (502, "", "", Cause::ServiceUnavailable),
        (408, "RequestTimeout", "", Cause::TimedOut),
        (
            403,
            "AccessDenied",
            "User: u is not authorized to perform: sts:TagSession on resource: r",
            Cause::SessionTagsDenied,
        ),
        (
            403,
            "AccessDenied",
            "User: u is not authorized to perform: sts:SetSourceIdentity on resource: r",
            Cause::SourceIdentityDenied,
        ),
        (
            400,
            "ValidationError",
            "The source identity is already set for this assume role session",
            Cause::SourceIdentityDenied,
        ),
        (
            400,
            "PackedPolicyTooLarge",
            "Packed size of session tags consumes 112% of allotted space.",
            Cause::PolicyTooLarge,
        ),
        (400, "PackedPolicyTooLargeException", "", Cause::PolicyTooLarge),
        (400, "MalformedPolicyDocument", "", Cause::MalformedPolicy),
        (400, "MalformedPolicyDocumentException", "", Cause::MalformedPolicy),
        (400, "InvalidParameterValue", "Duplicate tag keys found.", Cause::Rejected),
        (404, "", "", Cause::BadAnswer),
        (200, "", "", Cause::BadAnswer),
    ] {
        assert_eq!(cause_of_answer(status, code, message), cause, "{status} {code} {message}");
    }
}

#[test]
fn each_connection_error_has_its_cause() {
    let boxed = |text: &str| Box::<dyn Error + Send + Sync>::from(text.to_owned());
    for (error, cause, text) in [
        (ConnectorError::io(boxed("refused")), Cause::Network, "io error: refused"),
        (ConnectorError::timeout(boxed("3 s")), Cause::TimedOut, "timeout: 3 s"),
        (ConnectorError::user(boxed("no URI")), Cause::Misconfigured, "user error: no URI"),
        (
            ConnectorError::other(
                boxed("broke off"),
                Some(aws_smithy_types::retry::ErrorKind::TransientError),
            ),
            Cause::Network,
            "other: broke off",
        ),
        (ConnectorError::other(boxed("no HTTP"), None), Cause::BadAnswer, "other: no HTTP"),
    ] {
        assert_eq!(connector_error(&error), (cause, text.to_owned()));
    }
}

#[test]
fn each_failure_of_a_provider_has_its_cause() {
    for (error, cause) in [
        (CredentialsError::not_loaded_no_source(), Cause::NoBaseCredentials),
        (CredentialsError::invalid_configuration("x"), Cause::Misconfigured),
        (CredentialsError::provider_timed_out(std::time::Duration::from_secs(5)), Cause::TimedOut),
        (CredentialsError::provider_error("anything"), Cause::BaseSourceFailed),
        (CredentialsError::unhandled("anything"), Cause::BaseSourceFailed),
        (
            CredentialsError::provider_error("the SSO token has expired and cannot be refreshed"),
            Cause::BaseExpired,
        ),
        (
            CredentialsError::provider_error(CredentialsError::not_loaded("inner")),
            Cause::NoBaseCredentials,
        ),
        (CredentialsError::unhandled(ConnectorError::io("x".into())), Cause::Network),
        (CredentialsError::unhandled(io::Error::other("x")), Cause::BaseSourceFailed),
    ] {
        assert_eq!(base_error(BASE, &error).cause, cause, "{error:?}");
    }
}

#[test]
fn a_chain_without_credentials_tells_what_was_tried() {
    let text = "no credentials found in chain. Attempted:\n  Environment: the credential \
                provider was not enabled: environment variable not set\n  Profile: the \
                credential provider was not enabled";
    assert_eq!(not_loaded_text(text), "tried Environment: environment variable not set; Profile");
    assert_eq!(not_loaded_text("received 404"), "received 404");
}

#[test]
fn unknown_words_of_a_provider_are_not_repeated() {
    let error = base_error(BASE, &CredentialsError::unhandled("SecretAccessKey: abc"));
    assert_eq!(error.detail, "");
}

#[test]
fn of_the_instance_metadata_service_only_the_code_is_repeated() {
    let told = "EC2 cannot assume the role. You sent the token AQAEAKlonger-than-a-word==";
    for (error, code) in [
        (
            CredentialsError::invalid_configuration(format!(
                "Incorrect IMDS/IAM configuration: [AssumeRoleUnauthorizedAccess] {told}. Hint: x"
            )),
            "AssumeRoleUnauthorizedAccess",
        ),
        (
            CredentialsError::provider_error(format!(
                "Error retrieving credentials from IMDS: Failed {told}"
            )),
            "Failed",
        ),
    ] {
        let detail = base_error(BASE, &error).detail;
        assert!(detail.contains(&format!("metadata service answered {code}")), "{detail}");
        assert!(!detail.contains("AQAEAK") && !detail.contains("You sent"), "{detail}");
    }
}
