//! The record of the calls received. Holds no secrets.

use std::fmt;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::attributes::SessionAttributes;
use super::clock;

/// One call, recorded when it arrives and completed when it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CallRecord {
    /// Arrival, by the clock of the machine (not the emulated one).
    #[serde(serialize_with = "as_rfc3339")]
    pub(crate) time: SystemTime,
    /// `Action` as sent; empty when there is none.
    pub(crate) action: String,
    /// `RoleArn` as sent.
    pub(crate) role_arn: Option<String>,
    /// `RoleSessionName` as sent.
    pub(crate) session_name: Option<String>,
    /// `ExternalId` as sent.
    pub(crate) external_id: Option<String>,
    /// `DurationSeconds` as sent.
    pub(crate) duration_seconds: Option<String>,
    /// Source identity, tags and session policies as sent.
    pub(crate) attributes: SessionAttributes,
    /// Access key id that the caller claims, verified or not.
    pub(crate) caller_access_key_id: Option<String>,
    /// Region of the credential scope that the caller claims.
    pub(crate) region: Option<String>,
    /// `User-Agent` as sent.
    pub(crate) user_agent: Option<String>,
    /// Access key id of the session that the call issued.
    pub(crate) issued_access_key_id: Option<String>,
    /// `OK`, the error code answered, or the name of the fault that spoilt the answer; `None`
    /// while there is no answer yet, and for good if the client closes before it.
    pub(crate) result: Option<String>,
}

impl CallRecord {
    /// Name of the role in `role_arn`, without its path.
    pub(crate) fn role_name(&self) -> Option<&str> {
        role_name(self.role_arn.as_deref()?)
    }
}

impl fmt::Display for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = self.result.as_deref().unwrap_or("pending");
        write!(f, "{} {} {result}", clock::rfc3339(self.time), self.action)?;
        for (name, value) in [
            ("role", &self.role_arn),
            ("session", &self.session_name),
            ("caller", &self.caller_access_key_id),
            ("issued", &self.issued_access_key_id),
        ] {
            if let Some(value) = value {
                // Everything here came from the client: a line break would forge a line.
                write!(f, " {name}={}", value.escape_debug())?;
            }
        }
        Ok(())
    }
}

/// The last part of the resource of a role ARN; `None` for another text.
pub(crate) fn role_name(role_arn: &str) -> Option<&str> {
    let (_, path_and_name) = role_arn.split_once(":role/")?;
    path_and_name.rsplit('/').next()
}

fn as_rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&clock::rfc3339(*time))
}
