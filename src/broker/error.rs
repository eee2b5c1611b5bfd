//! Why a session could not be had, split by what to do about it.

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
}

impl SessionError {
    /// An error with the service's own words.
    pub fn new(subject: impl Into<String>, cause: Cause, detail: &str) -> Self {
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        Self { subject: subject.into(), cause, detail }
    }
}

/// The kinds of failure that differ in what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// STS answered AccessDenied: trust policy, permissions, external id or MFA.
    AccessDenied,
    /// `DurationSeconds` is above the role's `MaxSessionDuration`.
    DurationTooLong,
    /// A chained role was asked for more than one hour.
    ChainedDurationTooLong,
    /// The signature was refused because the clocks differ.
    ClockSkew,
    /// The base credentials are expired.
    BaseExpired,
    /// AWS does not know the base access key, or its secret does not match.
    BaseInvalid,
    /// No base credentials were found.
    NoBaseCredentials,
    /// The region is disabled for the account, or belongs to another partition.
    WrongRegion,
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
    /// How soon to try again.
    pub fn retry(self) -> RetryClass {
        match self {
            Self::AccessDenied
            | Self::DurationTooLong
            | Self::ChainedDurationTooLong
            | Self::BaseExpired
            | Self::BaseInvalid
            | Self::NoBaseCredentials
            | Self::WrongRegion
            | Self::Rejected => RetryClass::Permanent,
            Self::ClockSkew
            | Self::Throttled
            | Self::ServiceUnavailable
            | Self::Network
            | Self::TimedOut
            | Self::BadAnswer => RetryClass::Transient,
        }
    }

    /// One clause that says what happened. It stands in files that readers of the mount see, so
    /// it has letters, digits, spaces, commas, hyphens and full stops only.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AccessDenied => "AWS denied AssumeRole",
            Self::DurationTooLong => "the session duration is above the maximum of the role",
            Self::ChainedDurationTooLong => "a chained role cannot have a session above 1 hour",
            Self::ClockSkew => "the clock of this machine differs too much from that of AWS",
            Self::BaseExpired => "the base credentials are expired",
            Self::BaseInvalid => "AWS does not accept the base credentials",
            Self::NoBaseCredentials => "no base credentials were found",
            Self::WrongRegion => "the region is disabled or in another partition",
            Self::Rejected => "AWS refused a parameter of AssumeRole",
            Self::Throttled => "AWS throttles AssumeRole calls",
            Self::ServiceUnavailable => "AWS STS is unavailable",
            Self::Network => "AWS STS cannot be reached",
            Self::TimedOut => "AWS STS did not answer in time",
            Self::BadAnswer => "the answer of AWS STS was unusable",
        }
    }
}
