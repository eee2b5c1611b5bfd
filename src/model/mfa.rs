//! MFA: the codes that a device shows, and the session that one code gives.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{BaseCredentials, MfaDevice, RegionName, Secret};

/// A code that an MFA device shows: six digits, good for one call within a minute or so (RFC 6238).
/// Secret as long as it is good: `Debug` shows no content, and the memory is overwritten.
#[derive(Clone, PartialEq, Eq)]
pub struct MfaCode(Zeroizing<String>);

impl MfaCode {
    /// Six digits; white space around them and one between the halves (`123 456`) is left out.
    ///
    /// # Errors
    /// [`NotACode`], which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self, NotACode> {
        let mut digits = Zeroizing::new(String::with_capacity(LENGTH));
        for (index, c) in text.trim().chars().enumerate() {
            match c {
                '0'..='9' if digits.len() < LENGTH => digits.push(c),
                ' ' if index == LENGTH / 2 => {}
                _ => return Err(NotACode),
            }
        }
        if digits.len() == LENGTH { Ok(Self(digits)) } else { Err(NotACode) }
    }

    /// The code in what a program prints: all of it, or its last word of six digits (`ykman` prints
    /// the name of the account in front).
    ///
    /// # Errors
    /// [`NotACode`] if there is none.
    pub fn find(text: &str) -> Result<Self, NotACode> {
        let words = || text.split_whitespace().rev().filter_map(|word| Self::parse(word).ok());
        Self::parse(text).ok().or_else(|| words().next()).ok_or(NotACode)
    }

    /// The same in what a program has printed.
    ///
    /// # Errors
    /// [`NotACode`] if there is none.
    pub fn find_in(output: &Secret) -> Result<Self, NotACode> {
        Self::find(output.expose())
    }

    /// The digits. Called only where STS is called and where a command hands the code to the daemon.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

const LENGTH: usize = 6;

impl fmt::Debug for MfaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("** redacted **")
    }
}

/// A text that is no MFA code. It is not repeated: it may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an MFA code has six digits")]
pub struct NotACode;

/// A session of GetSessionToken that carries MFA: one code gives it, and all roles behind the same
/// device are assumed with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MfaSession {
    /// The keys of the IAM user who has the device; never [`BaseCredentials::Mfa`].
    pub base: BaseCredentials,
    /// The device.
    pub device: MfaDevice,
    /// The region whose STS endpoint is called. The session is good in all regions.
    pub sts_region: RegionName,
    /// `DurationSeconds`, 15 min to 36 h.
    pub session_duration: Duration,
    /// A command that prints a code; without one a person has to give it.
    pub process: Option<String>,
}

impl MfaSession {
    /// What errors and logs call it.
    pub fn subject(&self) -> String {
        format!("MFA session of {}", self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits() {
        for good in ["123456", " 123456\n", "123 456"] {
            assert_eq!(MfaCode::parse(good).unwrap().digits(), "123456");
        }
        for bad in ["", "12345", "1234567", "12 3456", "12345a", "１２３４５６"] {
            assert_eq!(MfaCode::parse(bad), Err(NotACode), "{bad:?}");
        }
    }

    #[test]
    fn the_last_code_of_an_output_counts() {
        let found = |text| MfaCode::find(text).map(|code| code.digits().to_owned());
        assert_eq!(found("AWS:jane@acme 123456  654321\n").as_deref(), Ok("654321"));
        assert_eq!(found("123 456\n").as_deref(), Ok("123456"));
        assert_eq!(found("no account of this name\n"), Err(NotACode));
    }

    #[test]
    fn debug_shows_no_code() {
        let code = MfaCode::parse("123456").unwrap();
        assert_eq!(format!("{code:?}"), "** redacted **");
    }
}
