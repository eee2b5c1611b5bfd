//! Refusals that repeat what they refuse, as careless services and proxies on the way write them.

use serde_json::Value;

use super::params::ApiRequest;

/// Headers that hold a secret.
const HEADERS: [&str; 4] =
    ["authorization", "x-amz-security-token", "x-amz-sso_bearer_token", "x-aws-ec2-metadata-token"];

/// Parameters, of a form or of JSON, that hold one.
const PARAMETERS: [&str; 7] = [
    "TokenCode",
    "WebIdentityToken",
    "clientSecret",
    "deviceCode",
    "device_code",
    "refreshToken",
    "refresh_token",
];

/// Every secret that a request carries, in one line. A signature is none.
pub(crate) fn of(request: &ApiRequest) -> String {
    let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let headers = HEADERS.iter().filter_map(|name| Some((name, request.header(name)?)));
    let headers = headers.filter(|(_, value)| !value.starts_with("AWS4-HMAC-SHA256"));
    let parameters = PARAMETERS.iter().filter_map(|name| {
        let value = json[*name].as_str().or_else(|| request.params.get(name));
        Some((name, value?))
    });
    let said = headers.chain(parameters).map(|(name, value)| format!("{name} {value}"));
    format!("refused: {}", said.collect::<Vec<_>>().join(", "))
}
