//! An authority for ssh certificates, as an issuer such as Vouch has one: an Ed25519 key that signs the
//! public keys of those who are logged in (OpenSSH's `PROTOCOL.certkeys`).

use std::time::{Duration, SystemTime};

use aws_smithy_types::base64;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use super::clock::unix_seconds;

const KEY_TYPE: &str = "ssh-ed25519";
const CERTIFICATE_TYPE: &str = "ssh-ed25519-cert-v01@openssh.com";

/// What a terminal and a forwarded agent need; in the order that OpenSSH asks for.
const EXTENSIONS: [&str; 3] = ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty"];

/// The kind of certificates of users.
const USER: u32 = 1;

/// The kind of certificates of hosts.
const HOST: u32 = 2;

/// What can be wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CertificateFault {
    /// It is of a key that nobody sent.
    OtherKey,
    /// It is one of a host.
    OfHost,
    /// It names no principals.
    NoPrincipals,
    /// It ended an hour ago.
    Ended,
    /// It begins in an hour.
    NotYet,
    /// Its last bytes are missing.
    Cut,
    /// It is the public key instead.
    PlainKey,
}

/// What is signed.
pub(crate) struct Draft<'a> {
    pub(crate) public_key: &'a str,
    pub(crate) key_id: &'a str,
    pub(crate) serial: u64,
    pub(crate) principals: &'a [String],
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
    pub(crate) fault: Option<CertificateFault>,
}

/// The key of the authority.
pub(crate) struct SshAuthority(Ed25519KeyPair);

impl SshAuthority {
    /// One that nobody else has.
    pub(crate) fn new() -> Self {
        let seed: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        #[expect(clippy::expect_used, reason = "it refuses seeds of other lengths only")]
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes");
        Self(pair)
    }

    /// What servers are given as `TrustedUserCAKeys`.
    pub(crate) fn public_key(&self) -> String {
        format!("{KEY_TYPE} {} emulator", base64::encode(self.blob()))
    }

    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, KEY_TYPE.as_bytes());
        put(&mut blob, self.0.public_key().as_ref());
        blob
    }

    /// The certificate; `None` if there is no public key of Ed25519 to sign.
    pub(crate) fn sign(&self, draft: &Draft<'_>) -> Option<String> {
        let public = public_bytes(draft.public_key)?;
        let fault = |fault| draft.fault == Some(fault);
        if fault(CertificateFault::PlainKey) {
            return Some(draft.public_key.to_owned());
        }
        let public = if fault(CertificateFault::OtherKey) { [7; 32].to_vec() } else { public };
        let principals = if fault(CertificateFault::NoPrincipals) { &[] } else { draft.principals };
        let hour = Duration::from_hours(1);
        let (from, until) = match draft.fault {
            Some(CertificateFault::Ended) => (draft.from - 2 * hour, draft.from - hour),
            Some(CertificateFault::NotYet) => (draft.from + hour, draft.until + hour),
            _ => (draft.from, draft.until),
        };
        let kind = if fault(CertificateFault::OfHost) { HOST } else { USER };

        let mut blob = Vec::new();
        put(&mut blob, CERTIFICATE_TYPE.as_bytes());
        put(&mut blob, &std::array::from_fn::<u8, 32, _>(|_| fastrand::u8(..)));
        put(&mut blob, &public);
        blob.extend(draft.serial.to_be_bytes());
        blob.extend(kind.to_be_bytes());
        put(&mut blob, draft.key_id.as_bytes());
        put_each(&mut blob, principals.iter().map(String::as_str), false);
        blob.extend(unix_seconds(from).to_be_bytes());
        blob.extend(unix_seconds(until).to_be_bytes());
        put(&mut blob, b"");
        put_each(&mut blob, EXTENSIONS.into_iter(), true);
        put(&mut blob, b"");
        put(&mut blob, &self.blob());
        let mut signature = Vec::new();
        put(&mut signature, KEY_TYPE.as_bytes());
        put(&mut signature, self.0.sign(&blob).as_ref());
        put(&mut blob, &signature);
        if fault(CertificateFault::Cut) {
            blob.truncate(blob.len() - 9);
        }
        Some(format!("{CERTIFICATE_TYPE} {}", base64::encode(blob)))
    }
}

/// The 32 bytes of `ssh-ed25519 BASE64`.
fn public_bytes(text: &str) -> Option<Vec<u8>> {
    let blob = base64::decode(text.strip_prefix(KEY_TYPE)?.trim()).ok()?;
    let mut head = Vec::new();
    put(&mut head, KEY_TYPE.as_bytes());
    head.extend(32_u32.to_be_bytes());
    blob.strip_prefix(&head[..]).filter(|bytes| bytes.len() == 32).map(<[u8]>::to_vec)
}

/// A string with its length (RFC 4251, section 5).
fn put(bytes: &mut Vec<u8>, string: &[u8]) {
    bytes.extend(u32::try_from(string.len()).unwrap_or_default().to_be_bytes());
    bytes.extend(string);
}

/// Strings in a string, each followed by an empty one if they are names `with_data`.
fn put_each<'a>(bytes: &mut Vec<u8>, all: impl Iterator<Item = &'a str>, with_data: bool) {
    let mut list = Vec::new();
    for one in all {
        put(&mut list, one.as_bytes());
        if with_data {
            put(&mut list, b"");
        }
    }
    put(bytes, &list);
}
