//! What a certificate says (OpenSSH's `PROTOCOL.certkeys`).

use std::time::{Duration, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::CERTIFICATE_TYPE;
use super::wire::Reader;
use crate::model::{SshCertificate, SshKey};

/// The longest text that is believed to be a certificate, in bytes. One with 256 principals, as many
/// as OpenSSH reads, and an RSA authority has less.
const LONGEST: usize = 32_768;

/// The type of certificates of people; 2 is that of hosts.
const USER: u32 = 1;

/// How much of a name that the issuer chose is kept, in characters.
const LONGEST_NAME: usize = 128;

/// 9999-12-31T23:59:59Z, for what never ends.
const LAST_INSTANT: u64 = 253_402_300_799;

/// Why a text is no certificate for a key: half a sentence about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCertificate {
    /// It cannot be read.
    #[error("is no OpenSSH certificate of an Ed25519 key")]
    Unreadable,
    /// It is of another key.
    #[error("is not of the key that was sent")]
    OtherKey,
    /// It is not of a person.
    #[error("is one of a host, not of a user")]
    OfHost,
    /// No server takes it.
    #[error("names no principals")]
    NoPrincipals,
}

/// Reads a certificate of `key`: `TYPE BASE64`, perhaps with a comment. When it is valid is not judged.
///
/// # Errors
/// See [`BadCertificate`].
pub fn certificate(text: &str, key: &SshKey) -> Result<SshCertificate, BadCertificate> {
    let mut words = text.split_ascii_whitespace();
    let is_certificate = text.len() <= LONGEST && words.next() == Some(CERTIFICATE_TYPE);
    let body = words.next().filter(|_| is_certificate).ok_or(BadCertificate::Unreadable)?;
    let blob = BASE64_STANDARD.decode(body).map_err(|_| BadCertificate::Unreadable)?;
    let fields = Fields::read(Reader(&blob)).ok_or(BadCertificate::Unreadable)?;
    if fields.public != key.public() {
        return Err(BadCertificate::OtherKey);
    }
    if fields.kind != USER {
        return Err(BadCertificate::OfHost);
    }
    if fields.principals.is_empty() {
        return Err(BadCertificate::NoPrincipals);
    }
    Ok(SshCertificate {
        line: format!("{CERTIFICATE_TYPE} {body}"),
        key_id: printable(fields.key_id),
        serial: fields.serial,
        principals: fields.principals.into_iter().map(printable).collect(),
        valid_after: instant(fields.valid_after),
        valid_before: instant(fields.valid_before),
    })
}

/// The fields that are looked at.
struct Fields<'a> {
    public: &'a [u8],
    serial: u64,
    kind: u32,
    key_id: &'a [u8],
    principals: Vec<&'a [u8]>,
    valid_after: u64,
    valid_before: u64,
}

impl<'a> Fields<'a> {
    fn read(mut reader: Reader<'a>) -> Option<Self> {
        let name = reader.string()?;
        let _nonce = reader.string()?;
        let public = reader.string()?;
        let serial = reader.u64()?;
        let kind = reader.u32()?;
        let key_id = reader.string()?;
        let mut list = Reader(reader.string()?);
        let mut principals = Vec::new();
        while !list.is_empty() {
            principals.push(list.string()?);
        }
        let valid_after = reader.u64()?;
        let valid_before = reader.u64()?;
        // Critical options, extensions, what is reserved, the key of the authority, its signature.
        for _ in 0..5 {
            reader.string()?;
        }
        let is_whole = reader.is_empty() && name == CERTIFICATE_TYPE.as_bytes();
        is_whole.then_some(Self {
            public,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
        })
    }
}

/// A name as it can be shown and recorded.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(LONGEST_NAME).map(shown).collect()
}

