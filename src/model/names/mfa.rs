//! The name of an MFA device.

use super::{AccountId, NameError, Partition, checked_text, is_iam_name_character, quoted, shown};

checked_text! {
    /// An MFA device: the ARN of a virtual one (`arn:aws:iam::123456789012:mfa/jane`) or the serial
    /// number of a hardware token. 9 to 256 characters of `[\w+=/:,.@-]` (AWS API Reference,
    /// GetSessionToken, `SerialNumber`).
    MfaDevice
}

impl MfaDevice {
    /// Parses and checks.
    ///
    /// # Errors
    /// When STS would refuse it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match problem(text) {
            None => Ok(Self(text.to_owned())),
            Some(problem) => Err(NameError(format!(
                "MFA device {} {problem}: write the ARN of the device, such as \
                 arn:aws:iam::123456789012:mfa/jane, or the serial number of a hardware token (aws \
                 iam list-mfa-devices shows it)",
                quoted(text)
            ))),
        }
    }

    /// The partition, which only an ARN tells.
    pub fn partition(&self) -> Option<Partition> {
        partition(&self.0)
    }
}

fn problem(text: &str) -> Option<String> {
    let legal = |c: char| is_iam_name_character(c) || "/:".contains(c);
    if let Some(wrong) = text.chars().find(|&character| !legal(character)) {
        return Some(format!("contains {}", shown(wrong)));
    }
    if !(9..=256).contains(&text.len()) {
        return Some(format!("has {} characters, not 9 to 256", text.len()));
    }
    if text.starts_with("arn:") && text.contains(":u2f/") {
        return Some("is a security key, which shows no codes".to_owned());
    }
    let is_arn_of_another = text.starts_with("arn:") && !is_device_arn(text);
    is_arn_of_another.then(|| "is an ARN, but not of an MFA device".to_owned())
}

fn is_device_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, _, "iam", "", account, resource] = parts[..] else { return false };
    let name = resource.strip_prefix("mfa/").unwrap_or_default();
    partition(text).is_some() && AccountId::parse(account).is_ok() && !name.is_empty()
}

fn partition(text: &str) -> Option<Partition> {
    Partition::parse(text.strip_prefix("arn:")?.split(':').next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_arns_and_serial_numbers() {
        for good in ["arn:aws:iam::123456789012:mfa/jane", "GAHT12345678", "123456789"] {
            assert_eq!(MfaDevice::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "12345678",
            "arn:aws:iam::123456789012:mfa/",
            "arn:aws:iam::123456789012:user/jane",
            "arn:aws:iam::12:mfa/jane",
            "arn:moon:iam::123456789012:mfa/jane",
            "arn:aws:iam::123456789012:u2f/user/jane/key",
            "GAHT 12345678",
            "GAHT12345678\n",
        ] {
            assert!(MfaDevice::parse(bad).is_err(), "{bad:?}");
        }
        let gov = MfaDevice::parse("arn:aws-us-gov:iam::123456789012:mfa/jane").unwrap();
        assert_eq!(gov.partition(), Some(Partition::AwsUsGov));
        assert_eq!(MfaDevice::parse("GAHT12345678").unwrap().partition(), None);
    }
}
