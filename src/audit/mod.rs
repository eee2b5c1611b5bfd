//! What must be recorded: who read which keys, where the keys came from, and what happened to
//! the mounts. Audit is not logging: it has its own types and its own sinks, no level filters it,
//! and an open waits until its record is written. Must not know FUSE, AWS or the configuration.
//!
//! # The records
//!
//! One JSON object per line. Every object begins with `event` and `time` (RFC 3339, UTC, with
//! microseconds); what is not known is left out.
//!
//! | `event` | fields |
//! |---|---|
//! | `open` | `mount`, `file` (its path in the mount), `decision` (`allowed`, `refused`), `rule` (what decided), `roles` (of each: `name`, and if a key was handed out `access_key_id`, `expiration`), `uid`, `gid`, `pid` (the thread that opened), `tgid` (its process), `start_time` (of the thread, in clock ticks since boot), `comm`, `exe`, `cgroup`, `container` (`runtime`, `id`, `pod_uid`, `unit`), `latency_us` |
//! | `request` (to the endpoint) | `mount`, `decision`, `reason` (why there were no keys), `roles` (the one asked for), `peer` (address and port), `uid` (of that socket), `latency_us` |
//! | `assume_role` | `role_arn`, `session_name`, `source_identity`, `result` (`ok`, or the kind of failure), `code` (AWS's own word for the failure), `access_key_id`, `expiration`, `request_id`, `latency_ms` |
//! | `assume_role_with_web_identity` | the same |
//! | `get_session_token` (with MFA) | `subject` (the MFA device), and as above from `result` on |
//! | `get_role_credentials` (of IAM Identity Center) | `subject` (account and role, `123456789012/Admin`), and as above |
//! | `token` (of a service other than AWS) | `subject` (as in `github/OWNER`), and as above; `access_key_id` is its SHA-256 |
//! | `mount` | `mount`, `path` |
//! | `unmount` | `mount`, `path`, `reason` |
//! | `reload` | `result` (`ok`, `failed`), `added`, `changed`, `removed` (mounts), `errors` |
//! | `lock`, `unlock` | |
//! | `start`, `stop` | `version`, `pid`, `uid` (of the daemon); only `pid` |
//!
//! `access_key_id` joins such a call with the opens that handed its key out, and both with
//! `CloudTrail` (`userIdentity.accessKeyId`).
//!
//! There is no version in the records. Names and meanings stay; fields and events may be added,
//! and who reads the log passes over what it does not know. Should that ever have to be broken,
//! the new records say so in a new field.
//!
//! # No secret
//!
//! The records hold names, ids, times and numbers. No field is made for a secret, nothing here
//! knows [`Secret`](crate::model::Secret), and what a caller can choose itself (`comm`, `exe`,
//! `cgroup`) or what AWS says (`code`, `request_id`) is a [`Text`] of bounded length.
//!
//! # What "recorded" means
//!
//! The kernel, or journald, has taken the record: it outlives the daemon. It may not outlive a
//! loss of power, because the file is not synced for each open. With two sinks a record counts
//! when both have it.

#![forbid(unsafe_code)]

mod call;
mod counts;
mod file;
mod journal;
mod log;
#[cfg(test)]
mod log_tests;
mod open;
mod query;
mod queue;
mod record;
#[cfg(test)]
mod record_tests;
mod recorder;
mod request;
mod sentence;
mod sink;
mod state;
mod table;
#[cfg(test)]
mod testing;
mod text;
mod writer;

pub use call::Call;
pub use counts::Counts;
pub use log::{AuditLog, AuditStatus, NotRecorded, RECORD_DEADLINE, Sinks};
pub use open::{ContainerRecord, Decision, Open, Reader, RoleRead};
pub use query::{Filter, Line, parse};
pub use record::{
    Event, Moment, MountRecord, Outcome, ReloadRecord, StartRecord, StopRecord, UnmountReason,
    UnmountRecord,
};
pub use recorder::Recorder;
pub use request::Request;
pub use state::{OnFailure, SINK_DEADLINE};
pub use table::Table;
pub use text::Text;
