//! What is told of each call that gives a session or a token, once it is over: for the audit log and
//! the metrics, which know nothing of the AWS SDK. No type here can hold a secret.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BoxFuture, Cause};

/// Which call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    /// `AssumeRole` of STS.
    AssumeRole,
    /// `AssumeRoleWithWebIdentity` of STS.
    AssumeRoleWithWebIdentity,
    /// `GetSessionToken` of STS, with an MFA code.
    GetSessionToken,
    /// `GetRoleCredentials` of IAM Identity Center.
    GetRoleCredentials,
    /// A token of a service other than AWS was asked for.
    Token,
}

impl CallKind {
    /// The name of the action in the API of AWS; of a token the word itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::AssumeRoleWithWebIdentity => "AssumeRoleWithWebIdentity",
            Self::GetSessionToken => "GetSessionToken",
            Self::GetRoleCredentials => "GetRoleCredentials",
            Self::Token => "Token",
        }
    }

    /// Whether STS is called.
    pub fn is_of_sts(self) -> bool {
        !matches!(self, Self::GetRoleCredentials | Self::Token)
    }
}

/// One call that has ended. Of STS it is one request, and another attempt is another call;
/// `GetRoleCredentials` and what a token takes may be several requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionCall {
    /// Which call.
    pub kind: CallKind,
    /// What was asked for: the ARN of a role; of `GetSessionToken` the MFA device; of
    /// `GetRoleCredentials` account and role, `123456789012/Admin`; of a token its name,
    /// `github/OWNER`.
    pub subject: String,
    /// `RoleSessionName` as sent, where the call has one.
    pub session_name: Option<String>,
    /// `SourceIdentity` as sent.
    pub source_identity: Option<String>,
    /// When the call began, by the wall clock.
    pub started: SystemTime,
    /// From the request to the end of the answer, by the monotonic clock.
    pub latency: Duration,
    /// What came of it.
    pub outcome: Result<GivenKey, FailedCall>,
}

/// The key that a call gave, by names that are not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenKey {
    /// As in `CloudTrail`; of a token its SHA-256.
    pub access_key_id: String,
    /// When it is accepted no more.
    pub expiration: SystemTime,
    /// The request id of AWS, which `CloudTrail` has too.
    pub request_id: Option<String>,
    /// How much of the space for session policies and tags the session takes, in percent, if STS
    /// told.
    pub packed_percent: Option<u8>,
}

/// Why a call gave no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCall {
    /// The kind of failure.
    pub cause: Cause,
    /// The error code of AWS, such as `AccessDenied`; `None` if AWS did not answer, or answered
    /// with something else.
    pub code: Option<String>,
    /// What the service or the network said: one bounded line, free of secrets; may be empty.
    pub detail: String,
    /// The request id of AWS, if it answered.
    pub request_id: Option<String>,
}

/// Somebody who is told of every call.
pub trait ObserveCalls: Debug + Send + Sync + 'static {
    /// Takes note of `call`. It is called once for each call, after its end and before its session
    /// or token is used, which waits until the future is done.
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()>;

    /// Takes note of how many seconds the clock of this machine is ahead of that of AWS. It is
    /// called after each call, once AWS has told its time.
    fn clock_skew(&self, _seconds: i64) {}
}

/// Several observers, told one after the other in this order. The default is nobody.
#[derive(Debug, Clone, Default)]
pub struct Observers(pub Vec<Arc<dyn ObserveCalls>>);

impl ObserveCalls for Observers {
    fn called<'a>(&'a self, call: &'a SessionCall) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for observer in &self.0 {
                observer.called(call).await;
            }
        })
    }

    fn clock_skew(&self, seconds: i64) {
        for observer in &self.0 {
            observer.clock_skew(seconds);
        }
    }
}
