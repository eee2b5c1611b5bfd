//! Sessions → bytes. Pure and deterministic; knows nothing of files, the kernel or the network.
//!
//! The grammar is the smallest that all AWS clients read alike: LF, no indentation but in nested
//! settings, no inline comments, lower-case keys, each section and key once.

#![forbid(unsafe_code)]

mod config_file;
mod container;
mod credentials;
mod ini;
mod pad;
mod plain;
mod process;
mod status;
mod token;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

pub use config_file::{ReaderPath, ReaderPathError, config};
pub use container::{container_json, endpoint_token};
pub use credentials::credentials;
pub use pad::{Padding, pad, roomy};
pub use plain::{json_object, shell_exports};
pub use process::{failure_line, mfa_command, process_json};
pub use status::{
    CertificateStatus, EndpointStatus, KeepStatus, MfaStatus, MountStatus, RoleStatus, TokenStatus,
    UNCONFIGURED, status_json, status_text,
};
pub use token::{git_credentials, token_failure, token_text};

use crate::broker::SessionError;
use crate::model::{ProfileName, ProfileSetting, RegionName, StsSession};

/// A rendered text that may hold keys: overwritten when dropped.
pub type Text = Zeroizing<String>;

/// One profile as it is rendered.
#[derive(Debug, Clone)]
pub struct Profile<'a> {
    /// The section's name.
    pub name: &'a ProfileName,
    /// Written to `config`.
    pub region: Option<&'a RegionName>,
    /// Written to `config`.
    pub settings: &'a [ProfileSetting],
}

/// What a profile, or a token, has to offer at the moment of rendering.
#[derive(Debug, Clone)]
pub enum ProfileState<V = StsSession> {
    /// Valid keys.
    Live(Arc<V>),
    /// Why there are none.
    Failing(SessionError),
}

impl<V> ProfileState<V> {
    /// Whether rendering `other` instead would give the same bytes.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Live(a), Self::Live(b)) => Arc::ptr_eq(a, b),
            (Self::Failing(a), Self::Failing(b)) => a == b,
            _ => false,
        }
    }
}

/// An instant as SDKs read it: RFC 3339, whole seconds, `Z`. Instants outside the years 1970 to
/// 9999, which the format does not know, become the nearest one inside.
pub fn instant(at: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + LAST_INSTANT;
    humantime::format_rfc3339_seconds(at.clamp(SystemTime::UNIX_EPOCH, last)).to_string()
}

/// 9999-12-31T23:59:59Z.
const LAST_INSTANT: Duration = Duration::from_secs(253_402_300_799);

#[cfg(test)]
mod tests;
