//! Why a session could not be had, split by what to do about it.

use std::time::Duration;

use super::Place;

/// Why a session could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject}: {}{detail}", cause.sentence())]
pub struct SessionError {
    /// The role ARN, or the base credentials, concerned.
    pub subject: String,
    /// The kind of failure.
    pub cause: Cause,
    /// What the service answered (code, message, request id), led by `": "`, or empty. Free of
    /// secrets; for the operator, never for readers of the mount.
    pub detail: String,
    /// How long not to ask again, as the answer said (Retry-After).
    pub retry_after: Option<Duration>,
    /// Where to look, for readers of the mount too.
    pub place: Option<Place>,
    /// Whether `subject` is a hop on the way to the role that was asked for, not that role itself.
    pub on_the_way: bool,
}

impl SessionError {
    /// An error with the service's own words.
    pub fn new(subject: impl Into<String>, cause: Cause, detail: &str) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let subject = subject.into();
        Self { subject, cause, detail, retry_after: None, place: None, on_the_way: false }
    }

    /// The same, told not to ask again for so long.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..self }
    }

    /// The same, with where to look.
    #[must_use]
    pub fn at(self, place: Option<Place>) -> Self {
        Self { place, ..self }
    }

    /// The same, as the roles behind the one that failed are told it.
    #[must_use]
    pub fn of_hop(self) -> Self {
        Self { on_the_way: true, ..self }
    }
}

/// The kinds of failure that differ in what to do next. In JSON the name of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Cause {
    /// STS answered `AccessDenied`: trust policy, permissions, external id or MFA.
    AccessDenied,
    /// STS denied `sts:TagSession`: the session tags, or those that the session before passes on.
    SessionTagsDenied,
    /// STS denied `sts:SetSourceIdentity`, or the session before carries another source identity.
    SourceIdentityDenied,
    /// The inline session policy is no policy.
    MalformedPolicy,
    /// Session policies and tags together are larger than STS packs into a session.
    PolicyTooLarge,
    /// `DurationSeconds` is above the role's `MaxSessionDuration`.
    DurationTooLong,
    /// A chained role was asked for more than one hour.
    ChainedDurationTooLong,
    /// The signature was refused because the clocks differ.
    ClockSkew,
    /// The base credentials are expired.
    BaseExpired,
    /// Nobody is signed in, to IAM Identity Center or to the issuer of an identity, or the sign-in is
    /// no longer accepted.
    LoginNeeded,
    /// IAM Identity Center does not give this role of this account to who has signed in.
    NotAssigned,
    /// AWS does not know the base access key, or its secret does not match.
    BaseInvalid,
    /// No base credentials were found.
    NoBaseCredentials,
    /// A session with MFA is needed, and nobody has given a code: AWS was not asked.
    MfaCodeNeeded,
    /// AWS refused the MFA code: wrong, used already, or of another device.
    MfaCodeRejected,
    /// The `mfa_process` gave no code that could be used.
    MfaProcessFailed,
    /// Where the base credentials come from is configured, but it failed: a credential process,
    /// a metadata service.
    BaseSourceFailed,
    /// STS denied AssumeRoleWithWebIdentity: the trust policy and the claims of the token do not
    /// fit together.
    WebIdentityDenied,
    /// STS does not accept the web identity token, whatever the role.
    TokenInvalid,
    /// The web identity token is expired.
    TokenExpired,
    /// Where the web identity token comes from failed: a file, a command, an issuer.
    TokenSourceFailed,
    /// The AWS configuration of this machine cannot be used: a broken profile, a bad endpoint.
    Misconfigured,
    /// The region is disabled for the account, or belongs to another partition.
    WrongRegion,
    /// The issuer does not give this token to who is logged in.
    TokenDenied,
    /// The issuer of a token cannot be reached, fails, or answers what is no token.
    IssuerUnavailable,
    /// STS refused a parameter.
    Rejected,
    /// STS throttled the account.
    Throttled,
    /// STS answered with a server error.
    ServiceUnavailable,
    /// No connection: DNS, routing, TLS, refused, dropped.
    Network,
    /// No answer in time.
    TimedOut,
    /// The answer could not be understood, or its session is already expired.
    BadAnswer,
    /// Not a failure of AWS: more programs wait for sessions than may.
    Busy,
    /// Not a failure of AWS: the user locked the daemon.
    Locked,
    /// Not a failure of AWS: the mount was ended; whoever still holds it gets no keys.
    Ended,
    /// Not a failure of AWS: the configuration is wrong, so it is not known what to serve.
    Unconfigured,
    /// Not a failure of AWS: the mount has tokens of other services only.
    NoRole,
}

/// How soon to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryClass {
    /// May pass by itself: retry soon, with exponential backoff.
    Transient,
    /// Somebody has to change something: retry rarely.
    Permanent,
}

