//! An MFA code on its way over the control socket. It is in memory only, and overwritten there.

use serde::{Deserialize, Deserializer, Serializer, de};
use zeroize::Zeroizing;

use crate::model::MfaCode;

pub(super) fn serialize<S: Serializer>(code: &MfaCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.digits())
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<MfaCode, D::Error> {
    let text = Zeroizing::new(String::deserialize(from)?);
    MfaCode::parse(&text).map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::Request;
    use super::*;

    #[test]
    fn a_request_carries_the_code_and_does_not_show_it() {
        let code = MfaCode::parse("918273").unwrap();
        let request = Request::Mfa { device: "GAHT12345678".to_owned(), code };
        assert!(!format!("{request:?}").contains("918273"));
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
        let wrong = serde_json::from_str::<Request>(&line.replace("918273", "hunter2"));
        assert!(!wrong.unwrap_err().to_string().contains("hunter2"));
    }
}
