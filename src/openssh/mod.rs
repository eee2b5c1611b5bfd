//! Keys and certificates in the forms of OpenSSH: key pairs that live in memory only, the texts of
//! both, and what a certificate says. Ed25519 only, which every OpenSSH since 6.5 knows. Must not know
//! who signs, who reads and what the time is.
//!
//! The signature of a certificate is not verified: only servers know whom they trust, and one that
//! they do not trust is good for nothing.

#![forbid(unsafe_code)]

mod certificate;
mod key;
mod wire;

pub use certificate::{BadCertificate, certificate};
pub use key::{new_key, private_key, public_key};

/// The name of the keys (RFC 8709, section 4).
const KEY_TYPE: &str = "ssh-ed25519";

/// The name of certificates of such keys (OpenSSH's `PROTOCOL.certkeys`).
const CERTIFICATE_TYPE: &str = "ssh-ed25519-cert-v01@openssh.com";
