//! MFA devices: which codes they show, and which of them STS takes.
//!
//! A device shows another code each time it is asked, and STS takes each code once, whenever that
//! is: tests need not wait for the next half minute. Codes that were never shown are wrong.

use std::collections::{HashMap, HashSet};

use super::answer::ApiError;
use super::params::Params;
use super::random;

/// All devices by serial number or ARN. They belong to the base user.
#[derive(Default)]
pub(crate) struct MfaDevices(HashMap<String, Device>);

#[derive(Default)]
struct Device {
    shown: HashSet<String>,
    /// Those that STS was sent, accepted or not.
    used: HashSet<String>,
}

impl MfaDevices {
    /// A code that the device of this serial number was not asked for before. The device is made by
    /// its first code.
    pub(crate) fn show(&mut self, serial: &str) -> String {
        let device = self.0.entry(serial.to_owned()).or_default();
        loop {
            let code = random::code();
            if device.shown.insert(code.clone()) {
                return code;
            }
        }
    }

    /// All codes shown so far.
    pub(crate) fn shown(&self) -> Vec<String> {
        self.0.values().flat_map(|device| device.shown.iter().cloned()).collect()
    }

    /// Whether a call carries MFA.
    ///
    /// # Errors
    /// A code that is wrong or was used, an unknown device, one parameter without the other.
    pub(crate) fn check(&mut self, params: &Params) -> Result<bool, ApiError> {
        let denied = |message: &str| {
            Err(ApiError::forbidden(
                "AccessDenied",
                format!("MultiFactorAuthentication failed, {message}"),
            ))
        };
        let (serial, code) = match (params.get("SerialNumber"), params.get("TokenCode")) {
            (None, None) => return Ok(false),
            (Some(serial), Some(code)) => (serial, code),
            _ => return denied("must provide both MFA serial number and one time pass code."),
        };
        if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!(
                "1 validation error detected: Value '{code}' at 'tokenCode' failed to satisfy \
                 constraint: Member must satisfy regular expression pattern: [\\d]*"
            );
            return Err(ApiError::bad_request("ValidationError", message));
        }
        let Some(device) = self.0.get_mut(serial) else {
            return denied(
                "unable to validate MFA code.  Please verify your MFA serial number is valid and \
                 associated with this user.",
            );
        };
        if device.shown.contains(code) && device.used.insert(code.to_owned()) {
            return Ok(true);
        }
        Err(ApiError::forbidden(
            "AccessDenied",
            "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        ))
    }
}
