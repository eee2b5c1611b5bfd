//! Key pairs: made, and written as ssh reads them.

use std::io;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use super::KEY_TYPE;
use super::wire::put_string;
use crate::model::SshKey;

/// The first line of a private key.
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";

/// The last one.
const END: &str = "-----END OPENSSH PRIVATE KEY-----\n";

/// What the bytes of a private key begin with.
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The characters of a line, as ssh-keygen writes it.
const LINE: usize = 70;

/// The multiple to which what could be encrypted is padded. It is that of the cipher `none`.
const BLOCK: usize = 8;

/// More than the bytes of a private key.
const ROOM: usize = 512;

/// A key pair that nobody else has, by the randomness of the kernel. What is overwritten when it goes
/// is the seed that is kept; what was computed of it on the way stands on the stack until that is used
/// again.
///
/// # Errors
/// The kernel gives no random bytes.
pub fn new_key() -> io::Result<SshKey> {
    let mut seed = Zeroizing::new([0; SshKey::BYTES]);
    if getrandom(&mut seed[..], GetRandomFlags::empty())? < seed.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    of_seed(seed).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The pair that follows from a seed (RFC 8032, section 5.1.5).
fn of_seed(seed: Zeroizing<[u8; SshKey::BYTES]>) -> Option<SshKey> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).ok()?;
    let public = pair.public_key().as_ref().try_into().ok()?;
    Some(SshKey::new(seed, public))
}

/// The public key as it is sent to be signed: type and bytes, without a comment (RFC 4253, section
/// 6.6).
pub fn public_key(key: &SshKey) -> String {
    let blob = public_blob(key);
    format!("{KEY_TYPE} {}", BASE64_STANDARD.encode(&blob))
}

fn public_blob(key: &SshKey) -> Vec<u8> {
    let mut blob = Vec::with_capacity(64);
    put_string(&mut blob, KEY_TYPE.as_bytes());
    put_string(&mut blob, key.public());
    blob
}

/// The file `id_ed25519`, without a passphrase and without a comment (OpenSSH's `PROTOCOL.key`). Its
/// length is the same for all keys.
pub fn private_key(key: &SshKey) -> Zeroizing<String> {
    let public = public_blob(key);
    // Of their final size from the start, so that growing leaves no copies.
    let mut secret = Zeroizing::new(Vec::with_capacity(ROOM));
    // Where there is a passphrase these two tell whether it was the right one.
    secret.extend_from_slice(&[0; 8]);
    secret.extend_from_slice(&public);
    let mut pair = Zeroizing::new([0; 2 * SshKey::BYTES]);
    pair[..SshKey::BYTES].copy_from_slice(key.seed());
    pair[SshKey::BYTES..].copy_from_slice(key.public());
    put_string(&mut secret, &pair[..]);
    put_string(&mut secret, b"");
    for byte in (1..).take_while({
        let rest = secret.len().next_multiple_of(BLOCK) - secret.len();
        move |byte| usize::from(*byte) <= rest
    }) {
        secret.push(byte);
    }

    let mut whole = Zeroizing::new(Vec::with_capacity(ROOM));
    whole.extend_from_slice(MAGIC);
    // Cipher, key derivation and its options.
    for name in [&b"none"[..], b"none", b""] {
        put_string(&mut whole, name);
    }
    whole.extend_from_slice(&1_u32.to_be_bytes());
    put_string(&mut whole, &public);
    put_string(&mut whole, &secret);

    // Into a slice: a String would get it by way of the stack.
    let mut body = Zeroizing::new([0; 2 * ROOM]);
    let length = BASE64_STANDARD.encode_slice(&whole, &mut body[..]).unwrap_or_default();
    let capacity = BEGIN.len() + length + length.div_ceil(LINE) + END.len();
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    text.push_str(BEGIN);
    for line in body[..length].chunks(LINE) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str(END);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8032, section 7.1, test 1.
    fn known() -> SshKey {
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let byte = |at: usize| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap();
        of_seed(Zeroizing::new(std::array::from_fn(byte))).unwrap()
    }

    #[test]
    fn the_public_key_follows_from_the_seed() {
        assert_eq!(
            public_key(&known()),
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
        );
    }

    #[test]
    fn no_two_keys_are_the_same_and_all_are_equally_long() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one.seed(), other.seed());
        assert_ne!(one.public(), other.public());
        assert_eq!(private_key(&one).len(), private_key(&other).len());
    }

    #[test]
    fn the_buffers_are_never_outgrown() {
        let text = private_key(&known());
        assert_eq!(text.capacity(), text.len());
        assert!(text.len() < ROOM);
    }

    #[test]
    fn a_private_key_has_the_lines_that_ssh_keygen_writes() {
        let text = private_key(&known());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[6]), (BEGIN.trim_end(), END.trim_end()));
        assert!(lines[1..5].iter().all(|line| line.len() == LINE), "{lines:?}");
        let whole = BASE64_STANDARD.decode(lines[1..6].concat()).unwrap();
        assert!(whole.starts_with(MAGIC) && whole.ends_with(&[0, 0, 0, 0, 1, 2, 3, 4, 5]));
    }
}