fn instant(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST_INSTANT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::put_string;
    use super::super::{new_key, public_key};
    use super::*;

    /// A certificate before it is written.
    #[derive(Clone)]
    struct Draft {
        name: &'static str,
        public: Vec<u8>,
        kind: u32,
        key_id: &'static [u8],
        principals: Vec<&'static [u8]>,
        valid_before: u64,
        rest: &'static [u8],
    }

    impl Draft {
        fn of(key: &SshKey) -> Self {
            Self {
                name: CERTIFICATE_TYPE,
                public: key.public().to_vec(),
                kind: USER,
                key_id: b"jane",
                principals: vec![b"jane", b"deploy"],
                valid_before: 2000,
                rest: b"",
            }
        }

        fn blob(&self) -> Vec<u8> {
            let mut blob = Vec::new();
            put_string(&mut blob, self.name.as_bytes());
            put_string(&mut blob, b"nonce");
            put_string(&mut blob, &self.public);
            blob.extend(7_u64.to_be_bytes());
            blob.extend(self.kind.to_be_bytes());
            put_string(&mut blob, self.key_id);
            let mut list = Vec::new();
            for principal in &self.principals {
                put_string(&mut list, principal);
            }
            put_string(&mut blob, &list);
            blob.extend(1000_u64.to_be_bytes());
            blob.extend(self.valid_before.to_be_bytes());
            for _ in 0..5 {
                put_string(&mut blob, b"x");
            }
            blob.extend(self.rest);
            blob
        }

        fn text(&self) -> String {
            text_of(&self.blob())
        }
    }

    fn text_of(blob: &[u8]) -> String {
        format!("{CERTIFICATE_TYPE} {}", BASE64_STANDARD.encode(blob))
    }

    #[test]
    fn a_certificate_says_who_one_is_where_and_until_when() {
        let key = new_key().unwrap();
        let text = Draft::of(&key).text();
        let found = certificate(&format!("{text} jane@example.com\n"), &key).unwrap();
        assert_eq!((&*found.line, &*found.key_id, found.serial), (&*text, "jane", 7));
        assert_eq!(found.principals, ["jane", "deploy"]);
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!((found.valid_after, found.valid_before), (at(1000), at(2000)));
        let endless = Draft { valid_before: u64::MAX, ..Draft::of(&key) };
        let found = certificate(&endless.text(), &key).unwrap();
        assert_eq!(found.valid_before, at(LAST_INSTANT));
    }

    #[test]
    fn what_is_no_certificate_of_this_user_and_key_is_refused() {
        let key = new_key().unwrap();
        let good = Draft::of(&key);
        let refused = |draft: Draft| certificate(&draft.text(), &key).unwrap_err();
        let other = new_key().unwrap().public().to_vec();
        assert_eq!(refused(Draft { public: other, ..good.clone() }), BadCertificate::OtherKey);
        assert_eq!(refused(Draft { public: Vec::new(), ..good.clone() }), BadCertificate::OtherKey);
        for kind in [0, 2, 3] {
            assert_eq!(refused(Draft { kind, ..good.clone() }), BadCertificate::OfHost);
        }
        let nobody = Draft { principals: Vec::new(), ..good.clone() };
        assert_eq!(refused(nobody), BadCertificate::NoPrincipals);
        let unreadable = BadCertificate::Unreadable;
        assert_eq!(refused(Draft { name: "ssh-ed25519", ..good.clone() }), unreadable);
        assert_eq!(refused(Draft { rest: b"x", ..good.clone() }), unreadable);
        let blob = good.blob();
        for length in 0..blob.len() {
            assert_eq!(certificate(&text_of(&blob[..length]), &key), Err(unreadable), "{length}");
        }
        let long = format!("{} {}", good.text(), "x".repeat(LONGEST));
        let texts = ["", CERTIFICATE_TYPE, &public_key(&key), "ssh-rsa AAAA", &long];
        for text in texts {
            assert_eq!(certificate(text, &key), Err(unreadable), "{text:.80}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_changed_is_refused_or_understood(at in 0_usize..200, to: u8, cut: bool) {
            let key = SshKey::new([0; 32].into(), [7; 32]);
            let mut blob = Draft::of(&key).blob();
            let at = at % blob.len();
            blob[at] = to;
            blob.truncate(if cut { at } else { blob.len() });
            let text = text_of(&blob);
            if let Ok(found) = certificate(&text, &key) {
                prop_assert_eq!(found.line, text);
                prop_assert!(!found.principals.is_empty() && !found.key_id.contains('\n'));
            }
        }
    }

    #[test]
    fn names_cannot_end_a_line_nor_fill_it() {
        let key = new_key().unwrap();
        let long: &'static [u8] = &[b'x'; 1000];
        let draft = Draft {
            key_id: b"a\nb\x1b[2J\xff",
            principals: vec![b"root\r", long],
            ..Draft::of(&key)
        };
        let found = certificate(&draft.text(), &key).unwrap();
        assert_eq!(found.key_id, "a\u{fffd}b\u{fffd}[2J\u{fffd}");
        assert_eq!(found.principals[0], "root\u{fffd}");
        assert_eq!(found.principals[1].len(), LONGEST_NAME);
    }
}
