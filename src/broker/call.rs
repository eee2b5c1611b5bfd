//! What is told of each AssumeRole call, once it is over: for the audit log and the metrics, which
//! know nothing of the AWS SDK. No type here can hold a secret.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{BoxFuture, Cause};

/// One AssumeRole call that has ended: one request. Another attempt is another call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumeRoleCall {
    /// The role asked for.
    pub role_arn: String,
    /// `RoleSessionName` as sent.
    pub session_name: String,
    /// `SourceIdentity` as sent.
    pub source_identity: Option<String>,
    /// When the call began, by the wall clock.
    pub started: SystemTime,
    /// From the request to the end of the answer, by the monotonic clock.
    pub latency: Duration,
    /// What came of it.
    pub outcome: Result<AssumedKey, FailedCall>,
}

/// The key that a call gave, by names that are not secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssumedKey {
    /// As in `CloudTrail`.
    pub access_key_id: String,
    /// When AWS stops accepting it.
    pub expiration: SystemTime,
    /// The request id of STS, which `CloudTrail` has too.
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
    /// The error code of STS, such as `AccessDenied`; `None` if STS did not answer, or answered
    /// with something else.
    pub code: Option<String>,
    /// What the service or the network said: one bounded line, free of secrets; may be empty.
    pub detail: String,
    /// The request id of STS, if it answered.
    pub request_id: Option<String>,
}

/// Somebody who is told of every AssumeRole call.
pub trait ObserveCalls: Debug + Send + Sync + 'static {
    /// Takes note of `call`. It is called once for each call, after its end and before its session
    /// is used; the session waits until the future is done.
    fn assume_role<'a>(&'a self, call: &'a AssumeRoleCall) -> BoxFuture<'a, ()>;

    /// Takes note of how many seconds the clock of this machine is ahead of that of AWS. It is
    /// called after each call, once AWS has told its time.
    fn clock_skew(&self, _seconds: i64) {}
}

/// Several observers, told one after the other in this order. The default is nobody.
#[derive(Debug, Clone, Default)]
pub struct Observers(pub Vec<Arc<dyn ObserveCalls>>);

impl ObserveCalls for Observers {
    fn assume_role<'a>(&'a self, call: &'a AssumeRoleCall) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for observer in &self.0 {
                observer.assume_role(call).await;
            }
        })
    }

    fn clock_skew(&self, seconds: i64) {
        for observer in &self.0 {
            observer.clock_skew(seconds);
        }
    }
}
