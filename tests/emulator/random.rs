//! Random identifiers and keys in the shape AWS gives them. They protect nothing, so an ordinary
//! random generator is enough.

use std::iter::repeat_with;
use std::ops::RangeInclusive;

const BASE32: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const CONSONANTS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// How session tokens of the real service begin, too.
const TOKEN_START: &str = "IQoJb3JpZ2luX2Vj";

/// An identifier of 20 characters: four that tell the kind (`AKIA`, `ASIA`, `AROA`, `AIDA`) and 16
/// of base 32.
pub(crate) fn identifier(kind: &str) -> String {
    format!("{kind}{}", text(BASE32, 16))
}

/// A secret access key of 40 characters.
pub(crate) fn secret_access_key() -> String {
    text(BASE64, 40)
}

/// A session token whose length is drawn from `length`. Half of them end in `=`, as Base64 of
/// bytes does, so that parsers meet that case.
pub(crate) fn session_token(length: &RangeInclusive<usize>) -> String {
    let length = fastrand::usize(length.clone());
    let padding = if length > TOKEN_START.len() + 2 { fastrand::usize(0..=3) } else { 0 };
    let padding = if padding == 3 { 0 } else { padding };
    let start = &TOKEN_START[..TOKEN_START.len().min(length)];
    let middle = text(BASE64, length - start.len() - padding);
    format!("{start}{middle}{}", "=".repeat(padding))
}

/// A token, a code or a client secret: 64 characters that a URL and a header can carry.
pub(crate) fn secret() -> String {
    text(BASE62, 64)
}

/// A code that people type: `ABCD-EFGH`, of letters that cannot be taken for others.
pub(crate) fn user_code() -> String {
    format!("{}-{}", text(CONSONANTS, 4), text(CONSONANTS, 4))
}

/// A request id in the form of a UUID.
pub(crate) fn request_id() -> String {
    let hex = format!("{:032x}", fastrand::u128(..));
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn text(alphabet: &[u8], length: usize) -> String {
    repeat_with(|| char::from(alphabet[fastrand::usize(..alphabet.len())])).take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_length_asked_for() {
        for length in [1, 15, 16, 18, 19, 400, 4096] {
            assert_eq!(session_token(&(length..=length)).len(), length);
        }
        let lengths: Vec<usize> =
            repeat_with(|| session_token(&(10..=20)).len()).take(50).collect();
        assert!(lengths.iter().all(|length| (10..=20).contains(length)));
        assert!(lengths.iter().any(|length| *length != lengths[0]), "the length never varies");
    }
}
