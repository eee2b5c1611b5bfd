//! Key pairs for ssh, their certificates, and what is asked for one.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{OidcIdentity, ServiceUrl, SshName};

/// A certificate for logins by ssh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshGrant {
    /// Who asks.
    pub identity: Arc<OidcIdentity>,
    /// The NAME of `[ssh.NAME]`.
    pub name: SshName,
    /// Who signs.
    pub certificate_url: ServiceUrl,
}

/// An Ed25519 key pair. The private half is overwritten when it is dropped, and `Debug` does not show
/// it.
pub struct SshKey {
    seed: Zeroizing<[u8; Self::BYTES]>,
    public: [u8; Self::BYTES],
}

impl SshKey {
    /// The length of either half.
    pub const BYTES: usize = 32;

    /// A pair of which the second follows from the first.
    pub fn new(seed: Zeroizing<[u8; Self::BYTES]>, public: [u8; Self::BYTES]) -> Self {
        Self { seed, public }
    }

    /// The private half. Called only where its file is written.
    pub fn seed(&self) -> &[u8] {
        &self.seed[..]
    }

    /// The public half.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("** redacted **")
    }
}

/// A certificate of a user, which is no secret. The names in it can be shown as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshCertificate {
    /// Its text: type and bytes, without a comment and a newline.
    pub line: String,
    /// What its issuer calls it in the logs of servers.
    pub key_id: String,
    /// Its number there; 0 where the issuer does not count.
    pub serial: u64,
    /// The names that one may log in by.
    pub principals: Vec<String>,
    /// From when on servers take it.
    pub valid_after: SystemTime,
    /// From when on they take it no more.
    pub valid_before: SystemTime,
}

impl SshCertificate {
    /// Its name in records, by the words in which sshd logs who came with it.
    pub fn id(&self) -> String {
        format!("{} (serial {})", self.key_id, self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_key() {
        let key = SshKey::new(Zeroizing::new([77; SshKey::BYTES]), [88; SshKey::BYTES]);
        assert_eq!(format!("{key:?}"), "** redacted **");
    }
}
