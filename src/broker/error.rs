//! Why a session could not be had, split by what to do about it.

use std::time::Duration;

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

/// A place such as `config.toml line 3`. It stands in files that readers see, so it has letters,
/// digits, spaces, hyphens, underscores and full stops only, and is short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// The place that a text names; every other character becomes `_`.
    pub fn new(text: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || " ._-".contains(c) { c } else { '_' };
        Self(text.chars().take(LONGEST_PLACE).map(plain).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A file name and a line, or a flag, are shorter.
const LONGEST_PLACE: usize = 80;

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
    /// Nobody is signed in to IAM Identity Center, or AWS no longer accepts the sign-in.
    LoginNeeded,
    /// IAM Identity Center does not give this role of this account to who has signed in.
    NotAssigned,
    /// AWS does not know the base access key, or its secret does not match.
    BaseInvalid,
    /// No base credentials were found.
    NoBaseCredentials,
    /// Where the base credentials come from is configured, but it failed: a credential process,
    /// a metadata service.
    BaseSourceFailed,
    /// The AWS configuration of this machine cannot be used: a broken profile, a bad endpoint.
    Misconfigured,
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
    /// Not a failure of AWS: more programs wait for sessions than may.
    Busy,
    /// Not a failure of AWS: the user locked the daemon.
    Locked,
    /// Not a failure of AWS: the mount was ended; whoever still holds it gets no keys.
    Ended,
    /// Not a failure of AWS: the configuration is wrong, so it is not known what to serve.
    Unconfigured,
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
    pub const ALL: [Self; 26] = [
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
        Self::BaseSourceFailed,
        Self::Misconfigured,
        Self::WrongRegion,
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
            Self::BaseSourceFailed => "BaseSourceFailed",
            Self::Misconfigured => "Misconfigured",
            Self::WrongRegion => "WrongRegion",
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
            | Self::Misconfigured
            | Self::WrongRegion
            | Self::Rejected
            | Self::Locked
            | Self::Ended
            | Self::Unconfigured => RetryClass::Permanent,
            Self::ClockSkew
            | Self::BaseSourceFailed
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

    /// One clause that says what happened. It stands in files that readers of the mount see, so
    /// it has letters, digits, spaces, commas, hyphens and full stops only.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::AccessDenied => "AWS denied AssumeRole",
            Self::SessionTagsDenied => "AWS denied the session tags",
            Self::SourceIdentityDenied => "AWS denied the source identity",
            Self::MalformedPolicy => "AWS cannot read the session policy",
            Self::PolicyTooLarge => "the session policies and tags are too large",
            Self::DurationTooLong => "the session duration is above the maximum of the role",
            Self::ChainedDurationTooLong => "a chained role cannot have a session above 1 hour",
            Self::ClockSkew => "the clock of this machine differs too much from that of AWS",
            Self::BaseExpired => "the base credentials are expired",
            Self::LoginNeeded => "nobody is signed in to IAM Identity Center",
            Self::NotAssigned => "IAM Identity Center does not give this role",
            Self::BaseInvalid => "AWS does not accept the base credentials",
            Self::NoBaseCredentials => "no base credentials were found",
            Self::BaseSourceFailed => "the source of the base credentials failed",
            Self::Misconfigured => "the AWS configuration of this machine cannot be used",
            Self::WrongRegion => "the region is disabled or in another partition",
            Self::Rejected => "AWS refused a parameter of AssumeRole",
            Self::Throttled => "AWS throttles AssumeRole calls",
            Self::ServiceUnavailable => "AWS STS is unavailable",
            Self::Network => "AWS STS cannot be reached",
            Self::TimedOut => "no answer came in time",
            Self::BadAnswer => "the answer of AWS STS was unusable",
            Self::Busy => "too many programs wait for this role",
            Self::Locked => "credmount is locked",
            Self::Ended => "this mount was ended",
            Self::Unconfigured => "the configuration of credmount is broken",
        }
    }

    /// What to do about it: whole sentences for the operator.
    #[expect(clippy::too_many_lines, reason = "a table with a row for each cause")]
    pub fn advice(self) -> &'static str {
        match self {
            Self::AccessDenied => {
                "Three things decide: the trust policy of the role must allow the calling \
                 identity sts:AssumeRole; the policies of the calling identity must allow \
                 sts:AssumeRole on the role; and the conditions of both must be met, such as \
                 sts:ExternalId (see external_id) or aws:MultiFactorAuthPresent (credmount \
                 cannot give an MFA code: use base credentials that carry MFA). A role that does \
                 not exist gives the same answer."
            }
            Self::SessionTagsDenied => {
                "Two things must allow sts:TagSession beside sts:AssumeRole: the trust policy of \
                 the role, for the calling identity, and the policies of the calling identity, on \
                 the role; conditions on aws:RequestTag or aws:TagKeys must admit these tags. It \
                 is needed too when tags come along from the session before (transitive tags). Or \
                 remove tags from the mount."
            }
            Self::SourceIdentityDenied => {
                "The trust policy of the role and the policies of the calling identity must both \
                 allow sts:SetSourceIdentity beside sts:AssumeRole, also when a source identity \
                 comes along from the session before; conditions on sts:SourceIdentity must admit \
                 this one. A source identity once set stays for the whole role chain: if the base \
                 credentials carry one, set source_identity to the same or remove it."
            }
            Self::MalformedPolicy => {
                "Mend policy: it must be an IAM policy document in JSON with Version and \
                 Statement, without Principal. aws accessanalyzer validate-policy --policy-type \
                 IDENTITY_POLICY --policy-document file://FILE says what is wrong."
            }
            Self::PolicyTooLarge => {
                "STS packs policy, policy_arns and tags together and takes no more than 100 percent \
                 of its space; what it answered says how much they need. Shorten them: fewer or \
                 shorter tags, a managed policy (policy_arns) in place of a long policy. Tags that \
                 come along from the session before take space as well; the sessions of EKS Pod \
                 Identity bring many."
            }
            Self::DurationTooLong => {
                "Ask for less with session_duration, or raise the maximum session duration of \
                 the role: aws iam update-role --role-name NAME --max-session-duration SECONDS."
            }
            Self::ChainedDurationTooLong => {
                "AWS limits a role assumed with the session of another role to 1 hour: set \
                 session_duration to 1h or less. The base credentials may be such a session too."
            }
            Self::ClockSkew => {
                "Set the clock of this machine (timedatectl set-ntp true); AWS accepts a \
                 difference of 5 minutes."
            }
            Self::BaseExpired => {
                "Renew the base credentials: sign in again (aws sso login), or let their source \
                 write new keys. credmount reads them again by itself."
            }
            Self::LoginNeeded => {
                "Sign in: credmount login NAME, NAME being the AWS profile, or aws sso login \
                 --profile NAME. Running daemons notice it within seconds."
            }
            Self::NotAssigned => {
                "Compare sso_account_id and sso_role_name of the profile with what the start page \
                 of IAM Identity Center shows; a permission set may have been taken away, or have \
                 to be asked for."
            }
            Self::BaseInvalid => {
                "The access key may be deleted or inactive, its secret or session token may not \
                 belong to it, it may be of another partition, or the region may be an opt-in \
                 region that the account has not enabled. Try: aws sts get-caller-identity with \
                 the same source."
            }
            Self::NoBaseCredentials => {
                "Give credmount something to sign with: a source profile with keys, SSO or a \
                 credential_process, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a web identity \
                 token, or a role of the instance or container. A service does not see the \
                 environment of your shell."
            }
            Self::BaseSourceFailed => {
                "Run the credential_process of the profile by hand as the same user, or ask the \
                 metadata service with curl: it says there what is wrong."
            }
            Self::Misconfigured => {
                "Mend the profile that is named, or the endpoint setting (AWS_ENDPOINT_URL_STS, \
                 AWS_ENDPOINT_URL, endpoint_url). aws configure list --profile NAME shows what is \
                 in effect."
            }
            Self::WrongRegion => {
                "Use a region that is enabled for the account of the base credentials and belongs \
                 to the partition of the role (region, or --region); aws account list-regions \
                 shows which are enabled."
            }
            Self::Rejected => {
                "Compare what AWS says with the settings of this role: role_arn, session_name, \
                 external_id, session_duration, source_identity, tags, transitive_tag_keys, policy_arns. \
                 A tag that comes along from the session before cannot be set again."
            }
            Self::Throttled => {
                "The account makes too many STS calls; credmount tries again by itself. Fewer \
                 mounts or a longer session_duration make fewer calls."
            }
            Self::ServiceUnavailable => {
                "AWS has a problem; credmount tries again by itself. health.aws.amazon.com shows \
                 the state of the region."
            }
            Self::Network => {
                "Check name resolution, routing, firewall and proxy (HTTPS_PROXY, NO_PROXY) \
                 towards sts.REGION.amazonaws.com port 443. A private subnet needs NAT or an STS \
                 VPC endpoint; a proxy that opens TLS needs its CA in SSL_CERT_FILE."
            }
            Self::TimedOut => {
                "Packets may be dropped on the way to STS (firewall, security group of the VPC \
                 endpoint, proxy), or the source of the base credentials takes too long."
            }
            Self::BadAnswer => {
                "Something other than STS may have answered: a proxy, a captive portal, a wrong \
                 endpoint URL. If the session arrived expired, check the clock of this machine."
            }
            Self::Busy => {
                "Find out why so many programs read at once while there is no session, or why AWS \
                 does not answer; max_waiting_opens is how many may wait."
            }
            Self::Locked => "credmount unlock serves again.",
            Self::Ended => "Start the container or program anew with a mount that is served.",
            Self::Unconfigured => {
                "Mend what credmount status and the log name; it is served again within seconds, \
                 or at once by credmount reload."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_cause_is_its_name_in_json() {
        for cause in Cause::ALL {
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.name());
        }
    }

    #[test]
    fn a_place_has_nothing_in_it_that_means_something_to_a_shell() {
        let place = Place::new("$(id) `x`; \"a\"\nconfig.toml line 3");
        assert_eq!(place.as_str(), "__id_ _x__ _a__config.toml line 3");
        assert_eq!(Place::new(&"a".repeat(1000)).as_str().len(), LONGEST_PLACE);
    }
}