impl Cause {
    /// Every kind, for tests over all of them.
    pub const ALL: &'static [Self] = &[
        Self::AccessDenied,
        Self::SessionTagsDenied,
        Self::SourceIdentityDenied,
        Self::MalformedPolicy,
        Self::PolicyTooLarge,
        Self::DurationTooLong,
        Self::ChainedDurationTooLong,
        Self::ClockSkew,
        Self::BaseExpired,
        Self::LoginNeeded,
        Self::NotAssigned,
        Self::BaseInvalid,
        Self::NoBaseCredentials,
        Self::MfaCodeNeeded,
        Self::MfaCodeRejected,
        Self::MfaProcessFailed,
        Self::BaseSourceFailed,
        Self::WebIdentityDenied,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::TokenSourceFailed,
        Self::Misconfigured,
        Self::WrongRegion,
        Self::TokenDenied,
        Self::IssuerUnavailable,
        Self::Rejected,
        Self::Throttled,
        Self::ServiceUnavailable,
        Self::Network,
        Self::TimedOut,
        Self::BadAnswer,
        Self::Busy,
        Self::Locked,
        Self::Ended,
        Self::Unconfigured,
        Self::NoRole,
    ];

    /// The name of the variant, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDenied => "AccessDenied",
            Self::SessionTagsDenied => "SessionTagsDenied",
            Self::SourceIdentityDenied => "SourceIdentityDenied",
            Self::MalformedPolicy => "MalformedPolicy",
            Self::PolicyTooLarge => "PolicyTooLarge",
            Self::DurationTooLong => "DurationTooLong",
            Self::ChainedDurationTooLong => "ChainedDurationTooLong",
            Self::ClockSkew => "ClockSkew",
            Self::BaseExpired => "BaseExpired",
            Self::LoginNeeded => "LoginNeeded",
            Self::NotAssigned => "NotAssigned",
            Self::BaseInvalid => "BaseInvalid",
            Self::NoBaseCredentials => "NoBaseCredentials",
            Self::MfaCodeNeeded => "MfaCodeNeeded",
            Self::MfaCodeRejected => "MfaCodeRejected",
            Self::MfaProcessFailed => "MfaProcessFailed",
            Self::BaseSourceFailed => "BaseSourceFailed",
            Self::WebIdentityDenied => "WebIdentityDenied",
            Self::TokenInvalid => "TokenInvalid",
            Self::TokenExpired => "TokenExpired",
            Self::TokenSourceFailed => "TokenSourceFailed",
            Self::Misconfigured => "Misconfigured",
            Self::WrongRegion => "WrongRegion",
            Self::TokenDenied => "TokenDenied",
            Self::IssuerUnavailable => "IssuerUnavailable",
            Self::Rejected => "Rejected",
            Self::Throttled => "Throttled",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Network => "Network",
            Self::TimedOut => "TimedOut",
            Self::BadAnswer => "BadAnswer",
            Self::Busy => "Busy",
            Self::Locked => "Locked",
            Self::Ended => "Ended",
            Self::Unconfigured => "Unconfigured",
            Self::NoRole => "NoRole",
        }
    }

    /// How soon to try again.
    pub fn retry(self) -> RetryClass {
        match self {
            Self::AccessDenied
            | Self::SessionTagsDenied
            | Self::SourceIdentityDenied
            | Self::MalformedPolicy
            | Self::PolicyTooLarge
            | Self::DurationTooLong
            | Self::ChainedDurationTooLong
            | Self::BaseExpired
            | Self::LoginNeeded
            | Self::NotAssigned
            | Self::BaseInvalid
            | Self::NoBaseCredentials
            | Self::MfaCodeNeeded
            | Self::MfaCodeRejected
            | Self::MfaProcessFailed
            | Self::WebIdentityDenied
            | Self::TokenInvalid
            | Self::Misconfigured
            | Self::WrongRegion
            | Self::TokenDenied
            | Self::Rejected
            | Self::Locked
            | Self::Ended
            | Self::Unconfigured
            | Self::NoRole => RetryClass::Permanent,
            Self::ClockSkew
            | Self::BaseSourceFailed
            | Self::TokenExpired
            | Self::TokenSourceFailed
            | Self::IssuerUnavailable
            | Self::Throttled
            | Self::ServiceUnavailable
            | Self::Network
            | Self::TimedOut
            | Self::BadAnswer
            | Self::Busy => RetryClass::Transient,
        }
    }

    /// Whether STS itself has more to do than it can, so that asking at once makes it worse.
    pub fn is_overload(self) -> bool {
        matches!(self, Self::Throttled | Self::ServiceUnavailable)
    }

    /// Whether it ends as soon as somebody gives an MFA code, for which the daemon has to run.
    pub fn ends_by_mfa_code(self) -> bool {
        matches!(self, Self::MfaCodeNeeded | Self::MfaCodeRejected | Self::MfaProcessFailed)
    }

    /// Whether it ends as soon as a person does something for which the daemon has to be there: gives
    /// an MFA code, or signs in.
    pub fn needs_person(self) -> bool {
        self == Self::LoginNeeded || self.ends_by_mfa_code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cause_is_its_name_in_json() {
        for &cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
    }
}
