//! The record of a request to the endpoint of a mount. It has no field for the token.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::open::{Decision, RoleRead};
use super::text::{Text, instant};

/// One request to the endpoint of a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// When it was decided.
    #[serde(with = "instant")]
    pub time: SystemTime,
    /// The mount's name, or where it has none its path.
    pub mount: Text,
    /// Whether the asker was let in.
    pub decision: Decision,
    /// Why there were no keys: the kind of failure by the name of its `broker::Cause`, or the code of
    /// the refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The role that was asked for, if the request got so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleRead>,
    /// The address and port of the asker.
    pub peer: Text,
    /// Whose socket that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// From the request to the record, in microseconds.
    pub latency_us: u64,
}
