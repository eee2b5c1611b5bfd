//! The record of a call that gives a session or a token. It has no field for either, nor for the code
//! or the token that was sent.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::text::{Text, expiration, instant};

/// One call. Which one is told by the event that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// When the answer came.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The role, if one was assumed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<Text>,
    /// What was asked for otherwise: the MFA device; account and role at IAM Identity Center,
    /// `123456789012/Admin`; the directory of a token, as in `github/OWNER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Text>,
    /// `RoleSessionName` as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<Text>,
    /// `SourceIdentity` as sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<Text>,
    /// `ok`, or the kind of failure by the name of its `broker::Cause`.
    pub result: Text,
    /// AWS's error code, such as `ExpiredToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Text>,
    /// The key received, or the SHA-256 of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<Text>,
    /// When it is accepted no more.
    #[serde(default, with = "expiration", skip_serializing_if = "Option::is_none")]
    pub expiration: Option<SystemTime>,
    /// AWS's request id (`requestID` in `CloudTrail`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Text>,
    /// From the call to its answer, in milliseconds.
    pub latency_ms: u64,
}

impl Call {
    /// [`Call::result`] of a call that gave what was asked for.
    pub const OK: &str = "ok";

    /// Whether it did.
    pub(super) fn is_ok(&self) -> bool {
        self.result.as_str() == Self::OK
    }

    /// What was asked for.
    pub(super) fn asked(&self) -> &str {
        self.role_arn.as_ref().or(self.subject.as_ref()).map_or("", Text::as_str)
    }
}
